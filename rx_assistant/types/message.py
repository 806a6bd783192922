"""Messages of a thread."""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    EMPTY,
    Array,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)
from rx_assistant.types._inside import is_model, models_in, text_in
from rx_assistant.types._markdown import code, joined, place
from rx_assistant.types.message_content import MessageContent, MessageRole
from rx_assistant.types.shared import Metadata
from rx_assistant.types.tool import CodeInterpreterTool

MessageStatus: TypeAlias = Literal["in_progress", "incomplete", "completed"]


class AttachmentToolFileSearch(WireModel):
    """The attached file is to be searched."""

    type: Literal["file_search"]


class UnknownAttachmentTool(UnknownMember):
    """A tool for an attached file that this version does not know."""

    type: Word[UnknownWord] = ABSENT


AttachmentTool: TypeAlias = Annotated[CodeInterpreterTool | AttachmentToolFileSearch | UnknownAttachmentTool, BY_TYPE]


class Attachment(WireModel):
    """A file that came with a message, and the tools that may read it."""

    file_id: str | None = None
    tools: Array[AttachmentTool] | None = None


class MessageIncompleteDetails(WireModel):
    """Why a message stopped early."""

    reason: Word[Literal["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]] = ABSENT


class Message(WireModel):
    """A message. `status` is None for a message that a user wrote."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.message"]] = "thread.message"
    created_at: Wire[int] = ABSENT
    assistant_id: str | None = None
    thread_id: Wire[str] = ABSENT
    run_id: str | None = None
    status: Word[MessageStatus] = ABSENT
    incomplete_details: MessageIncompleteDetails | None = None
    incomplete_at: int | None = None
    completed_at: int | None = None
    role: Word[MessageRole] = ABSENT
    content: Wire[Array[MessageContent]] = EMPTY
    attachments: Array[Attachment] | None = None
    metadata: Metadata | None = None

    def _repr_markdown_(self) -> str:
        """The parts of the message; if it is incomplete, also the reason."""
        reason = text_in(self.incomplete_details, "reason")
        parts = [_part_markdown(part) for part in models_in(self.content)]
        return joined([*parts, f"*incomplete:* {code(reason)}" if reason else ""])


def _part_markdown(part: MessageContent) -> str:
    if part.type == "text" and is_model(part.text):
        return part.text._repr_markdown_()
    return f"> **refused:** {text_in(part, 'refusal')}" if part.type == "refusal" else f"▣ {place(part)}"


class MessageDeleted(WireModel):
    """The reply to a request that deletes a message."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.message.deleted"]] = "thread.message.deleted"
    deleted: Wire[bool] = ABSENT

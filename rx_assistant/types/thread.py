"""Threads: conversations, to which messages are added and on which runs work."""

from typing import Literal

from rx_assistant.types._base import ABSENT, Wire, WireModel, Word
from rx_assistant.types.shared import Metadata
from rx_assistant.types.tool import ToolResources


class Thread(WireModel):
    """A conversation."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread"]] = "thread"
    created_at: Wire[int] = ABSENT
    metadata: Metadata | None = None
    tool_resources: ToolResources | None = None


class ThreadDeleted(WireModel):
    """The reply to a request that deletes a thread."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.deleted"]] = "thread.deleted"
    deleted: Wire[bool] = ABSENT

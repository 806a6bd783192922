"""The payload of `thread.message.delta`: pieces of a message's content, each for the part at its `index`.

A stream has thousands of these models, so no annotation here may run Python code for each field. `events/_plain` builds
the models of plain deltas without validation, so it must know each of their fields.
"""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    Array,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)
from rx_assistant.types.annotation import AnnotationDelta
from rx_assistant.types.message_content import ImageDetail, MessageRole


class TextDelta(WireModel):
    """More text, and the annotations in it."""

    value: str | None = None
    annotations: Array[AnnotationDelta] | None = None


class TextDeltaBlock(WireModel):
    """More of a text part."""

    index: Wire[int] = ABSENT
    type: Literal["text"]
    text: TextDelta | None = None


class ImageFileDelta(WireModel):
    """An image in a file."""

    file_id: str | None = None
    detail: Word[ImageDetail] | None = None


class ImageFileDeltaBlock(WireModel):
    """A whole image part."""

    index: Wire[int] = ABSENT
    type: Literal["image_file"]
    image_file: ImageFileDelta | None = None


class ImageURLDelta(WireModel):
    """An image somewhere on the web."""

    url: str | None = None
    detail: Word[ImageDetail] | None = None


class ImageURLDeltaBlock(WireModel):
    """A whole image part."""

    index: Wire[int] = ABSENT
    type: Literal["image_url"]
    image_url: ImageURLDelta | None = None


class RefusalDeltaBlock(WireModel):
    """More of a refusal."""

    index: Wire[int] = ABSENT
    type: Literal["refusal"]
    refusal: str | None = None


class UnknownDeltaBlock(UnknownMember):
    """More of a part that this version does not know."""

    index: Wire[int] = ABSENT
    type: Word[UnknownWord] = ABSENT


MessageContentDelta: TypeAlias = Annotated[
    TextDeltaBlock | ImageFileDeltaBlock | ImageURLDeltaBlock | RefusalDeltaBlock | UnknownDeltaBlock, BY_TYPE
]


class MessageDelta(WireModel):
    """The changes of a message. OpenAI never sends the `role`; some other servers do."""

    role: Word[MessageRole] | None = None
    content: Array[MessageContentDelta] | None = None


class MessageDeltaEvent(WireModel):
    """The changes of the message with this `id`."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.message.delta"]] = "thread.message.delta"
    delta: Wire[MessageDelta] = ABSENT

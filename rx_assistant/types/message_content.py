"""The parts that a message's content is made of, complete."""

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
from rx_assistant.types.annotation import Annotation

MessageRole: TypeAlias = Literal["user", "assistant"]
ImageDetail: TypeAlias = Literal["auto", "low", "high"]


class Text(WireModel):
    """A text and the annotations in it."""

    value: Wire[str] = ABSENT
    annotations: Wire[Array[Annotation]] = EMPTY


class TextContentBlock(WireModel):
    """A part that is text."""

    type: Literal["text"]
    text: Wire[Text] = ABSENT


class ImageFile(WireModel):
    """An image that was uploaded, or that code has drawn."""

    file_id: Wire[str] = ABSENT
    detail: Word[ImageDetail] | None = None


class ImageFileContentBlock(WireModel):
    """A part that is an image in a file."""

    type: Literal["image_file"]
    image_file: Wire[ImageFile] = ABSENT


class ImageURL(WireModel):
    """An image somewhere on the web."""

    url: Wire[str] = ABSENT
    detail: Word[ImageDetail] | None = None


class ImageURLContentBlock(WireModel):
    """A part that is an image somewhere on the web."""

    type: Literal["image_url"]
    image_url: Wire[ImageURL] = ABSENT


class RefusalContentBlock(WireModel):
    """A part in which the model says why it does not answer."""

    type: Literal["refusal"]
    refusal: Wire[str] = ABSENT


class UnknownContentBlock(UnknownMember):
    """A part that this version does not know."""

    type: Word[UnknownWord] = ABSENT


MessageContent: TypeAlias = Annotated[
    TextContentBlock | ImageFileContentBlock | ImageURLContentBlock | RefusalContentBlock | UnknownContentBlock, BY_TYPE
]

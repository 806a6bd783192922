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
from rx_assistant.types._citations import CitedText, Show, bracketed
from rx_assistant.types._inside import models_in, text_in
from rx_assistant.types._markdown import joined, place
from rx_assistant.types.annotation import Annotation

MessageRole: TypeAlias = Literal["user", "assistant"]
ImageDetail: TypeAlias = Literal["auto", "low", "high"]


class Text(WireModel):
    """A text and the annotations in it."""

    value: Wire[str] = ABSENT
    annotations: Wire[Array[Annotation]] = EMPTY

    def _repr_markdown_(self) -> str:
        """The text with numbered citations, and the list of their sources."""
        sources = [f"- [{number}] {place(each)}" for number, each in self.citations().items()]
        return joined([self.numbered_citations(), "\n".join(sources)])

    def numbered_citations(self, show: Show = bracketed) -> str:
        """The text with each mark, such as 【4:0†source】, replaced by a numbered reference, such as [1].

        Equal marks get the same number, counted from 1. `show(number, mark)` returns the text for a mark, `""` to
        remove the mark. `operators.numbered_citations()` does the same while the text arrives.
        """
        return self._cited(show)[0]

    def citations(self) -> dict[int, Annotation]:
        """The annotation for each number. A mark without an annotation of the same text is left out."""
        by_mark = {annotation.text: annotation for annotation in reversed(models_in(self.annotations))}
        numbers = self._cited(bracketed)[1]
        return {number: by_mark[mark] for mark, number in numbers.items() if mark in by_mark}

    def _cited(self, show: Show) -> tuple[str, dict[str, int]]:
        cited = CitedText(show)
        return cited.push(text_in(self, "value")) + cited.rest(), cited.numbers


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
    """A part in which the model refuses to answer."""

    type: Literal["refusal"]
    refusal: Wire[str] = ABSENT


class UnknownContentBlock(UnknownMember):
    """A part that this version does not know."""

    type: Word[UnknownWord] = ABSENT


MessageContent: TypeAlias = Annotated[
    TextContentBlock | ImageFileContentBlock | ImageURLContentBlock | RefusalContentBlock | UnknownContentBlock, BY_TYPE
]

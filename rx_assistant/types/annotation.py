"""Annotations in message texts: citations of files, and paths of files that code has written."""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)


class FileCitation(WireModel):
    """The file that is cited."""

    file_id: Wire[str] = ABSENT
    quote: str | None = None


class FileCitationAnnotation(WireModel):
    """A place in the text, `text == value[start_index:end_index]`, that cites a file."""

    type: Literal["file_citation"]
    text: Wire[str] = ABSENT
    start_index: Wire[int] = ABSENT
    end_index: Wire[int] = ABSENT
    file_citation: Wire[FileCitation] = ABSENT


class FilePath(WireModel):
    """The file that was written."""

    file_id: Wire[str] = ABSENT


class FilePathAnnotation(WireModel):
    """A place in the text, `text == value[start_index:end_index]`, that is the path of a file."""

    type: Literal["file_path"]
    text: Wire[str] = ABSENT
    start_index: Wire[int] = ABSENT
    end_index: Wire[int] = ABSENT
    file_path: Wire[FilePath] = ABSENT


class UnknownAnnotation(UnknownMember):
    """An annotation that this version does not know."""

    type: Word[UnknownWord] = ABSENT
    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None


Annotation: TypeAlias = Annotated[FileCitationAnnotation | FilePathAnnotation | UnknownAnnotation, BY_TYPE]


class FileCitationDelta(WireModel):
    """The file that is cited; OpenAI gives the `quote` here only, not in the finished message."""

    file_id: str | None = None
    quote: str | None = None


class FileCitationDeltaAnnotation(WireModel):
    """A citation, or a part of one, that belongs at `index` of the text's annotations."""

    index: Wire[int] = ABSENT
    type: Literal["file_citation"]
    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_citation: FileCitationDelta | None = None


class FilePathDelta(WireModel):
    """The file that was written."""

    file_id: str | None = None


class FilePathDeltaAnnotation(WireModel):
    """A path, or a part of one, that belongs at `index` of the text's annotations."""

    index: Wire[int] = ABSENT
    type: Literal["file_path"]
    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_path: FilePathDelta | None = None


class UnknownDeltaAnnotation(UnknownMember):
    """An annotation that this version does not know, or a part of one."""

    index: Wire[int] = ABSENT
    type: Word[UnknownWord] = ABSENT
    text: str | None = None
    start_index: int | None = None
    end_index: int | None = None


AnnotationDelta: TypeAlias = Annotated[
    FileCitationDeltaAnnotation | FilePathDeltaAnnotation | UnknownDeltaAnnotation, BY_TYPE
]

"""The ways in which the files of a vector store were cut into pieces for searches."""

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


class StaticFileChunkingStrategy(WireModel):
    """The size of a piece and of the overlap between neighbours, in tokens."""

    max_chunk_size_tokens: Wire[int] = ABSENT
    chunk_overlap_tokens: Wire[int] = ABSENT


class StaticFileChunkingStrategyObject(WireModel):
    """Cut into pieces of a fixed size."""

    type: Literal["static"]
    static: Wire[StaticFileChunkingStrategy] = ABSENT


class OtherFileChunkingStrategyObject(WireModel):
    """The file was cut before strategies existed; the sizes are unknown."""

    type: Literal["other"]


class UnknownFileChunkingStrategy(UnknownMember):
    """Cut in a way that this version does not know."""

    type: Word[UnknownWord] = ABSENT


FileChunkingStrategy: TypeAlias = Annotated[
    StaticFileChunkingStrategyObject | OtherFileChunkingStrategyObject | UnknownFileChunkingStrategy, BY_TYPE
]

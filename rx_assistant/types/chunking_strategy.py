"""How the files of a vector store were cut into the pieces that a search finds."""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    OR_UNKNOWN,
    TAGGED,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    none_of,
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
    """Cut before there were strategies, nobody knows how."""

    type: Literal["other"]


class UnknownFileChunkingStrategy(UnknownMember):
    """Cut in a way that this version does not know."""

    type: Annotated[UnknownWord, none_of("static", "other")] = ABSENT


FileChunkingStrategy: TypeAlias = Annotated[
    Annotated[StaticFileChunkingStrategyObject | OtherFileChunkingStrategyObject, TAGGED] | UnknownFileChunkingStrategy,
    OR_UNKNOWN,
]

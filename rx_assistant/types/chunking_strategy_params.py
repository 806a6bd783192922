"""The ways to cut the files of a vector store into pieces for searches."""

from typing import Literal, Required, TypeAlias

from typing_extensions import TypedDict


class AutoFileChunkingStrategyParam(TypedDict, total=False):
    """Let the server choose: pieces of 800 tokens that overlap by 400."""

    type: Required[Literal["auto"]]


class StaticFileChunkingStrategyParam(TypedDict, total=False):
    """The size of a piece (100 to 4096 tokens) and of the overlap (at most half of that)."""

    max_chunk_size_tokens: Required[int]
    chunk_overlap_tokens: Required[int]


class StaticFileChunkingStrategyObjectParam(TypedDict, total=False):
    """Cut into pieces of a fixed size."""

    type: Required[Literal["static"]]
    static: Required[StaticFileChunkingStrategyParam]


FileChunkingStrategyParam: TypeAlias = AutoFileChunkingStrategyParam | StaticFileChunkingStrategyObjectParam

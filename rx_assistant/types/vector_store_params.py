"""Requests about vector stores, and searches in them."""

from collections.abc import Iterable, Sequence
from typing import Literal, Required, TypeAlias, Union

from typing_extensions import TypedDict

from rx_assistant.types.chunking_strategy_params import FileChunkingStrategyParam
from rx_assistant.types.shared_params import PageParams


class VectorStoreExpiresAfterParam(TypedDict, total=False):
    """A vector store expires after so many `days` without use, 1 to 365."""

    anchor: Required[Literal["last_active_at"]]
    days: Required[int]


class VectorStoreCreateParams(TypedDict, total=False):
    """POST /vector_stores."""

    file_ids: Sequence[str]
    name: str
    description: str
    expires_after: VectorStoreExpiresAfterParam
    chunking_strategy: FileChunkingStrategyParam
    metadata: dict[str, str] | None


class VectorStoreUpdateParams(TypedDict, total=False):
    """POST /vector_stores/{vector_store_id}."""

    name: str | None
    expires_after: VectorStoreExpiresAfterParam | None
    metadata: dict[str, str] | None


class VectorStoreListParams(PageParams, total=False):
    """GET /vector_stores."""


class ComparisonFilterParam(TypedDict, total=False):
    """Files whose attribute `key` has the given relation to `value`."""

    type: Required[Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]]
    key: Required[str]
    value: Required[str | float | bool | Sequence[str | float]]


class CompoundFilterParam(TypedDict, total=False):
    """Files that match all, or any, of the filters."""

    type: Required[Literal["and", "or"]]
    filters: Required[Iterable[Union[ComparisonFilterParam, "CompoundFilterParam"]]]


VectorStoreFilterParam: TypeAlias = ComparisonFilterParam | CompoundFilterParam


class VectorStoreRankingOptionsParam(TypedDict, total=False):
    """How to rank results, and their minimum score (0 to 1)."""

    ranker: Literal["none", "auto", "default-2024-11-15"]
    score_threshold: float


class VectorStoreSearchParams(TypedDict, total=False):
    """POST /vector_stores/{vector_store_id}/search; `max_num_results` is 1 to 50, default 10."""

    query: Required[str | Sequence[str]]
    rewrite_query: bool
    max_num_results: int
    filters: VectorStoreFilterParam
    ranking_options: VectorStoreRankingOptionsParam

"""Filters of a search in a vector store, as models. Requests hold them as dicts, see vector_store_params.py."""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    EMPTY,
    Array,
    Json,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)


class ComparisonFilter(WireModel):
    """Files whose attribute `key` has the given relation to `value`."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: Wire[str] = ABSENT
    value: Json[str | float | bool | list[str | float]] = ABSENT


class CompoundFilter(WireModel):
    """Files that match all, or any, of the filters."""

    type: Literal["and", "or"]
    filters: Wire[Array["VectorStoreFilter"]] = EMPTY


class UnknownFilter(UnknownMember):
    """A filter that this version does not know."""

    type: Word[UnknownWord] = ABSENT


VectorStoreFilter: TypeAlias = Annotated[ComparisonFilter | CompoundFilter | UnknownFilter, BY_TYPE]

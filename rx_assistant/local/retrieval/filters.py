"""Attribute filters of vector store search: comparisons, combined by `and` and `or`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypeGuard

from rx_assistant.local.json_text import JsonObject

Attributes: TypeAlias = Mapping[str, str | float | bool]


def matches(filter: JsonObject, attributes: Attributes) -> bool:
    """Whether a file with these attributes passes. A missing attribute only passes `ne` and `nin`."""
    kind = str(filter["type"])
    if kind in ("and", "or"):
        results = (matches(inner, attributes) for inner in filter["filters"])
        return all(results) if kind == "and" else any(results)
    value, wanted = attributes.get(filter["key"]), filter["value"]
    if kind in ("eq", "ne"):
        return _equal(value, wanted) == (kind == "eq")
    if kind in ("in", "nin"):
        choices = wanted if isinstance(wanted, list) else [wanted]
        return any(_equal(value, choice) for choice in choices) == (kind == "in")
    return _ordered(kind, value, wanted)


def _equal(value: object, wanted: object) -> bool:
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _ordered(kind: str, value: object, wanted: object) -> bool:
    """Numbers compare with numbers and strings with strings. Other values do not compare."""
    if isinstance(value, str) and isinstance(wanted, str):
        return _holds(kind, (value > wanted) - (value < wanted))
    return _is_number(value) and _is_number(wanted) and _holds(kind, value - wanted)


def _holds(kind: str, difference: float) -> bool:
    orders = {"gt": difference > 0, "gte": difference >= 0, "lt": difference < 0, "lte": difference <= 0}
    return orders[kind]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)

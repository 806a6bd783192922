"""Ids and indexes of the wrong type, as some servers send them: numbers as ids, text of digits as an index."""

from __future__ import annotations

from collections.abc import Callable


def as_id(value: object) -> str:
    """An id as text. Raises ValueError when it is neither text nor a number."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"an id must be text or a number, got {type(value).__name__}")


def as_index(value: object) -> int:
    """An index as an integer. Raises ValueError when it is neither an integer nor digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"an index must be an integer, got {value!r}")


def key_reader(name: str) -> Callable[[object], str | int] | None:
    """The function that reads a field of this name as a key; None for fields that are not keys."""
    if name == "id" or name.endswith("_id"):
        return as_id
    return as_index if name == "index" else None

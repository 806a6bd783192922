"""Functions that read wire models whose fields may hold values of another type than the annotation."""

from __future__ import annotations

from typing import Any


def inside(value: Any, *names: str) -> Any:
    """The attribute at the end of a path; None if a value on the path is not a model."""
    for name in names:
        value = getattr(value, name, None)
    return value


def models_in(value: Any) -> list[Any]:
    """The items of an array that are models; empty if the value is not an array."""
    return [item for item in value if is_model(item)] if isinstance(value, list) else []


def is_model(value: Any) -> bool:
    """Whether the value is a wire model or a view of one. (This does not import pydantic.)"""
    return hasattr(value, "model_fields_set")


def text_in(value: Any, *names: str) -> str:
    """The text at the end of a path; empty if there is none."""
    found = inside(value, *names)
    return found if isinstance(found, str) else ""

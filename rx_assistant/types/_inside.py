"""Reading into wire models whose fields may hold what a server sent instead of what the annotation says."""

from __future__ import annotations

from typing import Any


def inside(value: Any, *names: str) -> Any:
    """The attribute at the end of a path; None where the path leads through something that is no model."""
    for name in names:
        value = getattr(value, name, None)
    return value


def models_in(value: Any) -> list[Any]:
    """The items of an array that are models; none of what is no array."""
    return [item for item in value if is_model(item)] if isinstance(value, list) else []


def is_model(value: Any) -> bool:
    """Whether this is a wire model, or a view of one. (pydantic is not imported for the question.)"""
    return hasattr(value, "model_fields_set")


def text_in(value: Any, *names: str) -> str:
    """The text at the end of a path; empty where there is none."""
    found = inside(value, *names)
    return found if isinstance(found, str) else ""

"""The value of a tool → the text that the model gets."""

from __future__ import annotations

from typing import Any


def output_text(value: Any) -> str:
    """A text unchanged; everything else as JSON, None as `null`.

    pydantic writes the JSON: models, dataclasses, dates, enums, sets and bytes too.

    Raises:
        TypeError: JSON cannot express the value.
    """
    if isinstance(value, str):
        return str(value)
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(value).decode()
    except (PydanticSerializationError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"the output of a tool must be a text or a value for JSON, got {kind}") from error

"""Request bodies as JSON bytes. Pydantic models, mappings and iterables are converted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import cast

from rx_assistant.api.request import given
from rx_assistant.errors import InvalidArgumentError


def encode_json(body: Mapping[str, object]) -> bytes:
    """Compact UTF-8. A lone surrogate stays a JSON escape, because UTF-8 cannot hold it.

    Raises:
        InvalidArgumentError: a number that JSON cannot hold (NaN), a value that contains itself, or too many levels.
        TypeError: a value that cannot be JSON.
    """
    try:
        text = _encode(body)
    except (ValueError, RecursionError) as cause:
        raise InvalidArgumentError(f"the body of a request must be JSON: {cause}") from cause
    return text.encode("utf-8", "backslashreplace")


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)  # a pydantic model; pydantic is not imported for bodies without one
    if dump is not None:
        return cast(object, dump(mode="json", by_alias=True, exclude_unset=True))
    if isinstance(value, Mapping):
        return given(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    hint = ""
    if hasattr(value, "__await__"):
        hint = ": await it first"
    elif callable(value):
        hint = ": ToolSet([function]).definitions() describes a function"
    raise TypeError(f"the body of a request must hold JSON values, got {value!r:.80}{hint}")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode

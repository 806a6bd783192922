"""JSON as it goes over the wire: one line, raw UTF-8. Reading refuses what JSON has no word for (NaN, 1e999)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A wire object: plain, in wire field order."""


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(value: object) -> bytes:
    """One line of UTF-8; half a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
    text = _ENCODER.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return whole(text).encode()


def whole(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that has no other half beside it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def plain(value: JsonObject) -> JsonObject:
    """The object with an empty value for each field that JSON cannot hold."""
    return {name: item if _holds(item) else _EMPTY.get(name) for name, item in value.items()}


_EMPTY: Mapping[str, object] = {
    "content": [],
    "attachments": [],
    "metadata": {},
    "tools": [],
    "tool_resources": {},
    "step_details": {"type": "tool_calls", "tool_calls": []},
}


def _holds(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def canonical(value: object) -> bytes:
    """The same bytes for equal values, whatever the order of names."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> object:
    """The value that `data` spells; ValueError when it spells none (RecursionError included)."""
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number

"""JSON on the wire: one line of UTF-8.

Parsing is bounded to `DEEPEST` levels and `MOST_VALUES` values, so a parsed value can be stored, searched and sent
again in bounded time. Numbers that a double cannot hold (NaN, 1e999, 10**400) are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, TypeAlias

from rx_assistant.dialects.halves import whole

JsonObject: TypeAlias = dict[str, Any]
"""A wire object: plain, in wire field order."""

DEEPEST = 100
MOST_VALUES = 50_000

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_STRUCTURE = re.compile(rb'[\\"\[\]{},]')
_SLICE = 64 * 2**10  # the regex engine holds the GIL while it searches


def encode(value: object) -> bytes:
    """One line of UTF-8. Half of a surrogate pair becomes U+FFFD, because UTF-8 cannot hold it."""
    text = ENCODER.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return whole(text).encode()


def quoted(text: str) -> bytes:
    """`encode` for a text."""
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return encode(text)


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
    """The parsed value. ValueError if `data` is not JSON in UTF-8 or exceeds a limit."""
    measure(data)
    return DECODER.decode(data.decode("utf-8-sig"))


def measure(data: bytes) -> None:
    """ValueError if the JSON is too deep or has too many values. Cheap for long texts, linear for the rest."""
    opened = data.count(b"[") + data.count(b"{")
    if opened <= DEEPEST and opened + data.count(b",") < MOST_VALUES:
        return
    depth, values = 0, 1
    quoted, escaped = False, -1
    for start in range(0, len(data), _SLICE):
        for found in _STRUCTURE.finditer(data, start, start + _SLICE):
            mark, position = found[0], found.start()
            if quoted:
                if position == escaped:
                    continue
                if mark == b"\\":
                    escaped = position + 1
                elif mark == b'"':
                    quoted = False
            elif mark == b'"':
                quoted = True
            elif mark in b"]}":
                depth -= 1
            else:
                values += 1
                depth += mark != b","
                if depth > DEEPEST:
                    raise ValueError(f"nested more than {DEEPEST} levels deep")
                if values > MOST_VALUES:
                    raise ValueError(f"more than {MOST_VALUES} values")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_shortened(text)} is out of range")
    return number


def _whole(text: str) -> int:
    if len(text) > 300:
        _finite(text)
    return int(text)


def _shortened(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:20]}…"


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
"""It refuses the numbers that a double cannot hold, and has no other limits."""

"""JSON as it goes over the wire: one line, raw UTF-8. Reading refuses what JSON has no word for (NaN, 1e999)."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A wire object: plain, in wire field order."""


_HALF = re.compile("[\ud800-\udfff]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(value: object) -> bytes:
    """One line of UTF-8; half a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
    text = _ENCODER.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _HALF.sub("\ufffd", text).encode()


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

"""Reads payloads of model servers. Any value may have a wrong type; then only this value is lost.

Each function takes a value of any type and returns one type. A value of another type counts as missing.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from rx_assistant.dialects.halves import whole

Json = dict[str, Any]

SHOWN: Final = 300
"""How many characters of an unexpected body an error message shows."""

_UNREAD: Final = 1 << 20
_DIGITS: Final = 300  # a longer number is not a count; Python converts up to 4,300
_NO_OBJECT: Final[Json] = {}
_NO_LIST: Final[list[Any]] = []


class Broken:
    """Payloads that are not JSON alone: the rest of an earlier payload, or text that is not Unicode."""

    __slots__ = ("found", "unread")

    def __init__(self) -> None:
        self.unread = b""
        """The bytes that could not be read, at most 1 MiB."""
        self.found = False
        """Whether such a payload was read. After that, texts may hold halves of surrogate pairs."""

    def read(self, payload: bytes) -> Any:
        """The payload's value, if necessary joined with the rest of earlier payloads; None if they are not JSON."""
        for text in (payload, self.unread + b"\n" + payload if self.unread else b""):
            try:
                value = json.loads(text.decode("utf-8-sig", "replace"), parse_int=_any_int)
            except (ValueError, RecursionError):
                continue
            self.unread, self.found = b"", True
            return value
        self.unread = (self.unread + b"\n" + payload if self.unread else payload)[:_UNREAD]
        return None

    def said(self) -> str:
        """The beginning of the bytes that could not be read, as text for an error message."""
        return self.unread[:SHOWN].decode("utf-8", "replace").strip()


def object_in(value: Any) -> Json:
    """An object; empty if it is of another type."""
    return value if type(value) is dict else _NO_OBJECT


def list_in(value: Any) -> list[Any]:
    """A list; empty if it is of another type."""
    return value if type(value) is list else _NO_LIST


def text_in(value: Any) -> str:
    """A text; "" if it is of another type."""
    return value if type(value) is str else ""


def word_in(value: Any) -> str:
    """A short text such as an id, a name or a status, without halves of surrogate pairs; a number becomes text."""
    if type(value) is not str:
        return "" if value is None else str(value)
    return value if value.isascii() else whole(value)


def whole_number_in(value: Any) -> int | None:
    """A whole number, which may be written as text; None if it is of another type."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < _DIGITS else None


def count_in(value: Any) -> int:
    """A number of tokens; 0 if it is of another type."""
    if isinstance(value, float):
        return int(value) if isfinite(value) else 0
    return whole_number_in(value) or 0


def json_text(value: Any) -> str:
    """A value as JSON text, even if it holds something that JSON or Unicode cannot express."""
    return json_bytes(value).decode()


def json_bytes(value: Any) -> bytes:
    """The same as bytes. A half of a surrogate pair stays the escape that it was."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        return json.dumps(value, separators=(",", ":")).encode()


def _any_int(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else float(digits)

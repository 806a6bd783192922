"""Bytes of JSON as servers send them → text that every JSON parser accepts.

Two faults are repaired: bytes that are not UTF-8, and escaped halves of UTF-16 surrogate pairs (`"\\ud83d"`) from
servers that cut an emoji in two. Both become U+FFFD. Everything else stays unchanged.
"""

from __future__ import annotations

import re
from typing import Final

_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rf"({_HIGH}{_LOW})|({_HIGH}|{_LOW})|\\.", re.DOTALL)


def text_of(raw: bytes) -> str:
    """The bytes as text; bytes that are not UTF-8 become U+FFFD."""
    return raw.decode("utf-8", "replace")


def mended(raw: bytes) -> str:
    """JSON as text without halves of characters."""
    text = text_of(raw)
    return _ESCAPE.sub(_whole, text) if "\\ud" in text or "\\uD" in text else text


def has_halves(raw: bytes) -> bool:
    """Whether a string in the JSON contains an escaped half of a character."""
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return False
    return any(found[2] for found in _ESCAPE.finditer(text_of(raw)))


def _whole(found: re.Match[str]) -> str:
    return "\\ufffd" if found[2] else found[0]

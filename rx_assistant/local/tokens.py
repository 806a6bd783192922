"""Text cut into pieces about as large as a model's tokens. An estimate, the same every time."""

from __future__ import annotations

import re

_PIECE = re.compile(r"\s*(?:\w{1,12}|[^\w\s]{1,4})|\s+")


def pieces(text: str) -> list[str]:
    """The text in pieces that join to it."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many pieces the text has."""
    return len(_PIECE.findall(text))

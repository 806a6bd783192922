"""Text cut into pieces of about the size of a model's tokens: a deterministic estimate."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PIECE = re.compile(r"\s*(?:\w{1,12}|[^\w\s]{1,4})|\s+")
_SHORT = 10_000  # characters; the pieces of a longer text are not held all at once


def pieces(text: str) -> list[str]:
    """The pieces of the text. Joined, they are the text."""
    return _PIECE.findall(text)


def ends(text: str) -> Iterator[int]:
    """Where each piece ends."""
    return (found.end() for found in _PIECE.finditer(text))


def count(text: str) -> int:
    """How many pieces the text has."""
    return len(_PIECE.findall(text)) if len(text) < _SHORT else sum(1 for _ in ends(text))

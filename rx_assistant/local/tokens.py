"""Text cut into pieces of about the size of a model's tokens: a deterministic estimate."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PIECE = re.compile(r"\s*(?:\w{1,12}|[^\w\s]{1,4})|\s+")


def pieces(text: str) -> list[str]:
    """The pieces of the text. Joined, they are the text."""
    return _PIECE.findall(text)


def ends(text: str) -> Iterator[int]:
    """Where each piece ends."""
    return (found.end() for found in _PIECE.finditer(text))


def count(text: str) -> int:
    """How many pieces the text has."""
    return sum(1 for _ in ends(text))

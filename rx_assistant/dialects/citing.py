"""Marks such as `【3】` and `【3†notes.txt】` in a text that comes in pieces, found wherever the pieces are cut.

A model that was given numbered passages cites them so. The mark stays in the text; what it stands for becomes an
annotation. Text is held back only while it may be the beginning of a mark, 40 characters at most.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from typing import Final, NamedTuple

_LONGEST: Final = 40
_MARK: Final = re.compile(r"【(\d{1,4})(?:†[^【】\n]*)?】")
_BEGINNING: Final = re.compile(r"【(?:\d{1,4}(?:†[^【】\n]*)?)?\Z")


class Cited(NamedTuple):
    """A piece of text; with `number`, the piece is the mark of that passage."""

    text: str
    number: int | None = None


class Citations:
    """Takes a text piece by piece and gives it back with its marks apart. Numbers that are not `known` stay text."""

    __slots__ = ("_held", "_known")

    def __init__(self, known: Container[int]) -> None:
        self._known = known
        self._held = ""

    def push(self, piece: str) -> Iterable[Cited]:
        """The text that is decided after this piece."""
        if not self._held and "【" not in piece:
            return (Cited(piece),) if piece else ()
        text = self._held + piece
        beginning = _BEGINNING.search(text)
        at = len(text) if beginning is None or len(text) - beginning.start() > _LONGEST else beginning.start()
        self._held = text[at:]
        return self._split(text[:at])

    def end(self) -> Iterator[Cited]:
        """The text that was held back: no mark has come of it."""
        held, self._held = self._held, ""
        return self._split(held)

    def _split(self, text: str) -> Iterator[Cited]:
        at = 0
        for mark in _MARK.finditer(text):
            number = int(mark[1])
            if number in self._known and len(mark[0]) <= _LONGEST:
                if mark.start() > at:
                    yield Cited(text[at : mark.start()])
                yield Cited(mark[0], number)
                at = mark.end()
        if at < len(text):
            yield Cited(text[at:])

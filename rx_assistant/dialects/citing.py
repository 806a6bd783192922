"""Finds marks in a text that arrives in pieces cut anywhere: `【3】`, `【3†notes.txt】`, links to files.

A model that got numbered passages cites them by such marks. The mark stays in the text; its passage becomes an
annotation. Text is held back only while it may be the beginning of a mark, 40 characters at most.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

_LONGEST: Final = 40
_MARK: Final = re.compile(r"【(\d{1,4})(?:†[^【】\n]*)?】")
_BEGINNING: Final = re.compile(r"【(?:\d{1,4}(?:†[^【】\n]*)?)?\Z")


class Cited(NamedTuple):
    """A piece of text; with `number`, the piece is the mark of that passage."""

    text: str
    number: int | None = None


class Citations:
    """Splits a text, piece by piece, into text and marks. Numbers that are not `known` stay text."""

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
        """The text that was held back and did not become a mark."""
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


class Links:
    """Splits a text, piece by piece, into text and these links, each with its value.

    Text is held back while it may be the beginning of a link. If two links have the same beginning, the longer one is
    found.
    """

    __slots__ = ("_held", "_links", "_pattern")

    def __init__(self, links: Mapping[str, str]) -> None:
        self._links = links
        longest_first = sorted(links, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if links else None
        self._held = ""

    def push(self, piece: str) -> Iterator[tuple[str, str | None]]:
        """The text that is decided after this piece."""
        if self._pattern is None:
            yield piece, None
            return
        text = self._held + piece
        at = self._undecided(text)
        self._held = text[at:]
        yield from self._split(text[:at])

    def end(self) -> Iterator[tuple[str, str | None]]:
        """The text that was held back."""
        held, self._held = self._held, ""
        return self._split(held)

    def _undecided(self, text: str) -> int:
        """The position from which the end of the text may become a link, or a longer link."""
        longest = max(map(len, self._links))
        starts = range(max(len(text) - longest + 1, 0), len(text))
        return next((at for at in starts if self._may_grow(text[at:])), len(text))

    def _may_grow(self, end: str) -> bool:
        return any(len(link) > len(end) and link.startswith(end) for link in self._links)

    def _split(self, text: str) -> Iterator[tuple[str, str | None]]:
        at = 0
        for found in self._pattern.finditer(text) if self._pattern is not None else ():
            if found.start() > at:
                yield text[at : found.start()], None
            yield found[0], self._links[found[0]]
            at = found.end()
        if at < len(text):
            yield text[at:], None

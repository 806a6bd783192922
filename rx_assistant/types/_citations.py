"""Marks of citations in text, such as 【4:0†source】 → numbered references, also in pieces cut anywhere.

A mark consists of 【, a number, an optional colon and second number, †, a name, and 】. Other text in these brackets,
as in Chinese and Japanese, passes at once. Equal marks get the same number, counted from 1 in order of appearance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

Show: TypeAlias = Callable[[int, str], str]
"""Number and mark → the text that replaces the mark."""

_NAME: Final = r"[^【】\n]{0,300}"  # a file's name has at most 255 characters
_MARK: Final = re.compile(rf"【\d{{1,9}}(?::\d{{1,9}})?†{_NAME}】")
_BEGUN: Final = re.compile(rf"【(?:\d{{1,9}}(?::(?:\d{{1,9}}(?:†{_NAME})?)?|†{_NAME})?)?\Z")


def bracketed(number: int, mark: str) -> str:
    """The default reference: [1]."""
    return f"[{number}]"


class CitedText:
    """Numbers the marks of a text that arrives in pieces: `push` returns text to show, `rest` the unfinished end."""

    def __init__(self, show: Show = bracketed) -> None:
        self.numbers: dict[str, int] = {}
        """The number of each mark that has appeared."""
        self._show = show
        self._held = ""

    def push(self, piece: str) -> str:
        """Take the next piece of text. Returns the text to show, without an end that may be the beginning of a mark."""
        if not self._held and "【" not in piece:
            return piece
        text = self._held + piece
        begun = _BEGUN.search(text, max(text.rfind("【"), 0))
        at = len(text) if begun is None else begun.start()
        self._held = text[at:]
        return _MARK.sub(self._reference, text[:at])

    def rest(self) -> str:
        """Return the end that looked like the beginning of a mark. Call it when the text has ended."""
        held, self._held = self._held, ""
        return held

    def _reference(self, found: re.Match[str]) -> str:
        mark = found[0]
        return self._show(self.numbers.setdefault(mark, len(self.numbers) + 1), mark)

"""Marks of citations in text, such as 【4:0†source】 → numbered references, also in pieces cut anywhere.

A mark is 【, a number, perhaps a colon and a second number, †, a name, 】. Other text in these brackets, as it is
written in Chinese and Japanese, passes at once. Equal marks get one number, counted from 1 as they appear.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

Show: TypeAlias = Callable[[int, str], str]
"""Number and mark → what stands in the mark's place."""

_NAME: Final = r"[^【】\n]{0,300}"  # a file's name has at most 255 characters
_MARK: Final = re.compile(rf"【\d{{1,9}}(?::\d{{1,9}})?†{_NAME}】")
_BEGUN: Final = re.compile(rf"【(?:\d{{1,9}}(?::(?:\d{{1,9}}(?:†{_NAME})?)?|†{_NAME})?)?\Z")


def bracketed(number: int, mark: str) -> str:
    """A reference as it is written by default: [1]."""
    return f"[{number}]"


class CitedText:
    """One text in pieces: `push` gives what can be shown, `rest` what was held back, a mark without its end."""

    def __init__(self, show: Show = bracketed) -> None:
        self.numbers: dict[str, int] = {}
        """Each mark so far and its number."""
        self._show = show
        self._held = ""

    def push(self, piece: str) -> str:
        """Take more of the text; gives it without the end of it that may yet become a mark."""
        if not self._held and "【" not in piece:
            return piece
        text = self._held + piece
        begun = _BEGUN.search(text, max(text.rfind("【"), 0))
        at = len(text) if begun is None else begun.start()
        self._held = text[at:]
        return _MARK.sub(self._reference, text[:at])

    def rest(self) -> str:
        """Give what is held back, when no more comes."""
        held, self._held = self._held, ""
        return held

    def _reference(self, found: re.Match[str]) -> str:
        mark = found[0]
        return self._show(self.numbers.setdefault(mark, len(self.numbers) + 1), mark)

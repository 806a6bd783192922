"""Separates a leading `<think>…</think>` from the text after it, in a text that arrives in pieces.

Some servers send a model's reasoning as the beginning of its answer. The tags may be split anywhere, with blanks around
them. The text is held until the second tag arrives. Without a second tag there was no reasoning, and all of it is text.

    start ──"<think>" ──► inside ──"</think>"──► behind ──not blank──► over
      └──anything else──────────────────────────────────────────────────▲
"""

from __future__ import annotations

from typing import Final

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


class Thinking:
    """Takes a text piece by piece. When `is_over`, everything that follows is text and need not be pushed."""

    __slots__ = ("_held", "_inside", "_tail", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self._held: list[str] | None = []  # None after the second tag
        self._inside = False
        self._tail = ""  # the last characters, in which the second tag may have begun

    def push(self, piece: str) -> tuple[str, str]:
        """The (reasoning, text) that this piece decides. Both are empty while the tags are not decided."""
        if self.is_over:
            return "", piece
        if self._held is None:
            return "", self._behind(piece)
        self._held.append(piece)
        if not self._inside:
            start = "".join(self._held)
            bare = start.lstrip()
            if not bare.startswith(_OPEN):
                return ("", "") if _OPEN.startswith(bare) else ("", self.end())
            self._held, self._inside, piece = [start], True, bare[len(_OPEN) :]
        seen = self._tail + piece
        self._tail = seen[-len(_CLOSE) + 1 :]
        return self._closed() if _CLOSE in seen else ("", "")

    def end(self) -> str:
        """The text that was held because the second tag is missing."""
        self.is_over = True
        text, self._held = "".join(self._held or ()), None
        return text

    def _closed(self) -> tuple[str, str]:
        before, _, after = "".join(self._held or ()).partition(_CLOSE)
        self._held = None
        return before.lstrip()[len(_OPEN) :].strip(), self._behind(after)

    def _behind(self, piece: str) -> str:
        text = piece.lstrip()
        self.is_over = bool(text)
        return text

"""Joins texts that a server has cut in the middle of a surrogate pair.

A server that cuts UTF-16 sends one character as two halves in two pieces, each escaped by itself (`\\ud83d`). A half at
the end of a piece waits for the next piece; a half without its other half becomes U+FFFD.
"""

from __future__ import annotations


class Halves:
    """Moves halves between the pieces of one text, so that no piece holds half a pair."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def push(self, piece: str) -> str:
        """The piece, with the half that was held before it and without the half at its end."""
        if not self._half and piece.isascii():
            return piece
        joined = self._half + piece
        self._half = joined[-1] if "\ud800" <= joined[-1:] <= "\udbff" else ""
        return whole(joined[:-1] if self._half else joined)

    def end(self) -> str:
        """The rest of the text: U+FFFD for a half without its other half, otherwise nothing."""
        left, self._half = ("\ufffd" if self._half else ""), ""
        return left


def whole(text: str) -> str:
    """The text with two halves joined to one character, and U+FFFD for each single half."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

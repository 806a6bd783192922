"""A text that grows. Half a surrogate pair at its end waits for the other half, because UTF-8 cannot hold it alone."""

from __future__ import annotations

from rx_assistant.dialects.halves import Halves


class Fragments:
    """The text so far, kept in fragments and joined when it is read."""

    def __init__(self) -> None:
        self.length = 0
        self._parts: list[str] = []
        self._halves = Halves()

    def add(self, value: str) -> str:
        """Append a fragment. Returns the part of it that can be sent: nothing for only the first half of a pair."""
        return self._keep(self._halves.push(value))

    def end(self) -> str:
        """The rest to send when the text ends: a replacement character for a half that was waiting."""
        return self._keep(self._halves.end())

    def text(self) -> str:
        """The whole text, without a half that is waiting."""
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    def _keep(self, value: str) -> str:
        self._parts.append(value)
        self.length += len(value)
        return value

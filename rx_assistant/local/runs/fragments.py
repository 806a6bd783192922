"""A text that grows. Half a surrogate pair at its end waits for the other half, because UTF-8 cannot hold it alone."""

from __future__ import annotations

from rx_assistant.local.json_text import whole


class Fragments:
    """The text so far, kept in fragments and joined when someone reads it."""

    def __init__(self) -> None:
        self.length = 0
        self._parts: list[str] = []
        self._half = ""

    def add(self, value: str) -> str:
        """Appends a fragment. Returns what can be sent of it: nothing if it is only the first half of a pair."""
        value, self._half = self._half + value, ""
        if value and "\ud800" <= value[-1] <= "\udbff":
            value, self._half = value[:-1], value[-1]
        return self._keep(whole(value))

    def end(self) -> str:
        """What is left to send when the text ends: a replacement character if a half is still waiting."""
        rest, self._half = "\ufffd" if self._half else "", ""
        return self._keep(rest)

    def text(self) -> str:
        """The whole text, without a half that is waiting."""
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    def _keep(self, value: str) -> str:
        self._parts.append(value)
        self.length += len(value)
        return value

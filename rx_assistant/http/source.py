"""What gives the bytes of a response as they come. A transport of ours offers one with its response, so that a stream
reads without the library's nested generators in between; other transports' responses are iterated."""

from __future__ import annotations

from typing import Protocol

BODY = "rx_assistant.body"
"""The extension of a response under which its transport offers a Source or AsyncSource."""


DEADLINE = "deadline"
"""Beside httpx's time limits of a request: when it has to be over, on the monotonic clock. Only our transports look."""


class Source(Protocol):
    """The bytes of one response, for one thread at a time."""

    def read(self) -> bytes | None:
        """The next bytes, None at the end."""
        ...


class AsyncSource(Protocol):
    """The bytes of one response, for one task."""

    @property
    def is_over(self) -> bool:
        """Whether it is known that nothing more will come."""
        ...

    async def read(self) -> bytes | None:
        """The next bytes, None at the end."""
        ...

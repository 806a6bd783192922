"""What every protocol for browsers provides: an encoder of one stream for one reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from rx_assistant.events import StreamEvent


class Encoder(Protocol):
    """Turns the events of one stream into blocks of server-sent events.

    A block is the lines of one server-sent event, each with its line end, without the blank line: the reader adds
    `id:`. Equal events must give equal blocks, because a reader that reconnects continues between two of them.
    """

    headers: ClassVar[Mapping[str, str]]
    """Headers of the response, besides those of all event streams."""

    remembers: ClassVar[bool]
    """Whether a block depends on earlier events. They are encoded again for a reader that reconnects."""

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Return the blocks of one event."""
        ...

    def end(self, error: Exception | None) -> list[bytes]:
        """Return the blocks of the stream's ending."""
        ...


NewEncoder = Callable[[], Encoder]
"""Makes the encoder of one reader."""

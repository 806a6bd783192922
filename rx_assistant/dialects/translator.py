"""Combines a reader of one protocol with the writer of a run: payloads in, events out."""

from __future__ import annotations

from typing import Protocol

from rx_assistant.dialects.parts import Ending, Part, Unknown
from rx_assistant.dialects.writer import Pair, RunWriter
from rx_assistant.events import StreamEvent


class Reader(Protocol):
    """Reads the payloads of one protocol."""

    model: str
    """The model's name in the stream, "" until it is known."""

    @property
    def run_id(self) -> str:
        """The server's id of the turn, for later requests; "" if the turn has none."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the stream has stated its ending."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether no more payloads will come."""
        ...

    @property
    def unread(self) -> bytes:
        """The beginning of the bytes that could not be read; empty if all could."""
        ...

    def read(self, payload: bytes, name: bytes = b"") -> list[Part]:
        """The parts in a payload."""
        ...

    def end(self) -> tuple[list[Part], Ending]:
        """The parts that were held back, and the ending of the turn."""
        ...


class Translator:
    """`feed(payload)` for each payload, then `end()` once. `name` is the event's name in its frame, if it has one."""

    def __init__(self, reader: Reader, writer: RunWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = b""

    @property
    def is_over(self) -> bool:
        """Whether the stream has stated its ending. If its body ends before that, it was cut."""
        return self._reader.is_over

    @property
    def is_done(self) -> bool:
        """Whether no more payloads will come, although the body may stay open."""
        return self._reader.is_done

    @property
    def unread(self) -> bytes:
        """The beginning of the bytes that could not be read; empty if all could."""
        return self._reader.unread

    def feed(self, payload: bytes, name: bytes = b"") -> list[StreamEvent]:
        """The events for a payload; the first one begins the run."""
        return [kind(raw) for kind, raw in self.feed_pairs(payload, name)]

    def end(self) -> list[StreamEvent]:
        """The events that close what is open, the run last. A stream that was cut becomes a failed run."""
        return [kind(raw) for kind, raw in self.end_pairs()]

    def feed_pairs(self, payload: bytes, name: bytes = b"") -> list[Pair]:
        """The same as `feed`, in the form of a hot log: event class and bytes."""
        if payload[:1] == b"{":
            self._last = payload
        parts = self._reader.read(payload, name)
        if not self._writer.has_started:
            self._writer.name(model=self._reader.model, run_id=self._reader.run_id)
        return self._writer.write(parts, payload)

    def end_pairs(self) -> list[Pair]:
        """The same as `end`, in the form of a hot log."""
        parts, ending = self._reader.end()
        return [*self._writer.write(parts, b""), *self._writer.end(ending, self._last)]

    def cut_pairs(self) -> list[Pair]:
        """The parts that were held back, for a stream that was cut: nothing is closed, because the run continues."""
        parts: list[Part] = [part for part in self._reader.end()[0] if not isinstance(part, Unknown)]
        return self._writer.write(parts, b"") if parts else []

"""A reader of one protocol and the writer of a run, put together: payloads in, events out."""

from __future__ import annotations

from typing import Protocol

from rx_assistant.dialects.parts import Ending, Part, Unknown
from rx_assistant.dialects.writer import Pair, RunWriter
from rx_assistant.events import StreamEvent


class Reader(Protocol):
    """What reads the payloads of one protocol."""

    model: str
    """The model's name as the stream gives it, "" until it does."""

    @property
    def run_id(self) -> str:
        """The server's id of the turn, by which it can be asked for; "" where there is none."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the stream said how it ends."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come."""
        ...

    @property
    def unread(self) -> bytes:
        """The beginning of what could not be read; empty if all could."""
        ...

    def read(self, payload: bytes, name: bytes = b"") -> list[Part]:
        """What a payload says."""
        ...

    def end(self) -> tuple[list[Part], Ending]:
        """What was held back, and how the turn ended."""
        ...


class Translator:
    """`feed(payload)` for each payload, then `end()` once. `name` is the event's name in its frame, if it has one."""

    def __init__(self, reader: Reader, writer: RunWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = b""

    @property
    def is_over(self) -> bool:
        """Whether the stream said how it ends. If its body ends before that, it was cut."""
        return self._reader.is_over

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come, although the body may stay open."""
        return self._reader.is_done

    @property
    def unread(self) -> bytes:
        """The beginning of what could not be read; empty if all could."""
        return self._reader.unread

    def feed(self, payload: bytes, name: bytes = b"") -> list[StreamEvent]:
        """The events that the payload gives; the first one begins the run."""
        return [kind(raw) for kind, raw in self.feed_pairs(payload, name)]

    def end(self) -> list[StreamEvent]:
        """The events that close what is open, the run last. A stream that was cut gives a failed run."""
        return [kind(raw) for kind, raw in self.end_pairs()]

    def feed_pairs(self, payload: bytes, name: bytes = b"") -> list[Pair]:
        """The same as `feed`, as a hot log takes them: event class and bytes."""
        if payload[:1] == b"{":
            self._last = payload
        parts = self._reader.read(payload, name)
        if not self._writer.has_started:
            self._writer.name(model=self._reader.model, run_id=self._reader.run_id)
        return self._writer.write(parts, payload)

    def end_pairs(self) -> list[Pair]:
        """The same as `end`, as a hot log takes them."""
        parts, ending = self._reader.end()
        return [*self._writer.write(parts, b""), *self._writer.end(ending, self._last)]

    def cut_pairs(self) -> list[Pair]:
        """What was held back when the stream was cut, in place of `end_pairs`: nothing is closed, the run goes on."""
        parts: list[Part] = [part for part in self._reader.end()[0] if not isinstance(part, Unknown)]
        return self._writer.write(parts, b"") if parts else []

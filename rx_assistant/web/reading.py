"""One browser's reading of a stream: events after a cursor → bytes to send. This module never waits.

    stream's log ──position──▶ encoder ──blocks──▶ `id:` lines, at most CHUNK bytes at a time ──▶ the response

The place of a browser is the number of events that it has, and of the blocks that it has of the next event: its cursor
is `<events>` or `<events>:<blocks>`, and `<events>:end` after the last block. Events are numbered from the beginning of
the run, as in a relay, so the cursor means the same in every process that follows the run. The cursors of a relay
(`<events>-<generation>`) are accepted too.

The stream's log is the buffer. A browser holds a position in it and the chunk that is being sent, however slow it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from reactivex import abc

from rx_assistant.errors import (
    StreamCancelledError,
    StreamClosedError,
    StreamInterruptedError,
    StreamOverflowError,
)
from rx_assistant.events import StreamEvent
from rx_assistant.hot import FOREVER, AsyncStream, Cursor, HotLog, Stream
from rx_assistant.relay import FollowedAsyncStream, FollowedStream
from rx_assistant.relay.entries import cursor_at
from rx_assistant.streams import AssistantStream, AsyncAssistantStream
from rx_assistant.web.assistants import AssistantsEncoder
from rx_assistant.web.ui_message import UiMessageEncoder

if TYPE_CHECKING:
    from rx_assistant.web.encoder import Encoder, NewEncoder

CHUNK: Final = 64 * 1024
"""Bytes after which a chunk is sent, even if more is there."""

PING: Final = b":\n\n"
"""A comment. It keeps proxies from closing a silent connection, and finds out that a browser has left."""

HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
"""Headers of every event stream: no cache keeps it, no proxy compresses it, nginx does not collect it."""

_DIGITS: Final = 18
"""The digits of a number in a cursor, at most. Relays accept as many."""

Number: TypeAlias = "Callable[[int], int | None]"
"""Of a stream: how many events of the run there are before an event of its log; None if that is not known."""

Followable: TypeAlias = "Stream[Any] | AsyncStream[Any]"
Source: TypeAlias = "Followable | Callable[[str | None], Followable]"
"""A stream of events; or a function that returns the stream after a cursor, or the whole one for None."""

Protocol: TypeAlias = "str | NewEncoder"
"""`"assistants"`, `"ag_ui"`, `"ui_message"`, or a function that makes an encoder."""


_PASSING: Final = (StreamOverflowError, StreamInterruptedError, StreamClosedError, StreamCancelledError)
"""Errors that end a reading, but not the run: their blocks have no cursor, so a browser reconnects and continues."""


class Place(NamedTuple):
    """The place of a browser: it has `events` events, and `blocks` blocks of the next one."""

    events: int = 0
    blocks: int = 0
    is_end: bool = False


class Refused(Exception):
    """A reading is answered with `status` instead of a stream."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status


def place_of(cursor: str) -> Place:
    """The place of a cursor. Refused with 400 for text that is not a cursor."""
    number, colon, blocks = cursor.partition(":")
    number, dash, generation = number.partition("-")
    digits = [number, *([generation] if dash else []), *([blocks] if colon and blocks != "end" else [])]
    if not all(len(each) <= _DIGITS and each.isascii() and each.isdecimal() for each in digits):
        raise Refused(400, f"Last-Event-ID and starting_after must be a cursor of this stream, got {cursor!r:.80}")
    return Place(int(number), int(blocks) if blocks and blocks != "end" else 0, blocks == "end")


def new_encoder(protocol: Protocol) -> Encoder:
    """Return the encoder of a new reading. ValueError for a name that is not a protocol."""
    if callable(protocol):
        return protocol()
    if protocol == "assistants":
        return AssistantsEncoder()
    if protocol == "ui_message":
        return UiMessageEncoder()
    if protocol == "ag_ui":
        from rx_assistant.web.ag_ui import AgUiEncoder

        return AgUiEncoder()
    raise ValueError(f"protocol must be 'assistants', 'ag_ui', 'ui_message' or a function, got {protocol!r}")


class Reading:
    """The bytes for one browser. `changed` is called, from any thread, when there may be more."""

    def __init__(self, source: Source, encoder: Encoder, place: Place | None) -> None:
        if place is not None and place.is_end:
            raise Refused(204)
        self._encoder = encoder
        self._place = place or Place()
        self.stream = _opened(source, self._place, encoder)
        is_shared = isinstance(source, (Stream, AsyncStream))
        first = 0 if is_shared or encoder.remembers else self._place.events
        follower = self.stream if isinstance(self.stream, (FollowedStream, FollowedAsyncStream)) else None
        self._own = None if is_shared or follower is None or follower._is_sent() else follower
        self._log, self._number = _log_of(self.stream, first)
        self._start = self._start_in_log()
        self._cursor: Cursor[StreamEvent] | None = None
        self._changed: Callable[[], None] = _nothing
        self._held: abc.DisposableBase | None = None
        self.is_over = False

    def _start_in_log(self) -> int:
        """The first position: the browser's place, or an earlier one if the encoder or the numbering needs it."""
        log, place = self._log, self._place
        if place == Place():
            return 0
        if self._number is _unnumbered:
            raise Refused(400, "this stream has no cursors: it must be read from its beginning")
        first = self._number(0)
        if first is None:
            return 0
        start = place.events - first
        if start < log.base or (log.ended and start > log.length):
            held = f"{first + log.base} to {first + log.length}"
            raise Refused(410, f"the stream holds the events from {held}, got a cursor after {place.events}")
        return 0 if self._encoder.remembers else start

    def open(self, changed: Callable[[], None]) -> None:
        """Count as a reader of the stream, and start its reading."""
        log, stream = self._log, self.stream
        self._cursor = Cursor(log, self._start)
        self._changed = changed
        log.listen(changed)
        origin = cast("Any", stream.origin)
        if self._number is _unnumbered:
            self._held = stream.subscribe(_Filling(log))
        if origin is not None and origin.driver is not None:
            origin.driver.prepare()
            origin.driver.connect_soon()

    def close(self) -> None:
        """Stop counting as a reader. Idempotent."""
        cursor, self._cursor = self._cursor, None
        self.is_over = True
        if cursor is None:
            return
        if self._held is not None:
            self._held.dispose()
        self._log.unlisten(self._changed)
        cursor.close()
        if self._own is not None and not self._log.holders:  # a follower without a reader serves nothing
            self._own.close()

    @property
    def has_more(self) -> bool:
        """Whether `ready()` would return or end something."""
        cursor, log = self._cursor, self._log
        if cursor is None or self.is_over or not cursor.is_open:
            return True
        return cursor.position < log.position or (log.ended and cursor.position >= log.length)

    def ready(self) -> bytes:
        """Return what can be sent now, at most about CHUNK bytes. With `is_over`, it is the last."""
        chunk = bytearray()
        cursor, log = self._cursor, self._log
        while cursor is not None and not self.is_over and len(chunk) < CHUNK:
            if not cursor.is_open:
                self._end(chunk, self._overflow(cursor))
            elif cursor.position < log.position:
                position = cursor.position
                event = log.item(position)
                cursor.position = position + 1
                self._add(chunk, position, event)
            elif log.ended and cursor.position >= log.length:
                self._end(chunk, log.failure)
            else:
                break
        return bytes(chunk)

    def _overflow(self, cursor: Cursor[StreamEvent]) -> Exception:
        try:
            cursor.take()
        except Exception as error:
            return error
        raise AssertionError("a cursor that is too slow raises")

    def _add(self, chunk: bytearray, position: int, event: StreamEvent) -> None:
        """Write the blocks of the event at `position`, unless the browser has them."""
        blocks, place = self._encoder.encode(event), self._place
        before, after = self._number(position), self._number(position + 1)
        if before is None or after is None:
            for block in blocks if place == Place() else ():
                self._write(chunk, block, None)
            return
        if after <= place.events:
            return
        skipped = place.blocks if before == place.events else 0
        for count, block in enumerate(blocks, 1):
            if count > skipped:
                self._write(chunk, block, str(after) if count == len(blocks) else f"{before}:{count}")

    def _end(self, chunk: bytearray, error: Exception | None) -> None:
        number = None if isinstance(error, _PASSING) else self._number(self._log.length)
        blocks = self._encoder.end(error)
        skipped = self._place.blocks if number == self._place.events else 0
        for count, block in enumerate(blocks, 1):
            if count > skipped:
                cursor = f"{number}:{'end' if count == len(blocks) else count}"
                self._write(chunk, block, None if number is None else cursor)
        self.is_over = True

    def _write(self, chunk: bytearray, block: bytes, cursor: str | None) -> None:
        chunk += block
        if cursor is not None:
            chunk += b"id: " + cursor.encode() + b"\n"
        chunk += b"\n"


def _nothing() -> None:
    """Stands for `changed` before `open()`."""


def _unnumbered(_position: int) -> None:
    """The events of an operator have no numbers, because their count depends on the time."""


def checked_source(source: object) -> None:
    """TypeError for a value that is neither a stream nor a function that returns one."""
    if not (isinstance(source, (Stream, AsyncStream)) or callable(source)):
        raise TypeError(
            f"stream must be a stream or a function that returns the stream after a cursor, got {source!r:.80}"
        )


def _opened(source: Source, place: Place, encoder: Encoder) -> Followable:
    if isinstance(source, (Stream, AsyncStream)):
        return source
    return source(None if place == Place() or encoder.remembers else cursor_at(place.events, 0))


def _log_of(stream: Followable, first: int) -> tuple[HotLog[Any], Number]:
    """The log to read, and the numbers of its events; `first` is that of the first one."""
    if isinstance(stream, (FollowedStream, FollowedAsyncStream)):
        return stream.log, stream.number_after
    if isinstance(stream, (AssistantStream, AsyncAssistantStream)):
        return stream.log, lambda position: first + position
    return HotLog(keep=False), _unnumbered


class _Filling(abc.ObserverBase[StreamEvent]):
    """Fills a log with the events of a derived stream. Their bytes count, so that a slow browser overflows it."""

    def __init__(self, log: HotLog[Any]) -> None:
        self._log = log

    def on_next(self, value: StreamEvent) -> None:
        self._log.push(value.raw, lambda _raw: value)

    def on_error(self, error: Exception) -> None:
        self._finish(error)

    def on_completed(self) -> None:
        self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        self._log.end(error)
        self._log.want(FOREVER)

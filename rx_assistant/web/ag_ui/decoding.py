"""Server-sent bytes of an AG-UI server → a Stream of the package's events.

The bytes are read as those of any other stream. The log keeps each payload as an unknown event, and each reader builds
the AG-UI event from it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterable, Callable, Iterable
from os import PathLike
from typing import Any, cast, overload

from reactivex import Observable

from rx_assistant.errors import EventDecodeError, ServerErrorEvent, StreamTruncatedError
from rx_assistant.events import DoneEvent, StreamEvent, UnknownEvent, unknown_kind
from rx_assistant.hot import AsyncStream, Hooks, Scope, Sink, Stream, operator
from rx_assistant.streams import MAX_EVENT_BYTES
from rx_assistant.streams.decoding import Decoded, FrameDecoding
from rx_assistant.streams.factories import decoded_stream
from rx_assistant.types import ErrorObject
from rx_assistant.web.ag_ui.models import EVENT, core as ag

_log = logging.getLogger("rx_assistant")

_PAYLOAD = unknown_kind(b"message")
_KNOWN = frozenset(kind.value for kind in ag.EventType)


@overload
def decode(
    source: bytes | str | PathLike[str] | Iterable[bytes], /, *, max_event_bytes: int = ...
) -> Stream[ag.Event]: ...
@overload
def decode(source: AsyncIterable[bytes], /, *, max_event_bytes: int = ...) -> AsyncStream[ag.Event]: ...
@overload
def decode(source: Any, /, *, max_event_bytes: int = ...) -> Stream[ag.Event] | AsyncStream[ag.Event]: ...
def decode(source: Any, /, *, max_event_bytes: int = MAX_EVENT_BYTES) -> Stream[ag.Event] | AsyncStream[ag.Event]:
    """Return the events of an AG-UI stream: hot, read once, however many subscribers and loops there are.

    `source` is an open response of httpx or httpx2, the bytes of a body, a path, or an iterable of byte chunks; an
    asynchronous response or iterable gives an AsyncStream. Events that this version does not know are left out, and the
    first of them is logged.

        for event in decode(response).pipe(verify(), compact()):

    The stream ends well after RUN_FINISHED. RUN_ERROR is an event too; a stream that ends after it fails with a
    ServerErrorEvent.

    Raises:
        StreamTruncatedError: the bytes ended in the middle of a run; by the stream.
        EventDecodeError: an event does not have the fields of its type; by the stream.
    """
    stream = decoded_stream(source, _AgUiDecoding(max_event_bytes), max_event_bytes)
    read: Callable[[Observable[StreamEvent]], Observable[ag.Event]] = operator(_reading)
    return stream.pipe(read)


class _AgUiDecoding(FrameDecoding):
    """Frames as unknown events. The end of the body is a good one when the last run has ended."""

    def __init__(self, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes)
        self._is_over = False

    def push(self, chunk: bytes) -> Decoded:
        frames, overflow = self.frames(chunk)
        payloads = [data for _, data in frames]
        for payload in payloads:
            if b"RUN_" in payload:
                self._is_over = _type_of(payload) in ("RUN_FINISHED", "RUN_ERROR")
        return [_PAYLOAD] * len(payloads), payloads, overflow

    def end(self) -> Decoded:
        return ([DoneEvent], [DoneEvent().raw], None) if self._is_over else ([], [], None)

    @property
    def is_ending(self) -> bool:
        return self._is_over

    @property
    def rest(self) -> bytes:
        return self.unread


def _type_of(payload: bytes) -> object:
    try:
        value = json.loads(payload)
    except ValueError:
        return None
    return value.get("type") if isinstance(value, dict) else None


def _reading(down: Sink[ag.Event], scope: Scope[StreamEvent]) -> Hooks:
    skipped = False
    last: ag.RunErrorEvent | None = None

    def on_event(event: StreamEvent) -> None:
        nonlocal skipped, last
        read = _event(event)
        if read is None:
            if not skipped:
                skipped = True
                _log.warning("an AG-UI event of a type that this version does not know was left out: %.200r", event.raw)
            return
        last = read if isinstance(read, ag.RunErrorEvent) else None
        down.next(read)

    def on_completed() -> None:
        if last is None:
            down.completed()
        else:
            down.error(ServerErrorEvent(ErrorObject(message=last.message, code=last.code)))

    def on_error(error: Exception) -> None:
        if isinstance(error, StreamTruncatedError):
            broken = StreamTruncatedError(
                "the AG-UI stream ended in the middle of a run: the last event must be RUN_FINISHED or RUN_ERROR"
            )
            broken.__cause__ = error.__cause__
            error = broken
        down.error(error)

    return Hooks(on_event, on_error, on_completed)


def _event(event: StreamEvent) -> ag.Event | None:
    """The AG-UI event of a payload; None if its type is unknown. Raises EventDecodeError."""
    try:
        return EVENT.validate_json(event.raw)
    except ValueError as error:
        value = cast("UnknownEvent", event).json()  # raises EventDecodeError itself
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind not in _KNOWN:
            return None
        raise EventDecodeError(f"an AG-UI event must have the fields of its type: {error}", event) from error

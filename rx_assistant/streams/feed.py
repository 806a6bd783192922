"""Chunks of bytes → events in a hot log, and the decision how a stream has ended.

A feed reads nothing and waits for nothing, so sync and async streams share it. It only writes to the log and to
recordings. A `Decoding` turns the bytes into events: the feed knows only events of the Assistants protocol.

The ending is decided once, by the first of these that occurs:

    `done`                                                   ends well
    `error`                                                  ServerErrorEvent
    the end of the body, and the run has stopped             ends well
    an event that is too large                               EventTooLargeError
    a timeout, or another typed error of the body            that error
    any other end of the body                                StreamTruncatedError
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rx_assistant.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    EventTooLargeError,
    RxAssistantError,
    ServerErrorEvent,
    StreamTruncatedError,
    TotalTimeoutError,
)
from rx_assistant.events import (
    BY_NAME,
    DoneEvent,
    ErrorEvent,
    RunEvent,
    StreamEvent,
    ThreadRunCreated,
    UnknownEvent,
    frame,
    proves_done,
)
from rx_assistant.lifecycle import RUN_STOPS
from rx_assistant.streams.decoding import AssistantsDecoding

if TYPE_CHECKING:
    from rx_assistant.events import Kind
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams.context import Folding
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.decoding import Decoding
    from rx_assistant.streams.recording import Recording
    from rx_assistant.types import Run

_RUN_KINDS = frozenset(kind for kind in BY_NAME.values() if issubclass(kind, RunEvent))
_NOTABLE = _RUN_KINDS | {DoneEvent, ErrorEvent}
_PATIENCE = 5
_PASSING = (408, 429)
_SHOWN = 200  # an error shows so many of the last bytes that did not become an event


class RunIdentity(NamedTuple):
    """The run of a stream, and its thread."""

    run_id: str
    thread_id: str


class Feed:
    """Takes chunks as they arrive, and writes the events to `log`, and the ending when it is decided."""

    __slots__ = (
        "_appending",
        "_broke_at",
        "_bytes",
        "_continuation",
        "_decoding",
        "_folding",
        "_fruitless",
        "_identity",
        "_max_event_bytes",
        "_odd",
        "_recordings",
        "_rest",
        "_run",
        "_run_kind",
        "_seam",
        "done",
        "log",
        "request_id",
        "response_over",
    )

    def __init__(
        self,
        log: HotLog[StreamEvent],
        folding: Folding,
        *,
        max_event_bytes: int,
        identity: RunIdentity | None = None,
        decoding: Decoding | None = None,
        continuation: Continuation | None = None,
    ) -> None:
        self.log = log
        self.response_over = False  # the response has ended, and another one follows
        self._continuation = continuation
        self._seam: bytes | None = None  # the run event that ended the last response
        self._folding = folding
        self.request_id: str | None = None
        self._recordings: tuple[tuple[Recording, int], ...] = ()  # each with the position where its live events begin
        self._appending: threading.Lock | None = None  # created with the first recording
        self.done = False
        self._max_event_bytes = max_event_bytes
        self._decoding: Decoding = decoding or AssistantsDecoding(max_event_bytes)
        self._run: bytes | None = None
        self._run_kind: Kind = ThreadRunCreated
        self._identity = identity
        self._bytes = 0
        self._odd = b""  # the last `done` that is not an ending, or frame of another protocol
        self._broke_at = 0  # the number of events at the last break
        self._fruitless = 0  # the number of breaks since the last event
        self._rest = b""  # what a recording ends with when the body broke off

    def take(self, chunk: bytes) -> int:
        """Append the events that `chunk` completes; returns their number.

        `done` and `error` are not items of the log: the first of them ends it, and the rest is dropped.
        """
        self._bytes += len(chunk)
        kinds, payloads, overflow = self._decoding.push(chunk)
        end = None if _NOTABLE.isdisjoint(kinds) else self._notice(kinds, payloads)
        if kinds:
            self._append(kinds, payloads)
        elif end is None and overflow is None and self.log.length == 0 and self._bytes > self._max_event_bytes:
            overflow = EventTooLargeError(self._max_event_bytes)  # only blank lines or comments, and no event
        if end is not None:
            end()
        elif overflow is not None:
            self._end(overflow)
        return len(kinds)

    def _append(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        start = self.log.length
        if self.log.append(kinds, payloads) and self._recordings:
            with self._own_lock():
                for recording, since in self._recordings:
                    if start >= since:
                        recording.write(kinds, payloads)
        if self._continuation is not None:
            self._continuation.take(kinds, payloads)

    def record(self, recording: Recording) -> None:
        """Write the stored events to `recording`, then each event that arrives, and the ending last."""
        with self._own_lock():
            with self.log.storage.mutex:  # what is appended later is written by the reader, which waits for this
                pairs = [self.log.peek(position) for position in range(self.log.base, self.log.length)]
                ended = self.log.ended
                if not ended:
                    self._recordings = (*self._recordings, (recording, self.log.length))
            stored = [pair for pair in pairs if pair is not None]
            recording.write([kind for kind, _ in stored], [payload for _, payload in stored])
            if ended:
                recording.end(self._last_frame(self.log.failure))

    def _notice(self, kinds: list[Kind], payloads: list[bytes]) -> Callable[[], None] | None:
        """Remember the run. Remove an ending and the events after it; returns the function that ends the log."""
        for index, kind in enumerate(kinds):
            if kind in _RUN_KINDS:
                self._run_kind, self._run = kind, payloads[index]
            elif kind is ErrorEvent or (kind is DoneEvent and proves_done(payloads[index])):
                payload = payloads[index]
                del kinds[index:], payloads[index:]
                return self._end_well if kind is DoneEvent else partial(self._end, _server_error(payload))
        if DoneEvent in kinds:
            self._drop_unproved(kinds, payloads)
        return None

    def _drop_unproved(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        """Drop a `done` with other frames in its data: it is neither an item nor an ending (blank lines were lost)."""
        others = [pair for pair in zip(kinds, payloads, strict=True) if pair[0] is not DoneEvent]
        self._odd = payloads[kinds.index(DoneEvent)]
        kinds[:], payloads[:] = [kind for kind, _ in others], [payload for _, payload in others]

    def finish(self, cause: RxAssistantError | None = None) -> None:
        """Decide the ending: the body has ended, or it broke with `cause`."""
        kinds, payloads, _ = self._decoding.end()
        end = self._notice(kinds, payloads)
        if kinds:
            self._append(kinds, payloads)
        if end is not None:
            return end()
        if self.is_settled:
            return self._end_well()
        self._rest = self._decoding.rest
        return self._end(self._broken(cause))

    @property
    def last_run(self) -> StreamEvent | None:
        """The last event of a run that has arrived."""
        return None if self._run is None else self._run_kind(self._run)

    @property
    def is_settled(self) -> bool:
        """Whether the run has stopped: its last status is terminal, or it waits for tool outputs.

        A run that waits for outputs which this stream submits itself has not stopped.
        """
        run = self._run
        return run is not None and run is not self._seam and _member(run, "status") in RUN_STOPS

    @property
    def is_ending(self) -> bool:
        """Whether the body may end here: the run has stopped, or the last block is an ending."""
        return self.is_settled or self._decoding.is_ending

    @property
    def identity(self) -> RunIdentity | None:
        """The ids of the run and its thread; None until an event has shown them."""
        if self._identity is None and self._run is not None:
            run_id, thread_id = _member(self._run, "id"), _member(self._run, "thread_id")
            if run_id and thread_id:
                self._identity = RunIdentity(run_id, thread_id)
        return self._identity

    def resumable(self, cause: Exception | None) -> tuple[RunIdentity | None, RunSnapshot] | None:
        """Return the run, if it is known, and a snapshot of all events, to resume the stream; None if it must end.

        A stream is resumed after a broken connection and a temporary refusal, but not after the time limit of the whole
        stream. It ends after more than five breaks without an event between them.
        """
        if not (cause is None or _is_passing(cause)) or self.log.ended or self.is_ending:
            return None
        self._fruitless = 1 if self.log.length > self._broke_at else self._fruitless + 1
        self._broke_at = self.log.length
        return None if self._fruitless > _PATIENCE else (self.identity, self.arrived())

    def arrived(self) -> RunSnapshot:
        """The snapshot of all that has arrived."""
        return self._folding.arrived(self.log)

    def restart(self) -> None:
        """Forget the unfinished block: another body continues where the last one broke."""
        self._decoding.restart()

    def next_response(self) -> Run:
        """Return the run that requires action. The next response continues the stream."""
        self.response_over = False
        self.restart()
        assert self._run is not None
        return cast("Run", self._run_kind(self._run).data)

    def fail(self, error: Exception) -> None:
        """End with `error`, whatever has arrived."""
        self._end(error)

    def _broken(self, cause: RxAssistantError | None) -> RxAssistantError:
        if isinstance(cause, APITimeoutError) or (cause is not None and not isinstance(cause, APIConnectionError)):
            return cause
        count = self.log.length
        state = "before its first event" if count == 0 else f"after {count} event" + ("s" if count > 1 else "")
        status = None if self._run is None else _member(self._run, "status")
        run = (
            "no event had named a run, so there is nothing to resume"
            if status is None
            else f"the run was still {status!r}"
        )
        said = self._unheard()
        last = f"; the last bytes were {said!r}" if said else ""
        error = StreamTruncatedError(f"the stream ended {state} ({self._bytes} bytes); {run}{last}")
        error.__cause__ = cause
        return error

    def _unheard(self) -> bytes:
        """Return the beginning of the last bytes that were not an event of the protocol: HTML, JSON, half a frame."""
        said = self._decoding.unread or self._odd
        if not said:
            kind, payload = self.log.peek(self.log.length - 1) or (None, b"")
            said = payload if kind is not None and isinstance(kind(payload), UnknownEvent) else b""
        return said[:_SHOWN]

    def _end_well(self) -> None:
        if (
            self._continuation is not None
            and self.is_settled
            and _member(self._run or b"", "status") == "requires_action"
        ):
            self._seam, self.response_over = self._run, True
            return
        self.done = True
        self._end_with(None)

    def _end(self, error: Exception) -> None:
        if isinstance(error, RxAssistantError):
            self.inform(error)
        self._end_with(error)

    def inform(self, error: RxAssistantError) -> None:
        """Attach the snapshot and the request's id to an error."""
        error.carry(self._folding.latest, self.request_id)

    def _end_with(self, failure: Exception | None) -> None:
        """End the log. Recordings have the ending before a reader gets it."""
        if not self.log.ended:
            self._end_recordings(failure)
        self.log.end(failure)
        self.stop_recording()

    def stop_recording(self) -> None:
        """Close the files, once the log has ended."""
        self._end_recordings(self.log.failure)

    def _end_recordings(self, failure: Exception | None) -> None:
        with self.log.storage.mutex:
            recordings, self._recordings = self._recordings, ()
        if recordings:
            with self._own_lock():
                for recording, _ in recordings:
                    recording.end(self._last_frame(failure))

    def _own_lock(self) -> threading.Lock:
        with self.log.storage.mutex:
            self._appending = lock = self._appending or threading.Lock()
        return lock

    def _last_frame(self, failure: Exception | None) -> bytes:
        """Return the last bytes of a recording, so that its replay ends like this stream."""
        if failure is None:
            return frame(DoneEvent())
        if isinstance(failure, ServerErrorEvent):
            return b"" if failure.event is None else frame(failure.event)
        return self._rest if isinstance(failure, StreamTruncatedError) else b""


def _is_passing(cause: Exception) -> bool:
    if isinstance(cause, APIStatusError):
        return cause.status_code >= 500 or cause.status_code in _PASSING
    return isinstance(cause, APIConnectionError) and not isinstance(cause, TotalTimeoutError)


def _server_error(payload: bytes) -> ServerErrorEvent:
    event = ErrorEvent(payload)
    return ServerErrorEvent(event.data, event=event)


def _member(payload: bytes, name: str) -> str | None:
    try:
        value: Any = json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else None

"""Chunks of bytes → events in a hot log, and the decision how a stream has ended (decisions 3 and 9).

Pure but for the log and a recording: it reads nothing and waits for nothing, so both faces share it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rx_assistant.errors import (
    APIConnectionError,
    APITimeoutError,
    EventDecodeError,
    EventTooLargeError,
    RxAssistantError,
    ServerErrorEvent,
    StreamTruncatedError,
    TotalTimeoutError,
)
from rx_assistant.events import (
    BY_NAME,
    KINDS,
    DoneEvent,
    ErrorEvent,
    RunEvent,
    StreamEvent,
    ThreadRunCreated,
    UnknownEvent,
    classify,
)
from rx_assistant.lifecycle import RUN_STOPS
from rx_assistant.sse import Frame, SSEDecoder

if TYPE_CHECKING:
    from rx_assistant.events import Kind
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams._recording import Recording

_RUN_KINDS = frozenset(kind for kind in BY_NAME.values() if issubclass(kind, RunEvent))
_known = KINDS.get
_log = logging.getLogger("rx_assistant")
_NOTABLE = _RUN_KINDS | {DoneEvent, ErrorEvent}


class RunIdentity(NamedTuple):
    """Which run a stream is about."""

    run_id: str
    thread_id: str


class Feed:
    """Takes chunks as they come; `log` gets the events, and the ending when it is decided."""

    def __init__(
        self,
        log: HotLog[StreamEvent],
        *,
        max_event_bytes: int,
        snapshot: Callable[[], RunSnapshot],
        arrived: Callable[[HotLog[StreamEvent]], RunSnapshot],
        identity: RunIdentity | None = None,
    ) -> None:
        self.log = log
        self._arrived = arrived
        self.request_id: str | None = None
        self._recordings: tuple[Recording, ...] = ()
        self._appending = threading.Lock()
        self.done = False
        self._snapshot = snapshot
        self._max_event_bytes = max_event_bytes
        self._decoder = SSEDecoder(max_event_bytes=max_event_bytes)
        self._run: bytes | None = None
        self._run_kind: Kind = ThreadRunCreated
        self._identity = identity
        self._bytes = 0
        self._warned = False

    def take(self, chunk: bytes) -> int:
        """Append the events that `chunk` completes; gives their number. Ends the log when one of them is the end."""
        frames: list[Frame] = []
        self._bytes += len(chunk)
        overflow: EventTooLargeError | None = None
        try:
            self._decoder.push(chunk, frames.append)
        except EventTooLargeError as error:
            overflow = error.with_traceback(None)  # which would keep the stream alive, and tells nothing
        kinds, payloads = self._classified(frames)
        end = None if _NOTABLE.isdisjoint(kinds) else self._notice(kinds, payloads)
        if kinds:
            self._append(kinds, payloads)
        if end is not None:
            end()
        elif overflow is not None:
            self._end(overflow)
        return len(kinds)

    def _classified(self, frames: list[Frame]) -> tuple[list[Kind], list[bytes]]:
        """What `classify` makes of each frame; where all have known names, as nearly always, without calling it."""
        known = [_known(name) for name, _ in frames]
        if None not in known:
            return cast("list[Kind]", known), [payload for _, payload in frames]
        pairs = [classify(*frame) for frame in frames]
        kinds, payloads = [kind for kind, _ in pairs], [payload for _, payload in pairs]
        self._warn_of_misnamed(kinds, payloads)
        return kinds, payloads

    def _warn_of_misnamed(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        """Log the first delta that came under an unknown name."""
        for kind, payload in zip(kinds, payloads, strict=True):
            event = kind(payload)
            if isinstance(event, UnknownEvent) and event.misnamed is not None and not self._warned:
                self._warned = True
                _log.warning(
                    "event %r holds a %r: its name was garbled on the way, and what it says is missing from the text",
                    event.event,
                    event.misnamed,
                )

    def _append(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        with self._appending:
            if self.log.append(kinds, payloads):
                for recording in self._recordings:
                    recording.write(kinds, payloads)

    def record(self, recording: Recording) -> None:
        """Write what the log keeps to `recording`, and from now on whatever arrives."""
        with self._appending:
            pairs = [self.log.peek(position) for position in range(self.log.base, self.log.length)]
            kept = [pair for pair in pairs if pair is not None]
            recording.write([kind for kind, _ in kept], [payload for _, payload in kept])
            if self.log.ended:
                recording.close()
            else:
                self._recordings = (*self._recordings, recording)

    def _notice(self, kinds: list[Kind], payloads: list[bytes]) -> Callable[[], None] | None:
        """Remember the run; cut off what follows an ending, and give what ends the log."""
        for index, kind in enumerate(kinds):
            if kind in _RUN_KINDS:
                self._run_kind, self._run = kind, payloads[index]
            elif kind in _NOTABLE:
                payload = payloads[index]
                del kinds[index + 1 :], payloads[index + 1 :]
                if kind is DoneEvent:
                    return self._end_well
                return lambda: self._end(_server_error(payload))
        return None

    def finish(self, cause: RxAssistantError | None = None) -> None:
        """The body has ended, or broken with `cause`: decide which ending that is."""
        pending = self._decoder.pending
        if pending is not None:
            with self._appending:
                for recording in self._recordings:
                    recording.write_rest(*pending)
            kind, payload = classify(*pending)
            if kind is ErrorEvent:
                return self._end(_server_error(payload))
            if kind is DoneEvent:
                return self._end_well()
        if self.is_settled:
            return self._end_well()
        return self._end(self._broken(cause))

    @property
    def last_run(self) -> StreamEvent | None:
        """The last event of a run that has arrived."""
        return None if self._run is None else self._run_kind(self._run)

    @property
    def is_settled(self) -> bool:
        """Whether the last run that arrived needs nothing more: terminal, or waiting for tool outputs."""
        return self._run is not None and _member(self._run, "status") in RUN_STOPS

    @property
    def is_ending(self) -> bool:
        """Whether a body that stops here leaves nothing open: the run is settled, or the last block tells its end."""
        pending = self._decoder.pending
        return self.is_settled or (pending is not None and classify(*pending)[0] in (DoneEvent, ErrorEvent))

    @property
    def identity(self) -> RunIdentity | None:
        """Ids of the run and its thread, as soon as an event has told them."""
        if self._identity is None and self._run is not None:
            run_id, thread_id = _member(self._run, "id"), _member(self._run, "thread_id")
            if run_id and thread_id:
                self._identity = RunIdentity(run_id, thread_id)
        return self._identity

    def resumable(self, cause: RxAssistantError | None) -> tuple[RunIdentity, RunSnapshot] | None:
        """What it takes to go on after a break: which run it is, and all that has arrived of it; None if it is over.

        What is no break of the connection is not healed by another: nor is a time that was up for the whole stream.
        """
        broken = cause is None or (isinstance(cause, APIConnectionError) and not isinstance(cause, TotalTimeoutError))
        identity = self.identity
        if not broken or identity is None or self.log.ended or self.is_ending:
            return None
        return identity, self._arrived(self.log)

    def restart(self) -> None:
        """Forget the unfinished block: another body goes on where the last one broke."""
        self._decoder = SSEDecoder(max_event_bytes=self._max_event_bytes)

    def fail(self, error: Exception) -> None:
        """End with `error`, whatever arrived."""
        self._end(error)

    def _broken(self, cause: RxAssistantError | None) -> RxAssistantError:
        if isinstance(cause, APITimeoutError) or (cause is not None and not isinstance(cause, APIConnectionError)):
            return cause
        state = "before its first event" if self.log.length == 0 else f"after {self.log.length} events"
        status = None if self._run is None else _member(self._run, "status")
        run = (
            "no run had been announced, so there is nothing to resume"
            if status is None
            else f"the run was still {status!r}"
        )
        error = StreamTruncatedError(f"the stream ended {state} ({self._bytes} bytes); {run}")
        error.__cause__ = cause
        return error

    def _end_well(self) -> None:
        self.done = True
        self.log.end()
        self.stop_recording()

    def _end(self, error: Exception) -> None:
        if isinstance(error, RxAssistantError):
            error.carry(self._snapshot, self.request_id)
        self.log.end(error)
        self.stop_recording()

    def stop_recording(self) -> None:
        """Close the files, once the log has ended."""
        with self._appending:
            recordings, self._recordings = self._recordings, ()
            for recording in recordings:
                recording.close()


def _server_error(payload: bytes) -> RxAssistantError:
    event = ErrorEvent(payload)
    try:
        return ServerErrorEvent(event.data)
    except EventDecodeError as error:
        return error


def _member(payload: bytes, name: str) -> str | None:
    try:
        value: Any = json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else None

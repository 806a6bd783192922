"""The current event of a stream, and the run, message and step that it is about.

Snapshots are folded from the log when they are read. If a log drops its items, they are folded during delivery.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from rx_assistant.errors import EventDecodeError
from rx_assistant.events import MessageEvent, RunStepEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.hot import FOREVER
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.types._inside import text_in

if TYPE_CHECKING:
    from rx_assistant.events import StreamEvent
    from rx_assistant.hot import HotLog
    from rx_assistant.types import Message, RunStep

T = TypeVar("T")

_MAKING = threading.Lock()
"""The lock for creating the lock of a stream. One lock serves all streams."""


class Folding:
    """Snapshots of a log by position. Each is folded from the snapshot that was read before it.

    A Folding refers to the items of the log, not to the log, because the error of a stream refers to a Folding and must
    not keep the stream alive.
    """

    __slots__ = ("_live", "_lock", "_position", "_read", "_snapshot")

    def __init__(self, log: HotLog[StreamEvent]) -> None:
        self._read = log.storage.reader() if log.keep else None
        self._snapshot: RunSnapshot | None = None  # created on demand, like the lock: most streams need none
        self._position = 0
        self._lock: threading.Lock | None = None
        self._live: tuple[int, RunSnapshot] | None = None  # see `_delivered`
        if not log.keep:
            self._live = 0, RunSnapshot()
            log.watch = self._watch

    def at(self, position: int) -> RunSnapshot:
        """Return the snapshot after the first `position` events. For a log that drops items, return the newest one."""
        read = self._read
        if read is None:
            return self._delivered[1]
        with self._lock or self._own_lock():
            snapshot = self._snapshot
            if snapshot is None or position < self._position:
                snapshot, self._position = RunSnapshot(), 0
            while self._position < position:
                pair = read(self._position)
                if pair is None:
                    break
                snapshot = _folded(snapshot, pair[0](pair[1]))
                self._position += 1
            self._snapshot = snapshot
            return snapshot

    def _own_lock(self) -> threading.Lock:
        with _MAKING:
            self._lock = lock = self._lock or threading.Lock()
        return lock

    @property
    def _delivered(self) -> tuple[int, RunSnapshot]:
        """The number of delivered events, and their snapshot. Only for a log that drops items."""
        assert self._live is not None
        return self._live

    def latest(self) -> RunSnapshot:
        """Return the snapshot after all stored events; for a log that drops items, after all delivered ones."""
        return self.at(FOREVER)

    def arrived(self, log: HotLog[StreamEvent]) -> RunSnapshot:
        """Return the snapshot after all events that have arrived, delivered or not."""
        if self._read is not None:
            return self.latest()
        position, snapshot = self._delivered
        while (pair := log.peek(position)) is not None:
            snapshot = _folded(snapshot, pair[0](pair[1]))
            position += 1
        return snapshot

    def _watch(self, event: StreamEvent) -> None:
        count, snapshot = self._delivered
        self._live = count + 1, _folded(snapshot, event)


def _folded(snapshot: RunSnapshot, event: StreamEvent) -> RunSnapshot:
    try:
        return fold(snapshot, event)
    except EventDecodeError:  # the readers of that event get the error; the snapshot continues without it
        return snapshot


def message_around(event: StreamEvent | None, snapshot: RunSnapshot) -> Message | None:
    """Return the message of `event`, else the one in progress, else the newest one."""
    about = event.message_id if isinstance(event, ThreadMessageDelta) else None
    if isinstance(event, MessageEvent):
        about = text_in(event.data, "id")
    if about:
        return snapshot.message(about)
    messages = snapshot.messages
    return _in_progress(messages) or (messages[-1] if messages else None)


def step_around(event: StreamEvent | None, snapshot: RunSnapshot) -> RunStep | None:
    """Return the run step of `event`, else the one in progress; None between two steps."""
    about = event.step_id if isinstance(event, ThreadRunStepDelta) else None
    if isinstance(event, RunStepEvent):
        about = text_in(event.data, "id")
    return snapshot.step(about) if about else _in_progress(snapshot.steps)


def _in_progress(things: Sequence[T]) -> T | None:
    for thing in reversed(things):
        if getattr(thing, "status", None) == "in_progress":
            return thing
    return None

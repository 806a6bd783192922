"""Where a stream stands, for people: the current event, and the run, message and step around it (decision 4).

Nothing is kept up to date for it: snapshots are folded from the log when someone asks.
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


class Folding:
    """Snapshots of a log by position, folded forwards from where the last question left off.

    It refers to what is in the log, not to the log: a stream's error carries it, and must not keep the stream alive.
    """

    def __init__(self, log: HotLog[StreamEvent]) -> None:
        self._read = log.storage.reader() if log.keep else None
        self._snapshot = RunSnapshot()
        self._position = 0
        self._live = 0, self._snapshot  # on a log that keeps nothing: how many events it has shown, and what they make
        self._lock = threading.Lock()
        if not log.keep:
            log.watch = self._watch

    def at(self, position: int) -> RunSnapshot:
        """Give the snapshot after the first `position` events; on a log that keeps nothing, the newest one."""
        read = self._read
        if read is None:
            return self._live[1]
        with self._lock:
            if position < self._position:
                self._snapshot, self._position = RunSnapshot(), 0
            while self._position < position:
                pair = read(self._position)
                if pair is None:
                    break
                self._snapshot = _folded(self._snapshot, pair[0](pair[1]))
                self._position += 1
            return self._snapshot

    def latest(self) -> RunSnapshot:
        """Give the snapshot after all that has arrived."""
        return self.at(FOREVER)

    def arrived(self, log: HotLog[StreamEvent]) -> RunSnapshot:
        """Give the snapshot after all that is in the log, be it delivered or not."""
        if self._read is not None:
            return self.latest()
        position, snapshot = self._live
        while (pair := log.peek(position)) is not None:
            snapshot = _folded(snapshot, pair[0](pair[1]))
            position += 1
        return snapshot

    def _watch(self, event: StreamEvent) -> None:
        count, snapshot = self._live
        self._live = count + 1, _folded(snapshot, event)


def _folded(snapshot: RunSnapshot, event: StreamEvent) -> RunSnapshot:
    try:
        return fold(snapshot, event)
    except EventDecodeError:  # whoever reads that event is told; a snapshot goes on without it
        return snapshot


def message_around(event: StreamEvent | None, snapshot: RunSnapshot) -> Message | None:
    """Give the message that `event` is about, else the one that is being written, else the newest one."""
    about = event.message_id if isinstance(event, ThreadMessageDelta) else None
    if isinstance(event, MessageEvent):
        about = text_in(event.data, "id")
    if about:
        return snapshot.message(about)
    messages = snapshot.messages
    return _under_way(messages) or (messages[-1] if messages else None)


def step_around(event: StreamEvent | None, snapshot: RunSnapshot) -> RunStep | None:
    """Give the step that `event` is about, else the one that is under way; None between two steps."""
    about = event.step_id if isinstance(event, ThreadRunStepDelta) else None
    if isinstance(event, RunStepEvent):
        about = text_in(event.data, "id")
    return snapshot.step(about) if about else _under_way(snapshot.steps)


def _under_way(things: Sequence[T]) -> T | None:
    for thing in reversed(things):
        if getattr(thing, "status", None) == "in_progress":
            return thing
    return None

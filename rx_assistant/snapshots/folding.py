"""fold: a snapshot and an event → the next snapshot. Fold: the objects that each event opened, changed and closed.

Objects are keyed by identity: message id and content index, step id and tool-call index. An event without such a key
is skipped. The rules:

* the first event that shows an object creates it; a delta may come before `created`;
* a final object (message completed or incomplete, step completed, failed, cancelled or expired) replaces the result of
  its deltas and closes the object: later deltas, and later objects that are not final, change nothing;
* an object that is not final updates the scalars, and adds only parts and calls that do not exist yet;
* a function call is closed when the run requires action or when its step ends, whichever comes first;
* a function call that already has its output when it first appears was answered in an earlier stream. Its step shows
  it, but there is no change for it, so a handler does not run the function again.

A delta that appends to a known text only touches that text; its cost does not grow with the snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from rx_assistant.events import (
    BY_NAME,
    MessageEvent,
    RunEvent,
    RunStepEvent,
    StreamEvent,
    ThreadCreated,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    bare,
    whole,
)
from rx_assistant.snapshots.changes import Changes, key_of
from rx_assistant.snapshots.folding_messages import message, message_delta, open_message
from rx_assistant.snapshots.folding_steps import open_step, required_calls, step, step_delta
from rx_assistant.snapshots.snapshot import RunSnapshot
from rx_assistant.snapshots.store import Store

_log = logging.getLogger("rx_assistant")

_Apply: TypeAlias = Callable[[Store, int, Any, Any], Changes]

_BACKSLASH: Final = 0x5C  # a payload without one holds no escapes, so no halves of characters

Step: TypeAlias = tuple[int, Changes, StreamEvent]
"""The version of the store after a change, what changed, and the event that caused it."""


def fold(snapshot: RunSnapshot, event: StreamEvent) -> RunSnapshot:
    """The state after `event`. `snapshot` does not change, and other events may be folded onto it too.

    An event without its required id changes nothing; the first one is logged. Raises EventDecodeError when the event's
    payload is not a JSON object.
    """
    store, version = snapshot._store, snapshot._version
    narrow = event._narrow or event._read()
    apply = _APPLY.get(type(event))
    if apply is None or not _has_key(store, event, narrow):
        return snapshot
    with store.lock:
        if store.version != version or store.has_writer:
            store = store.fork(version)
        _steps(store, apply, event, narrow)
        return RunSnapshot(store, store.version)


class Fold:
    """Folds one event after the other, for a reader that wants to know what each event changed.

    It starts with a copy of `snapshot`, and no other code writes to this copy. So it needs no lock, but only one thread
    at a time may call `advance`.
    """

    __slots__ = ("_store",)

    def __init__(self, snapshot: RunSnapshot | None = None) -> None:
        if snapshot is None:
            self._store = Store()
        else:
            with snapshot._store.lock:
                self._store = snapshot._store.fork(snapshot._version)
        self._store.has_writer = True

    @property
    def snapshot(self) -> RunSnapshot:
        """The state after the last event. Folding another event onto it copies it."""
        return RunSnapshot(self._store, self._store.version)

    @property
    def version(self) -> int:
        """The version after the last event; pass it to `view(version)` of a State."""
        return self._store.version

    def advance(self, event: StreamEvent) -> Sequence[Step]:
        """Fold `event` like `fold`; returns its steps, in the order in which to report them.

        Nearly always this is one step, with `event` itself. If a text was cut inside a character, its deltas have whole
        characters, and a half that is never completed is a separate delta before the event that ends its text.

        Raises EventDecodeError when the event's payload is not a JSON object.
        """
        store = self._store
        narrow = event._narrow or event._read()
        apply = _APPLY.get(type(event))
        if apply is None or not ((narrow and narrow[0]) or _has_key(store, event, narrow)):
            return ()
        return _steps(store, apply, event, narrow)


def _steps(store: Store, apply: _Apply, event: StreamEvent, narrow: Any) -> Sequence[Step]:
    """Write an event to a store that no other thread writes to."""
    if store.held is None and (narrow is None or narrow[2] or _BACKSLASH not in event._raw):
        store.version = version = store.version + 1  # first: after a failure, no snapshot uses the incomplete version
        return ((version, apply(store, version, event, narrow), event),)
    return _whole_steps(store, event)


def _whole_steps(store: Store, event: StreamEvent) -> Sequence[Step]:
    before = store.held.at(store.version) if store.held else None
    held = dict(before or {})
    steps = [_step(store, _APPLY[type(each)], each) for each in whole(event, held)]
    if not steps:  # the event was only half a character
        nothing = bare(cast("Any", event))
        steps.append(_step(store, _OPEN[type(nothing)], nothing))
    if held != (before or {}):
        _, changes, last = steps.pop()
        store.version += 1
        store.hold(store.version, held)
        steps.append((store.version, changes, last))
    return steps


def _step(store: Store, apply: _Apply, event: StreamEvent) -> Step:
    store.version = version = store.version + 1
    return version, apply(store, version, event, event.narrow), event


def _has_key(store: Store, event: StreamEvent, narrow: Any) -> bool:
    """Whether an event has the id that it needs. A malformed payload raises here, before anything is written."""
    if narrow is not None:
        found = bool(narrow[0])
    else:
        data = event.data
        found = not isinstance(event, MessageEvent | RunStepEvent) or bool(key_of(data))
    if not found and not store.warned:
        store.warned = True
        _log.warning("event %r has no usable id: the snapshot skips it and all others like it", event.event)
    return found


def _thread(store: Store, version: int, event: ThreadCreated, narrow: None) -> Changes:
    store.thread.put(version, event.data)
    return ()


def _apply_for(kind: type[StreamEvent]) -> _Apply | None:
    table: dict[type[StreamEvent], _Apply] = {
        ThreadCreated: _thread,
        RunEvent: required_calls,
        RunStepEvent: step,
        MessageEvent: message,
        ThreadMessageDelta: message_delta,
        ThreadRunStepDelta: step_delta,
    }
    return next((apply for family, apply in table.items() if issubclass(kind, family)), None)


_APPLY: Final = {kind: apply for kind in BY_NAME.values() if (apply := _apply_for(kind))}
_OPEN: Final[dict[type[StreamEvent], _Apply]] = {ThreadMessageDelta: open_message, ThreadRunStepDelta: open_step}

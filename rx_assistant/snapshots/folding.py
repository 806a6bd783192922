"""fold: a snapshot and an event → the next snapshot, and the objects that the event opened, changed and closed.

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
    Held,
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

Step: TypeAlias = tuple[RunSnapshot, Changes, StreamEvent]
"""A snapshot, the changes that led to it, and the event that caused them."""


def fold(snapshot: RunSnapshot, event: StreamEvent) -> RunSnapshot:
    """The state after `event`. `snapshot` does not change, and other events may be folded onto it too.

    An event without its required id changes nothing; the first one is logged. Raises EventDecodeError when the event's
    payload is not a JSON object.
    """
    narrow: Any = event.narrow
    if snapshot._store.held is None and (narrow is None or narrow[2] or _BACKSLASH not in event._raw):
        return _step(snapshot, _APPLY.get(type(event)), event, narrow)[0]
    return _whole_steps(snapshot, event)[-1][0]


def advance(snapshot: RunSnapshot, event: StreamEvent) -> Sequence[Step]:
    """Like `fold`, in steps: each snapshot with its changes, in the order in which to report them.

    Nearly always this is one step, with `event` itself. If a text was cut inside a character, its deltas have whole
    characters, and a half that is never completed is a separate delta before the event that ends its text.

    Raises EventDecodeError when the event's payload is not a JSON object.
    """
    narrow: Any = event.narrow
    if snapshot._store.held is None and (narrow is None or narrow[2] or _BACKSLASH not in event._raw):
        return (_step(snapshot, _APPLY.get(type(event)), event, narrow),)
    return _whole_steps(snapshot, event)


def _whole_steps(snapshot: RunSnapshot, event: StreamEvent) -> Sequence[Step]:
    before = snapshot._store.held.at(snapshot._version) if snapshot._store.held else None
    held = dict(before or {})
    steps: list[Step] = []
    for each in whole(event, held):
        steps.append(_step(snapshot, _APPLY.get(type(each)), each, each.narrow))
        snapshot = steps[-1][0]
    if not steps:  # the event was only half a character
        nothing = bare(cast("Any", event))
        steps.append(_step(snapshot, _OPEN[type(nothing)], nothing, nothing.narrow))
    if held != (before or {}):
        snapshot, changes, last = steps.pop()
        steps.append((_step(snapshot, _hold, held, _MARKED)[0], changes, last))
    return steps


def _step(snapshot: RunSnapshot, apply: _Apply | None, event: Any, narrow: Any) -> Step:
    if apply is None:
        return snapshot, (), event
    store, version = snapshot._store, snapshot._version
    if not (_has_key(event) if narrow is None else narrow[0]):
        _skip(store, event)
        return snapshot, (), event
    with store.lock:
        try:
            if store.version != version:
                store = store.fork(version)
            version += 1
            changes = apply(store, version, event, narrow)
        finally:
            store.version = version  # after a failure too: its incomplete changes get a version that no snapshot uses
    return RunSnapshot(store, version), changes, event


def _has_key(event: Any) -> bool:
    """Whether a whole object has its id. A malformed payload raises here, before anything is written."""
    data = event.data
    return not isinstance(event, MessageEvent | RunStepEvent) or bool(key_of(data))


def _skip(store: Store, event: StreamEvent) -> None:
    if not store.warned:
        store.warned = True
        _log.warning("event %r has no usable id: the snapshot skips it and all others like it", event.event)


_MARKED: Final = (True,)
"""Replaces a narrow reading: the content is not from an event, and needs no id."""


def _hold(store: Store, version: int, held: Held, narrow: object) -> Changes:
    store.hold(version, held)
    return ()


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

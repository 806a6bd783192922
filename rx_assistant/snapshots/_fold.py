"""fold: a snapshot and an event → the next snapshot, and what the event opened, changed and closed.

Everything is keyed by identity: message id and content index, step id and tool-call index. The rules:

* what is seen first is created, whichever event shows it; a delta may come before `created`;
* a final object (message completed or incomplete, step completed, failed, cancelled or expired) replaces what deltas
  have built, and closes it: later deltas, and later objects that are not final, change nothing;
* an object that is not final updates the scalars, and brings only those parts and calls that are not there yet;
* a function call is closed when the run requires action or when its step ends, whichever comes first.

A delta that appends to a known text touches that text only; its cost depends on nothing that is there already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from rx_assistant.events import (
    BY_NAME,
    MessageEvent,
    RunEvent,
    RunStepEvent,
    StreamEvent,
    ThreadCreated,
    ThreadMessageDelta,
    ThreadRunStepDelta,
)
from rx_assistant.snapshots._changes import Changes
from rx_assistant.snapshots._fold_messages import message, message_delta
from rx_assistant.snapshots._fold_steps import required_calls, step, step_delta
from rx_assistant.snapshots._snapshot import RunSnapshot
from rx_assistant.snapshots._store import Store

_Apply: TypeAlias = Callable[[Store, int, Any, Any], Changes]


def fold(snapshot: RunSnapshot, event: StreamEvent) -> RunSnapshot:
    """The state after `event`. `snapshot` stays as it is, and may be folded onto again.

    Raises EventDecodeError when the event's payload is not what its name says.
    """
    return advance(snapshot, event)[0]


def advance(snapshot: RunSnapshot, event: StreamEvent) -> tuple[RunSnapshot, Changes]:
    """As `fold`, and with it what the event opened, changed and closed, in the order in which to tell it.

    Raises EventDecodeError when the event's payload is not what its name says.
    """
    apply = _APPLY.get(type(event))
    if apply is None:
        return snapshot, ()
    narrow = event.narrow
    if narrow is None:
        event.data  # noqa: B018 (what is malformed raises before anything is written)
    store, version = snapshot._store, snapshot._version
    with store.lock:
        try:
            if store.version != version:
                store = store.fork(version)
            version += 1
            changes = apply(store, version, event, narrow)
        finally:
            store.version = version  # after a failure too: what it left behind has a version that no snapshot has
    return RunSnapshot(store, version), changes


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

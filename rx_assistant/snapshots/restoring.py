"""A run's state as a plain model → a snapshot with the same content, onto which events can be folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.events import ThreadCreated
from rx_assistant.snapshots.difference import diff
from rx_assistant.snapshots.folding import fold
from rx_assistant.snapshots.snapshot import RunSnapshot

if TYPE_CHECKING:
    from rx_assistant.snapshots.model import RunState


def restored(state: RunState) -> RunSnapshot:
    """The snapshot of a run's state."""
    snapshot = RunSnapshot()
    events = [] if state.thread is None else [ThreadCreated.from_data(state.thread)]
    for event in [*events, *diff(snapshot, run=state.run, steps=state.steps, messages=state.messages)]:
        snapshot = fold(snapshot, event)
    return snapshot


RunSnapshot._restored = staticmethod(restored)

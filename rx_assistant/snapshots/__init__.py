"""Events folded into immutable snapshots of a run: `fold(snapshot, event)` → `RunSnapshot`; and `diff`, the way back.

Knows no stream, no order of events and no Rx. The models are imported when a snapshot is first looked into.
"""

from __future__ import annotations

from rx_assistant.snapshots._changes import Change, Changes, Phase, State
from rx_assistant.snapshots._diff import diff
from rx_assistant.snapshots._fold import advance, fold
from rx_assistant.snapshots._snapshot import RunSnapshot
from rx_assistant.snapshots._states import CallState, MessageState, PartState, StepState

__all__ = [
    "CallState",
    "Change",
    "Changes",
    "MessageState",
    "PartState",
    "Phase",
    "RunSnapshot",
    "State",
    "StepState",
    "advance",
    "diff",
    "fold",
]

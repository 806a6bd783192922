"""Events folded into immutable snapshots of a run: `fold(snapshot, event)` → `RunSnapshot`; `diff` is the reverse.

This package knows nothing of streams, the order of events and Rx. It imports the models when a snapshot is first read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.snapshots.changes import Change, Changes, Phase, State
from rx_assistant.snapshots.compacting import Compactor
from rx_assistant.snapshots.difference import diff
from rx_assistant.snapshots.folding import Fold, fold
from rx_assistant.snapshots.restoring import restored
from rx_assistant.snapshots.snapshot import RunSnapshot
from rx_assistant.snapshots.states import CallState, MessageState, PartState, StepState

if TYPE_CHECKING:
    from rx_assistant.snapshots.model import RunState
    from rx_assistant.snapshots.reading import Readers

__all__ = [
    "CallState",
    "Change",
    "Changes",
    "Compactor",
    "Fold",
    "MessageState",
    "PartState",
    "Phase",
    "RunSnapshot",
    "RunState",
    "State",
    "StepState",
    "diff",
    "fold",
    "readers",
    "restored",
]


def readers() -> Readers:
    """The functions behind the methods of states and deltas, for code that reads every event. Loads the models."""
    from rx_assistant.snapshots.reading import READERS

    return READERS


def __getattr__(name: str) -> object:
    if name == "RunState":  # a model: imported only when it is used, because loading the models takes time
        from rx_assistant.snapshots.model import RunState

        return RunState
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What an event did to a store: the vocabulary of the fold's bookkeeping, and the steps that all of its parts share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from rx_assistant.events import (
    StreamEvent,
    ThreadMessageCompleted,
    ThreadMessageIncomplete,
    ThreadRunStepCancelled,
    ThreadRunStepCompleted,
    ThreadRunStepExpired,
    ThreadRunStepFailed,
)
from rx_assistant.snapshots._pieces import Node
from rx_assistant.snapshots._states import CallState, MessageState, PartState, StepState

if TYPE_CHECKING:
    from rx_assistant.types import ToolCall

Phase: TypeAlias = Literal["created", "delta", "done"]
State: TypeAlias = MessageState | PartState | StepState | CallState
Change: TypeAlias = tuple[Phase, State, int]
"""What happened, to what; and for the delta of a part or call, the position of its piece in the event's list."""

Changes: TypeAlias = tuple[Change, ...]

FINAL: Final[tuple[type[StreamEvent], ...]] = (
    ThreadMessageCompleted,
    ThreadMessageIncomplete,
    ThreadRunStepCompleted,
    ThreadRunStepFailed,
    ThreadRunStepCancelled,
    ThreadRunStepExpired,
)
"""The events whose object is the last word on its message or step."""

_T = TypeVar("_T")
_S = TypeVar("_S", PartState, CallState)


def close(state: State, changes: list[Change]) -> None:
    """End what has not ended before. The end of a call that was answered before is no change."""
    if not state.ended:
        state.ended = True
        if not (isinstance(state, CallState) and state.answered):
            changes.append(("done", state, -1))


def by_place(states: list[_S], finals: Sequence[_T]) -> list[_S | None]:
    """For each member of a final list the state that deltas have built of it: by rank if the numbers agree, else by
    index; None where there is none."""
    if len(states) == len(finals):
        return list(states)
    by_index = {state.index: state for state in states}
    return [by_index.get(index) for index in range(len(finals))]


def paired_calls(states: list[CallState], finals: Sequence[ToolCall], version: int) -> list[CallState | None]:
    """For each final call the state that deltas have built of it: by id where both have one, else by place."""
    by_id = {state.identity.at(version): state for state in states}
    placed = by_place(states, finals)
    taken = {id(by_id[final.id]) for final in finals if final.id is not None and final.id in by_id}
    return [
        by_id[final.id] if final.id is not None and final.id in by_id else None if id(state) in taken else state
        for final, state in zip(finals, placed, strict=True)
    ]


def word(kind: str | None) -> str:
    """The `type` of something, empty where a server gives none, whatever its annotation promises."""
    return kind or ""


def node_of(model: object) -> Node:
    """A model as the JSON it was read from."""
    dump = getattr(model, "model_dump")  # noqa: B009 (the models are not imported here)
    node: Node = dump(exclude_unset=True, by_alias=True)
    return node

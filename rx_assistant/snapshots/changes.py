"""The changes that an event makes to a store: their types, and the functions that all parts of the fold share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from rx_assistant.events import FINAL_MESSAGE, FINAL_STEP
from rx_assistant.snapshots.pieces import Node
from rx_assistant.snapshots.states import CallState, MessageState, PartState, StepState
from rx_assistant.types._inside import text_in

if TYPE_CHECKING:
    from rx_assistant.snapshots.store import Store
    from rx_assistant.types import ToolCall

Phase: TypeAlias = Literal["created", "delta", "done"]
State: TypeAlias = MessageState | PartState | StepState | CallState
Change: TypeAlias = tuple[Phase, State, int]
"""The phase, the state, and the position of the piece in the event's list (-1 except for a delta of a part or call)."""

Changes: TypeAlias = tuple[Change, ...]

FINAL: Final = (*FINAL_MESSAGE, *FINAL_STEP)
"""The events that carry the final object of a message or step."""

_T = TypeVar("_T")
_S = TypeVar("_S", PartState, CallState)


def close(state: State, changes: list[Change]) -> None:
    """End a state that has not ended yet. The end of a call that was answered in an earlier stream is not a change."""
    if not state.ended:
        state.ended = True
        if not (isinstance(state, CallState) and state.answered):
            changes.append(("done", state, -1))


def appended(store: Store, state: State, owner: State) -> Changes:
    """The changes of a delta that only appends to a part or call: the same each time, so the store keeps them."""
    changes: Changes = ("delta", state, 0), ("delta", owner, -1)
    store.appended[state] = changes
    return changes


def by_place(states: list[_S], finals: Sequence[_T]) -> list[_S | None]:
    """The state that deltas have built for each member of a final list; None for a member without one.

    If there are as many states as members, the first state belongs to the first member, and so on. Otherwise a state
    belongs to the member at its index.
    """
    if len(states) == len(finals):
        return list(states)
    by_index = {state.index: state for state in states}
    return [by_index.get(index) for index in range(len(finals))]


def paired_calls(states: list[CallState], finals: Sequence[ToolCall], version: int) -> list[CallState | None]:
    """The state that deltas have built for each final call: by id if both have one, else as in `by_place`."""
    by_id = {state.identity.at(version): state for state in states}
    known = [by_id.get(key) if (key := key_of(final)) else None for final in finals]
    taken = {id(state) for state in known}
    placed = [None if id(state) in taken else state for state in by_place(states, finals)]
    return [by_key or by_rank for by_key, by_rank in zip(known, placed, strict=True)]


def word(kind: object) -> str:
    """The `type` of an object if it is a string; else empty."""
    return kind if isinstance(kind, str) else ""


def key_of(model: object) -> str:
    """The id of an object; empty if the server sends none."""
    return text_in(model, "id")


def node_of(model: object) -> Node:
    """The JSON that a model was read from."""
    dump = getattr(model, "model_dump")  # noqa: B009 (the models are not imported here)
    node: Node = dump(exclude_unset=True, by_alias=True)
    return node

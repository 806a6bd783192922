"""The outputs of code interpreter calls: from deltas, and from a whole object for outputs without a delta."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from rx_assistant.hot import Scope, Sink, operator
from rx_assistant.operators._routing import StateChange
from rx_assistant.snapshots import CallState
from rx_assistant.types._inside import inside, models_in

if TYPE_CHECKING:
    from rx_assistant.types import CodeInterpreterOutputDelta

_Change = StateChange[CallState]


def each_output(down: Sink[CodeInterpreterOutputDelta]) -> Callable[[_Change], object]:
    """Return a function that emits the outputs of one call from its changes."""
    seen: set[int] = set()

    def on_change(change: _Change) -> None:
        if change.state.kind != "code_interpreter":
            return
        if change.phase == "delta":
            for output in _pieces(change):
                seen.add(output.index if isinstance(output.index, int) else max(seen, default=-1) + 1)
                down.next(output)
        elif not change.is_delta:
            for output in _whole(change, seen):
                seen.add(output.index)
                down.next(output)

    return on_change


def _start(down: Sink[CodeInterpreterOutputDelta], scope: Scope[_Change]) -> Callable[[_Change], object]:
    return each_output(down)


outputs = operator(_start)
"""Changes of a call → its outputs: each piece as it arrives, then the outputs of the whole object that had no piece."""


def _pieces(change: _Change) -> Iterator[CodeInterpreterOutputDelta]:
    event = change.event
    if event.is_plain:
        return
    delta = change.state.delta(event, change.position)
    if delta.type == "code_interpreter":
        yield from models_in(inside(delta.code_interpreter, "outputs"))


def _whole(change: _Change, seen: set[int]) -> Iterator[CodeInterpreterOutputDelta]:
    call = change.state.view(change.version)
    code = call.code_interpreter if call.type == "code_interpreter" else None
    for index, output in enumerate(models_in(inside(code, "outputs"))):
        if index not in seen:
            yield _reader()({**output.model_dump(exclude_unset=True, by_alias=True), "index": index})


@cache
def _reader() -> Callable[[Any], CodeInterpreterOutputDelta]:
    """An output as JSON values → the model of its delta, which has the same shape."""
    from pydantic import TypeAdapter

    from rx_assistant.types import CodeInterpreterOutputDelta

    read: Callable[[Any], CodeInterpreterOutputDelta] = TypeAdapter(CodeInterpreterOutputDelta).validate_python
    return read

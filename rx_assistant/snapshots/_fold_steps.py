"""How step events, and a run that requires action, change a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from rx_assistant.events import NarrowStep, RunEvent, RunStepEvent, ThreadRunStepDelta
from rx_assistant.events._deltas import index_of, pieces_of
from rx_assistant.snapshots._changes import FINAL, Change, Changes, close, node_of, paired_calls, word
from rx_assistant.snapshots._pieces import Node
from rx_assistant.snapshots._shapes import validate
from rx_assistant.snapshots._states import CallState, StepState
from rx_assistant.snapshots._store import Store

if TYPE_CHECKING:
    from rx_assistant.types import (
        RequiredActionFunctionToolCall,
        StepDetails,
        ToolCall,
    )


_Label: TypeAlias = tuple[str, str | None, bool]
"""Type and id of a call, as far as they are known, and whether it has its output already."""


def step_delta(store: Store, version: int, event: ThreadRunStepDelta, narrow: NarrowStep) -> Changes:
    """A delta: appended at once where it continues known arguments or code, else taken apart."""
    step = store.steps.get(narrow[0])
    if step is not None and narrow[2]:
        index, kind, text = narrow[1][0]
        call = step.calls.by_index.get(index)
        if call is not None and call.kind == kind and not call.answered:
            if call.ended or step.ended:
                return ()
            call.log.append(version, text)
            return ("delta", call, 0), ("delta", step, -1)
    return _step_delta(store, version, event)


def _step_delta(store: Store, version: int, event: ThreadRunStepDelta) -> Changes:
    changes: list[Change] = []
    step = _step(store, version, event.step_id, changes)
    if step.ended:
        return ()
    details = (event.payload.get("delta") or {}).get("step_details")
    if details:
        kind = word(details.get("type"))
        if kind != step.details_type.at(version):
            step.details_type.put(version, kind)
        if kind == "tool_calls":
            for position, piece in enumerate(pieces_of(details, "tool_calls")):
                _call_delta(store, step, version, (position, piece), event, changes)
        else:
            step.details.append(version, 0, event)
    changes.append(("delta", step, -1))
    return tuple(changes)


def _call_delta(
    store: Store,
    step: StepState,
    version: int,
    placed: tuple[int, Node],
    event: ThreadRunStepDelta,
    changes: list[Change],
) -> None:
    position, piece = placed
    index, kind, call_id = index_of(piece, position), word(piece.get("type")), piece.get("id")
    inside = piece.get(kind) or {}
    label = kind, call_id, kind == "function" and inside.get("output") is not None
    call = step.calls.by_index.get(index) or _new_call(store, step, version, index, label, changes)
    if call.ended or call.kind != kind:
        return
    if call_id is not None and call_id != call.identity.at(version):
        call.identity.put(version, call_id)
    if kind == "function":
        _append_function(call, version, inside)
    elif kind == "code_interpreter":
        _append_code(call, version, position, inside, event)
    else:
        call.pieces.append(version, 0, event, (position, 0))
    if not call.answered:
        changes.append(("delta", call, position))


def _append_function(call: CallState, version: int, function: Node) -> None:
    if function.get("name") is not None:
        call.name.put(version, function["name"])
    if function.get("arguments") is not None:
        call.log.append(version, function["arguments"])
    if function.get("output") is not None:
        call.output.put(version, function["output"])


def _append_code(call: CallState, version: int, position: int, code: Node, event: ThreadRunStepDelta) -> None:
    if code.get("input") is not None:
        call.log.append(version, code["input"])
    for place, output in enumerate(pieces_of(code, "outputs")):
        index = index_of(output, call.outputs.next_index())
        call.outputs.append(version, index, event, (position, place))


def step(store: Store, version: int, event: RunStepEvent, narrow: None) -> Changes:
    """A whole step: the last word if it is final, else the first of what is not there yet."""
    data = event.data
    changes: list[Change] = []
    step = _step(store, version, data.id or "", changes)
    calls = _calls_in(data.step_details)
    if isinstance(event, FINAL):
        step.whole.put(version, data)
        step.final.put(version, data)
        paired = zip(paired_calls(step.calls.at(version), calls, version), calls, strict=True)
        for place, (known, final) in enumerate(paired):
            call = known or _new_call(store, step, version, step.calls.free_index(place), _label(final), changes)
            call.final.put(version, final)
            close(call, changes)
        close(step, changes)
    elif not step.ended:
        step.whole.put(version, data)
        if data.step_details:
            step.details_type.put(version, word(data.step_details.type))
            if data.step_details.type != "tool_calls":
                step.details.append(version, 0, node_of(data.step_details))
        for index, whole in enumerate(calls):
            if step.calls.by_index.get(index) is None:
                _begin(_new_call(store, step, version, index, _label(whole), changes), version, whole)
    return tuple(changes)


def _calls_in(details: StepDetails | None) -> Sequence[ToolCall]:
    return (details.tool_calls or ()) if details and details.type == "tool_calls" else ()


def _begin(call: CallState, version: int, whole: ToolCall) -> None:
    """Gives a new call what a whole object already holds of it."""
    if whole.type == "function":
        function = whole.function
        if function and function.name is not None:
            call.name.put(version, function.name)
        if function and function.output is not None:
            call.output.put(version, function.output)
        call.log.append(version, (function and function.arguments) or "")
    elif whole.type == "code_interpreter":
        code = whole.code_interpreter
        call.log.append(version, (code and code.input) or "")
        for index, output in enumerate((code and code.outputs) or ()):
            call.outputs.append(version, index, node_of(output))
    else:
        call.pieces.append(version, 0, node_of(whole))


def required_calls(store: Store, version: int, event: RunEvent, narrow: None) -> Changes:
    """A run: when it requires action, that is the last word on the calls that it lists."""
    run = event.data
    store.run.put(version, run)
    action = run.required_action if run.status == "requires_action" else None
    required = (action and action.submit_tool_outputs and action.submit_tool_outputs.tool_calls) or ()
    if not required:
        return ()
    changes: list[Change] = []
    known = {call.identity.at(version): call for _, step in store.step_order for call in step.calls.at(version)}
    open_steps = [step for _, step in store.step_order if not step.ended]
    for wanted in required:
        call = known.get(wanted.id) or _without_id(open_steps, version)
        call = call or _unseen(store, version, wanted, open_steps, changes)
        if not (call.ended or call.answered):
            if call.identity.at(version) is None:
                call.identity.put(version, wanted.id)
            call.final.put(version, _as_call(wanted))
            close(call, changes)
    return tuple(changes)


def _without_id(open_steps: list[StepState], version: int) -> CallState | None:
    """The first open function call of which no delta has told the id."""
    calls = (call for step in open_steps for call in step.calls.at(version))
    return next((c for c in calls if c.kind == "function" and not c.ended and c.identity.at(version) is None), None)


def _unseen(
    store: Store,
    version: int,
    wanted: RequiredActionFunctionToolCall,
    open_steps: list[StepState],
    changes: list[Change],
) -> CallState:
    """A call that no delta has shown: the newest open step's that calls tools, or nobody's."""
    steps = [step for step in open_steps if step.details_type.at(version) in (None, "tool_calls")]
    if not steps and store.stray is None:
        store.stray = StepState("", version)
    step = steps[-1] if steps else store.stray
    assert step is not None
    known = next((call for call in step.calls.at(version) if call.identity.at(version) == wanted.id), None)
    return known or _new_call(store, step, version, step.calls.free_index(), ("function", wanted.id, False), changes)


def _as_call(wanted: RequiredActionFunctionToolCall) -> ToolCall:
    function = wanted.function
    name, arguments = (function.name, function.arguments) if function else (None, None)
    node = {"id": wanted.id, "type": "function", "function": {"name": name, "arguments": arguments, "output": None}}
    call: ToolCall = validate("ToolCall")(node)
    return call


def _step(store: Store, version: int, step_id: str, changes: list[Change]) -> StepState:
    state = store.steps.get(step_id)
    if state is None:
        state = StepState(step_id, version)
        store.add_step(version, state)
        changes.append(("created", state, -1))
    return state


def _label(shown: ToolCall) -> _Label:
    answered = shown.type == "function" and bool(shown.function) and shown.function.output is not None
    return word(shown.type), shown.id, answered


def _new_call(
    store: Store,
    step: StepState,
    version: int,
    index: int,
    label: _Label,
    changes: list[Change],
) -> CallState:
    kind, call_id, answered = label
    call = CallState(step.id, index, kind, answered)
    step.calls.add(version, call)
    if call_id is not None:
        call.identity.put(version, call_id)
    stray = _stray(store, version, call_id) if step is not store.stray else None
    if stray is not None:
        call.ended = True
        call.final.put(version, stray)
        return call
    store.calls.append((version, call))
    if not answered:
        changes.append(("created", call, -1))
    return call


def _stray(store: Store, version: int, call_id: str | None) -> ToolCall | None:
    """What has been told of this call while nobody knew its step."""
    if store.stray is None or call_id is None:
        return None
    calls = store.stray.calls.at(version)
    return next((call.final.at(version) for call in calls if call.identity.at(version) == call_id), None)

"""The changes that step events, and run events, make to a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rx_assistant.events import NarrowStep, RunEvent, RunStepEvent, ThreadRunStepDelta
from rx_assistant.events._deltas import index_of, pieces_of
from rx_assistant.snapshots.changes import FINAL, Change, Changes, appended, close, key_of, node_of, paired_calls, word
from rx_assistant.snapshots.pieces import Node
from rx_assistant.snapshots.shapes import validate
from rx_assistant.snapshots.states import CallState, StepState
from rx_assistant.snapshots.store import Store
from rx_assistant.types._inside import inside, is_model, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.types import RequiredActionFunctionToolCall, ToolCall

_Label: TypeAlias = tuple[str, str | None, bool]
"""Type and id of a call, if known, and whether it has its output already."""


def step_delta(store: Store, version: int, event: ThreadRunStepDelta, narrow: NarrowStep) -> Changes:
    """Fold a delta: append it directly if it continues known arguments or code, else read it piece by piece."""
    step = store.steps.get(narrow[0])
    if step is not None and narrow[2]:
        index, kind, text = narrow[1][0]
        call = step.calls.by_index.get(index)
        if (
            call is not None
            and call.kind == kind
            and not call.answered
            and (narrow[3] is None or narrow[3] == call.identity.at(version))
        ):
            if call.ended or step.ended:
                return ()
            call.log.append(version, text)
            return store.appended.get(call) or appended(store, call, step)
    return _step_delta(store, version, event)


def open_step(store: Store, version: int, event: ThreadRunStepDelta, narrow: NarrowStep) -> Changes:
    """Fold a delta without content: it only shows that its step exists."""
    changes: list[Change] = []
    _step(store, version, event.step_id, changes)
    return tuple(changes)


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
            for placed in pieces_of(details, "tool_calls"):
                _call_delta(store, step, version, placed, event, changes)
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
    for place, output in pieces_of(code, "outputs"):
        index = index_of(output, call.outputs.next_index())
        call.outputs.append(version, index, event, (position, place))


def step(store: Store, version: int, event: RunStepEvent, narrow: None) -> Changes:
    """Fold a whole step: a final step replaces everything, any other step adds only new calls."""
    data = event.data
    changes: list[Change] = []
    step = _step(store, version, data.id, changes)
    calls = _calls_in(data.step_details)
    if isinstance(event, FINAL):
        step.whole.put(version, data)
        step.final.put(version, data)
        _end_calls(store, step, version, calls, changes)
        close(step, changes)
    elif not step.ended:
        step.whole.put(version, data)
        if is_model(data.step_details):
            step.details_type.put(version, word(data.step_details.type))
            if data.step_details.type != "tool_calls":
                step.details.append(version, 0, node_of(data.step_details))
        for index, whole in enumerate(calls):
            if step.calls.by_index.get(index) is None and is_model(whole):
                _begin(_new_call(store, step, version, index, _label(whole), changes), version, whole)
    return tuple(changes)


def _end_calls(store: Store, step: StepState, version: int, calls: Sequence[ToolCall], changes: list[Change]) -> None:
    """Give the calls of a step their final objects; drop calls that the final step does not hold."""
    before = step.calls.at(version)
    held: set[int] = set()
    for place, (known, final) in enumerate(zip(paired_calls(before, calls, version), calls, strict=True)):
        if not is_model(final):
            continue
        call = known or _new_call(store, step, version, step.calls.free_index(place), _label(final), changes)
        held.add(id(call))
        call.final.put(version, final)
        close(call, changes)
    for call in before:
        if id(call) not in held:
            call.dropped = version
            store.drops = store.drops or version


def _calls_in(details: object) -> Sequence[ToolCall]:
    calls = inside(details, "tool_calls") if inside(details, "type") == "tool_calls" else None
    return calls if isinstance(calls, list) else ()


def _begin(call: CallState, version: int, whole: ToolCall) -> None:
    """Fill a new call with the content of a whole object."""
    if whole.type == "function":
        for name, history in (("name", call.name), ("output", call.output)):
            value = inside(whole.function, name)
            if isinstance(value, str):
                history.put(version, value)
        call.log.append(version, text_in(whole.function, "arguments"))
    elif whole.type == "code_interpreter":
        call.log.append(version, text_in(whole.code_interpreter, "input"))
        for index, output in enumerate(models_in(inside(whole.code_interpreter, "outputs"))):
            call.outputs.append(version, index, node_of(output))
    else:
        call.pieces.append(version, 0, node_of(whole))


def required_calls(store: Store, version: int, event: RunEvent, narrow: None) -> Changes:
    """Fold a run: if it requires action, the calls that it lists are final."""
    run = event.data
    store.run.put(version, run)
    if run.status != "requires_action":
        return ()
    required = models_in(inside(run.required_action, "submit_tool_outputs", "tool_calls"))
    if not required:
        return ()
    changes: list[Change] = []
    open_steps = [step for _, step in store.step_order if not step.ended]
    calls = [call for _, step in store.step_order for call in step.calls.at(version)]
    known = dict(store.strays)
    known.update((key, call) for call in calls if (key := call.identity.at(version)) is not None)
    nameless = (call for call in calls if _waits_for_its_id(call, version))
    for wanted in required:
        key = key_of(wanted)
        call = (known.get(key) if key else None) or next(nameless, None)
        if call is None:
            call = _unseen(store, version, wanted, open_steps, changes)
        if not (call.ended or call.answered):
            if call.identity.at(version) is None and key:
                call.identity.put(version, key)
            call.final.put(version, _as_call(wanted))
            close(call, changes)
    return tuple(changes)


def _waits_for_its_id(call: CallState, version: int) -> bool:
    """Whether it is an open function call without a known id."""
    return call.kind == "function" and not call.ended and call.identity.at(version) is None


def _unseen(
    store: Store,
    version: int,
    wanted: RequiredActionFunctionToolCall,
    open_steps: list[StepState],
    changes: list[Change],
) -> CallState:
    """Add a call that no delta has shown: to the newest open step that calls tools, or to no step."""
    steps = [step for step in open_steps if step.details_type.at(version) in (None, "tool_calls")]
    if not steps and store.stray is None:
        store.stray = StepState("", version)
    step = steps[-1] if steps else store.stray
    assert step is not None
    call = _new_call(
        store, step, version, step.calls.free_index(), ("function", key_of(wanted) or None, False), changes
    )
    if step is store.stray:
        store.strays[key_of(wanted)] = call
    return call


def _as_call(wanted: RequiredActionFunctionToolCall) -> ToolCall:
    name, arguments = inside(wanted.function, "name"), inside(wanted.function, "arguments")
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
    return word(shown.type), key_of(shown) or None, _is_answered(shown)


def _is_answered(shown: ToolCall) -> bool:
    """Whether a function call has its output already."""
    function: Any = getattr(shown, "function", None) if shown.type == "function" else None
    return is_model(function) and function.output is not None


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
    stray = store.strays.get(call_id) if call_id is not None and step is not store.stray else None
    if stray is not None:  # the call came before its step was known
        call.ended = True
        call.final.put(version, stray.view(version))
        return call
    store.calls.append((version, call))
    if not answered:
        changes.append(("created", call, -1))
    return call

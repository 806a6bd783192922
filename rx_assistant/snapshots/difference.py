"""diff: a snapshot and freshly fetched objects → the events that change the snapshot to the state of the objects.

They are the events that a stream would have sent to reach this state. A new object gets its `created` event, additions
are deltas, and an object that has ended is the data of its last event. Content that the snapshot holds is not repeated.
If a text does not continue the snapshot's text, there is no delta for it: the object's last event has the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rx_assistant.events import BY_NAME, StreamEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.lifecycle import MESSAGE, RUN, STEP, Lifecycle
from rx_assistant.snapshots.changes import by_place, key_of, node_of, paired_calls
from rx_assistant.snapshots.snapshot import RunSnapshot
from rx_assistant.snapshots.states import RUNNABLE, TEXTUAL, CallState, MessageState, PartState, StepState
from rx_assistant.types._inside import inside, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.types import Message, MessageContent, Run, RunStep, ToolCall

_M = TypeVar("_M", "Run", "RunStep", "Message")
_LATER = {
    "started_at": None,
    "completed_at": None,
    "cancelled_at": None,
    "failed_at": None,
    "expired_at": None,
    "incomplete_at": None,
    "incomplete_details": None,
    "last_error": None,
    "required_action": None,
    "usage": None,
}
"""The fields that an object does not have yet when it is created."""


def diff(
    snapshot: RunSnapshot,
    *,
    run: Run | None = None,
    steps: Iterable[RunStep] = (),
    messages: Iterable[Message] = (),
) -> list[StreamEvent]:
    """The events that make `snapshot` show the given objects when they are folded onto it; empty if it shows them.

    `steps` and `messages` are those of the run, oldest first. The events of a message lie inside those of its step.
    """
    left = {key_of(message): message for message in messages}
    opening, closing = _run_events(snapshot, run)
    events = list(opening)
    for step in steps:
        written = left.pop(text_in(step.step_details, "message_creation", "message_id"), None)
        events += _step_events(snapshot, step, [] if written is None else _message_events(snapshot, written))
    for message in left.values():
        events += _message_events(snapshot, message)
    return events + closing


def _run_events(snapshot: RunSnapshot, run: Run | None) -> tuple[list[StreamEvent], list[StreamEvent]]:
    """The run's events before those of its steps, and after them."""
    if run is None or run == snapshot.run:
        return [], []
    known = snapshot.status
    if known is not None and known == run.status and known in RUN.terminal:
        return [], []
    created = [] if snapshot.run else [_event("thread.run.created", _early(run, RUN))]
    reached = _event(f"thread.run.{run.status}", run) if run.status in RUN.statuses else None
    if reached is None:
        return created, []
    return (created, [reached]) if run.status in RUN.stops else ([*created, reached], [])


def _step_events(snapshot: RunSnapshot, step: RunStep, written: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
    state = snapshot.step_state(key_of(step))
    if state is None:
        yield _event("thread.run.step.created", _without_calls(_early(step, STEP)))
    if state is not None and state.final.at(snapshot.version) is not None:
        yield from written
        return
    for position, call, known in _placed_calls(state, step, snapshot.version):
        piece = _call_piece(call, known, snapshot.version)
        if piece is not None:
            yield _step_delta(step, {"index": known.index if known else position, **piece})
    yield from written
    if step.status in STEP.terminal:
        yield _event(f"thread.run.step.{step.status}", step)
    elif state is not None and _changed(state.whole.at(snapshot.version), step, "step_details"):
        yield _event("thread.run.step.in_progress", _without_calls(step))


def _message_events(snapshot: RunSnapshot, message: Message) -> Iterator[StreamEvent]:
    state = snapshot.message_state(key_of(message))
    if state is None:
        yield _event("thread.message.created", _early(message, MESSAGE).model_copy(update={"content": []}))
    elif state.final.at(snapshot.version) is not None:
        return
    for position, block, known in _placed_parts(state, message, snapshot.version):
        piece = _part_piece(block, known, snapshot.version)
        if piece is not None:
            yield _message_delta(message, {"index": known.index if known else position, **piece})
    status: str | None = message.status
    if status is None or status in MESSAGE.terminal:  # a user's message has no status, and is complete
        yield _event(f"thread.message.{status or 'completed'}", message)
    elif state is not None and _changed(state.whole.at(snapshot.version), message, "content"):
        yield _event("thread.message.in_progress", message.model_copy(update={"content": []}))


# -- what was added ---------------------------------------------------------------------------------------------------


def _placed_parts(
    state: MessageState | None, message: Message, version: int
) -> Iterator[tuple[int, MessageContent, PartState | None]]:
    content: Sequence[MessageContent] = models_in(message.content)
    states = state.parts.at(version) if state else []
    yield from zip(range(len(content)), content, by_place(states, content), strict=True)


def _placed_calls(
    state: StepState | None, step: RunStep, version: int
) -> Iterator[tuple[int, ToolCall, CallState | None]]:
    calls: Sequence[ToolCall] = models_in(inside(step.step_details, "tool_calls")) if _calls_tools(step) else ()
    states = state.calls.at(version) if state else []
    yield from zip(range(len(calls)), calls, paired_calls(states, calls, version), strict=True)


def _calls_tools(step: RunStep) -> bool:
    return bool(inside(step.step_details, "type") == "tool_calls")


def _part_piece(block: MessageContent, known: PartState | None, version: int) -> dict[str, Any] | None:
    """The delta of a part; None if nothing was added."""
    node = node_of(block)
    if known is None or known.kind != node.get("type"):
        return node if known is None else None
    if known.kind not in TEXTUAL:
        return None if known.view(version) == block else node
    if known.kind == "refusal":
        more = _added(known.log.at(version), node.get("refusal"))
        return {"type": "refusal", "refusal": more} if more else None
    body = _object(node.get("text"))
    more = _added(known.log.at(version), body.get("value"))
    marks = _numbered(body.get("annotations"), known.annotations.length(version))
    if more is None or not (more or marks):
        return None
    return {"type": "text", "text": {"value": more, **({"annotations": marks} if marks else {})}}


def _call_piece(call: ToolCall, known: CallState | None, version: int) -> dict[str, Any] | None:
    """The delta of a call; None if nothing was added."""
    node = node_of(call)
    kind = node.get("type")
    body = _object(node.get(kind or ""))
    if kind == "code_interpreter" and body.get("outputs"):
        body = {**body, "outputs": _numbered(body["outputs"], 0)}
        node = {**node, "code_interpreter": body}
    if known is None:
        return node
    if known.kind != kind or known.final.at(version) is not None:
        return None
    if kind not in RUNNABLE:
        return None if known.view(version) == call else node
    more: dict[str, Any] = {}
    key = "arguments" if kind == "function" else "input"
    if added := _added(known.log.at(version), body.get(key)):
        more[key] = added
    if kind == "function" and body.get("output") not in (None, known.output.at(version)):
        more["output"] = body["output"]
    if kind == "code_interpreter" and (outputs := _objects(body.get("outputs"))[known.outputs.length(version) :]):
        more["outputs"] = outputs
    return {"type": kind, kind: more} if more else None


def _added(before: str, after: object) -> str | None:
    """The text that continues `before` to `after`; None if `after` does not continue it."""
    return after[len(before) :] if isinstance(after, str) and after.startswith(before) else None


def _numbered(items: object, start: int) -> list[dict[str, Any]]:
    """The items from index `start` on, each with its index."""
    return [{"index": index, **item} for index, item in enumerate(_objects(items)) if index >= start]


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# -- events -----------------------------------------------------------------------------------------------------------


def _event(name: str, data: Run | RunStep | Message) -> StreamEvent:
    return BY_NAME[name].from_data(data)


def _message_delta(message: Message, piece: dict[str, Any]) -> StreamEvent:
    delta = {"content": [piece]}
    return ThreadMessageDelta(_json({"id": message.id, "object": "thread.message.delta", "delta": delta}))


def _step_delta(step: RunStep, piece: dict[str, Any]) -> StreamEvent:
    delta = {"step_details": {"type": "tool_calls", "tool_calls": [piece]}}
    return ThreadRunStepDelta(_json({"id": step.id, "object": "thread.run.step.delta", "delta": delta}))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _early(fetched: _M, life: Lifecycle) -> _M:
    """The object as it was when it was created: with the initial status, and without the fields of later states."""
    changes = {name: value for name, value in _LATER.items() if name in fetched.model_fields_set}
    return fetched.model_copy(update={**changes, "status": life.initial})


def _without_calls(step: RunStep) -> RunStep:
    if not _calls_tools(step):
        return step
    return step.model_copy(update={"step_details": step.step_details.model_copy(update={"tool_calls": []})})


def _changed(known: RunStep | Message | None, fetched: RunStep | Message, apart_from: str) -> bool:
    """Whether a field other than `apart_from` differs."""
    if known is None:
        return True
    before, after = ({**node_of(each), apart_from: None} for each in (known, fetched))
    return before != after

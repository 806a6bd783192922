"""Values that are a little off cost the operators, handlers and snapshots their field, and nothing else."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from operators_wire import event

import rx_assistant
from rx_assistant import AssistantEventHandler, operators as ax
from rx_assistant.errors import ProtocolError, RunFailedError
from rx_assistant.events import DoneEvent, StreamEvent, UnknownEvent, frame

ODD: list[Any] = [1.5, "text", 7, True, [], ["x", 1], {}, {"a": 1}]


def stream_of(*events: StreamEvent) -> rx_assistant.AssistantStream:
    return rx_assistant.replay(b"".join(map(frame, (*events, DoneEvent()))))


def text(value: Any, **more: Any) -> StreamEvent:
    part = {"index": 0, "type": "text", "text": {"value": value}, **more}
    return event("message.delta", {"id": "msg_1", "delta": {"content": [part]}})


def story(field: tuple[str, ...], odd: Any) -> list[StreamEvent]:
    """A run with a call and a message, in which every occurrence of a field at the end of a path is odd."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}}
    wanted = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
    run = {"id": "run_1", "thread_id": "t", "status": "requires_action", "required_action": wanted, "usage": {}}
    step = {"id": "step_1", "run_id": "run_1", "type": "tool_calls", "status": "completed"}
    step["step_details"] = {"type": "tool_calls", "tool_calls": [call]}  # type: ignore[assignment]
    code = {"index": 1, "type": "code_interpreter", "code_interpreter": {"input": "1", "outputs": [{"type": "logs"}]}}
    calls = {"step_details": {"type": "tool_calls", "tool_calls": [{"index": 0, **call}, code]}}
    note = {"type": "file_citation", "text": "x", "file_citation": {"file_id": "f"}}
    content = [
        {"type": "text", "text": {"value": "Hi", "annotations": [note]}},
        {"type": "image_file", "image_file": {}},
    ]
    message = {"id": "msg_1", "run_id": "run_1", "role": "assistant", "status": "completed", "content": content}
    pieces = [{"index": at, **part} for at, part in enumerate(content)]
    told = [
        ("run.created", {**run, "status": "queued", "required_action": None}),
        ("run.step.created", {**step, "status": "in_progress"}),
        ("run.step.delta", {"id": "step_1", "delta": calls}),
        ("run.requires_action", run),
        ("run.step.completed", step),
        ("message.created", {**message, "status": "in_progress"}),
        ("message.delta", {"id": "msg_1", "delta": {"content": pieces}}),
        ("message.completed", message),
        ("run.failed", {**run, "status": "failed", "last_error": {"code": "c", "message": "m"}}),
    ]
    return [event(name, replaced(json.loads(json.dumps(data)), field, odd)) for name, data in told]


def replaced(value: Any, path: tuple[str, ...], odd: Any) -> Any:
    """The value with `odd` wherever the last names of a way to it are `path`."""
    if isinstance(value, list):
        return [replaced(item, path, odd) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: replaced(item, path, odd) for key, item in value.items()}
    if len(path) == 1 and path[0] in found:
        found[path[0]] = odd
    elif path[0] in found and len(path) > 1:
        found[path[0]] = replaced(found[path[0]], path[1:], odd)
    return found


PATHS = """
    required_action submit_tool_outputs submit_tool_outputs.tool_calls function arguments name output step_details
    step_details.tool_calls code_interpreter input outputs logs content text text.value annotations image_file
    delta last_error usage status type index run_id thread_id created_at id
"""
FIELDS = [tuple(path.split(".")) for path in PATHS.split()]

READINGS: dict[str, Callable[[rx_assistant.AssistantStream], Any]] = {
    "text_deltas": lambda s: "".join(s.text_deltas),
    "text_snapshots": lambda s: [(each.value, list(each.annotations)) for each in s.pipe(ax.text_snapshots())],
    "texts": lambda s: [(list(each.deltas), list(each.done)) for each in s.pipe(ax.texts())],
    "messages": lambda s: list(s.pipe(ax.messages())),
    "message_streams": lambda s: [(list(each), list(each.snapshots)) for each in s.pipe(ax.message_streams())],
    "tool_calls": lambda s: [
        (each.name, each.id, list(each), list(each.argument_deltas), list(each.outputs), list(each.snapshots))
        for each in s.pipe(ax.tool_calls())
    ],
    "completed_tool_calls": lambda s: list(s.pipe(ax.completed_tool_calls())),
    "required_actions": lambda s: list(s.pipe(ax.required_actions())),
    "run_steps": lambda s: [(list(each), list(each.snapshots)) for each in s.pipe(ax.run_steps())],
    "completed_run_steps": lambda s: list(s.pipe(ax.completed_run_steps())),
    "run_statuses": lambda s: list(s.pipe(ax.run_statuses())),
    "until_terminal": lambda s: list(s.pipe(ax.until_terminal())),
    "snapshots": lambda s: [
        (each.text, each.model_dump(), list(each.tool_calls), each.usage) for each in s.pipe(ax.snapshots())
    ],
    "coalesce": lambda s: s.pipe(ax.snapshots(), ax.latest()).run(),
}


class Everything(AssistantEventHandler):
    """Overrides every callback, and reads what it gets."""


for _name in [name for name in vars(AssistantEventHandler) if name.startswith("on_")]:
    setattr(Everything, _name, lambda self, *given: repr(given))


@pytest.mark.parametrize("field", FIELDS, ids=".".join)
def test_every_operator_and_callback_lives_with_every_odd_value(
    field: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for odd in ODD:
        events = story(field, odd)
        for reading in READINGS.values():
            reading(stream_of(*events))
        handler = Everything()
        stream = stream_of(*events)
        stream.attach(handler)
        stream.until_done()
        assert handler.exception is None
        _ = (stream.current_message_snapshot, stream.current_run_step_snapshot, stream.current_run)


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_is_off_beside_the_text_costs_no_text(odd: Any) -> None:
    sent = [
        event("run.created", {"id": "run_1", "created_at": odd, "metadata": odd, "tools": odd, "usage": odd}),
        event("message.created", {"id": "msg_1", "created_at": odd, "attachments": odd, "content": odd}),
        text("a", extra=odd),
        event("message.delta", {"id": "msg_1", "delta": {"content": [odd, {"index": 0, "type": "text", "text": odd}]}}),
        text("b"),
    ]
    stream = stream_of(*sent)
    assert "".join(stream.text_deltas) == stream.snapshot.text == "ab"


@pytest.mark.parametrize(
    ("last_error", "said"),
    [({"code": 429, "message": "slow down"}, "429: slow down"), ("slow down", "slow down"), (["slow"], "slow")],
)
def test_the_reason_of_a_failed_run_is_told_whatever_its_shape(last_error: Any, said: str) -> None:
    failed = event("run.failed", {"id": "run_1", "status": "failed", "last_error": last_error})
    with pytest.raises(RunFailedError, match=said):
        stream_of(failed).pipe(ax.raise_on_failure()).run()


# -- events whose names were garbled ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["thread.mesXage.delta", "message", "thread.run.step.dXlta"])
def test_a_delta_under_an_unknown_name_is_logged_once_and_fails_verify(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    word = "thread.run.step.delta" if "step" in name else "thread.message.delta"
    lost = UnknownEvent(name, json.dumps({"id": "x", "object": word, "delta": {}}).encode())
    sent = [event("run.created", {"id": "run_1", "status": "queued"}), lost, lost]
    assert len(list(stream_of(*sent))) == len(sent)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert name in caplog.text
    assert word in caplog.text
    with pytest.raises(ProtocolError, match=word) as caught:
        stream_of(*sent).pipe(ax.verify()).run()
    assert caught.value.event == lost


@pytest.mark.parametrize(
    "payload", ["7", "{}", '{"object":"thread.run"}', '{"object":7}', '{"delta":"thread.message.delta"}', "{"]
)
def test_other_unknown_events_pass_in_silence(payload: str, caplog: pytest.LogCaptureFixture) -> None:
    strange = UnknownEvent("thread.run.paused", payload.encode())
    run = event("run.completed", {"id": "run_1", "status": "completed"})
    list(stream_of(strange, run).pipe(ax.verify()))
    assert caplog.records == []


# -- closing many calls at once ---------------------------------------------------------------------------------------


def many_calls(count: int, *, with_ids: bool, with_deltas: bool) -> list[StreamEvent]:
    details: Any = {"type": "tool_calls", "tool_calls": []}
    sent = [event("run.step.created", {"id": "step_1", "status": "in_progress", "step_details": details})]
    wanted = []
    for index in range(count):
        call: Any = {"id": f"call_{index}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        wanted.append(call)
        told = {"index": index, **call} if with_ids else {"index": index, **call, "id": None}
        if with_deltas:
            sent.append(
                event("run.step.delta", {"id": "step_1", "delta": {"step_details": {**details, "tool_calls": [told]}}})
            )
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": wanted}}
    return [*sent, event("run.requires_action", {"id": "r", "status": "requires_action", "required_action": action})]


def calls_made(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, are called by `work`."""
    count = 0

    def profile(frame: object, kind: str, argument: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    gc.disable()  # whose callbacks would be counted
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


class Told(AssistantEventHandler):
    """Is told of every call, and reads nothing of it."""

    def on_tool_call_created(self, tool_call: Any) -> None: ...
    def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None: ...
    def on_tool_call_done(self, tool_call: Any) -> None: ...


def subscribed(stream: rx_assistant.AssistantStream) -> None:
    done: list[Any] = []
    stream.pipe(ax.tool_calls()).subscribe(lambda call: call.done.subscribe(done.append))
    stream.pipe(ax.run_steps()).subscribe(lambda step: step.snapshots.subscribe(lambda view: None))
    stream.until_done()
    assert done


def attached(stream: rx_assistant.AssistantStream) -> None:
    stream.attach(Told())
    stream.until_done()


@pytest.mark.parametrize(
    "work", [subscribed, attached, lambda s: list(s.pipe(ax.tool_calls()))], ids=["subscribed", "attached", "looped"]
)
@pytest.mark.parametrize(("with_ids", "with_deltas"), [(True, True), (False, True), (True, False)])
def test_closing_many_calls_costs_the_same_for_each(work: Any, with_ids: bool, with_deltas: bool) -> None:
    costs = []
    for count in (60, 240):
        sent = many_calls(count, with_ids=with_ids, with_deltas=with_deltas)
        work(stream_of(*sent))
        costs.append(calls_made(lambda: work(stream_of(*sent))))  # noqa: B023
    assert costs[1] < 4.5 * costs[0]

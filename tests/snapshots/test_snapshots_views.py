"""Views look and behave like the models they show; reading one field computes that field only."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cases import in_one_test
from generated import Generated, messy_streams
from hypothesis import given, settings
from pydantic import BaseModel, TypeAdapter, ValidationError

from rx_assistant.events import BY_NAME, StreamEvent
from rx_assistant.snapshots import CallState, Fold, PartState, RunSnapshot, fold
from rx_assistant.snapshots.text import TextLog
from rx_assistant.types import (
    CodeInterpreterToolCall,
    FunctionToolCall,
    Message,
    ReadOnlyList,
    RefusalContentBlock,
    RunStep,
    Text,
    TextContentBlock,
    TextDelta,
    ToolCallsStepDetails,
    WireModel,
)


def event(name: str, payload: Any) -> StreamEvent:
    return BY_NAME[name](json.dumps(payload, separators=(",", ":")).encode())


def message_delta(*pieces: Any) -> StreamEvent:
    payload = {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": list(pieces)}}
    return event("thread.message.delta", payload)


def step_delta(*pieces: Any) -> StreamEvent:
    details = {"type": "tool_calls", "tool_calls": list(pieces)}
    payload = {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": details}}
    return event("thread.run.step.delta", payload)


BARE_MARK = {"type": "file_citation", "text": "【1】", "file_citation": {"file_id": "file_1"}, "extra": [1]}
MARK = {"index": 0, **BARE_MARK}
MESSAGE = {"id": "msg_1", "role": "assistant", "status": "in_progress", "metadata": {"k": "v"}}
EVENTS = [
    event(
        "thread.message.created", {"id": "msg_1", "role": "assistant", "status": "in_progress", "metadata": {"k": "v"}}
    ),
    message_delta({"index": 0, "type": "text", "text": {"value": "Hel"}}),
    message_delta({"index": 0, "type": "text", "text": {"value": "lo", "annotations": [MARK]}}),
    message_delta({"index": 1, "type": "refusal", "refusal": "No"}),
    event("thread.run.step.created", {"id": "step_1", "status": "in_progress", "created_at": 7, "surprise": {"a": 1}}),
    step_delta({"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}),
    step_delta({"index": 0, "type": "function", "function": {"arguments": "{}"}}),
    step_delta({"index": 1, "id": "call_2", "type": "code_interpreter", "code_interpreter": {"input": "1"}}),
]


def snapshot_of(events: list[StreamEvent]) -> RunSnapshot:
    snapshot = RunSnapshot()
    for each in events:
        snapshot = fold(snapshot, each)
    return snapshot


SNAPSHOT = snapshot_of(EVENTS)
PART = SNAPSHOT.messages[0].content[0]
CALL = SNAPSHOT.steps[0].step_details.tool_calls[0]

VIEWS: dict[str, tuple[Any, type[WireModel], dict[str, Any]]] = {
    "message": (
        SNAPSHOT.messages[0],
        Message,
        {
            "id": "msg_1",
            "status": "in_progress",
            "role": "assistant",
            "content": [
                {
                    "type": "text",
                    "text": {"value": "Hello", "annotations": [BARE_MARK]},
                },
                {"type": "refusal", "refusal": "No"},
            ],
            "metadata": {"k": "v"},
        },
    ),
    "part": (PART, TextContentBlock, {"type": "text", "text": PART.text.model_dump(exclude_unset=True)}),
    "text": (PART.text, Text, {"value": "Hello", "annotations": [BARE_MARK]}),
    "refusal": (SNAPSHOT.messages[0].content[1], RefusalContentBlock, {"type": "refusal", "refusal": "No"}),
    "step": (
        SNAPSHOT.steps[0],
        RunStep,
        {
            "id": "step_1",
            "created_at": 7,
            "type": "tool_calls",
            "status": "in_progress",
            "step_details": SNAPSHOT.steps[0].step_details.model_dump(exclude_unset=True),
            "surprise": {"a": 1},
        },
    ),
    "details": (
        SNAPSHOT.steps[0].step_details,
        ToolCallsStepDetails,
        {"type": "tool_calls", "tool_calls": [call.model_dump(exclude_unset=True) for call in SNAPSHOT.tool_calls]},
    ),
    "function": (
        SNAPSHOT.tool_calls[0],
        FunctionToolCall,
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ),
    "code": (
        SNAPSHOT.tool_calls[1],
        CodeInterpreterToolCall,
        {"id": "call_2", "type": "code_interpreter", "code_interpreter": {"input": "1", "outputs": []}},
    ),
}
EVERY_VIEW = pytest.mark.parametrize(("view", "model", "dumped"), VIEWS.values(), ids=VIEWS)


@EVERY_VIEW
def test_a_view_is_an_instance_of_its_model(view: Any, model: type[WireModel], dumped: Any) -> None:
    assert isinstance(view, model)
    assert type(view).__name__ == model.__name__
    assert type(view.to_model()) is model
    assert type(view) is not model


@EVERY_VIEW
def test_a_view_dumps_what_the_model_dumps(view: Any, model: type[WireModel], dumped: Any) -> None:
    plain = model.model_validate(dumped)
    assert view.model_dump(exclude_unset=True) == dumped
    assert view.model_dump() == plain.model_dump()
    assert json.loads(view.model_dump_json(exclude_unset=True)) == dumped
    assert view.model_fields_set == plain.model_fields_set
    assert view.model_extra == plain.model_extra
    assert TypeAdapter(model).dump_python(view, exclude_unset=True) == dumped
    assert json.loads(TypeAdapter(Any).dump_json(view)) == plain.model_dump()
    assert dict(view) == dict(plain)
    assert vars(view) == vars(plain)


@EVERY_VIEW
def test_a_view_equals_the_model_both_ways(view: Any, model: type[WireModel], dumped: Any) -> None:
    plain = model.model_validate(dumped)
    assert view == plain
    assert plain == view
    assert view == view.to_model()
    assert hash(view) == hash(plain)
    assert repr(view) == repr(plain)
    assert str(view) == str(plain)
    other = plain.model_copy(update={next(iter(dumped)): "other"})
    assert view != other
    assert other != view
    assert view != dumped


@EVERY_VIEW
def test_a_view_fits_into_models_of_ones_own(view: Any, model: type[WireModel], dumped: Any) -> None:
    class Mine(BaseModel):
        shown: model  # type: ignore[valid-type]

    mine = Mine(shown=view)
    assert mine.shown is view
    assert mine.model_dump(exclude_unset=True) == {"shown": dumped}
    assert json.loads(mine.model_dump_json(exclude_unset=True)) == {"shown": dumped}
    assert mine == Mine(shown=view.to_model())


@EVERY_VIEW
def test_a_view_is_read_only(view: Any, model: type[WireModel], dumped: Any) -> None:
    plain = view.to_model()
    for name in (*model.model_fields, "new", "_source", "_at", "__dict__"):
        with pytest.raises((ValidationError, AttributeError, TypeError)):
            setattr(view, name, None)
        with pytest.raises((ValidationError, AttributeError)):
            delattr(view, name)
    assert view == plain


@EVERY_VIEW
def test_assignment_fails_as_on_the_model(view: Any, model: type[WireModel], dumped: Any) -> None:
    name = next(iter(model.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(view.to_model(), name, None)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(view, name, None)


@EVERY_VIEW
def test_copies_are_views_or_plain_models(view: Any, model: type[WireModel], dumped: Any) -> None:
    assert copy.copy(view) is view
    copies = (copy.deepcopy(view), view.model_copy(), pickle.loads(pickle.dumps(view)), view.to_model())
    for plain in copies:
        assert type(plain) is model
        assert plain == view
        assert all(type(item) is type(item.to_model()) for item in nested(plain))
    assert view.model_copy(update={"id": "other"}).id == "other"


def nested(model: WireModel) -> list[WireModel]:
    values = [item for value in vars(model).values() for item in (value if isinstance(value, list) else [value])]
    return [value for value in values if isinstance(value, WireModel)]


def test_lists_and_dicts_in_views_are_read_only() -> None:
    message, step = SNAPSHOT.messages[0], SNAPSHOT.steps[0]
    for found in (message.content, message.content[0].text.annotations, step.step_details.tool_calls):
        assert isinstance(found, ReadOnlyList)
        with pytest.raises(TypeError):
            found.append(None)
    with pytest.raises(TypeError):
        message.metadata["k"] = "w"
    with pytest.raises(TypeError):
        step.surprise["a"] = 2


def test_a_view_can_be_matched() -> None:
    match SNAPSHOT.messages[0]:
        case Message(id="msg_1", content=[TextContentBlock(text=Text(value=value)), RefusalContentBlock()]):
            assert value == "Hello"
        case _:
            pytest.fail("did not match")


def test_fields_that_the_model_does_not_know_are_attributes_of_the_view() -> None:
    assert SNAPSHOT.steps[0].surprise == {"a": 1}
    assert not hasattr(SNAPSHOT.steps[0], "nothing")
    with pytest.raises(AttributeError, match="nothing"):
        SNAPSHOT.steps[0].nothing  # noqa: B018


def test_a_message_of_deltas_only_has_the_models_defaults() -> None:
    message = snapshot_of(EVENTS[1:2]).messages[0]
    assert (message.id, message.object, message.status, message.role) == ("msg_1", "thread.message", None, None)
    assert message.model_dump(exclude_unset=True).keys() == {"id", "content"}


def counting(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    seen: list[str] = []
    original: Callable[..., Any] = getattr(owner, name)

    def counted(self: Any, *arguments: Any) -> Any:
        seen.append(name)
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, counted)
    return seen


def test_reading_one_field_computes_only_that_field(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = counting(monkeypatch, TextLog, "at")
    snapshot = snapshot_of(EVENTS)
    message = snapshot.messages[0]
    assert (message.status, message.id, message.content[0].type) == ("in_progress", "msg_1", "text")
    assert snapshot.steps[0].created_at == 7
    assert snapshot.tool_calls[0].id == "call_1"
    assert texts == []
    assert message.content[0].text.value == "Hello"
    assert len(texts) == 1


DELTAS = [
    message_delta({"index": 0, "type": "text", "text": {"value": "lo"}}),
    message_delta({"index": 0, "type": "text", "text": {"value": "l\no", "annotations": []}}),
    message_delta({"index": 0, "type": "text", "text": {"value": "lo", "annotations": [MARK], "more": 1}}),
    message_delta({"index": 0, "type": "text", "text": {"annotations": [MARK]}}),
    message_delta({"index": 0, "type": "text"}),
    step_delta({"index": 0, "type": "function", "function": {"arguments": "{"}}),
    step_delta({"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}),
    step_delta({"index": 1, "type": "code_interpreter", "code_interpreter": {"input": "\n"}}),
    step_delta({"index": 1, "type": "code_interpreter", "code_interpreter": {"outputs": []}}),
    step_delta({"index": 2, "type": "file_search", "file_search": {}}),
]


@in_one_test("delta", DELTAS)
@in_one_test("model_first", [False, True])
def test_a_deltas_view_is_the_events_own_delta(delta: StreamEvent, model_first: bool) -> None:
    delta = type(delta)(delta.raw)
    if model_first:
        assert delta.data
    ((_, changes, _),) = Fold(SNAPSHOT).advance(delta)
    state, position = next((state, at) for phase, state, at in changes if phase == "delta")
    if isinstance(state, PartState):
        view, model = state.text_delta(delta, position), delta.data.delta.content[position].text or TextDelta()
        assert (view.value, view.annotations) == (model.value, model.annotations)
    else:
        assert isinstance(state, CallState)
        view, model = state.delta(delta, position), delta.data.delta.step_details.tool_calls[position]
        assert (view.index, view.id, view.type) == (model.index, model.id, model.type)
        assert getattr(view, view.type) == getattr(model, model.type)
    assert isinstance(view, type(model))
    assert view == model
    assert view.model_dump(exclude_unset=True) == model.model_dump(exclude_unset=True)
    assert view.model_fields_set == model.model_fields_set


def test_reading_the_text_of_a_delta_builds_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from rx_assistant.events import StreamEvent

    reader, asked = Fold(snapshot_of(EVENTS)), []
    monkeypatch.setattr(StreamEvent, "_decode", asked.append)
    for delta in (DELTAS[0], DELTAS[2], DELTAS[5], DELTAS[7]):
        delta = type(delta)(delta.raw)
        ((_, changes, _),) = reader.advance(delta)
        for phase, state, at in changes:
            if phase == "delta" and isinstance(state, PartState):
                assert state.text_delta(delta, at).value == "lo"
            if phase == "delta" and isinstance(state, CallState):
                assert state.delta(delta, at).type == state.kind
    assert asked == []


@pytest.mark.parametrize("kind", ["function", "code_interpreter"])
def test_the_inner_object_of_a_call_is_one_object(kind: str) -> None:
    delta = DELTAS[5 if kind == "function" else 7]
    ((version, ((_, call, at), _), _),) = Fold(snapshot_of(EVENTS)).advance(delta)
    for view in (call.delta(delta, at), call.view(version)):
        assert getattr(view, kind) is getattr(view, kind)
        with pytest.raises(ValidationError, match="frozen"):
            setattr(view, kind, None)
        with pytest.raises(ValidationError, match="frozen"):
            delattr(view, kind)


@settings(deadline=None, max_examples=50)
@given(messy_streams())
def test_every_view_of_a_stream_equals_its_plain_model(stream: Generated) -> None:
    snapshot = RunSnapshot()
    for each in stream.events:
        snapshot = fold(snapshot, each)
        for view in (*snapshot.messages[-1:], *snapshot.steps[-1:], *snapshot.tool_calls[-1:]):
            plain = type(view.to_model()).model_validate(view.model_dump(exclude_unset=True))
            assert view == plain
            assert view.model_dump() == plain.model_dump()

"""Events and snapshots in JSON columns, queues, routes and users' own pydantic models: out, and back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic_core
import pytest
from cases import in_one_test
from pydantic import BaseModel, TypeAdapter, ValidationError
from reference import RECORDINGS

import rx_assistant
from rx_assistant import AssistantStreamEvent, events as ev
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.sse import SSEDecoder

RUN = ev.ThreadRunCreated(b'{"id":"run_1","object":"thread.run","status":"queued","tools":[],"strange":{"a":1}}')
ANY: TypeAdapter[Any] = TypeAdapter(AssistantStreamEvent)

EVENTS = [
    RUN,
    ev.ThreadMessageDelta(
        b'{"id":"msg_1","delta":{"content":[{"index":0,"type":"text","text":{"value":"\xc3\xa4"}}]}}'
    ),
    ev.ErrorEvent(b'{"error":{"message":"busy","code":500}}'),
    ev.UnknownEvent("thread.new", b'[1,{"a":null}]'),
    ev.DoneEvent(),
    ev.ThreadRunFailed(b'{"id":7,"created_at":1.5,"last_error":"boom"}'),
]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """A warning anywhere is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def decoded(path: Path) -> list[ev.StreamEvent]:
    found: list[ev.StreamEvent] = []

    def emit(one: tuple[bytes, bytes]) -> None:
        kind, payload = ev.classify(*one)
        found.append(kind(payload))

    SSEDecoder().push(path.read_bytes(), emit)
    return found


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)
def test_every_dump_reads_back_as_the_same_event(event: ev.StreamEvent) -> None:
    plain = {"event": event.event, "data": "[DONE]" if isinstance(event, ev.DoneEvent) else json.loads(event.raw)}
    assert event.model_dump() == event.to_dict() == event.model_dump(mode="json") == plain
    assert json.loads(event.model_dump_json()) == json.loads(event.to_json()) == plain
    assert pydantic_core.to_jsonable_python(event) == plain
    assert json.loads(pydantic_core.to_json([event])) == [plain]
    one: TypeAdapter[Any] = TypeAdapter(type(event))
    ends = isinstance(event, ev.DoneEvent | ev.ErrorEvent)  # the endings are no items of a stream
    for adapter in (one,) if ends else (one, ANY):
        assert adapter.validate_python(event) is event
        assert adapter.validate_python(plain) == event
        assert adapter.validate_json(adapter.dump_json(event)) == event
        assert adapter.dump_python(event) == plain
        assert type(adapter.validate_python(plain)) is type(event)


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:60])
def test_every_recorded_event_survives_its_json(path: Path) -> None:
    found = [event for event in decoded(path) if not isinstance(event, ev.DoneEvent | ev.ErrorEvent)]
    assert [ANY.validate_json(event.model_dump_json()) for event in found] == found


def test_an_event_and_a_snapshot_are_dicts_of_their_fields() -> None:
    assert dict(RUN) == RUN.to_dict()
    assert dict(fold(RunSnapshot(), RUN)).keys() == {"thread", "run", "messages", "steps"}


def test_the_options_of_pydantic_mean_what_they_mean_on_models() -> None:
    event = ev.ThreadRunCreated(b'{"id":"run_1","model":null,"response_format":{"type":"json_schema"}}')
    assert "usage" in event.model_dump(exclude_unset=False)["data"]
    assert "model" not in event.model_dump(exclude_none=True)["data"]
    assert event.model_dump(include={"event"}) == {"event": "thread.run.created"}
    assert event.model_dump(exclude={"data": {"model"}})["data"].keys() == {"id", "response_format"}
    assert event.model_dump_json(indent=1).count("\n") > 3
    assert event.to_dict(use_api_names=False)["data"]["id"] == "run_1"


def test_a_payload_that_is_no_json_is_dumped_as_text() -> None:
    assert ev.ThreadRunCreated(b"{oops").model_dump() == {"event": "thread.run.created", "data": "{oops"}


class Row(BaseModel):
    event: ev.ThreadRunCreated
    any: AssistantStreamEvent | None = None
    family: ev.RunEvent | None = None
    snapshot: RunSnapshot | None = None


def test_events_and_snapshots_are_fields_of_a_users_model() -> None:
    snapshot = fold(RunSnapshot(), RUN)
    row = Row(event=RUN, any=EVENTS[1], family=RUN, snapshot=snapshot)  # type: ignore[arg-type]
    assert row.event is RUN
    assert row.snapshot is snapshot
    again = Row.model_validate_json(row.model_dump_json())
    assert again == row
    assert type(again.family) is ev.ThreadRunCreated
    assert Row.model_validate(row.model_dump()) == row
    assert row.model_copy(deep=True) == row


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "thread.run.queued", "data": {}},
        {"event": "thread.run.created"},
        {"data": {}},
        {"event": 7, "data": {}},
        7,
        "x",
    ],
    ids=str,
)
def test_what_is_another_event_or_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        Row.model_validate({"event": wrong})
    with pytest.raises(ValidationError):
        TypeAdapter(ev.MessageEvent).validate_python(wrong)


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_events_and_snapshots_have_json_schemas(mode: Any) -> None:
    schema = TypeAdapter(ev.ThreadRunCreated).json_schema(mode=mode)
    assert schema["properties"]["event"] == {"const": "thread.run.created", "title": "Event", "type": "string"}
    assert schema["properties"]["data"]["$ref"] == "#/$defs/Run"
    assert sorted(schema["required"]) == ["data", "event"]
    assert len(ANY.json_schema(mode=mode)["anyOf"]) >= len(ev.BY_NAME) - 1
    assert "messages" in TypeAdapter(RunSnapshot).json_schema(mode=mode)["properties"]
    Row.model_json_schema(mode=mode)


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:60])
def test_a_snapshot_survives_its_json_after_every_event(path: Path) -> None:
    snapshot = RunSnapshot()
    adapter = TypeAdapter(RunSnapshot)
    shown: list[Any] = []
    for event in decoded(path):
        snapshot = fold(snapshot, event)
        if not isinstance(event, ev.ThreadMessageDelta | ev.ThreadRunStepDelta) or len(shown) % 7 == 0:
            again = adapter.validate_json(adapter.dump_json(snapshot))
            assert again.text == snapshot.text
            assert (again.run, again.thread) == (snapshot.run, snapshot.thread)
            assert [message.id for message in again.messages] == [message.id for message in snapshot.messages]
            assert list(again.tool_calls) == list(snapshot.tool_calls)
        shown.append(event)
    assert adapter.validate_json(adapter.dump_json(snapshot)).messages == snapshot.messages


def test_a_stored_snapshot_can_be_folded_on() -> None:
    created = ev.ThreadMessageCreated(b'{"id":"msg_1","status":"in_progress","role":"assistant"}')
    stored = TypeAdapter(RunSnapshot).dump_json(fold(fold(RunSnapshot(), created), EVENTS[1]))
    assert fold(TypeAdapter(RunSnapshot).validate_json(stored), EVENTS[1]).text == "ää"


def test_the_dumps_of_a_snapshot_have_the_sdks_names() -> None:
    snapshot = (
        rx_assistant.replay(b"".join(map(ev.frame, [RUN, ev.DoneEvent()])))
        .pipe(rx_assistant.operators.final_snapshot())
        .run()
    )
    assert snapshot.to_dict()["run"] == json.loads(RUN.raw)
    assert json.loads(snapshot.to_json()) == snapshot.to_dict()
    assert pydantic_core.to_jsonable_python(snapshot)["run"]["id"] == "run_1"

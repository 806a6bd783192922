"""Frames ⇄ events: nameless frames of proxies, and law L2, decode ∘ encode is the identity on events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cases import in_one_test
from hypothesis import example, given, settings, strategies as st
from reference import RECORDINGS

from rx_assistant import events as ev
from rx_assistant.sse import SSEDecoder
from rx_assistant.types import Message, Run, RunStep, RunStepDeltaEvent, Thread


def decode(body: bytes) -> list[ev.StreamEvent]:
    found: list[ev.StreamEvent] = []

    def emit(frame: tuple[bytes, bytes]) -> None:
        kind, payload = ev.classify(*frame)
        found.append(kind(payload))

    SSEDecoder().push(body, emit)
    return found


def round_trip(events: Iterable[ev.StreamEvent]) -> list[ev.StreamEvent]:
    return decode(b"".join(map(ev.frame, events)))


NAMELESS = [
    (b"[DONE]", ev.DoneEvent(b"[DONE]")),
    (b" [DONE] ", ev.DoneEvent(b"[DONE]")),
    (b'{"data":{"id":"run_1"},"event":"thread.run.created"}', ev.ThreadRunCreated(b'{"id":"run_1"}')),
    (b' { "event" : "thread.run.created" , "data" : { "id":"run_1" } } ', ev.ThreadRunCreated(b'{ "id":"run_1" }')),
    (b'{"event":"thread.run.created","extra":1,"data":{}}', ev.ThreadRunCreated(b"{}")),
    (b'{"event":"thread.run.created","data":"{\\"id\\":\\"run_1\\"}"}', ev.ThreadRunCreated(b'{"id":"run_1"}')),
    (b'{"event":"done","data":"[DONE]"}', ev.DoneEvent(b"[DONE]")),
    (b'{"event":"error","data":{"message":"m"}}', ev.ErrorEvent(b'{"message":"m"}')),
    (b'{"error":{"message":"m","code":"500"}}', ev.ErrorEvent(b'{"error":{"message":"m","code":"500"}}')),
    (b'{"event":"thread.new","data":[1]}', ev.UnknownEvent("thread.new", b"[1]")),
    (
        b'{"event":"message","data":{"error":{}}}',
        ev.UnknownEvent("message", b'{"event":"message","data":{"error":{}}}'),
    ),
    (b'{"event":"a\\nb","data":1}', ev.UnknownEvent("message", b'{"event":"a\\nb","data":1}')),
    (b'{"event":7,"data":1}', ev.UnknownEvent("message", b'{"event":7,"data":1}')),
    (b'{"error":null}', ev.UnknownEvent("message", b'{"error":null}')),
    (b'{"id":"run_1"}', ev.UnknownEvent("message", b'{"id":"run_1"}')),
    (
        b'{"event":"thread.run.created","data":{}',
        ev.UnknownEvent("message", b'{"event":"thread.run.created","data":{}'),
    ),
    (b'{"event":"done","data":1}x', ev.UnknownEvent("message", b'{"event":"done","data":1}x')),
    (b"hello", ev.UnknownEvent("message", b"hello")),
    (b"[" * 100_000, ev.UnknownEvent("message", b"[" * 100_000)),
    (b'{"event":"thread.created","data":' + b"9" * 5000 + b"}", ev.ThreadCreated(b"9" * 5000)),
]


@in_one_test(("data", "expected"), NAMELESS, ids=[str(data[:40]) for data, _ in NAMELESS])
@in_one_test("name", [b"", b"message"])
def test_frames_without_a_name_are_unwrapped(name: bytes, data: bytes, expected: ev.StreamEvent) -> None:
    kind, payload = ev.classify(name, data)
    event = kind(payload)
    assert type(event) is type(expected)
    assert (event.event, event.raw) == (expected.event, expected.raw)
    assert round_trip([event]) == [event]


def test_a_named_frame_is_never_unwrapped() -> None:
    wrapper = b'{"event":"thread.run.created","data":{}}'
    assert ev.classify(b"thread.run.queued", wrapper) == (ev.ThreadRunQueued, wrapper)


def test_unknown_names_survive_with_their_bytes() -> None:
    kind, payload = ev.classify(b"thread.run.step.thinking", b'{"a":1}')
    event = kind(payload)
    assert isinstance(event, ev.UnknownEvent)
    assert (event.event, event.raw, event.data) == ("thread.run.step.thinking", b'{"a":1}', {"a": 1})


def test_a_payload_on_several_lines_stays_on_several_lines() -> None:
    event = ev.ThreadRunCreated(b'{\n"id":\r\n"run_1"}')
    assert ev.frame(event) == b'event: thread.run.created\ndata: {\ndata: "id":\ndata: "run_1"}\n\n'
    assert round_trip([event]) == [event]


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:60])
def test_every_recording_round_trips(path: Path) -> None:
    events = decode(path.read_bytes())
    assert not any(isinstance(event, ev.UnknownEvent) for event in events)
    again = round_trip(events)
    assert again == events
    assert [event.data for event in again] == [event.data for event in events]


NAMES = st.one_of(st.sampled_from([*ev.BY_NAME, "", "message"]), st.text(min_size=1))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.one_of(
    st.binary(min_size=1),
    JSON.map(json.dumps).map(str.encode),
    st.tuples(NAMES, JSON).map(lambda pair: json.dumps({"event": pair[0], "data": pair[1]}).encode()),
)


@settings(deadline=None)
@given(NAMES, PAYLOADS)
@example("message", b'{"event":"message","data":{"event":"done","data":1}}')
@example(" spaced", b" ")
def test_what_was_decoded_survives_encoding(name: str, payload: bytes) -> None:
    lines = name.replace("\r", "").replace("\n", ""), payload.replace(b"\r", b"")
    body = (
        b"event: " + lines[0].encode("utf-8", "replace") + b"\ndata: " + lines[1].replace(b"\n", b"\ndata: ") + b"\n\n"
    )
    events = decode(body)
    assert round_trip(events) == events


@settings(deadline=None)
@given(st.text(), st.text(), st.lists(st.text(), max_size=3), st.none() | st.integers(0, 2**40))
def test_events_built_from_values_round_trip(text: str, name: str, file_ids: list[str], at: int | None) -> None:
    built = [
        ev.ThreadCreated.from_data(Thread(id=text, created_at=at)),
        ev.ThreadRunCreated.from_data(Run(id=text, model=name, expires_at=at, metadata={name: text})),
        ev.ThreadMessageCompleted.from_data(
            Message.model_validate({"id": name, "content": [{"type": "text", "text": {"value": text}}]})
        ),
        ev.ThreadRunStepCompleted.from_data(RunStep.model_validate({"id": text, "usage": None, "extra": file_ids})),
        ev.ThreadRunStepDelta.from_data(RunStepDeltaEvent.model_validate({"id": name, "delta": {}})),
    ]
    again = round_trip(built)
    assert again == built
    assert [event.data for event in again] == [event.data for event in built]
    assert again[1].data == Run(id=text, model=name, expires_at=at, metadata={name: text})

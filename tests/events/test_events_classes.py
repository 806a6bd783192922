"""Stream events: names, payloads, laziness, equality, and what malformed payloads do."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from cases import in_one_test

from rx_assistant import events as ev
from rx_assistant.errors import EventDecodeError
from rx_assistant.types import ErrorObject, Message, MessageDeltaEvent, Run, RunStep, RunStepDeltaEvent, Thread

MODELS = {
    "thread.created": Thread,
    "thread.run.": Run,
    "thread.run.step.": RunStep,
    "thread.message.": Message,
    "thread.run.step.delta": RunStepDeltaEvent,
    "thread.message.delta": MessageDeltaEvent,
    "error": ErrorObject,
    "done": str,
}
RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
ALL_KINDS = list(ev.BY_NAME.values())


def model_for(name: str) -> type:
    return MODELS[max((prefix for prefix in MODELS if name.startswith(prefix)), key=len)]


@in_one_test("kind", ALL_KINDS, ids=lambda kind: kind.__name__)
def test_each_class_has_its_name_and_its_model(kind: type[ev.StreamEvent]) -> None:
    event = kind(b"{}")
    assert ev.classify(kind.event.encode(), b"{}") == (kind, b"{}")
    assert event.event == kind.event
    assert type(event.data) is model_for(kind.event)


def test_the_classes_bear_the_sdks_names() -> None:
    sdk = pytest.importorskip("openai.types.beta.assistant_stream_event", reason="the SDK is not installed")
    theirs = {
        name: value.model_fields["event"].annotation.__args__[0]
        for name, value in vars(sdk).items()
        if isinstance(value, type) and "event" in getattr(value, "model_fields", {})
    }
    ours = {kind.__name__: name for name, kind in ev.BY_NAME.items()}
    assert theirs.items() <= ours.items()
    assert ours.keys() - theirs.keys() == {"DoneEvent"}


def test_importing_and_classifying_loads_no_model() -> None:
    program = (
        "import sys; from rx_assistant.events import classify; kind, raw = classify(b'thread.message.delta', b'{}');"
        "kind(raw); sys.exit('pydantic' in sys.modules or 'rx_assistant.types' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_data_is_validated_once_and_stays_the_same_object() -> None:
    event = ev.ThreadRunQueued(RUN)
    assert event.data is event.data
    assert event.data.status == "queued"


JUDGED = [kind for kind in ALL_KINDS if kind not in (ev.DoneEvent, ev.ErrorEvent)]  # an ending reads anything


@in_one_test("kind", JUDGED, ids=lambda k: k.__name__)
@in_one_test(
    "raw",
    [b"", b"{", b"[DONE]", b"[]", b"7", b"null", b'"text"', b'{"id":' * 3, b"[" * 100_000],
    ids=["empty", "cut", "done", "list", "number", "null", "string", "nested", "deep"],
)
def test_a_malformed_payload_is_an_error_that_carries_the_event(kind: type[ev.StreamEvent], raw: bytes) -> None:
    event = kind(raw)
    for _ in range(2):
        with pytest.raises(EventDecodeError, match=kind.event) as caught:
            event.data  # noqa: B018
        assert caught.value.event is event


def test_a_number_without_end_is_malformed() -> None:
    event = ev.ThreadRunCreated(b'{"id":"run_1","created_at":' + b"9" * 5000 + b"}")
    with pytest.raises(EventDecodeError, match="number out of range"):
        event.data  # noqa: B018


def test_the_error_says_what_was_expected_and_what_came() -> None:
    for raw, reason in ((b"[1]", "Input should be an object"), (b'{"id"', "Invalid JSON: EOF")):
        expected = rf"^event 'thread\.run\.created': payload must be a Run object: {reason}"
        with pytest.raises(EventDecodeError, match=expected):
            ev.ThreadRunCreated(raw).data  # noqa: B018


def test_a_value_that_is_off_costs_its_field() -> None:
    event = ev.ThreadRunFailed(b'{"id":5,"tools":7,"created_at":1.5,"last_error":"no","metadata":[],"status":"failed"}')
    run = event.data
    assert (run.id, run.tools, run.created_at, run.last_error, run.metadata) == ("5", 7, 1.5, "no", [])
    assert run.status == "failed"


@pytest.mark.parametrize(
    ("escaped", "shown"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"\uDE00", "\ufffd"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"a\\ud83d", r"a\ud83d"),
        (rb"a\\\ud83db", "a\\\ufffdb"),
        (rb"\ud83d\\ude00", "\ufffd\\ude00"),
        (rb"\ud83d\u0041\ud83d\ud83d\ude00", "\ufffdA\ufffd\U0001f600"),
    ],
)
def test_half_a_character_is_shown_as_a_replacement_and_stays_in_the_bytes(escaped: bytes, shown: str) -> None:
    raw = b'{"id":"run_1","model":"' + escaped + b'"}'
    for event in (ev.ThreadRunCreated(raw), ev.UnknownEvent("thread.new", raw)):
        assert event.json() == {"id": "run_1", "model": shown}
        assert event.raw == raw
    assert ev.ThreadRunCreated(raw).data.model == shown


def test_events_with_different_halves_differ() -> None:
    one, other = (ev.UnknownEvent("thread.new", b'"' + half + b'"') for half in (rb"\ud83d", rb"\ude00"))
    assert one != other
    assert one == ev.UnknownEvent("thread.new", one.raw)
    assert len({one, other}) == 2


def test_bad_utf8_is_replaced() -> None:
    event = ev.ThreadRunCreated(b'{"id":"run_\xff","model":"\xe2\x82"}')
    assert (event.data.id, event.data.model) == ("run_\ufffd", "\ufffd")


@pytest.mark.parametrize("name", ["event", "data", "raw", "new"])
@pytest.mark.parametrize(
    "event",
    [ev.ThreadRunCreated(RUN), ev.ThreadMessageDelta(b"{}"), ev.UnknownEvent("thread.new", b"{}"), ev.DoneEvent()],
    ids=lambda event: event.event,
)
def test_events_are_read_only(event: ev.StreamEvent, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(event, name, None)


def test_containers_of_an_unknown_event_are_read_only() -> None:
    event = ev.UnknownEvent("thread.new", b'{"list":[1]}')
    assert event.data == {"list": [1]}
    with pytest.raises(TypeError):
        event.data["list"].append(2)


EQUAL = [
    (ev.ThreadRunCreated(RUN), ev.ThreadRunCreated(b' {"object":"thread.run","status":"queued","id":"run_1"}')),
    (ev.UnknownEvent("x", b'[1,{"a":null}]'), ev.UnknownEvent("x", b'[ 1 , { "a" : null } ]')),
    (ev.DoneEvent(), ev.DoneEvent(b"[DONE]")),
    (ev.ThreadRunCreated(b"{"), ev.ThreadRunCreated(b"{")),
]
DIFFERENT = [
    (ev.ThreadRunCreated(RUN), ev.ThreadRunQueued(RUN)),
    (ev.ThreadRunCreated(RUN), ev.ThreadRunCreated(b'{"id":"run_2"}')),
    (ev.UnknownEvent("x", b"{}"), ev.UnknownEvent("y", b"{}")),
    (ev.ThreadRunCreated(b"{"), ev.ThreadRunCreated(b"{{")),
    (ev.DoneEvent(), ev.DoneEvent(b"bye")),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equality_is_by_name_and_json(one: ev.StreamEvent, other: ev.StreamEvent) -> None:
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_name_or_json_is_another_event(one: ev.StreamEvent, other: ev.StreamEvent) -> None:
    assert one != other
    assert one != one.data if one.raw == RUN else one != one.raw


@pytest.mark.parametrize("event", [one for one, _ in EQUAL], ids=lambda event: event.event)
def test_events_survive_pickle_and_copy(event: ev.StreamEvent) -> None:
    for copied in (pickle.loads(pickle.dumps(event)), copy.copy(event), copy.deepcopy(event)):
        assert type(copied) is type(event)
        assert copied == event


def test_repr_shows_the_class_and_the_head_of_the_payload() -> None:
    assert repr(ev.ThreadRunCreated(b"{}")) == "ThreadRunCreated(b'{}')"
    assert repr(ev.UnknownEvent("thread.new", b"{}")) == "UnknownEvent('thread.new', b'{}')"
    assert len(repr(ev.ThreadRunCreated(b"x" * 10_000))) < 200


@pytest.mark.parametrize("name", ["thread.created", "done", "", "two\nlines", "two\rlines"])
def test_an_unknown_event_cannot_take_a_known_or_impossible_name(name: str) -> None:
    with pytest.raises(ValueError, match="that this version does not know"):
        ev.UnknownEvent(name, b"{}")


def test_match_statements_bind_the_data() -> None:
    match ev.ThreadRunCreated(RUN):
        case ev.ThreadRunCreated(Run(id=run_id)):
            assert run_id == "run_1"
        case _:
            pytest.fail("did not match")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"error":{"message":"m","type":"server_error","param":null,"code":"c"}}',
        b'{"message":"m","type":"server_error","param":null,"code":"c"}',
    ],
    ids=["nested", "flat"],
)
def test_both_shapes_of_an_error_are_the_same_error(raw: bytes) -> None:
    error = ev.ErrorEvent(raw).data
    assert (error.message, error.type, error.param, error.code) == ("m", "server_error", None, "c")


def test_families_hold_the_events_with_whole_objects() -> None:
    families = {ev.RunEvent: 10, ev.RunStepEvent: 6, ev.MessageEvent: 4}
    assert {family: sum(issubclass(kind, family) for kind in ALL_KINDS) for family in families} == families


def test_an_event_of_another_model_is_refused() -> None:
    with pytest.raises(TypeError, match="data of a ThreadRunCreated must be a Run, got Thread"):
        ev.ThreadRunCreated.from_data(Thread(id="thread_1"))
    with pytest.raises(TypeError, match="events of the class UnknownEvent must be created from bytes, got Thread"):
        ev.UnknownEvent.from_data(Thread(id="thread_1"))

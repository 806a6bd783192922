"""Characters that a server has cut in two: whole again in deltas, handlers and snapshots, wherever the cut is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from cases import in_one_test
from hypothesis import given, settings, strategies as st

import rx_assistant
from rx_assistant import AssistantEventHandler, operators as ax
from rx_assistant.events import BY_NAME, DoneEvent, StreamEvent, ThreadMessageDelta, frame
from rx_assistant.snapshots import RunSnapshot, fold

HIGH, LOW, LOST = "\ud83d", "\ude00", "\ufffd"
FACE = "\U0001f600"


def event(name: str, data: Any) -> StreamEvent:
    """An event whose halves are escaped, as servers in JavaScript write them."""
    return BY_NAME[f"thread.{name}"](json.dumps(data).encode())


def text(value: str, index: int = 0, message: str = "msg_1", **more: Any) -> StreamEvent:
    part = {"index": index, "type": "text", "text": {"value": value, **more}}
    return event("message.delta", {"id": message, "object": "thread.message.delta", "delta": {"content": [part]}})


def arguments(value: str, kind: str = "function", key: str = "arguments", index: int = 0, **more: Any) -> StreamEvent:
    call = {"index": index, "type": kind, kind: {key: value}, **more}
    details = {"type": "tool_calls", "tool_calls": [call]}
    return event("run.step.delta", {"id": "step_1", "delta": {"step_details": details}})


def completed(*values: str, message: str = "msg_1") -> StreamEvent:
    content = [{"type": "text", "text": {"value": value, "annotations": []}} for value in values]
    return event("message.completed", {"id": message, "status": "completed", "content": content})


def stream_of(*events: StreamEvent) -> rx_assistant.AssistantStream:
    return rx_assistant.replay(b"".join(map(frame, (*events, DoneEvent()))))


class Recorder(AssistantEventHandler):
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append((delta.value, snapshot.value))

    def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        inside = getattr(delta, delta.type)
        self.told.append(
            (inside.arguments if delta.type == "function" else inside.input, getattr(snapshot, delta.type))
        )


def handled(*events: StreamEvent) -> list[tuple[str, Any]]:
    handler = Recorder()
    stream = stream_of(*events)
    stream.attach(handler)
    stream.until_done()
    return handler.told


READINGS: dict[str, Callable[..., list[str]]] = {
    "text_deltas": lambda *events: list(stream_of(*events).text_deltas),
    "texts": lambda *events: [piece for part in stream_of(*events).pipe(ax.texts()) for piece in part],
    "message_streams": lambda *events: [
        piece for message in stream_of(*events).pipe(ax.message_streams()) for piece in message.text_deltas
    ],
    "a handler": lambda *events: [delta for delta, _ in handled(*events)],
}

CUTS = {
    "two deltas": ([f"Hi {HIGH}", f"{LOW}!"], ["Hi ", f"{FACE}!"]),
    "halves alone": (["Hi ", HIGH, LOW, "!"], ["Hi ", FACE, "!"]),
    "the first delta": ([HIGH, LOW], [FACE]),
    "a half that is lost": ([f"a{HIGH}", "b"], ["a", f"{LOST}b"]),
    "a half too many": ([f"a{HIGH}", f"{HIGH}{LOW}"], ["a", f"{LOST}{FACE}"]),
    "a low half": (["a", f"{LOW}b"], ["a", f"{LOST}b"]),
    "the end": (["a", HIGH], ["a", LOST]),
    "nothing but a half": ([HIGH], [LOST]),
    "an empty delta between": ([HIGH, "", LOW], [LOST, LOST]),
}


@in_one_test("reading", READINGS)
@in_one_test("cut", CUTS)
def test_deltas_are_whole_and_a_half_alone_emits_nothing(cut: str, reading: str) -> None:
    values, expected = CUTS[cut]
    if "" in values:  # what is empty is passed over like all empty deltas
        values, expected = [value for value in values if value], [FACE]
    final = "".join(expected)
    assert READINGS[reading](*map(text, values), completed(final)) == expected


@pytest.mark.parametrize("cut", CUTS)
def test_snapshots_show_what_the_deltas_have_said(cut: str) -> None:
    snapshot, said = RunSnapshot(), ""
    for value in CUTS[cut][0]:
        snapshot = fold(snapshot, text(value))
        said = snapshot.text
        assert not {HIGH, LOW} & set(said)
    ended = fold(snapshot, completed("the server's own"))
    assert ended.text == "the server's own"
    assert snapshot.text == said


def test_a_kept_snapshot_can_be_folded_onto_again_with_its_half() -> None:
    before = fold(fold(RunSnapshot(), text("a")), text(HIGH))
    after = fold(before, text(LOW))
    other = fold(before, text("b"))
    assert (before.text, after.text, other.text) == ("a", f"a{FACE}", f"a{LOST}b")
    assert fold(fold(RunSnapshot(), text("a")), text("b")).text == "ab"


def test_an_event_stays_as_it_was_for_those_who_read_events() -> None:
    sent = [text(f"a{HIGH}"), text(LOW), completed(f"a{FACE}")]
    seen = [each for each in stream_of(*sent) if not isinstance(each, DoneEvent)]
    assert [each.raw for each in seen] == [each.raw for each in sent]
    deltas = [each.data.delta.content[0].text.value for each in seen if isinstance(each, ThreadMessageDelta)]  # type: ignore[index,union-attr]
    assert deltas == [f"a{LOST}", LOST]


def test_texts_that_come_interleaved_keep_their_own_halves() -> None:
    sent = [text(HIGH), text(HIGH, 1), text(LOW, 1), text(HIGH, 0, "msg_2"), text(LOW), text(LOW, 0, "msg_2")]
    finals = [completed(FACE, FACE), completed(FACE, message="msg_2")]
    assert list(stream_of(*sent, *finals).text_deltas) == [FACE, FACE, FACE]
    parts = [(part.message_id, part.index, list(part)) for part in stream_of(*sent, *finals).pipe(ax.texts())]
    assert sorted(parts) == [("msg_1", 0, [FACE]), ("msg_1", 1, [FACE]), ("msg_2", 0, [FACE])]


def test_an_annotation_beside_a_half_is_kept() -> None:
    mark = {"index": 0, "type": "file_citation", "text": "x", "file_citation": {"file_id": "file_1"}}
    snapshot = fold(fold(RunSnapshot(), text("a")), text(HIGH, annotations=[mark]))
    found = snapshot.text_part("msg_1", 0)
    assert found is not None
    assert (found.value, [annotation.text for annotation in found.annotations]) == ("a", ["x"])
    assert fold(snapshot, text(LOW)).text == f"a{FACE}"


def test_a_stream_that_ends_without_the_second_half_ends_without_the_first() -> None:
    stream = stream_of(text("a"), text(HIGH))
    assert "".join(stream.text_deltas) == stream.snapshot.text == "a"


@pytest.mark.parametrize(("kind", "key"), [("function", "arguments"), ("code_interpreter", "input")])
def test_arguments_and_code_are_whole_too(kind: str, key: str) -> None:
    sent = [arguments("'", kind, key, id="call_1"), arguments(HIGH, kind, key), arguments(f"{LOW}'", kind, key)]
    (call,) = list(stream_of(*sent).pipe(ax.tool_calls()))
    assert list(call.argument_deltas) == ["'", f"{FACE}'"]
    assert [delta for delta, _ in handled(*sent)] == ["'", f"{FACE}'"]
    view = stream_of(*sent).pipe(ax.final_snapshot()).run().tool_calls[0]
    assert getattr(getattr(view, kind), key) == f"'{FACE}'"


def test_a_half_at_the_end_of_arguments_is_given_up_when_the_run_wants_the_output() -> None:
    wanted = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "?"}}
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [wanted]}}
    run = event("run.requires_action", {"id": "run_1", "status": "requires_action", "required_action": action})
    sent = [arguments("?", id="call_1"), arguments(HIGH), run]
    (call,) = list(stream_of(*sent).pipe(ax.tool_calls()))
    assert list(call.argument_deltas) == ["?", LOST]


def test_logs_that_are_cut_are_whole() -> None:
    def logs(value: str) -> StreamEvent:
        output = {"index": 0, "type": "logs", "logs": value}
        call = {"index": 0, "type": "code_interpreter", "code_interpreter": {"outputs": [output]}}
        details = {"type": "tool_calls", "tool_calls": [call]}
        return event("run.step.delta", {"id": "step_1", "delta": {"step_details": details}})

    (call,) = list(stream_of(logs("a"), logs(HIGH), logs(f"{LOW}b")).pipe(ax.tool_calls()))
    assert [output.logs for output in call.outputs] == ["a", f"{FACE}b"]  # type: ignore[union-attr]
    view: Any = stream_of(logs("a"), logs(HIGH), logs(f"{LOW}b")).pipe(ax.final_snapshot()).run().tool_calls[0]
    assert view.code_interpreter.outputs[0].logs == f"a{FACE}b"


pieces = st.lists(st.text(st.sampled_from(["a", HIGH, LOW, "\ud800", "\udfff", "é", FACE]), max_size=4), max_size=8)


@settings(deadline=None, max_examples=200)
@given(pieces)
def test_however_a_text_is_cut_the_joined_deltas_are_the_snapshot(values: list[str]) -> None:
    whole = "".join(values).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    whole = re.sub("[\ud800-\udfff]", LOST, whole)
    sent = [*map(text, values), completed(whole)]
    for reading in READINGS.values():
        assert "".join(reading(*sent)) == whole
    snapshot = RunSnapshot()
    for each in sent[:-1]:
        snapshot = fold(snapshot, each)
    assert whole.removesuffix(LOST) in (snapshot.text, snapshot.text.removesuffix(LOST))
    assert "".join(stream_of(*sent[:-1]).text_deltas) == snapshot.text

"""fold: what each kind of event does to a snapshot, in every order that servers have been seen to use, and others."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from generated import Generated, lossy_streams, messy_streams, streams
from hypothesis import given, settings

from rx_assistant.errors import EventDecodeError
from rx_assistant.events import BY_NAME, DoneEvent, ErrorEvent, StreamEvent, ThreadRunCreated, UnknownEvent, _deltas
from rx_assistant.snapshots import Change, Fold, PartState, RunSnapshot, RunState, State, fold, folding_messages

Json = dict[str, Any]


def event(name: str, payload: Any) -> StreamEvent:
    return BY_NAME[name](json.dumps(payload).encode())


def message_delta(*pieces: Json, of: str = "msg_1") -> StreamEvent:
    return event("thread.message.delta", {"id": of, "delta": {"content": list(pieces)}})


def step_delta(*pieces: Json, of: str = "step_1") -> StreamEvent:
    details = {"type": "tool_calls", "tool_calls": list(pieces)}
    return event("thread.run.step.delta", {"id": of, "delta": {"step_details": details}})


def text(value: str, index: int = 0, *annotations: Json) -> Json:
    inside: Json = {"value": value}
    if annotations:
        inside["annotations"] = list(annotations)
    return {"index": index, "type": "text", "text": inside}


def citation(index: int | None, file_id: str | None = None, **more: Any) -> Json:
    found: Json = {"type": "file_citation", **more}
    if index is not None:
        found["index"] = index
    if file_id is not None:
        found["file_citation"] = {"file_id": file_id}
    return found


def function(arguments: str, index: int = 0, call_id: str | None = None, name: str | None = None) -> Json:
    inside: Json = {"arguments": arguments}
    if name is not None:
        inside["name"] = name
    found: Json = {"index": index, "type": "function", "function": inside}
    if call_id is not None:
        found["id"] = call_id
    return found


def code(index: int = 0, **inside: Any) -> Json:
    return {"index": index, "type": "code_interpreter", "code_interpreter": inside}


def folded(*events: StreamEvent) -> RunSnapshot:
    snapshot = RunSnapshot()
    for each in events:
        snapshot = fold(snapshot, each)
    return snapshot


def texts_of(snapshot: RunSnapshot, message: int = 0) -> list[str]:
    return [part.text.value for part in snapshot.messages[message].content if part.type == "text"]


def told(*events: StreamEvent) -> list[list[str]]:
    """The changes of each event, as words."""
    reader = Fold()
    return [[f"{phase} {name_of(state)}" for phase, state, _ in changed(reader, each)] for each in events]


def changed(reader: Fold, each: StreamEvent) -> list[Change]:
    """All that an event changed."""
    return [change for _, changes, _ in reader.advance(each) for change in changes]


def name_of(state: State) -> str:
    key = getattr(state, "key", None)
    return f"{state.kind} {key[0]} {key[1]}" if key else state.id


def test_the_empty_snapshot_holds_nothing() -> None:
    empty = RunSnapshot()
    assert (empty.run, empty.thread, empty.status, empty.usage, empty.required_action) == (None,) * 5
    assert (list(empty.messages), list(empty.steps), list(empty.tool_calls), empty.text) == ([], [], [], "")
    assert empty == RunSnapshot()


def test_the_run_is_the_one_the_server_sent_last() -> None:
    first = event("thread.run.created", {"id": "run_1", "status": "queued", "max_prompt_tokens": 5})
    last = event("thread.run.completed", {"id": "run_1", "status": "incomplete", "usage": {"total_tokens": 3}})
    snapshot = folded(first, last)
    assert snapshot.run == last.data
    assert snapshot.status == "incomplete"
    assert snapshot.usage.total_tokens == 3
    assert snapshot.run.max_prompt_tokens is None


def test_the_thread_is_kept() -> None:
    assert folded(event("thread.created", {"id": "thread_1"})).thread.id == "thread_1"


@pytest.mark.parametrize("other", [DoneEvent(), ErrorEvent(b'{"message":"m"}'), UnknownEvent("new", b"{")])
def test_events_that_say_nothing_of_the_run_change_nothing(other: StreamEvent) -> None:
    before = folded(message_delta(text("a")))
    assert fold(before, other) is before
    assert changed(Fold(before), other) == []


def test_fragments_of_interleaved_parts_go_where_they_belong() -> None:
    snapshot = folded(*(message_delta(text(value, index)) for value, index in ["a0", "b1", "c0", "d1", "e0"]))
    assert texts_of(snapshot) == ["ace", "bd"]


def test_indices_may_come_in_any_order_and_leave_gaps() -> None:
    snapshot = folded(message_delta(text("seven", 7)), message_delta(text("two", 2)), message_delta(text("!", 7)))
    assert texts_of(snapshot) == ["two", "seven!"]
    assert snapshot.text_part("msg_1", 7).value == "seven!"
    assert snapshot.text_part("msg_1", 0) is None


def test_two_fragments_of_one_part_in_one_delta_are_both_kept() -> None:
    reader = Fold()
    changes = changed(reader, message_delta(text("a"), text("b"), text("c", 1)))
    assert texts_of(reader.snapshot) == ["ab", "c"]
    assert [(phase, at) for phase, _, at in changes if at >= 0] == [("delta", 0), ("delta", 1), ("delta", 2)]


def test_deltas_for_another_message_do_not_touch_this_one() -> None:
    snapshot = folded(message_delta(text("a")), message_delta(text("b"), of="msg_2"), message_delta(text("c")))
    assert [message.id for message in snapshot.messages] == ["msg_1", "msg_2"]
    assert (texts_of(snapshot, 0), texts_of(snapshot, 1)) == (["ac"], ["b"])
    assert snapshot.text == "acb"


def test_a_delta_before_created_opens_the_message() -> None:
    created = event(
        "thread.message.created", {"id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    )
    snapshot = folded(message_delta(text("a")), created, message_delta(text("b")))
    assert texts_of(snapshot) == ["ab"]
    assert snapshot.messages[0].role == "assistant"
    assert told(message_delta(text("a")), created)[1] == []


def test_content_already_in_created_is_continued() -> None:
    content = [{"type": "text", "text": {"value": "Hel", "annotations": [citation(None, "file_1")]}}]
    created = event("thread.message.created", {"id": "msg_1", "content": content})
    snapshot = folded(created, message_delta(text("lo", 0, citation(1, "file_2"))))
    inside = snapshot.messages[0].content[0].text
    assert inside.value == "Hello"
    assert [each.file_citation.file_id for each in inside.annotations] == ["file_1", "file_2"]


def test_a_repeated_created_does_not_repeat_its_content() -> None:
    created = event("thread.message.created", {"id": "msg_1", "content": [{"type": "refusal", "refusal": "No"}]})
    assert folded(created, created).messages[0].content[0].refusal == "No"


FINAL = {
    "id": "msg_1",
    "status": "completed",
    "content": [{"type": "text", "text": {"value": "final", "annotations": []}}],
}


def compact(*pieces: Json) -> StreamEvent:
    """A delta as the service writes it, which is folded without reading it as JSON."""
    payload = {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": list(pieces)}}
    return BY_NAME["thread.message.delta"](json.dumps(payload, separators=(",", ":")).encode())


LATE = {
    "delta": message_delta(text("late")),
    "compact delta": compact(text("late")),
    "compact delta with a citation": compact(text("late", 0, citation(0, "f"))),
    "status": event("thread.message.in_progress", {"id": "msg_1"}),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_the_final_object_wins_over_deltas_before_and_after(late: StreamEvent) -> None:
    completed = event("thread.message.completed", FINAL)
    reader = Fold(folded(message_delta(text("deltas")), completed))
    assert changed(reader, late) == []
    assert reader.snapshot.messages[0] == completed.data


def test_the_last_of_several_final_objects_wins() -> None:
    incomplete = event("thread.message.incomplete", {"id": "msg_1", "status": "incomplete", "content": []})
    completed = event("thread.message.completed", FINAL)
    assert folded(completed, incomplete).messages[0].status == "incomplete"
    assert told(completed, incomplete) == [
        ["created msg_1", "created text msg_1 0", "done text msg_1 0", "done msg_1"],
        [],
    ]


def test_what_is_first_seen_as_completed_is_created_then_done() -> None:
    step = {"id": "step_1", "step_details": {"type": "tool_calls", "tool_calls": [{"id": "call_1", "type": "new"}]}}
    assert told(event("thread.run.step.completed", step)) == [
        ["created step_1", "created new step_1 0", "done new step_1 0", "done step_1"]
    ]


def test_a_message_that_ends_with_fewer_parts_closes_those_it_has() -> None:
    final = event("thread.message.incomplete", {"id": "msg_1", "content": [FINAL["content"][0]]})
    assert told(message_delta(text("a", 0), text("b", 1)), final)[1] == ["done text msg_1 0", "done msg_1"]


def test_final_parts_meet_their_parts_by_rank_where_indices_have_gaps() -> None:
    content = [{"type": "text", "text": {"value": value}} for value in ("a", "b")]
    final = event("thread.message.completed", {"id": "msg_1", "content": content})
    assert told(message_delta(text("a", 3), text("b", 5)), final)[1] == [
        "done text msg_1 3",
        "done text msg_1 5",
        "done msg_1",
    ]


def test_final_calls_meet_their_calls_by_id() -> None:
    calls = [{"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": str(n)}} for n in (2, 1)]
    step = {"id": "step_1", "step_details": {"type": "tool_calls", "tool_calls": calls}}
    deltas = step_delta(function("1", 0, "call_1", "f"), function("2", 1, "call_2", "f"))
    reader = Fold(folded(deltas))
    changes = changed(reader, event("thread.run.step.completed", step))
    done = {state.key: state.final.at(reader.version).id for phase, state, _ in changes[:2]}
    assert done == {("step_1", 0): "call_1", ("step_1", 1): "call_2"}


def test_annotations_are_kept_by_index_in_any_order() -> None:
    deltas = [
        message_delta(text("x", 0, citation(index, f"file_{index}", start_index=index))) for index in (2, 0, 5, 1)
    ]
    found = folded(*deltas).messages[0].content[0].text.annotations
    assert [each.file_citation.file_id for each in found] == ["file_0", "file_1", "file_2", "file_5"]
    assert [each.start_index for each in found] == [0, 1, 2, 5]


def test_a_repeated_annotation_is_updated_and_nothing_in_it_added_up() -> None:
    first = citation(0, "file_1", start_index=3, text="【")
    again = {**citation(0, "file_1", start_index=4, end_index=9), "text": None}
    (found,) = (
        folded(message_delta(text("x", 0, first)), message_delta(text("y", 0, again)))
        .messages[0]
        .content[0]
        .text.annotations
    )
    assert (found.file_citation.file_id, found.start_index, found.end_index, found.text) == ("file_1", 4, 9, "【")


def test_annotations_without_index_are_appended() -> None:
    deltas = [message_delta(text("x", 0, citation(None, name), citation(None, name + "2"))) for name in "ab"]
    found = folded(*deltas).messages[0].content[0].text.annotations
    assert [each.file_citation.file_id for each in found] == ["a", "a2", "b", "b2"]


def test_refusals_and_images_are_parts_like_texts() -> None:
    image = {"index": 0, "type": "image_file", "image_file": {"file_id": "file_1", "detail": "low"}}
    url = {"index": 1, "type": "image_url", "image_url": {"url": "http://x"}}
    refusals = [{"index": 2, "type": "refusal", "refusal": each} for each in ("I ", "won't")]
    content = folded(message_delta(image, url), *map(message_delta, refusals)).messages[0].content
    assert [part.type for part in content] == ["image_file", "image_url", "refusal"]
    assert (content[0].image_file.file_id, content[1].image_url.url) == ("file_1", "http://x")
    assert content[2].refusal == "I won't"


def test_unknown_parts_calls_and_details_survive() -> None:
    audio = {"index": 0, "type": "audio", "audio": {"id": "a", "data": "x"}}
    more = {"index": 0, "type": "audio", "audio": {"data": "y"}, "new": [1]}
    part = folded(message_delta(audio), message_delta(more)).messages[0].content[0]
    assert part.model_dump(exclude_unset=True) == {"type": "audio", "audio": {"id": "a", "data": "y"}, "new": [1]}
    call = folded(step_delta({"index": 0, "id": "call_1", "type": "mcp", "mcp": {}})).tool_calls[0]
    assert (call.type, call.id, call.mcp) == ("mcp", "call_1", {})
    thinking = event("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": {"type": "thinking", "x": 1}}})
    assert folded(thinking).steps[0].step_details.x == 1


def test_a_piece_of_another_type_than_its_part_is_left_to_the_final_object() -> None:
    snapshot = folded(message_delta(text("a")), message_delta({"index": 0, "type": "refusal", "refusal": "b"}))
    assert texts_of(snapshot) == ["a"]


def test_function_calls_are_merged_by_index() -> None:
    snapshot = folded(
        step_delta(function("", 0, "call_1", "f")),
        step_delta(function('{"a"', 0)),
        step_delta(function("", 1, "call_2", "g")),
        step_delta(function(":1}", 0, "call_1", "f")),
        step_delta(function("[]", 1)),
    )
    assert [(call.id, call.function.name, call.function.arguments) for call in snapshot.tool_calls] == [
        ("call_1", "f", '{"a":1}'),
        ("call_2", "g", "[]"),
    ]
    assert [call.function.output for call in snapshot.tool_calls] == [None, None]


def test_interleaved_calls_are_created_once_each() -> None:
    events = [step_delta(function("x", index)) for index in (0, 1, 0, 1, 0, 1)]
    finals = [{"type": "function", "function": {"name": "f", "arguments": "xxx"}}] * 2
    step = {"id": "step_1", "step_details": {"type": "tool_calls", "tool_calls": finals}}
    words = [word for each in told(*events, event("thread.run.step.completed", step)) for word in each]
    counts = {
        phase: sum(word.startswith(f"{phase} function") for word in words) for phase in ("created", "delta", "done")
    }
    assert counts == {"created": 2, "delta": 6, "done": 2}


def test_calls_of_a_second_step_are_its_own() -> None:
    snapshot = folded(step_delta(function("a"), of="step_1"), step_delta(function("b"), of="step_2"))
    assert [call.function.arguments for call in snapshot.tool_calls] == ["a", "b"]
    assert snapshot.tool_call("step_2", 0).function.arguments == "b"
    assert snapshot.tool_call("step_2", 1) is None


def test_code_and_its_outputs_are_merged_by_index() -> None:
    logs = [{"index": 1, "type": "logs", "logs": each} for each in ("4", "2")]
    image = {"index": 0, "type": "image", "image": {"file_id": "file_1"}}
    snapshot = folded(
        step_delta({**code(input="", outputs=[]), "id": "call_1"}),
        step_delta(code(input="6*7")),
        step_delta(code(outputs=[logs[0]])),
        step_delta(code(outputs=[image, logs[1]])),
    )
    (call,) = snapshot.tool_calls
    assert (call.id, call.code_interpreter.input) == ("call_1", "6*7")
    assert [each.type for each in call.code_interpreter.outputs] == ["image", "logs"]
    assert call.code_interpreter.outputs[1].logs == "42"


def test_a_later_search_replaces_an_earlier_one() -> None:
    searches = [{"ranking_options": {"ranker": ranker}, "results": []} for ranker in ("auto", "default_2024_08_21")]
    pieces = [{"index": 0, "type": "file_search", "file_search": search} for search in searches]
    (call,) = folded(step_delta({**pieces[0], "id": "call_1"}), step_delta(pieces[1])).tool_calls
    assert call.id == "call_1"
    assert call.file_search.model_dump(exclude_unset=True) == searches[1]


def test_a_step_that_writes_a_message_may_say_so_in_a_delta() -> None:
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    created = event("thread.run.step.created", {"id": "step_1", "status": "in_progress", "type": "message_creation"})
    delta = event("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": details}})
    for snapshot in (folded(created, delta), folded(delta, created)):
        assert snapshot.steps[0].step_details.message_creation.message_id == "msg_1"
        assert snapshot.steps[0].status == "in_progress"


STEP = {"id": "step_1", "type": "tool_calls", "status": "in_progress", "step_details": {"type": "tool_calls"}}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
ACTION = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": CALLS}}
REQUIRES = event("thread.run.requires_action", {"id": "run_1", "status": "requires_action", "required_action": ACTION})


def finished(output: str) -> StreamEvent:
    calls = [{**CALLS[0], "function": {**CALLS[0]["function"], "output": output}}]
    details = {"type": "tool_calls", "tool_calls": calls}
    return event("thread.run.step.completed", {**STEP, "status": "completed", "step_details": details})


def test_a_function_call_is_done_when_the_run_requires_action_and_only_then() -> None:
    opened = step_delta(function("{}", 0, "call_1", "f"))
    events = [event("thread.run.step.created", STEP), opened, REQUIRES, finished("42")]
    assert told(*events)[2:] == [["done function step_1 0"], ["done step_1"]]
    waiting, after = folded(*events[:3]), folded(*events)
    assert waiting.tool_calls[0].function.output is None
    assert waiting.required_action.submit_tool_outputs.tool_calls[0].id == "call_1"
    assert waiting.steps[0].step_details.tool_calls == list(waiting.tool_calls)
    assert after.tool_calls[0].function.output == "42"


@pytest.mark.parametrize("shown", [[], [event("thread.run.step.created", STEP)]], ids=["no step", "empty step"])
def test_a_required_call_that_no_delta_showed_is_created_and_done_once(shown: list[StreamEvent]) -> None:
    words = told(*shown, REQUIRES, finished("42"))
    key = "function step_1 0" if shown else "function  0"
    assert words[len(shown)] == [f"created {key}", f"done {key}"]
    assert words[-1] == (["done step_1"] if shown else ["created step_1", "done step_1"])
    snapshot = folded(*shown, REQUIRES)
    assert (len(snapshot.steps), len(snapshot.tool_calls)) == (len(shown), 1)
    assert len(folded(*shown, REQUIRES, finished("42")).tool_calls) == 1


def test_a_run_that_still_requires_action_after_its_step_has_ended_tells_nothing_new() -> None:
    words = told(
        event("thread.run.step.created", STEP), step_delta(function("{}", 0, "call_1", "f")), finished("42"), REQUIRES
    )
    assert words[2:] == [["done function step_1 0", "done step_1"], []]


def test_a_resumed_run_may_begin_with_the_end_of_a_step() -> None:
    snapshot = folded(finished("42"), event("thread.run.queued", {"id": "run_1", "status": "queued"}))
    assert snapshot.steps[0].step_details.tool_calls[0].function.output == "42"
    assert snapshot.status == "queued"


ANSWERED = {"index": 0, **CALLS[0], "function": {**CALLS[0]["function"], "output": "42"}}
GOING_ON = event(
    "thread.run.step.in_progress", {**STEP, "step_details": {"type": "tool_calls", "tool_calls": [ANSWERED]}}
)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param([finished("42")], id="in a step that has ended"),
        pytest.param([finished("")], id="with an empty output"),
        pytest.param([GOING_ON, finished("42")], id="in a step that goes on"),
        pytest.param([step_delta(ANSWERED), finished("42")], id="in a delta"),
        pytest.param([step_delta(ANSWERED), step_delta(function("", 0)), finished("42")], id="in several deltas"),
        pytest.param([GOING_ON, REQUIRES], id="and required again"),
    ],
)
def test_a_call_first_seen_with_its_output_is_shown_and_not_reported(shown: list[StreamEvent]) -> None:
    assert [word for words in told(*shown) for word in words if "function" in word] == []
    for count in range(1, len(shown) + 1):
        snapshot = folded(*shown[:count])
        [call] = snapshot.tool_calls
        assert (call.id, call.function.name, call.function.output is not None) == ("call_1", "f", True)
        assert snapshot.steps[0].step_details.tool_calls == [call]
        forked = fold(snapshot, event("thread.run.queued", {"id": "run_1", "status": "queued"}))
        reader = Fold(snapshot)
        changes = changed(reader, finished("43"))
        assert [phase for phase, state, _ in changes if state is not reader.snapshot.step_state("step_1")] == []
        assert forked.tool_calls == [call]


def test_other_calls_in_the_step_of_an_answered_call_are_reported() -> None:
    shown = told(GOING_ON, step_delta(function("{", 1, "call_2", "g")), step_delta(function("}", 1)), finished("42"))
    assert [word for words in shown for word in words if "function" in word] == [
        "created function step_1 1",
        "delta function step_1 1",
        "delta function step_1 1",
    ]


def test_calls_of_other_tools_are_always_reported() -> None:
    call = {
        "id": "call_1",
        "type": "code_interpreter",
        "code_interpreter": {"input": "1", "outputs": [{"type": "logs"}]},
    }
    details = {"type": "tool_calls", "tool_calls": [call]}
    [words] = told(event("thread.run.step.completed", {**STEP, "status": "completed", "step_details": details}))
    assert words[1:3] == ["created code_interpreter step_1 0", "done code_interpreter step_1 0"]


def test_a_malformed_event_raises_and_leaves_the_snapshot_usable() -> None:
    before = folded(message_delta(text("a")))
    for raw in (b"{", b'[{"id":"msg_1"}]', b'"msg_1"'):
        broken = BY_NAME["thread.message.delta"](raw)
        with pytest.raises(EventDecodeError) as caught:
            fold(before, broken)
        assert caught.value.event is broken
    assert texts_of(before) == ["a"]
    assert texts_of(fold(before, message_delta(text("b")))) == ["ab"]


def test_a_fold_that_is_interrupted_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    before = folded(message_delta(text("a")))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folding_messages, "index_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fold(before, message_delta(text("x"), text("y", 1)))
    after = fold(before, message_delta(text("b"), text("c", 1)))
    assert (texts_of(before), texts_of(after)) == (["a"], ["ab", "c"])


def test_events_without_a_usable_id_are_skipped_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    names = [name for name in BY_NAME if name.startswith(("thread.message", "thread.run.step"))]
    before = folded(event("thread.run.created", {"id": "run_1"}), message_delta(text("a")))
    after = before
    for payload in ({}, {"delta": None}, {"id": None}, {"id": ""}, {"id": ["msg_1"]}, {"id": True}):
        for name in names:
            after = fold(after, event(name, payload))
    assert after == before
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no usable id" in caplog.text


def test_numbers_are_keys_like_their_digits() -> None:
    part = {"index": "0", "type": "text", "text": {"value": "a"}}
    later = {**part, "index": 0, "text": {"value": "b"}}
    events = [event("thread.message.delta", {"id": key, "delta": {"content": [part, later]}}) for key in (7, "7")]
    snapshot = folded(*events, event("thread.message.completed", {"id": 7, "status": "completed"}))
    assert [message.id for message in snapshot.messages] == ["7"]
    assert texts_of(folded(*events)) == ["abab"]


def test_pieces_without_a_usable_index_are_skipped_and_cost_nothing_else() -> None:
    pieces = [{"index": odd, "type": "text", "text": {"value": "x"}} for odd in ("x", [], {}, 1.5, True)]
    delta = event("thread.message.delta", {"id": "msg_1", "delta": {"content": ["lost", *pieces, text("a", 1)]}})
    assert texts_of(folded(delta)) == ["a"]


def test_what_the_final_object_dropped_is_in_no_snapshot_after_it() -> None:
    shown = folded(message_delta(text("a"), text("b", 1)), step_delta(function("{}", 0, "c0"), function("{}", 1, "c1")))
    message = event("thread.message.completed", {"id": "msg_1", "content": [{"type": "text", "text": {"value": "a"}}]})
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    step = event("thread.run.step.completed", {"id": "step_1", "status": "completed", "step_details": details})
    ended = fold(fold(shown, message), step)
    assert (shown.text, ended.text) == ("ab", "a")
    assert [call.id for call in shown.tool_calls] == ["c0", "c1"]
    assert [call.id for call in ended.tool_calls] == ["c1"]
    assert ended.tool_calls[-1] == ended.steps[0].step_details.tool_calls[0]  # type: ignore[union-attr]
    assert [ended.text_part("msg_1", index) is None for index in (0, 1)] == [False, True]
    assert [ended.tool_call("step_1", index) is None for index in (0, 1)] == [True, False]
    assert pickle.loads(pickle.dumps(ended)).tool_calls == ended.tool_calls
    assert fold(shown, message_delta(text("c"))).text == "acb"
    assert [call.id for call in fold(shown, event("thread.run.queued", {"id": "run_1"})).tool_calls] == ["c0", "c1"]


def test_a_final_part_of_another_type_shows_the_servers_text_only() -> None:
    snapshot = folded(message_delta(text("a"), {"index": 1, "type": "refusal", "refusal": "no"}))
    content = [{"type": "image_file", "image_file": {"file_id": "f"}}, {"type": "text", "text": {"value": "b"}}]
    assert fold(snapshot, event("thread.message.completed", {"id": "msg_1", "content": content})).text == "b"


def check_once(events: Iterable[StreamEvent], stream: Generated) -> None:
    """Law L5 on the fold's bookkeeping."""
    seen: dict[int, list[str]] = defaultdict(list)
    states: dict[int, State] = {}
    reader = Fold()
    for each in events:
        for phase, state, _ in changed(reader, each):
            seen[id(state)].append(phase)
            states[id(state)] = state
    for key, phases in seen.items():
        assert phases[0] == "created", name_of(states[key])
        assert phases.count("created") == 1
        assert phases.count("done") == (phases[-1] == "done")
    ended = {state.id for state in states.values() if state.ended and hasattr(state, "id")}
    assert ended == stream.messages.keys() | stream.steps.keys()


@settings(deadline=None)
@given(streams())
def test_each_change_is_reported_once_in_orderly_streams(stream: Generated) -> None:
    check_once(stream.events, stream)


@settings(deadline=None)
@given(messy_streams())
def test_each_change_is_reported_once_in_disorder(stream: Generated) -> None:
    check_once(stream.events, stream)


@settings(deadline=None)
@given(lossy_streams())
def test_each_change_is_reported_once_when_much_is_missing(stream: Generated) -> None:
    check_once(stream.events, stream)


def opened_texts(changes: Iterable[Change]) -> list[State]:
    return [state for phase, state, _ in changes if phase == "created" and isinstance(state, PartState)]


def test_a_change_leads_to_the_views_and_the_delta() -> None:
    first = message_delta(text("Hel", 0, citation(0, "file_1")))
    reader = Fold()
    ((version, changes, _),) = reader.advance(first)
    (part,) = opened_texts(changes)
    assert part.text(version).value == "Hel"
    delta = message_delta(text("lo"))
    ((after, ((phase, state, at), (_, message, _)), _),) = reader.advance(delta)
    assert (phase, state.key, message.id) == ("delta", ("msg_1", 0), "msg_1")
    assert state.text_delta(delta, at).value == "lo"
    assert state.delta(delta, at).text.value == "lo"
    assert state.text(after).value == "Hello"
    assert message.view(after) == reader.snapshot.messages[0]
    assert state.text(version).value == "Hel"


def test_a_snapshot_survives_pickle_and_goes_on() -> None:
    before = folded(message_delta(text("a", 3)), REQUIRES, step_delta(function("{", 0, "call_1", "f")))
    folded_on = fold(before, message_delta(text("x", 3)))
    copied = pickle.loads(pickle.dumps(before))
    assert copied == before
    assert texts_of(fold(copied, message_delta(text("b", 3)))) == ["ab"]
    assert texts_of(folded_on) == ["ax"]


def test_lists_of_a_snapshot_behave_as_lists() -> None:
    snapshot = folded(*(message_delta(text("a"), of=f"msg_{n}") for n in range(3)))
    assert [each.id for each in snapshot.messages[1:]] == ["msg_1", "msg_2"]
    assert snapshot.messages[-1].id == "msg_2"
    assert snapshot.messages == list(snapshot.messages)
    assert snapshot.messages != list(snapshot.messages)[1:]
    assert hash(snapshot.messages) == hash(snapshot.messages)
    with pytest.raises(IndexError, match="index out of range: got 3, the list has 3 items"):
        snapshot.messages[3]
    assert repr(snapshot) == "RunSnapshot(run=None, messages=3, steps=0, tool_calls=0)"
    assert snapshot.message("msg_1").id == "msg_1"
    assert snapshot.message("msg_9") is None


def test_the_plain_model_and_the_dump_hold_everything() -> None:
    snapshot = folded(event("thread.run.created", {"id": "run_1"}), message_delta(text("a")), REQUIRES)
    content = [{"type": "text", "text": {"value": "a", "annotations": []}}]
    dumped = snapshot.model_dump(exclude_unset=True)
    assert (dumped["run"]["status"], dumped["thread"], dumped["steps"]) == ("requires_action", None, [])
    assert dumped["messages"] == [{"id": "msg_1", "content": content}]
    assert json.loads(snapshot.model_dump_json(exclude_unset=True))["messages"] == [{"id": "msg_1", "content": content}]
    model = snapshot.to_model()
    assert isinstance(model, RunState)
    assert (model.run, model.messages) == (snapshot.run, list(snapshot.messages))
    assert all(type(message) is type(message.to_model()) for message in model.messages)
    assert folded(ThreadRunCreated(b"{}")).model_dump(exclude_unset=True)["run"] == {}


def test_a_snapshot_is_read_only() -> None:
    snapshot = folded(message_delta(text("a")))
    for name in ("run", "messages", "text", "new"):
        with pytest.raises(AttributeError):
            setattr(snapshot, name, None)
    with pytest.raises(TypeError):
        snapshot.messages[0] = None
    assert copy.copy(snapshot) is copy.deepcopy(snapshot) is snapshot


def test_importing_snapshots_loads_no_model() -> None:
    program = (
        "import sys; from rx_assistant import snapshots; snapshot = snapshots.RunSnapshot();"
        "sys.exit('pydantic' in sys.modules or 'rx_assistant.types.message' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def with_labels(event: StreamEvent) -> StreamEvent:
    """A delta of a server that repeats the role of the message and the id of the call, among fields of its own."""
    payload: Any = event.json()
    if event.event == "thread.message.delta":
        payload["delta"]["role"] = "assistant"
    elif event.event == "thread.run.step.delta":
        for call in (payload["delta"].get("step_details") or {}).get("tool_calls") or ():
            call.setdefault("id", f"call_{call.get('index')}")
    return BY_NAME[event.event](json.dumps({**payload, "vendor": [1]}).encode())


@settings(deadline=None, max_examples=60)
@given(streams())
def test_the_narrow_reading_changes_no_snapshot(stream: Generated) -> None:
    events = [with_labels(event) for event in stream.events if event.event in BY_NAME and event.event != "done"]
    narrow = [folded(*events[:count]) for count in (len(events) // 2, len(events))]
    with pytest.MonkeyPatch.context() as patched:
        for reading in ("read_message", "read_step"):
            patched.setattr(_deltas, reading, lambda raw: None)
        events = [type(event)(event.raw) for event in events]
        whole = [folded(*events[:count]) for count in (len(events) // 2, len(events))]
    assert [snapshot.model_dump() for snapshot in narrow] == [snapshot.model_dump() for snapshot in whole]


def test_another_role_or_id_in_a_plain_delta_is_shown() -> None:
    first = {"id": "msg_1", "delta": {"role": "user", "content": [text("a")]}}
    second = {"id": "msg_1", "delta": {"role": "assistant", "content": [text("b")]}}
    snapshot = folded(event("thread.message.delta", first), event("thread.message.delta", second))
    assert (snapshot.messages[0].role, texts_of(snapshot)) == ("assistant", ["ab"])
    calls = [step_delta(function("{", call_id="call_1", name="f")), step_delta(function("}", call_id="call_2"))]
    assert [call.id for call in folded(*calls).tool_calls] == ["call_2"]

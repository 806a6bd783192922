"""diff: the events between a snapshot and fetched objects, so that a broken stream goes on by polling."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from cases import in_one_test
from generated import Generated, streams
from hypothesis import given, settings, strategies as st
from reference import RECORDINGS
from test_snapshots_fold import check_once, citation, message_delta, text
from test_snapshots_laws import events_of, folds

from rx_assistant.events import StreamEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.lifecycle import Grammar
from rx_assistant.snapshots import RunSnapshot, diff, fold
from rx_assistant.types import Message, Run, RunStep


def fetched(snapshot: RunSnapshot) -> dict[str, Any]:
    """What a server would answer that knows as much as the snapshot."""
    return {
        "run": snapshot.run,
        "steps": [step.to_model() for step in snapshot.steps],
        "messages": [message.to_model() for message in snapshot.messages],
    }


def after(snapshot: RunSnapshot, events: list[StreamEvent]) -> RunSnapshot:
    for event in events:
        snapshot = fold(snapshot, event)
    return snapshot


def names(events: list[StreamEvent]) -> list[str]:
    return [event.event for event in events]


def same(ours: RunSnapshot, theirs: RunSnapshot) -> None:
    """Both hold the same objects; those that only deltas have shown may lack scalars."""
    assert ours.run == theirs.run
    for name in ("messages", "steps"):
        known = {each.id: each for each in getattr(ours, name)}
        assert {each.id: each for each in getattr(theirs, name)} == known
    assert ours.text == theirs.text


@settings(deadline=None)
@given(streams(), st.randoms(use_true_random=False))
def test_a_stream_cut_anywhere_and_polled_ends_like_the_whole(stream: Generated, rng: Random) -> None:
    events = stream.events
    whole = folds(events)[-1]
    cut = rng.randrange(len(events))
    snapshot = after(RunSnapshot(), events[:cut])
    missing = diff(snapshot, **fetched(whole))
    resumed = after(snapshot, missing)
    same(resumed, whole)
    assert diff(resumed, **fetched(whole)) == []
    check_once(events[:cut] + missing, stream)


@settings(deadline=None)
@given(streams(), st.randoms(use_true_random=False))
def test_several_polls_tell_everything_once(stream: Generated, rng: Random) -> None:
    states = folds(stream.events)
    polled = sorted(rng.sample(range(len(states)), min(4, len(states))))
    snapshot, told = RunSnapshot(), []
    for at in [*polled, len(states) - 1]:
        missing = diff(snapshot, **fetched(states[at]))
        snapshot = after(snapshot, missing)
        told += missing
        assert diff(snapshot, **fetched(states[at])) == []
    same(snapshot, states[-1])
    check_once(told, stream)


@settings(deadline=None)
@given(streams(), st.randoms(use_true_random=False))
def test_polled_deltas_hold_only_what_was_added(stream: Generated, rng: Random) -> None:
    states = folds(stream.events)
    polled = sorted(rng.sample(range(len(states)), min(4, len(states))))
    snapshot, texts = RunSnapshot(), 0
    for at in polled:
        missing = diff(snapshot, **fetched(states[at]))
        texts += sum(
            len(text) for each in missing if isinstance(each, ThreadMessageDelta) for _, text in each.text_fragments
        )
        texts += sum(
            len(text) for each in missing if isinstance(each, ThreadRunStepDelta) for _, _, text in each.input_fragments
        )
        snapshot = after(snapshot, missing)
    assert texts == sum(map(len, written(snapshot)))


def written(snapshot: RunSnapshot) -> list[str]:
    """All texts, arguments and code."""
    found = [part.text.value for each in snapshot.messages for part in each.content if part.type == "text"]
    for call in snapshot.tool_calls:
        if call.type == "function":
            found.append(call.function.arguments or "")
        if call.type == "code_interpreter":
            found.append(call.code_interpreter.input or "")
    return found


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:70])
def test_every_recording_can_be_cut_anywhere(path: Path) -> None:
    events = events_of(path)
    states = folds(events)
    for cut in range(0, len(events), max(1, len(events) // 12)):
        snapshot = after(RunSnapshot(), events[:cut])
        missing = diff(snapshot, **fetched(states[-1]))
        same(after(snapshot, missing), states[-1])


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:70])
def test_events_from_nothing_but_objects_fit_the_lenient_grammar(path: Path) -> None:
    last = folds(events_of(path))[-1]
    grammar = Grammar("lenient")
    for event in diff(RunSnapshot(), **fetched(last)):
        data = event.data
        grammar.feed(event.event, id=data.id, status=getattr(data, "status", None))


STEP = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
TEXT = {"type": "text", "text": {"value": "Hello", "annotations": []}}


def test_new_objects_are_created_then_filled_then_completed() -> None:
    run = Run.model_validate({"id": "run_1", "status": "completed", "usage": {"total_tokens": 1}, "completed_at": 9})
    step = RunStep.model_validate({"id": "step_1", "status": "completed", "step_details": STEP})
    message = Message.model_validate({"id": "msg_1", "status": "completed", "content": [TEXT]})
    events = diff(RunSnapshot(), run=run, steps=[step], messages=[message])
    assert names(events) == [
        "thread.run.created",
        "thread.run.step.created",
        "thread.message.created",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]
    assert (events[0].data.status, events[0].data.usage, events[0].data.completed_at) == ("queued", None, None)
    assert (events[1].data.status, events[2].data.status, events[2].data.content) == ("in_progress", "in_progress", [])
    assert events[-1].data == run


def test_a_run_that_has_ended_in_the_snapshot_is_not_reported_again() -> None:
    run = Run.model_validate({"id": "run_1", "status": "completed"})
    snapshot = after(RunSnapshot(), diff(RunSnapshot(), run=run))
    other = run.model_copy(update={"completed_at": 5})
    assert diff(snapshot, run=run) == diff(snapshot, run=other) == []


def test_a_status_is_told_when_it_changes_before_or_after_the_steps() -> None:
    queued, waiting = (Run.model_validate({"id": "run_1", "status": s}) for s in ("queued", "requires_action"))
    snapshot = after(RunSnapshot(), diff(RunSnapshot(), run=queued))
    step = RunStep.model_validate({"id": "step_1", "status": "in_progress"})
    assert names(diff(snapshot, run=waiting, steps=[step])) == ["thread.run.step.created", "thread.run.requires_action"]
    going = queued.model_copy(update={"status": "in_progress"})
    assert names(diff(snapshot, run=going, steps=[step])) == ["thread.run.in_progress", "thread.run.step.created"]
    odd = queued.model_copy(update={"status": "thinking"})
    assert names(diff(snapshot, run=odd)) == []


def test_scalars_that_change_while_an_object_is_open_are_told() -> None:
    step = RunStep.model_validate({"id": "step_1", "status": "in_progress"})
    message = Message.model_validate({"id": "msg_1", "status": "in_progress", "content": [TEXT]})
    snapshot = after(RunSnapshot(), diff(RunSnapshot(), steps=[step], messages=[message]))
    changed = {
        "steps": [step.model_copy(update={"expires_at": 5})],
        "messages": [message.model_copy(update={"metadata": {"k": "v"}})],
    }
    missing = diff(snapshot, **changed)
    assert names(missing) == ["thread.run.step.in_progress", "thread.message.in_progress"]
    later = after(snapshot, missing)
    assert (later.steps[0].expires_at, later.messages[0].metadata, later.text) == (5, {"k": "v"}, "Hello")


def test_a_text_that_was_rewritten_is_left_to_the_final_object() -> None:
    def message(value: str, status: str) -> Message:
        return Message.model_validate(
            {"id": "msg_1", "status": status, "content": [{"type": "text", "text": {"value": value}}]}
        )

    snapshot = after(RunSnapshot(), diff(RunSnapshot(), messages=[message("Hello", "in_progress")]))
    assert diff(snapshot, messages=[message("Bye", "in_progress")]) == []
    missing = diff(snapshot, messages=[message("Bye", "completed")])
    assert names(missing) == ["thread.message.completed"]
    assert after(snapshot, missing).text == "Bye"


def test_a_message_without_status_is_complete() -> None:
    message = Message.model_validate({"id": "msg_1", "role": "user", "content": [TEXT]})
    assert names(diff(RunSnapshot(), messages=[message]))[-1] == "thread.message.completed"


def test_citations_that_came_under_one_index_are_one() -> None:
    """What is added to a text is what it has more than the snapshot, whose pieces may be more than its citations."""
    deltas = [message_delta(text("a", 0, citation(index, f"f{index}"))) for index in (1, 0, 1)]
    snapshot = after(RunSnapshot(), deltas)
    message = snapshot.messages[0].to_model()
    content = message.to_dict()["content"]
    assert len(content[0]["text"]["annotations"]) == 2
    content[0]["text"]["annotations"].append(
        {"type": "file_citation", "text": "[2]", "file_citation": {"file_id": "f2"}}
    )
    grown = Message.model_validate({**message.to_dict(), "content": content})
    added = [event for event in diff(snapshot, run=None, steps=[], messages=[grown]) if "delta" in event.event]
    assert [len(event.data.delta.content[0].text.annotations) for event in added] == [1]

"""The operators without substreams: selection, text, final objects and snapshots; malformed payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cases import in_one_test
from generated import Generated, lossy_streams, messy_streams, streams
from hypothesis import given, settings, strategies as st
from operators_wire import (
    DONE,
    arguments,
    cut,
    event,
    finish,
    function,
    message,
    requires,
    run,
    seen,
    step,
    stream_of,
    text,
    watched,
)
from reactivex import operators as ops
from reference import RECORDINGS

from rx_assistant import (
    RunSnapshot,
    StreamTruncatedError,
    fold,
    from_events,
    operators as ax,
    replay,
)
from rx_assistant.errors import EventDecodeError
from rx_assistant.events import (
    MessageEvent,
    RunEvent,
    StreamEvent,
    ThreadMessageDelta,
    ThreadRunCompleted,
    UnknownEvent,
)

EVERY_RECORDING = in_one_test("path", RECORDINGS, ids=lambda path: path.stem)
LAW = settings(max_examples=40, deadline=None)

STORY = [
    run("queued", "created"),
    run("queued"),
    run("in_progress"),
    step("created", of="step_2", kind="message_creation"),
    message("created"),
    text("Hel"),
    text("lo"),
    message("completed", "Hello"),
    step("completed", of="step_2", kind="message_creation"),
    run("completed", usage={"total_tokens": 3}),
]


def names(items: list[Any]) -> list[str]:
    return [item.event.removeprefix("thread.") for item in items]


# -- selecting --------------------------------------------------------------------------------------------------------


def test_of_type_gives_the_events_of_a_class_or_a_family() -> None:
    stream = stream_of(*STORY)
    assert names(list(stream.pipe(ax.of_type(ThreadMessageDelta)))) == ["message.delta"] * 2
    assert names(list(stream.pipe(ax.of_type(MessageEvent)))) == ["message.created", "message.completed"]
    assert len(list(stream.pipe(ax.of_type(RunEvent)))) == 4


@pytest.mark.parametrize("wrong", ["thread.run.created", str, None, ThreadRunCompleted(b"{}")])
def test_of_type_takes_nothing_but_event_classes(wrong: Any) -> None:
    with pytest.raises(TypeError, match="kind must be an event class such as ThreadMessageDelta"):
        ax.of_type(wrong)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("thread.message.delta", ["message.delta", "message.delta"]),
        ("thread.message.*", ["message.created", "message.delta", "message.delta", "message.completed"]),
        ("thread.run.*", ["run.created", "run.queued", "run.in_progress", "run.completed"]),
        ("thread.*.completed", ["message.completed", "run.completed"]),
        ("thread.**.completed", ["message.completed", "run.step.completed", "run.completed"]),
        ("**.created", ["run.created", "run.step.created", "message.created"]),
        ("thread.run.**", [n for n in names(STORY) if n.startswith("run.")]),
        ("thread.**.run.**.created", ["run.created", "run.step.created"]),
        ("*", []),
        ("*.*", []),
        ("thread", []),
        ("thread.run", []),
        ("**", names(STORY)),
    ],
)
def test_events_are_selected_by_dotted_segments(pattern: str, expected: list[str]) -> None:
    assert names(list(stream_of(*STORY).pipe(ax.events(pattern)))) == expected


@pytest.mark.parametrize("pattern", ["", "thread..run", ".thread", "thread.run.re*", "***", "thread.**x"])
def test_a_pattern_that_is_none_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(ValueError, match="each segment of the pattern"):
        ax.events(pattern)


def test_unknown_events_are_selected_by_their_name_on_the_wire() -> None:
    strange = UnknownEvent("thread.run.step.paused", b"{}")
    stream = from_events([strange, UnknownEvent("a\nb".replace("\n", " "), b"1"), DONE])
    assert list(stream.pipe(ax.events("thread.run.step.*"))) == [strange]
    assert len(list(stream.pipe(ax.events("*")))) == 1


# -- text -------------------------------------------------------------------------------------------------------------


@LAW
@given(st.one_of(streams(), messy_streams(), lossy_streams()))
def test_text_deltas_are_the_fragments_on_the_wire(generated: Generated) -> None:
    wire = [
        piece["text"]["value"]
        for name, payload in generated.frames
        if name == "thread.message.delta"
        for piece in payload["delta"]["content"]
        if piece["type"] == "text" and piece["text"]["value"]
    ]
    stream = replay(generated.body)
    assert list(stream.pipe(ax.text_deltas())) == wire == list(stream.text_deltas)
    assert seen(stream.pipe(ax.text_deltas())).items == wire


@LAW
@given(st.one_of(streams(), messy_streams(), lossy_streams()))
def test_text_snapshots_grow_by_the_deltas_and_end_as_the_server_says(generated: Generated) -> None:
    snapshots = list(replay(generated.body).pipe(ax.text_snapshots()))
    by_part: dict[tuple[str, int], list[ax.TextSnapshot]] = {}
    for snapshot in snapshots:
        by_part.setdefault((snapshot.message_id, snapshot.index), []).append(snapshot)
    for part in replay(generated.body).pipe(ax.texts()):
        assert by_part.pop((part.message_id, part.index)) == list(part.snapshots)
    assert not by_part


def test_a_kept_text_snapshot_never_changes() -> None:
    kept = list(stream_of(text("a"), text("b"), message("completed", "ab!")).pipe(ax.text_snapshots()))
    assert [snapshot.value for snapshot in kept] == ["a", "ab", "ab!"]
    assert kept[0] == kept[0] != kept[1]
    assert len({kept[0], kept[0], kept[1]}) == 2
    assert repr(kept[0]) == "TextSnapshot(message_id='msg_1', index=0, value='a')"
    assert kept[0] != "a"
    with pytest.raises(AttributeError):
        kept[0].value = "b"  # type: ignore[misc]


def test_text_snapshots_hold_the_annotations_so_far() -> None:
    mark = {"type": "file_citation", "text": "†", "start_index": 0, "end_index": 1, "file_citation": {"file_id": "f"}}
    stream = stream_of(text("†", annotations=[{"index": 0, **mark}]), text("!"))
    assert [len(each.annotations) for each in stream.pipe(ax.text_snapshots())] == [1, 1]


# -- final objects ----------------------------------------------------------------------------------------------------


@LAW
@given(st.one_of(streams(), messy_streams(), lossy_streams()))
def test_final_objects_come_once_as_the_server_sent_them(generated: Generated) -> None:
    stream = replay(generated.body)
    for operator, finals in (
        (ax.messages(), generated.messages),
        (ax.completed_run_steps(), generated.steps),
    ):
        found = [model.model_dump(exclude_unset=True, by_alias=True) for model in stream.pipe(operator)]
        assert sorted(each["id"] for each in found) == sorted(finals)
        assert all(each == finals[each["id"]] for each in found)


@LAW
@given(st.one_of(streams(), messy_streams(), lossy_streams()))
def test_completed_tool_calls_are_those_that_the_substreams_are_done_with(generated: Generated) -> None:
    stream = replay(generated.body)
    completed = list(stream.pipe(ax.completed_tool_calls()))
    assert completed == list(stream.pipe(ax.tool_calls(), ops.flat_map(lambda call: call.done)))


def test_required_actions_come_once_for_each_stop() -> None:
    first, second = function("call_1", "1"), function("call_2", "2")
    stream = stream_of(
        run("in_progress"),
        requires(first),
        requires(first),
        run("queued"),
        run("in_progress"),
        requires(second),
        run("queued"),
        requires(second),
    )
    found = [action.submit_tool_outputs.tool_calls[0].id for action in stream.pipe(ax.required_actions())]
    assert found == ["call_1", "call_2", "call_2"]


# -- snapshots --------------------------------------------------------------------------------------------------------


@LAW
@given(st.one_of(streams(), messy_streams(), lossy_streams()))
def test_snapshots_are_what_folding_gives_after_each_event(generated: Generated) -> None:
    folded, snapshot = [], RunSnapshot()
    for each in generated.events[:-1]:  # the last is the ending
        snapshot = fold(snapshot, each)
        folded.append(snapshot)
    stream = replay(generated.body)
    assert list(stream.pipe(ax.snapshots())) == folded
    assert list(stream.pipe(ax.final_snapshot())) == folded[-1:]


def test_final_snapshot_of_nothing_is_the_empty_one() -> None:
    assert list(from_events([DONE]).pipe(ax.final_snapshot())) == [RunSnapshot()]


def test_final_snapshot_of_a_broken_stream_is_its_error_which_holds_what_arrived() -> None:
    notes = watched(cut(run("in_progress"), text("a")), ax.final_snapshot())
    assert notes.items == []
    assert isinstance(notes.error, StreamTruncatedError)
    assert notes.error.snapshot is not None
    assert notes.error.snapshot.text == "a"


def test_an_observer_that_raises_at_the_final_snapshot_is_told_so() -> None:
    stream, errors = stream_of(*STORY), []

    def offend(_: RunSnapshot) -> None:
        raise RuntimeError("no")

    stream.pipe(ax.final_snapshot()).subscribe(offend, errors.append)
    finish(stream)
    assert [str(error) for error in errors] == ["no"]


# -- all of them ------------------------------------------------------------------------------------------------------

BAD_RUN = event("run.completed", ["requires_action"])
BAD_STEP = event("run.step.completed", ["no", "step"])
BAD_MESSAGE = event("message.completed", ["no", "message"])
BAD_TEXT = event("message.delta", ["no", "delta"])


@pytest.mark.parametrize(
    ("operator", "bad"),
    [
        (ax.text_deltas, BAD_TEXT),
        (ax.text_snapshots, BAD_TEXT),
        (ax.texts, BAD_MESSAGE),
        (ax.messages, BAD_MESSAGE),
        (ax.message_streams, BAD_TEXT),
        (ax.tool_calls, BAD_STEP),
        (ax.completed_tool_calls, BAD_STEP),
        (ax.required_actions, BAD_RUN),
        (ax.run_steps, BAD_STEP),
        (ax.completed_run_steps, BAD_STEP),
        (ax.runs, BAD_RUN),
        (ax.run_statuses, BAD_RUN),
        (ax.until_terminal, BAD_RUN),
        (ax.raise_on_failure, BAD_RUN),
        (ax.snapshots, BAD_RUN),
        (ax.final_snapshot, BAD_STEP),
        (ax.verify, BAD_RUN),
    ],
)
def test_a_malformed_payload_ends_the_chain_that_reads_it_and_no_other(
    operator: Callable[[], Any], bad: StreamEvent
) -> None:
    stream = stream_of(*STORY[:3], bad, *STORY[3:])
    reading, other = seen(stream.pipe(operator())), seen(stream)
    finish(stream)
    assert isinstance(reading.error, EventDecodeError)
    assert reading.error.event == bad
    assert (len(other.items), other.endings) == (len(STORY) + 1, [None])


@pytest.mark.parametrize("operator", [ax.text_deltas, ax.texts, ax.tool_calls, ax.messages, ax.run_steps])
def test_what_an_operator_does_not_read_may_be_malformed(operator: Callable[[], Any]) -> None:
    story = [*STORY[:5], arguments("", id="call_1", name="f"), *STORY[5:]]
    whole = watched(stream_of(*story), operator())
    strange = watched(
        stream_of(event("run.queued", ["no", "run"]), UnknownEvent("message", b"\xff"), *story), operator()
    )
    assert len(strange.items) == len(whole.items) > 0
    assert strange.endings == whole.endings == [None]


@pytest.mark.parametrize(
    "operator",
    [
        ax.text_deltas(),
        ax.text_snapshots(),
        ax.messages(),
        ax.completed_tool_calls(),
        ax.required_actions(),
        ax.completed_run_steps(),
        ax.runs(),
        ax.run_statuses(),
        ax.until_terminal(),
        ax.raise_on_failure(),
        ax.snapshots(),
        ax.final_snapshot(),
        ax.verify(),
        ax.events("**"),
        ax.of_type(StreamEvent),
    ],
)
def test_an_operator_that_is_used_twice_gives_two_independent_results(operator: Callable[[Any], Any]) -> None:
    calls = [step("created"), arguments("{}", id="call_1", name="f"), requires(function("call_1", "{}"))]
    events = [*STORY[:3], *calls, run("queued"), *STORY[2:]]
    stream = stream_of(*events)
    chain = stream.pipe(operator)
    one = seen(chain)
    first = list(chain)
    assert first
    assert list(chain) == first == one.items == seen(chain).items
    assert list(stream_of(*events).pipe(operator)) == first

"""Substreams: what feeds them, how long they live, and which readers get their errors."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from operators_wire import (
    DONE,
    Seen,
    arguments,
    cut,
    delta_of,
    finish,
    function,
    message,
    requires,
    run,
    seen,
    stream_of,
    text,
)
from reactivex import Subject, merge, operators as ops

from rx_assistant import AssistantStream, StreamTruncatedError, from_events, operators as ax
from rx_assistant.errors import EventDecodeError
from rx_assistant.events import StreamEvent, ThreadMessageDelta


def two_texts() -> AssistantStream:
    return stream_of(
        run("in_progress"),
        text("a"),
        text("x", 1),
        text("b"),
        text("y", 1),
        message("completed", "ab", "xy"),
        text("c", of="msg_2"),
        message("completed", "c", of="msg_2"),
    )


def test_who_subscribes_inside_the_outer_on_next_misses_nothing() -> None:
    found: dict[Any, Seen] = {}
    stream = two_texts()
    stream.pipe(ax.texts()).subscribe(lambda part: found.update({(part.message_id, part.index): seen(part)}))
    finish(stream)
    assert {key: (notes.items, notes.endings) for key, notes in found.items()} == {
        ("msg_1", 0): (["a", "b"], [None]),
        ("msg_1", 1): (["x", "y"], [None]),
        ("msg_2", 0): (["c"], [None]),
    }


def test_a_substream_is_a_stream_of_its_deltas() -> None:
    [first, *_] = list(two_texts().pipe(ax.texts()))
    assert list(first) == list(first.deltas) == ["a", "b"]
    assert first.pipe(ops.map(str.upper)).run() == "B"


def test_loops_inside_the_loop_lose_nothing_and_may_be_repeated() -> None:
    found = [
        ("".join(part), "".join(part.deltas), part.snapshots.run().value, part.done.run().value)
        for part in two_texts().pipe(ax.texts())
    ]
    assert found == [("ab",) * 4, ("xy",) * 4, ("c",) * 4]


def test_loops_inside_on_next_lose_nothing() -> None:
    found = []
    stream = two_texts()
    stream.pipe(ax.texts()).subscribe(lambda part: found.append("".join(part)))
    watched_too = seen(stream.pipe(ax.text_deltas()))
    finish(stream)
    assert found == ["ab", "xy", "c"]
    assert watched_too.items == ["a", "x", "b", "y", "c"]


def test_a_loop_over_an_inner_stream_goes_no_further_than_it_has_to() -> None:
    stream = two_texts()
    [first, *_] = list(stream.pipe(ax.texts(), ops.take(1)))
    assert list(first) == ["a", "b"]
    assert stream.current_event == message("completed", "ab", "xy")


def test_flat_map_within_a_loop_keeps_the_order_of_the_wire() -> None:
    assert list(two_texts().pipe(ax.texts(), ops.flat_map(lambda part: part.deltas))) == ["a", "x", "b", "y", "c"]


def test_one_that_was_taken_lives_on_when_the_outer_stream_is_left() -> None:
    stream = two_texts()
    notes = seen(stream.pipe(ax.texts(), ops.take(1), ops.flat_map(lambda part: part.deltas)))
    finish(stream)
    assert (notes.items, notes.endings) == (["a", "b"], [None])
    assert list(two_texts().pipe(ax.texts(), ops.take(1), ops.flat_map(lambda part: part.deltas))) == ["a", "b"]


def test_the_source_is_left_when_the_outer_observer_and_all_inner_ones_have_gone() -> None:
    source: Subject[StreamEvent] = Subject()
    inner: list[Any] = []
    outer = ax.texts()(source).subscribe(inner.append)
    source.on_next(text("a"))
    first, second = seen(inner[0]), inner[0].done.subscribe(lambda _: None)
    outer.dispose()
    assert len(source.observers) == 1
    source.on_next(text("b"))
    second.dispose()
    assert first.items == ["a", "b"]
    source.on_next(message("completed", "ab"))
    assert first.endings == [None]
    source.on_next(text("c", of="msg_2"))
    assert len(inner) == 1


def test_one_that_nobody_feeds_any_more_reads_the_source_anew() -> None:
    stream = two_texts()
    kept: list[Any] = []
    stream.pipe(ax.texts(), ops.take(2)).subscribe(kept.append)
    stream.until_done()
    late = [seen(part) for part in kept]
    assert [(notes.items, notes.endings) for notes in late] == [(["a", "b"], [None]), (["x", "y"], [None])]
    assert [list(part.deltas) for part in kept] == [["a", "b"], ["x", "y"]]


def test_operators_that_are_used_twice_keep_nothing_in_between() -> None:
    operator = ax.texts()
    for _ in range(2):
        assert ["".join(part) for part in two_texts().pipe(operator)] == ["ab", "xy", "c"]
    stream = two_texts()
    outer = stream.pipe(operator)
    one, two = seen(outer), seen(outer)
    finish(stream)
    assert len(one.items) == len(two.items) == 3
    assert not set(map(id, one.items)) & set(map(id, two.items))


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="the root"),
        pytest.param([ops.filter(lambda event: event.event.startswith("thread.message"))], id="filter"),
        pytest.param([ax.of_type(StreamEvent)], id="of_type"),
        pytest.param([ops.map(lambda event: event)], id="map"),
        pytest.param([ops.publish(), ops.ref_count()], id="share"),
    ],
)
def test_substreams_work_behind_other_operators(before: list[Callable[[Any], Any]]) -> None:
    stream = two_texts()
    found: list[Seen] = []
    stream.pipe(*before, ax.texts()).subscribe(lambda part: found.append(seen(part)))
    finish(stream)
    assert [notes.items for notes in found] == [["a", "b"], ["x", "y"], ["c"]]
    if len(before) < 2:
        assert ["".join(part) for part in two_texts().pipe(*before, ax.texts())] == ["ab", "xy", "c"]


def test_substreams_of_merged_streams_do_not_mix() -> None:
    one = stream_of(text("a", of="m"), text("b", of="m"), message("completed", "ab", of="m"))
    two = stream_of(text("x", of="n"), text("y", of="n"), message("completed", "xy", of="n"))
    both = one.pipe(ops.merge(two), ax.texts())
    assert sorted((part.message_id, "".join(part)) for part in both) == [("m", "ab"), ("n", "xy")]
    found: list[tuple[str, Seen]] = []
    merge(one, two).pipe(ax.texts()).subscribe(lambda part: found.append((part.message_id, seen(part))))
    two.until_done()
    one.until_done()
    assert sorted((key, notes.items, notes.endings) for key, notes in found) == [
        ("m", ["a", "b"], [None]),
        ("n", ["x", "y"], [None]),
    ]


def test_two_runs_that_require_action_close_their_own_calls() -> None:
    source: Subject[StreamEvent] = Subject()
    done = seen(ax.completed_tool_calls()(source))
    source.on_next(arguments("1", of="step_a", id="call_a", name="f"))
    source.on_next(arguments("2", of="step_b", id="call_b", name="f"))
    source.on_next(requires(function("call_b", "2"), id="run_b"))
    assert [call.id for call in done.items] == ["call_b"]


@pytest.mark.parametrize("kind", [ax.texts, ax.message_streams], ids=["texts", "message_streams"])
def test_the_streams_error_ends_what_is_open_and_the_outer_stream(kind: Callable[[], Any]) -> None:
    stream = cut(text("a"), message("completed", "a"), text("b", of="msg_2"))
    found: list[Seen] = []
    outer = seen(stream.pipe(kind(), ops.do_action(lambda inner: found.append(seen(inner)))))
    finish(stream)
    assert isinstance(outer.error, StreamTruncatedError)
    assert [notes.endings for notes in found] == [[None], [outer.error]]
    assert [len(notes.items) for notes in found] == [1, 1]


def test_a_malformed_payload_ends_only_the_chain_that_reads_it() -> None:
    bad = ThreadMessageDelta(b'["no", "delta"]')
    stream = stream_of(text("a"), bad, text("b"))
    found: list[Seen] = []
    outer = seen(stream.pipe(ax.texts(), ops.do_action(lambda part: found.append(seen(part)))))
    others = [seen(stream), seen(stream.pipe(ax.run_steps())), seen(stream.pipe(ax.run_statuses()))]
    finish(stream)
    assert isinstance(outer.error, EventDecodeError)
    assert outer.error.event == bad
    assert [(notes.items, notes.endings) for notes in found] == [(["a"], [outer.error])]
    assert [notes.endings for notes in others] == [[None]] * 3


def test_an_outer_observer_that_raises_costs_nobody_at_a_substream_anything() -> None:
    stream = two_texts()
    found: list[Seen] = []
    errors: list[Exception] = []

    def offend(part: Any) -> None:
        found.append(seen(part))
        if len(found) == 2:
            raise RuntimeError("enough")

    stream.pipe(ax.texts()).subscribe(offend, errors.append)
    sibling = seen(stream.pipe(ax.texts()))
    finish(stream)
    assert [str(error) for error in errors] == ["enough"]
    assert [(notes.items, notes.endings) for notes in found] == [(["a", "b"], [None]), (["x", "y"], [None])]
    assert (len(sibling.items), sibling.endings) == (3, [None])


def test_an_inner_observer_that_raises_is_detached_alone() -> None:
    stream = two_texts()
    good: list[Seen] = []
    errors: list[Exception] = []

    def offend(_: str) -> None:
        raise RuntimeError("no")

    def watch(part: Any) -> None:
        part.subscribe(offend, errors.append)
        good.append(seen(part))

    outer: list[None] = []
    stream.pipe(ax.texts()).subscribe(watch, on_completed=lambda: outer.append(None))
    finish(stream)
    assert len(errors) == 3
    assert [(notes.items, notes.endings) for notes in good] == [
        (["a", "b"], [None]),
        (["x", "y"], [None]),
        (["c"], [None]),
    ]
    assert outer == [None]


def test_an_interrupt_in_a_callback_loses_nobody_an_item() -> None:
    both = delta_of(
        "msg_1",
        {"index": 0, "type": "text", "text": {"value": "a"}},
        {"index": 1, "type": "text", "text": {"value": "b"}},
    )
    stream = stream_of(both, message("completed", "a", "b"))
    found: list[Seen] = []
    interrupted: list[None] = []

    def watch(part: Any) -> None:
        found.append(seen(part))
        if not interrupted:
            interrupted.append(None)
            raise KeyboardInterrupt

    stream.pipe(ax.texts()).subscribe(watch)
    with pytest.raises(KeyboardInterrupt):
        stream.until_done()
    stream.until_done()
    assert [(notes.items, notes.endings) for notes in found] == [(["a"], [None]), (["b"], [None])]


def test_without_replay_those_present_from_the_start_are_told_all_and_late_ones_nothing() -> None:
    stream = from_events([text("a"), text("b"), message("completed", "ab"), DONE], replay="none")
    found: list[tuple[Any, Seen]] = []
    stream.pipe(ax.texts()).subscribe(lambda part: found.append((part, seen(part))))
    finish(stream)
    [(part, notes)] = found
    assert (notes.items, notes.endings) == (["a", "b"], [None])
    late = seen(part)
    assert (late.items, late.endings) == ([], [None])


def test_without_replay_loops_inside_the_loop_are_told_all() -> None:
    many = [text(f"{number} ", number % 3) for number in range(3000)]
    stream = from_events([*many, message("completed", "…", "…", "…"), DONE], replay="none")
    lengths = [len(list(part)) for part in stream.pipe(ax.texts())]
    assert lengths == [1000, 1000, 1000]


def kept(stream: AssistantStream) -> list[Any]:
    notes: list[Any] = []
    stream.pipe(ax.texts()).subscribe(lambda part: notes.append((part, seen(part), seen(part.done))))
    finish(stream)
    return notes


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda stream: list(stream.pipe(ax.texts())), id="a loop"),
        pytest.param(lambda stream: [list(part) for part in stream.pipe(ax.texts())], id="loops in a loop"),
        pytest.param(kept, id="subscribers"),
    ],
)
def test_a_dropped_stream_is_freed_at_once_with_its_substreams(read: Callable[[AssistantStream], Any]) -> None:
    gc.collect()
    gc.disable()
    try:
        stream = two_texts()
        result = read(stream)
        log = weakref.ref(stream.log)
        del stream, result
        assert log() is None
    finally:
        gc.enable()

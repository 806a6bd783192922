"""Substreams: identity in every disorder, and how long they live."""

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
    call_delta,
    cut,
    delta_of,
    finish,
    function,
    message,
    requires,
    run,
    seen,
    step,
    stream_of,
    text,
)
from reactivex import Subject, merge, operators as ops

from rx_assistant import AssistantStream, StreamTruncatedError, from_events, operators as ax
from rx_assistant.errors import EventDecodeError
from rx_assistant.events import StreamEvent, ThreadMessageDelta

IMAGE = {"type": "image_file", "image_file": {"file_id": "file_1"}}
REFUSAL = {"type": "refusal", "refusal": "No."}


def parts_of(*events: StreamEvent) -> list[tuple[Any, ...]]:
    """Each text part with its deltas and what it was done with."""
    found: list[tuple[Any, Seen, Seen]] = []
    stream = stream_of(*events)
    stream.pipe(ax.texts()).subscribe(lambda part: found.append((part, seen(part), seen(part.done))))
    finish(stream)
    return [(p.message_id, p.index, d.items, [final.value for final in f.items]) for p, d, f in found]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [message("created"), text("a"), text("b"), message("completed", "ab")],
            [("msg_1", 0, ["a", "b"], ["ab"])],
            id="in order",
        ),
        pytest.param(
            [text("a"), message("created"), text("b"), message("completed", "ab")],
            [("msg_1", 0, ["a", "b"], ["ab"])],
            id="a delta before created",
        ),
        pytest.param(
            [message("created"), text("a"), message("completed", "a"), text("b"), message("completed", "a")],
            [("msg_1", 0, ["a"], ["a"])],
            id="a delta and a second ending after completed",
        ),
        pytest.param(
            [message("created", "Hi"), text("!"), message("completed", "Hi!")],
            [("msg_1", 0, ["!"], ["Hi!"])],
            id="content in created",
        ),
        pytest.param(
            [message("completed", "a", IMAGE, "b")],
            [("msg_1", 0, [], ["a"]), ("msg_1", 2, [], ["b"])],
            id="content in completed only",
        ),
        pytest.param(
            [text("b", 1), message("completed", "a", "b")],
            [("msg_1", 1, ["b"], ["b"]), ("msg_1", 0, [], ["a"])],
            id="one part in deltas, the other in completed only",
        ),
        pytest.param(
            [text("x", 4), text("a", 1), text("y", 4), message("completed", "a", "xy")],
            [("msg_1", 4, ["x", "y"], ["xy"]), ("msg_1", 1, ["a"], ["a"])],
            id="indices with gaps, in any order",
        ),
        pytest.param(
            [text("a", of="m"), text("b", of="n"), text("c", of="m"), message("completed", "b", of="n")],
            [("m", 0, ["a", "c"], []), ("n", 0, ["b"], ["b"])],
            id="two messages at once",
        ),
        pytest.param(
            [
                text("a", of="m"),
                text("b", 1, of="m"),
                message("completed", "a", "b", of="m"),
                text("c", of="n"),
                message("incomplete", "c", of="n"),
            ],
            [("m", 0, ["a"], ["a"]), ("m", 1, ["b"], ["b"]), ("n", 0, ["c"], ["c"])],
            id="a later message with fewer parts",
        ),
        pytest.param(
            [message("created"), message("incomplete")],
            [],
            id="a message that ends empty",
        ),
        pytest.param(
            [text("a"), message("incomplete")],
            [("msg_1", 0, ["a"], [])],
            id="a part that the final message does not hold",
        ),
        pytest.param(
            [
                delta_of(
                    "msg_1",
                    {"index": 0, "type": "text", "text": {"value": "a"}},
                    {"index": 0, "type": "text", "text": {"value": "b"}},
                    {"index": 1, "type": "text", "text": {"value": "c"}},
                ),
                message("completed", "ab", "c"),
            ],
            [("msg_1", 0, ["a", "b"], ["ab"]), ("msg_1", 1, ["c"], ["c"])],
            id="several fragments in one delta",
        ),
        pytest.param(
            [
                delta_of("msg_1", {"index": 0, **IMAGE}, {"index": 1, "type": "text", "text": {"value": ""}}),
                text("a", 1),
                message("completed", IMAGE, "a"),
            ],
            [("msg_1", 1, ["a"], ["a"])],
            id="an image before the text",
        ),
        pytest.param(
            [delta_of("msg_1", {"index": 0, **REFUSAL}), message("completed", REFUSAL)],
            [],
            id="a refusal is no text",
        ),
        pytest.param(
            [delta_of("msg_1", {"type": "text", "text": {"value": "a"}}), message("completed", "a")],
            [("msg_1", 0, ["a"], ["a"])],
            id="no index",
        ),
        pytest.param(
            [delta_of("msg_1", {"index": 0, "type": "hologram", "beam": 1}), text("a", 1), message("completed")],
            [("msg_1", 1, ["a"], [])],
            id="a part of an unknown kind",
        ),
    ],
)
def test_text_parts_are_told_by_identity(events: list[StreamEvent], expected: list[tuple[Any, ...]]) -> None:
    assert parts_of(*events) == expected


def calls_of(*events: StreamEvent) -> list[tuple[Any, ...]]:
    """Each call with its step, index, id, pieces, and the arguments and output that it was done with."""
    found: list[tuple[Any, Seen, Seen]] = []
    stream = stream_of(*events)
    stream.pipe(ax.tool_calls()).subscribe(
        lambda call: found.append((call, seen(call.argument_deltas), seen(call.done)))
    )
    finish(stream)
    return [
        (c.step_id, c.index, c.id, d.items, [(final.function.arguments, final.function.output) for final in f.items])
        for c, d, f in found
    ]


FIRST = arguments("", id="call_1", name="f")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [step("created"), FIRST, arguments("{"), arguments("}"), requires(function("call_1", "{}"))],
            [("step_1", 0, "call_1", ["{", "}"], [("{}", None)])],
            id="done when the run requires action",
        ),
        pytest.param(
            [
                FIRST,
                arguments("{}"),
                requires(function("call_1", "{}")),
                step("completed", function("call_1", "{}", output="5")),
            ],
            [("step_1", 0, "call_1", ["{}"], [("{}", None)])],
            id="its output later changes the step only",
        ),
        pytest.param(
            [FIRST, arguments("{}"), step("completed", function("call_1", "{}", output="5"))],
            [("step_1", 0, "call_1", ["{}"], [("{}", "5")])],
            id="done when its step ends",
        ),
        pytest.param(
            [step("completed", function("call_1", "{}", output="5")), run("queued")],
            [("step_1", 0, "call_1", [], [("{}", "5")])],
            id="a run resumed by its outputs",
        ),
        pytest.param(
            [
                FIRST,
                arguments("1"),
                arguments("", 1, id="call_2", name="f"),
                arguments("2", 1),
                arguments("3"),
                arguments("4", 1),
                step("completed", function("call_1", "13"), function("call_2", "24")),
            ],
            [
                ("step_1", 0, "call_1", ["1", "3"], [("13", None)]),
                ("step_1", 1, "call_2", ["2", "4"], [("24", None)]),
            ],
            id="two calls interleaved",
        ),
        pytest.param(
            [
                FIRST,
                arguments("", of="step_2", id="call_2", name="f"),
                arguments("1"),
                arguments("2", of="step_2"),
                step("completed", function("call_1", "1")),
                step("failed", function("call_2", "2"), of="step_2"),
            ],
            [("step_1", 0, "call_1", ["1"], [("1", None)]), ("step_2", 0, "call_2", ["2"], [("2", None)])],
            id="two steps interleaved, each with an index 0",
        ),
        pytest.param(
            [arguments("1", 2), arguments("2", 2, id="call_1", name="f"), step("completed", function("call_1", "12"))],
            [("step_1", 2, "call_1", ["1", "2"], [("12", None)])],
            id="a gap, and the id after the first fragment",
        ),
        pytest.param(
            [FIRST, arguments("1", id="call_1", name="f"), step("completed", function("call_1", "1"))],
            [("step_1", 0, "call_1", ["1"], [("1", None)])],
            id="a repeated id and name",
        ),
        pytest.param(
            [step("created", function("call_1", "{")), arguments("}"), step("completed", function("call_1", "{}"))],
            [("step_1", 0, "call_1", ["}"], [("{}", None)])],
            id="a call in created",
        ),
        pytest.param(
            [step("created"), requires(function("call_1", "{}"))],
            [("step_1", 0, "call_1", [], [("{}", None)])],
            id="a call without deltas, required",
        ),
        pytest.param(
            [
                step("created"),
                requires(function("call_1", "{}")),
                step("completed", function("call_1", "{}", output="5")),
            ],
            [("step_1", 0, "call_1", [], [("{}", None)])],
            id="a call without deltas, required, then completed",
        ),
        pytest.param(
            [arguments("1"), arguments("2", 1), requires(function("call_1", "1"), function("call_2", "2"))],
            [("step_1", 0, "call_1", ["1"], [("1", None)]), ("step_1", 1, "call_2", ["2"], [("2", None)])],
            id="ids that only the required action tells",
        ),
        pytest.param([step("created"), FIRST, arguments("1")], [("step_1", 0, "call_1", ["1"], [])], id="left open"),
        pytest.param(
            [FIRST, step("completed", function("call_1", "")), arguments("late")],
            [("step_1", 0, "call_1", [], [("", None)])],
            id="a delta after the end",
        ),
    ],
)
def test_tool_calls_are_told_by_identity(events: list[StreamEvent], expected: list[tuple[Any, ...]]) -> None:
    assert calls_of(*events) == expected


def test_a_call_of_code_waits_for_its_step_while_functions_are_required() -> None:
    code = {"type": "code_interpreter", "code_interpreter": {"input": "1+1"}}
    stream = stream_of(
        call_delta("step_1", {"index": 0, "id": "code_1", **code}),
        arguments("{}", 1, id="call_1", name="f"),
        requires(function("call_1", "{}")),
        step("completed", {"id": "code_1", **code}, function("call_1", "{}", output="5")),
    )
    done = [call.id for call in stream.pipe(ax.completed_tool_calls())]
    assert done == ["call_1", "code_1"]


# -- how long they live ----------------------------------------------------------------------------------------------


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
    bad = ThreadMessageDelta(b'{"id": 5}')
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


def test_a_dropped_stream_frees_its_substreams() -> None:
    stream = two_texts()
    parts = list(stream.pipe(ax.texts()))
    gone = [weakref.ref(part) for part in parts]
    assert all(reference() is not None for reference in gone)
    del parts, stream
    gc.collect()
    assert all(reference() is None for reference in gone)

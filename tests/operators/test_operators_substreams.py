"""Substreams: identity in every disorder."""

from __future__ import annotations

from typing import Any

import pytest
from operators_wire import (
    Seen,
    arguments,
    call_delta,
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

from rx_assistant import operators as ax
from rx_assistant.events import StreamEvent

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
            [],
            id="a run resumed by its outputs: an earlier stream told the call",
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

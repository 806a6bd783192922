"""What coalesce joins by itself, and into what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from reactivex import operators as ops

from rx_assistant.events import BY_NAME, StreamEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.operators import text_snapshots
from rx_assistant.operators._joining import joined, may_join
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.streams import from_events


def event(name: str, data: dict[str, Any]) -> Any:
    return BY_NAME[name](json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def text(
    value: str, *, message: str = "msg_1", index: int = 0, around: dict[str, Any] | None = None, **more: Any
) -> Any:
    part = {"index": index, "type": "text", "text": {"value": value, **more}}
    delta = {"id": message, "object": "thread.message.delta", "delta": {"content": [part]}, **(around or {})}
    return event("thread.message.delta", delta)


def arguments(value: str, *, step: str = "step_1", index: int = 0, kind: str = "function", **more: Any) -> Any:
    field = {"function": "arguments", "code_interpreter": "input"}[kind]
    call = {"index": index, "type": kind, kind: {field: value, **more}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    data = {"id": step, "object": "thread.run.step.delta", "delta": {"step_details": details}}
    return event("thread.run.step.delta", data)


def run(status: str) -> Any:
    return event(f"thread.run.{status}", {"id": "run_1", "object": "thread.run", "thread_id": "t", "status": status})


CITED = {"index": 0, "type": "file_citation", "text": "[1]", "file_citation": {"file_id": "file_1"}}


@pytest.mark.parametrize(
    ("earlier", "later", "may"),
    [
        pytest.param("a", "b", True, id="text"),
        pytest.param("a", 1, False, id="text and something else"),
        pytest.param(1, 2, False, id="numbers"),
        pytest.param(text("a"), text("b"), True, id="one part"),
        pytest.param(text("a"), text("b", message="msg_2"), False, id="two messages"),
        pytest.param(text("a"), text("b", index=1), False, id="two parts"),
        pytest.param(text("a"), text("b", annotations=[CITED]), False, id="a citation"),
        pytest.param(text("a", annotations=[]), text("b"), True, id="no citations"),
        pytest.param(text("a", around={"v": [1]}), text("b", around={"v": [1]}), True, id="the same further fields"),
        pytest.param(text("a", around={"v": [1]}), text("b", around={"v": [2]}), False, id="other further fields"),
        pytest.param(text("a"), text("b", around={"logprobs": []}), False, id="a further field"),
        pytest.param(arguments("{"), arguments("}"), True, id="one call"),
        pytest.param(arguments("{"), arguments("}", step="step_2"), False, id="two steps"),
        pytest.param(arguments("{"), arguments("}", index=1), False, id="two calls"),
        pytest.param(arguments("{", name="f"), arguments("}"), False, id="the first fragment of a call"),
        pytest.param(arguments("1", kind="code_interpreter"), arguments("2", kind="code_interpreter"), True, id="code"),
        pytest.param(arguments("1", kind="code_interpreter"), arguments("2"), False, id="two types of call"),
        pytest.param(text("a"), arguments("{"), False, id="message and step"),
        pytest.param(run("queued"), run("queued"), False, id="no deltas"),
    ],
)
def test_only_neighbours_that_say_more_of_one_thing_may_be_joined(earlier: Any, later: Any, may: bool) -> None:
    assert may_join(earlier, later) is may


TRICKY = ["plain", ' "quoted" \\ ', "line\nbreak\t", "žluťoučký 𝄞 “”", "", "\u2028\u0000"]


def test_joined_text_deltas_say_what_the_parts_said() -> None:
    whole = joined([text(value, index=2) for value in TRICKY])
    assert isinstance(whole, ThreadMessageDelta)
    assert (whole.message_id, whole.text_fragments) == ("msg_1", ((2, "".join(TRICKY)),))
    assert whole.data.delta.content[0].text.value == "".join(TRICKY)


@pytest.mark.parametrize("kind", ["function", "code_interpreter"])
def test_joined_argument_deltas_say_what_the_parts_said(kind: str) -> None:
    whole = joined([arguments(value, index=3, kind=kind) for value in TRICKY])
    assert isinstance(whole, ThreadRunStepDelta)
    assert (whole.step_id, whole.input_fragments) == ("step_1", ((3, kind, "".join(TRICKY)),))
    assert whole.data.delta.step_details.type == "tool_calls"


def test_joined_deltas_keep_the_further_fields() -> None:
    whole = joined([text("a", around={"v": [1]}), text("b", around={"v": [1]})])
    assert whole.json() == text("ab", around={"v": [1]}).json()


def test_joined_deltas_are_read_as_narrowly_as_those_of_servers() -> None:
    assert may_join(joined([text("a"), text("b")]), text("c"))
    assert may_join(joined([arguments("a"), arguments("b")]), arguments("c"))


def snapshots(*events: StreamEvent) -> list[RunSnapshot]:
    made = [RunSnapshot()]
    for one in events:
        made.append(fold(made[-1], one))
    return made[1:]


def test_snapshots_give_way_to_the_newest_but_not_past_a_change_of_status() -> None:
    one, two, three, four = snapshots(run("in_progress"), text("a"), text("b"), run("requires_action"))
    assert may_join(one, two)
    assert may_join(two, three)
    assert not may_join(three, four)
    assert joined([one, two, three]) is three


def test_text_snapshots_give_way_to_the_newest_of_their_part() -> None:
    events = [text("a"), text("b"), text("x", index=1), text("c")]
    one, two, other, three = from_events(events_with_end(events)).pipe(text_snapshots(), ops.take(4))
    assert may_join(one, two)
    assert not may_join(two, other)
    assert not may_join(other, three)
    assert joined([one, two]) is two


def events_with_end(events: list[Any]) -> list[Any]:
    return [run("in_progress"), *events, run("completed"), BY_NAME["done"](b"[DONE]")]


def test_joining_what_no_rule_can_join_says_what_to_give() -> None:
    with pytest.raises(TypeError, match="items must be texts, deltas or snapshots, got int: pass `join` with"):
        joined([1, 2])

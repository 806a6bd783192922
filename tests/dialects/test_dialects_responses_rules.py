"""Each rule about Responses streams, with the smallest stream that shows it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import dialects_turns as turns
import pytest

from rx_assistant.dialects.responses import ResponsesTranslator
from rx_assistant.events import UnknownEvent


def told(*events: dict[str, Any] | bytes) -> turns.Read:
    numbers = itertools.count()
    translator = ResponsesTranslator(new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1)
    fed = [translator.feed(one if isinstance(one, bytes) else json.dumps(one).encode()) for one in events]
    return turns.read([*itertools.chain.from_iterable(fed), *translator.end()])


def added(kind: str, index: int | None = 0, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": {"type": kind, **item}}


def done(kind: str, index: int | None = 0, **item: Any) -> dict[str, Any]:
    return {**added(kind, index, **item), "type": "response.output_item.done"}


def delta(value: str, index: int | None = 0, kind: str = "output_text", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": value, **more}


def ended(status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"id": "resp_1", "status": status, **more}}


def test_what_the_deltas_left_out_comes_from_the_done_events() -> None:
    text = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"}
    assert told(added("message"), delta("Hel"), text, ended()).text == "Hello"
    item = done("message", content=[{"type": "output_text", "text": "Hello"}])
    assert told(added("message"), delta("Hel"), item, ended()).text == "Hello"
    assert told(ended(output=[item["item"]])).text == "Hello"


def test_items_keep_their_place_when_the_server_changes_their_ids() -> None:
    events = [added("message", id="a"), delta("x", item_id="b"), delta("y", item_id="c"), done("message", id="d")]
    assert len({one.event for one in told(*events, ended()).events if one.event == "thread.message.created"}) == 1


def test_without_an_index_items_are_told_apart_by_their_ids() -> None:
    first = [added("message", None, id="a"), delta("x", None, item_id="a"), done("message", None, id="a")]
    second = [added("message", None, id="b"), delta("y", None, item_id="b"), done("message", None, id="b")]
    found = told(*first, *second, ended())
    assert [one.event for one in found.events].count("thread.message.completed") == 2


def test_parallel_calls_share_one_step() -> None:
    calls = [
        added("function_call", 0, call_id="a", name="f", arguments=""),
        delta('{"x"', 0, "function_call_arguments"),
        added("function_call", 1, call_id="b", name="g", arguments=""),
        delta(":1}", 0, "function_call_arguments"),
        done("function_call", 1, call_id="b", name="g", arguments="{}"),
    ]
    found = told(*calls, ended())
    assert found.calls == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert [one.event for one in found.events].count("thread.run.step.created") == 1


def test_items_told_at_once_are_messages_one_after_the_other() -> None:
    found = told(added("message", 0), delta("a", 0), delta("b", 1), delta("c", 0), ended())
    assert found.text == "abc"
    assert [one.event for one in found.events].count("thread.message.completed") == 3


def test_arguments_that_are_an_object_become_json() -> None:
    assert told(done("function_call", call_id="a", name="f", arguments={"x": 1}), ended()).calls == [
        ("a", "f", '{"x":1}')
    ]


def test_what_is_off_costs_only_itself() -> None:
    found = told(
        {"type": ["response.created"]},
        {"type": "response.output_text.annotation.added", "annotation": {"type": {}, "file_id": 5}},
        {"type": "response.code_interpreter_call_code.delta", "output_index": 4, "delta": "1+1"},
        done("code_interpreter_call", 4, id="ci_1", status=[], outputs=5),
        done("reasoning", 5, summary=5, content={}),
        delta("Hel", 6, content_index=[]),
        b'{"type":"response.output_text.delta","output_index":"6","delta":"l\xff"}',
        {"type": "response.completed", "response": {"output": 5, "usage": {"input_tokens": float("inf")}}},
    )
    assert (found.text, found.run.status) == ("Hell\ufffd", "completed")
    assert found.run.usage is not None
    assert found.run.usage.total_tokens == 0


def test_code_and_its_logs_are_a_step_of_their_own() -> None:
    events = [
        added("code_interpreter_call", id="ci_1"),
        delta("print(1)", 0, "code_interpreter_call_code"),
        done("code_interpreter_call", id="ci_1", code="print(1)", outputs=[{"type": "logs", "logs": "1\n"}]),
        added("message", 1),
        delta("one", 1),
    ]
    found = told(*events, ended())
    step = next(one for one in found.events if one.event == "thread.run.step.completed").data
    call = step.step_details.tool_calls[0]
    assert (call.code_interpreter.input, call.code_interpreter.outputs[0].logs) == ("print(1)", "1\n")
    assert found.text == "one"


def test_citations_of_files_are_annotations_and_others_are_kept() -> None:
    kind = "response.output_text.annotation.added"
    cited = {"type": kind, "output_index": 0, "annotation": {"type": "file_citation", "file_id": "file-1", "index": 5}}
    url = {"type": kind, "output_index": 0, "annotation": {"type": "url_citation", "url": "https://example.org"}}
    found = told(added("message"), delta("Hello"), cited, url, ended())
    message = next(one for one in found.events if one.event == "thread.message.completed").data
    assert [mark.file_citation.file_id for mark in message.content[0].text.annotations] == ["file-1"]
    kept = [one for one in found.events if isinstance(one, UnknownEvent)]
    assert [(one.event, one.json()) for one in kept] == [(kind, url)]


def test_reasoning_is_read_from_deltas_or_else_from_the_item() -> None:
    summary = delta("why", 0, "reasoning_summary_text")
    assert told(added("reasoning"), summary, delta("so", 1), ended()).reasoning == "why"
    item = done("reasoning", summary=[{"type": "summary_text", "text": "because"}])
    assert told(added("reasoning"), item, delta("so", 1), ended()).reasoning == "because"


ENDINGS = {
    "incomplete": (
        [delta("a"), ended("incomplete", incomplete_details={"reason": "max_output_tokens"})],
        "incomplete",
        "",
    ),
    "filtered": (
        [delta("a"), ended("incomplete", incomplete_details={"reason": "content_filter"})],
        "failed",
        "filter",
    ),
    "failed": ([delta("a"), ended("failed", error={"code": "server_error", "message": "boom"})], "failed", "boom"),
    "nested error": ([{"type": "error", "error": {"message": "nested"}}], "failed", "nested"),
    "flat error": ([{"type": "error", "message": "flat", "code": None}], "failed", "flat"),
    "cut": ([delta("a")], "failed", "broke off"),
    "nothing": ([], "failed", "gave no answer"),
    "text": ([b"Bad gateway"], "failed", "Bad gateway"),
}


@pytest.mark.parametrize("claim", ENDINGS)
def test_endings(claim: str) -> None:
    events, status, words = ENDINGS[claim]
    run = told(*events).run
    assert run.status == status
    assert words in (run.last_error.message if run.last_error else "")


def test_usage_has_the_names_of_a_run() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}}
    found = told(delta("a"), ended(usage=usage)).run.usage
    assert found is not None
    assert (found.prompt_tokens, found.completion_tokens, found.total_tokens) == (3, 4, 7)

"""Engines of one's own: tool calls of several kinds in a turn, token counts, and what of their errors gets out."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest

from local.conftest import parsed
from rx_assistant.events import classify
from rx_assistant.local import Engine
from rx_assistant.local.engine import (
    Action,
    Arguments,
    Citation,
    CodeCall,
    CodeInput,
    CodeLogs,
    EndStep,
    Failure,
    FileSearch,
    FunctionCall,
    Refusal,
    Text,
    Usage,
)
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.sse import SSEDecoder

TOOLS = [{"type": "function", "function": {"name": "f"}}, {"type": "file_search"}, {"type": "code_interpreter"}]


def turns(*turns: list[Action]) -> Engine:
    """An engine that yields these actions, a list a turn."""

    async def run(context):
        for action in turns[context.turn]:
            yield action

    return SimpleNamespace(run=run)


def rest(api, **fields) -> dict:
    """A new run, once it rests."""
    return api.wait(api.start(api.assistant(tools=TOOLS), api.thread("hi"), **fields))


SEARCH_FIRST = [FileSearch(()), FunctionCall("f"), Arguments('{"a":'), Arguments("1}")]
CALL_FIRST = [FunctionCall("f"), Arguments('{"a":1}'), FileSearch(())]
INTERLEAVED = [FunctionCall("f"), CodeCall(), Arguments('{"a":'), CodeInput("1"), Arguments("1}"), FileSearch(())]


@pytest.mark.parametrize(
    ("turn", "kinds"),
    [
        (SEARCH_FIRST, ["file_search", "function"]),
        (CALL_FIRST, ["function", "file_search"]),
        (INTERLEAVED, ["function", "code_interpreter", "file_search"]),
        ([FileSearch(()), *CALL_FIRST], ["file_search", "function", "file_search"]),
        ([FunctionCall("g", 1), *SEARCH_FIRST], ["file_search", "function", "function"]),
    ],
)
def test_calls_of_several_kinds_share_a_step(connect, turn, kinds):
    api = connect(engine=turns(turn, [Text("done")]))
    run = rest(api)
    assert run["status"] == "requires_action"
    (step,) = api.steps(run)
    calls = step["step_details"]["tool_calls"]
    assert [call["type"] for call in calls] == kinds
    arguments = {call["function"]["name"]: call["function"]["arguments"] for call in calls if "function" in call}
    assert arguments.pop("f") == '{"a":1}'
    assert set(arguments.values()) <= {""}
    assert api.wait(api.answer(run))["status"] == "completed"


def test_the_calls_of_a_step_have_different_indices_on_the_wire(connect):
    api = connect(engine=turns(INTERLEAVED))
    body = {"assistant_id": api.assistant(tools=TOOLS)}
    events = api.stream(f"/threads/{api.thread('hi')}/runs", body)
    found = {}
    for name, data in events:
        if name == "thread.run.step.delta":
            (call,) = data["delta"]["step_details"]["tool_calls"]
            assert found.setdefault(call["index"], call["type"]) == call["type"]
    assert found == {0: "function", 1: "code_interpreter", 2: "file_search"}


def test_a_second_call_at_an_index_is_a_call_of_its_own(connect):
    code = [CodeCall(), CodeInput("1"), CodeLogs("one"), CodeCall(), CodeInput("2"), CodeLogs("two")]
    api = connect(engine=turns(code))
    (step,) = api.steps(rest(api))
    inner = [call["code_interpreter"] for call in step["step_details"]["tool_calls"]]
    assert [(code["input"], code["outputs"][0]["logs"]) for code in inner] == [("1", "one"), ("2", "two")]


# Token counts


@pytest.mark.parametrize(
    ("turn", "total"),
    [
        ([Usage(10, 5), Text("a")], 15),
        ([Text("a"), Usage(10, 5)], 15),
        ([Text("a"), EndStep(), Usage(10, 5)], 15),
        ([Usage(10, 5)], 15),
        ([Text("a"), Usage(10, 1), Text("b"), Usage(10, 5)], 15),
        ([FileSearch(()), Text("a"), Usage(10, 5)], 15),
        ([FileSearch(()), Usage(1, 1), Text("a"), Usage(10, 5)], 17),
        ([Text("a"), EndStep(), Usage(10, 5), Text("b"), EndStep(), Usage(1, 1)], 17),
        ([Usage(10, 5), Text("a"), Failure("no")], 15),
        ([Text("a"), Usage(10, 5), Failure("no")], 15),
    ],
)
def test_what_a_model_counted_is_the_usage_and_no_estimate_is_added(connect, turn, total):
    api = connect(engine=turns(turn))
    assert rest(api)["usage"]["total_tokens"] == total


def test_counts_of_all_turns_are_added(connect):
    api = connect(engine=turns([FunctionCall("f"), Usage(10, 5)], [Usage(20, 1), Text("done")]))
    run = api.wait(api.answer(rest(api)))
    usage = run["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (30, 6, 36)


def test_without_any_count_the_usage_is_an_estimate(connect):
    api = connect(engine=turns([FileSearch(()), Text("one two three")]))
    run = rest(api)
    assert run["usage"]["total_tokens"] == sum(step["usage"]["total_tokens"] for step in api.steps(run)) > 0


# Errors


def test_what_an_engine_raises_is_in_the_log_and_nowhere_else(connect, caplog):
    async def run(context):
        yield Text("before")
        raise RuntimeError("GET https://example.com/?key=sk-secret")

    api = connect(engine=SimpleNamespace(run=run))
    body = {"assistant_id": api.assistant()}
    with caplog.at_level(logging.ERROR, "rx_assistant.local"):
        events = api.stream(f"/threads/{api.thread('hi')}/runs", body)
    failed = events[-2][1]
    assert failed["last_error"] == {"code": "server_error", "message": "The engine failed. The server's log says why."}
    assert "sk-secret" not in str(events)
    assert "sk-secret" in caplog.text
    assert "sk-secret" not in str(api.steps(failed))


def test_a_store_that_fails_leaves_no_run_and_no_reader_behind(connect, caplog, monkeypatch):
    api = connect(engine=turns([Text("a"), Text("b")]))
    state = api.server._state
    put = state.store.put

    def failing(kind, value, *rest):
        if kind in ("message", "step", "run") and value.get("status") not in (None, "queued"):
            raise OSError("disk full")
        put(kind, value, *rest)

    monkeypatch.setattr(state.store, "put", failing)
    body = {"assistant_id": api.assistant()}
    thread = api.thread("hi")
    with caplog.at_level(logging.CRITICAL, "rx_assistant.local"):
        events = api.stream(f"/threads/{thread}/runs", body)
    assert [name for name, _ in events[-2:]] == ["thread.run.failed", "done"]
    assert state.active_run(thread) is None


def test_an_ending_that_json_cannot_hold_is_written_with_plain_values(connect, caplog, monkeypatch):
    async def run(context):
        yield Text("a")
        execution = state.execution(context.run_id)
        execution.run["metadata"] = {"a": object()}
        execution._open.message["attachments"] = [object()]
        execution._open.step["step_details"]["more"] = {1, 2}

    api = connect(engine=SimpleNamespace(run=run))
    state = api.server._state
    thread = api.thread("hi")
    with caplog.at_level(logging.CRITICAL, "rx_assistant.local"):
        events = api.stream(f"/threads/{thread}/runs", {"assistant_id": api.assistant()})
    names = [name for name, _ in events]
    assert names[-4:] == ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed", "done"]
    run = events[-2][1]
    assert (run["status"], run["metadata"]) == ("failed", {})
    assert api("GET", f"/threads/{thread}/runs/{run['id']}")["status"] == "failed"
    assert api.messages(thread)[-1]["status"] == "incomplete"
    assert api.steps(run)[0]["status"] == "failed"


# Halves of surrogate pairs

HALVES = ["a\ud83d", "\ude00b", "\ud83d", "\ude00", "\ude00", "c\ud83d"]
WHOLE = "a😀b😀�c�"


@pytest.mark.parametrize(
    ("begin", "fragment"),
    [([], Text), ([], Refusal), ([FunctionCall("f")], Arguments), ([CodeCall()], CodeInput)],
    ids=["text", "refusal", "arguments", "code"],
)
def test_halves_of_a_character_are_joined_and_none_is_ever_sent(connect, begin, fragment):
    api = connect(engine=turns([*begin, *map(fragment, HALVES)]))
    body = {"assistant_id": api.assistant(tools=TOOLS), "stream": True}
    thread = api.thread("hi")
    stream = api.http.post(f"/threads/{thread}/runs", json=body).content
    stream.decode()
    assert b"\\ud8" not in stream
    snapshot = RunSnapshot()
    for event in SSEDecoder().feed(stream):
        kind, data = classify(event.event.encode(), event.data.encode())
        if event.event.endswith(("completed", "requires_action")):
            break
        snapshot = fold(snapshot, kind(data))
    run = parsed(stream)[-2][1]
    stored = json.dumps([api.steps(run), api.messages(thread)], ensure_ascii=False)
    assert WHOLE in stored
    parts = [part for message in snapshot.messages for part in message.content]
    calls = [call for step in snapshot.steps for call in getattr(step.step_details, "tool_calls", ())]
    assert WHOLE in str([*parts, *calls])


def test_a_waiting_half_does_not_shift_citations(connect):
    cited = Text("【1】", (Citation("file-1"),))
    api = connect(engine=turns([Text("a\ud83d"), Text("\ude00"), cited]))
    thread = api.thread("hi")
    api.wait(api.start(api.assistant(), thread))
    text = api.messages(thread)[-1]["content"][0]["text"]
    (annotation,) = text["annotations"]
    assert text["value"][annotation["start_index"] : annotation["end_index"]] == annotation["text"] == "【1】"

"""Runs: every status and transition, with and without readers."""

from __future__ import annotations

import json
import time

import pytest

from local.conftest import parsed
from rx_assistant.events import classify
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.sse import SSEDecoder
from rx_assistant.types import Message, Run, RunStep

CALL = {"calls": [{"function": "look", "arguments": {"at": "it"}, "id": "call_1"}]}

DELTA = "event: thread.message.delta"


def names(events) -> list[str]:
    return [name for name, _ in events]


def test_events_come_in_the_order_of_the_protocol(play):
    api = play([{"text": "one"}])
    events = api.stream(f"/threads/{api.thread('hi')}/runs", {"assistant_id": api.assistant()})
    assert names(events) == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
        "done",
    ]
    assert [data["status"] for name, data in events[:3]] == ["queued", "queued", "in_progress"]


def test_a_thread_made_for_a_run_is_announced_first(play):
    api = play([{"text": "one"}])
    events = api.stream("/threads/runs", {"assistant_id": api.assistant(), "thread": {"metadata": {"a": "b"}}})
    assert events[0][0] == "thread.created"
    assert events[0][1]["metadata"] == {"a": "b"}
    assert events[1][1]["thread_id"] == events[0][1]["id"]


def test_a_run_waits_for_the_outputs_and_goes_on_with_the_old_step(play):
    api = play([CALL], [{"text": "seen: {output:call_1}"}])
    thread, assistant = api.thread("hi"), api.assistant()
    first = api.stream(f"/threads/{thread}/runs", {"assistant_id": assistant})
    assert names(first)[-4:] == [
        "thread.run.step.delta",
        "thread.run.step.delta",
        "thread.run.requires_action",
        "done",
    ]
    run = first[-2][1]
    assert run["status"] == "requires_action"
    assert run["required_action"] == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
            ]
        },
    }
    (step,) = api.steps(run)
    assert step["status"] == "in_progress"
    assert step["step_details"]["tool_calls"][0]["function"]["output"] is None

    outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "blue"}]}
    second = api.stream(f"/threads/{thread}/runs/{run['id']}/submit_tool_outputs", outputs)
    assert names(second)[:3] == ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
    assert second[0][1]["id"] == step["id"]
    assert second[0][1]["step_details"]["tool_calls"][0]["function"]["output"] == "blue"
    assert second[1][1]["required_action"] is None
    assert api.messages(thread)[-1]["content"][0]["text"]["value"] == "seen: blue"


def test_polling_sees_the_same_run_through_three_rounds_of_calls(play):
    api = play([CALL], [CALL], [CALL], [{"text": "done"}])
    run = api.wait(api.start(api.assistant(), api.thread("hi")))
    for _ in range(3):
        assert run["status"] == "requires_action"
        run = api.wait(api.answer(run))
    assert run["status"] == "completed"
    steps = api.steps(run)
    assert [step["type"] for step in steps] == ["tool_calls"] * 3 + ["message_creation"]
    assert run["usage"]["total_tokens"] == sum(step["usage"]["total_tokens"] for step in steps)


def test_a_stream_folds_to_what_get_returns_afterwards(play):
    turn = [
        {"text": "a 【1】", "cite": [{"text": "【1】", "file": "file-1"}]},
        {"calls": [{"code": "print(1)", "logs": ["1"]}, {"search": "x"}]},
        {"refusal": "b"},
        {"image_url": "https://example.com/x.png"},
        CALL,
    ]
    api = play(turn, [{"text": "c"}])
    thread = api.thread("hi")
    body = {"assistant_id": api.assistant(), "stream": True}
    frames = [api.http.post(f"/threads/{thread}/runs", json=body).content]
    run = parsed(frames[0])[-2][1]
    path = f"/threads/{thread}/runs/{run['id']}"
    outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}], "stream": True}
    frames.append(api.http.post(f"{path}/submit_tool_outputs", json=outputs).content)

    snapshot = RunSnapshot()
    for event in SSEDecoder().feed(b"".join(frames)):
        kind, data = classify(event.event.encode(), event.data.encode())
        snapshot = fold(snapshot, kind(data))
    assert snapshot.run == Run.model_validate(api("GET", path))
    assert list(snapshot.steps) == [RunStep.model_validate(step) for step in api.steps(run)]
    assert list(snapshot.messages) == [
        Message.model_validate(message) for message in api.messages(thread, run_id=run["id"])
    ]
    assert (len(snapshot.steps), len(snapshot.messages)) == (5, 3)


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action"])
def test_a_run_can_be_cancelled_while_it_is(play, status):
    turn = {
        "queued": [{"gate": "never"}],
        "in_progress": [{"text": "Hello"}, {"gate": "never"}],
        "requires_action": [CALL],
    }
    api = play(turn[status])
    thread = api.thread("hi")
    run = api.start(api.assistant(), thread)
    if status != "queued":
        run = api.wait(run, status)
    if status == "in_progress":
        while not api.messages(thread, run_id=run["id"]):
            time.sleep(0.005)
    cancelling = api("POST", f"/threads/{thread}/runs/{run['id']}/cancel")
    assert cancelling["status"] == "cancelling"
    run = api.wait(cancelling, "cancelled")
    assert run["cancelled_at"]
    assert run["required_action"] is None
    assert [step["status"] for step in api.steps(run)] == ([] if status == "queued" else ["cancelled"])
    if status == "in_progress":
        (message,) = api.messages(thread, run_id=run["id"])
        assert (message["status"], message["incomplete_details"]) == ("incomplete", {"reason": "run_cancelled"})
    assert api.refused("POST", f"/threads/{thread}/runs/{run['id']}/cancel")["message"] == (
        "Cannot cancel run with status 'cancelled'."
    )


def test_whoever_watches_a_run_sees_it_being_cancelled(play):
    api = play([{"text": "Hello"}, {"gate": "never"}])
    thread, assistant = api.thread("hi"), api.assistant()
    body = {"assistant_id": assistant, "stream": True}
    with api.http.stream("POST", f"/threads/{thread}/runs", json=body) as response:
        lines = response.iter_lines()
        while next(lines) != "event: thread.message.delta":
            pass
        run = api.messages(thread)[-1]["run_id"]
        api("POST", f"/threads/{thread}/runs/{run}/cancel")
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert events == [
        "thread.run.cancelling",
        "thread.message.incomplete",
        "thread.run.step.cancelled",
        "thread.run.cancelled",
        "done",
    ]


def test_a_run_expires_when_its_time_is_over(play):
    api = play([{"text": "Hello"}, CALL], run_ttl=0.05)
    run = api.wait(api.start(api.assistant(), api.thread("hi")), "expired")
    assert [step["status"] for step in api.steps(run)] == ["completed", "expired"]
    assert run["expires_at"] is None


def test_a_run_expires_in_ten_minutes_unless_told_otherwise(play):
    api = play([{"gate": "never"}])
    run = api.start(api.assistant(), api.thread("hi"))
    assert run["expires_at"] == run["created_at"] + 600


def test_a_thread_has_one_active_run(play):
    api = play([{"gate": "never"}])
    assistant, thread = api.assistant(), api.thread("hi")
    run = api.start(assistant, thread)
    error = api.refused("POST", f"/threads/{thread}/runs", {"assistant_id": assistant})
    assert error["message"] == f"Thread {thread} already has an active run {run['id']}."
    error = api.refused("POST", f"/threads/{thread}/messages", {"role": "user", "content": "more"})
    assert error == {
        "message": f"Can't add messages to {thread} while a run {run['id']} is active.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    api.start(assistant, api.thread("another thread is free"))


def test_a_client_that_disconnects_does_not_stop_the_run(play):
    api = play([{"text": "Hello"}, {"gate": "go"}, {"text": " again"}])
    thread = api.thread("hi")
    body = {"assistant_id": api.assistant(), "stream": True}
    with api.http.stream("POST", f"/threads/{thread}/runs", json=body) as response:
        next(response.iter_raw())
    run_id = api("GET", f"/threads/{thread}/runs")["data"][0]["id"]
    api.server.release("go")
    run = api.wait(api("GET", f"/threads/{thread}/runs/{run_id}"))
    assert run["status"] == "completed"
    assert api.messages(thread)[-1]["content"][0]["text"]["value"] == "Hello again"


def test_several_readers_watch_one_run_and_get_the_same_events(play):
    api = play([{"text": "Hello"}, {"gate": "go"}, {"text": " again"}])
    thread = api.thread("hi")
    body = {"assistant_id": api.assistant(), "stream": True}
    options = {"json": body, "headers": {"idempotency-key": "watch"}}
    path = f"/threads/{thread}/runs"
    with api.http.stream("POST", path, **options) as first, api.http.stream("POST", path, **options) as second:
        api.server.release("go")
        heard = [first.read(), second.read()]
    late = api.http.post(path, **options)
    assert heard[0] == heard[1] == late.content
    assert len(api("GET", path)["data"]) == 1


def test_what_is_being_written_can_be_polled(play):
    api = play([{"text": "Hello"}, {"gate": "go"}, {"calls": [{"code": "x = 1"}]}, {"gate": "on"}])
    thread = api.thread("hi")
    run = api.start(api.assistant(), thread)
    while not (messages := api.messages(thread, run_id=run["id"])) or not messages[0]["content"]:
        time.sleep(0.005)
    assert messages[0]["status"] == "in_progress"
    assert messages[0]["content"][0]["text"]["value"] == "Hello"
    api.server.release("go")
    while '"x = 1"' not in json.dumps(steps := api.steps(run)):
        time.sleep(0.005)
    assert steps[1]["step_details"]["tool_calls"][0]["code_interpreter"] == {"input": "x = 1", "outputs": []}
    one = api("GET", f"/threads/{thread}/runs/{run['id']}/steps/{steps[1]['id']}")
    assert one["status"] == "in_progress"


def test_replies_about_runs_say_when_to_poll_again(connect):
    api = connect(poll_after_ms=7)
    run = api.start(api.assistant(), api.thread("hi"))
    response = api.http.get(f"/threads/{run['thread_id']}/runs/{run['id']}")
    assert response.headers["openai-poll-after-ms"] == "7"


def test_additional_messages_and_instructions_reach_the_run(play):
    api = play([{"text": "You asked: {message}"}])
    thread = api.thread()
    run = api.start(
        api.assistant(instructions="Be brief."),
        thread,
        additional_instructions="Be kind.",
        additional_messages=[{"role": "user", "content": "really?"}],
    )
    assert run["instructions"] == "Be brief.\nBe kind."
    api.wait(run)
    texts = [message["content"][0]["text"]["value"] for message in api.messages(thread)]
    assert texts == ["really?", "You asked: really?"]


def test_a_run_without_anything_to_go_by_is_refused(api):
    error = api.refused("POST", f"/threads/{api.thread()}/runs", {"assistant_id": api.assistant()})
    assert error["code"] == "invalid_thread"


def test_max_completion_tokens_cuts_the_message(play):
    api = play([{"text": "word " * 400}, {"text": "never"}])
    thread = api.thread("hi")
    events = api.stream(f"/threads/{thread}/runs", {"assistant_id": api.assistant(), "max_completion_tokens": 256})
    assert names(events)[-4:] == [
        "thread.message.incomplete",
        "thread.run.step.completed",
        "thread.run.incomplete",
        "done",
    ]
    run = events[-2][1]
    assert run["incomplete_details"] == {"reason": "max_completion_tokens"}
    assert run["usage"]["completion_tokens"] == 256
    message = api.messages(thread)[-1]
    assert message["incomplete_details"] == {"reason": "max_tokens"}
    assert message["content"][0]["text"]["value"].split() == ["word"] * 256


def test_max_prompt_tokens_drops_old_messages_and_fails_to_fit_a_long_one(play, connect):
    api = connect()
    old, new = "old " * 250, "new " * 10
    thread = api.thread(old, new)
    run = api.wait(api.start(api.assistant(), thread, max_prompt_tokens=256))
    assert run["status"] == "completed"
    assert run["usage"]["prompt_tokens"] == 11
    run = api.wait(api.start(api.assistant(), api.thread("long " * 300), max_prompt_tokens=256))
    assert (run["status"], run["incomplete_details"]) == ("incomplete", {"reason": "max_prompt_tokens"})
    assert api.steps(run) == []


def test_truncation_keeps_the_last_messages(api):
    thread = api.thread("one two three four", "five")
    strategy = {"type": "last_messages", "last_messages": 1}
    run = api.wait(api.start(api.assistant(), thread, truncation_strategy=strategy))
    assert run["usage"]["prompt_tokens"] == 1
    assert run["truncation_strategy"] == strategy


def test_only_a_run_that_is_over_can_be_modified(play):
    api = play([{"gate": "go"}])
    run = api.start(api.assistant(), api.thread("hi"))
    path = f"/threads/{run['thread_id']}/runs/{run['id']}"
    error = api.refused("POST", path, {"metadata": {"a": "b"}})
    assert error["message"].startswith("Cannot update run with status ")
    api.server.release("go")
    api.wait(run)
    assert api("POST", path, {"metadata": {"a": "b"}})["metadata"] == {"a": "b"}


def test_outputs_are_refused_in_the_wrong_status_and_for_the_wrong_calls(play):
    api = play([CALL])
    run = api.wait(api.start(api.assistant(), api.thread("hi")))
    path = f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
    for outputs in ([], [{"tool_call_id": "call_2", "output": "x"}]):
        assert api.refused("POST", path, {"tool_outputs": outputs})["param"] == "tool_outputs"
    api.wait(api.answer(run), "completed")
    error = api.refused("POST", path, {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]})
    assert error["message"] == 'Runs in status "completed" do not accept tool outputs.'


def test_deleting_a_thread_stops_its_run_and_takes_everything_along(play):
    api = play([{"text": "a"}, {"gate": "never"}])
    thread = api.thread("hi")
    run = api.start(api.assistant(), thread)
    assert api("DELETE", f"/threads/{thread}") == {"id": thread, "object": "thread.deleted", "deleted": True}
    for path in ("", "/messages", "/runs", f"/runs/{run['id']}", f"/runs/{run['id']}/steps"):
        assert api.refused("GET", f"/threads/{thread}{path}", expect=404)["message"] == (
            f"No thread found with id '{thread}'."
        )


@pytest.mark.parametrize("status", ["in_progress", "requires_action", "cancelling"])
def test_deleting_a_thread_ends_the_stream_of_its_run(play, status):
    turn = [CALL] if status == "requires_action" else [{"text": "Wait"}, {"gate": "never"}]
    api = play(turn)
    thread = api.thread("hi")
    body = {"assistant_id": api.assistant(), "stream": True}
    with api.http.stream("POST", f"/threads/{thread}/runs", json=body) as response:
        lines = response.iter_lines()
        while next(lines) != ("event: thread.run.step.delta" if status == "requires_action" else DELTA):
            pass
        (run,) = api("GET", f"/threads/{thread}/runs")["data"]
        if status == "requires_action":
            api.wait(run, status)
        if status == "cancelling":
            api("POST", f"/threads/{thread}/runs/{run['id']}/cancel")
        api("DELETE", f"/threads/{thread}")
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert events[-1] == "done"
    if status != "requires_action":
        assert events[:-1] == [
            "thread.run.cancelling",
            "thread.message.incomplete",
            "thread.run.step.cancelled",
            "thread.run.cancelled",
        ]
    assert api.refused("GET", f"/threads/{thread}/runs/{run['id']}", expect=404)


def test_messages_that_are_being_written_cannot_be_changed(play):
    api = play([{"text": "a"}, {"gate": "never"}])
    thread = api.thread("hi")
    run = api.start(api.assistant(), thread)
    while not (messages := api.messages(thread, run_id=run["id"])):
        time.sleep(0.005)
    path = f"/threads/{thread}/messages/{messages[0]['id']}"
    assert "in_progress" in api.refused("DELETE", path)["message"]
    assert "in_progress" in api.refused("POST", path, {"metadata": {}})["message"]


def test_a_run_that_waits_for_files_can_be_cancelled(connect):
    api = connect(ingestion_delay=3600)
    store = api("POST", "/vector_stores", {"file_ids": [api.upload("a.txt", "x")["id"]]})
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    assistant = api.assistant(tools=[{"type": "file_search"}], tool_resources=resources)
    run = api.wait(api.start(assistant, api.thread("hi")), "in_progress")
    api("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
    assert api.wait(run, "cancelled")["started_at"]

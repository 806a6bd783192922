"""The local server's first light, over a real socket, seen through the SDK that was not written here."""

from __future__ import annotations

import threading

import httpx
import pytest

import rx_assistant.local

FUNCTION = {
    "type": "function",
    "function": {
        "name": "get_local_time",
        "description": "The current local time.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_a_streamed_run_answers_in_text_in_several_deltas(sdk):
    assistant = sdk.beta.assistants.create(model="any")
    thread = sdk.beta.threads.create(messages=[{"role": "user", "content": "Hello there"}])
    with sdk.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        deltas = list(stream.text_deltas)
    assert len(deltas) > 5
    newest = sdk.beta.threads.messages.list(thread.id).data[0]
    assert newest.content[0].text.value == "".join(deltas)
    assert "Hello there" in "".join(deltas)


def test_a_function_that_the_message_describes_is_called_and_its_output_answered(sdk):
    assistant = sdk.beta.assistants.create(model="any", tools=[FUNCTION])
    thread = sdk.beta.threads.create(messages=[{"role": "user", "content": "What time is it in Paris?"}])
    run = sdk.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    call = run.required_action.submit_tool_outputs.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_local_time", '{"city": "Paris"}')
    with sdk.beta.threads.runs.submit_tool_outputs_stream(
        thread_id=thread.id, run_id=run.id, tool_outputs=[{"tool_call_id": call.id, "output": "noon"}]
    ) as stream:
        events = [event.event for event in stream]
    assert events[:3] == ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
    steps = sdk.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc").data
    assert [step.status for step in steps] == ["completed", "completed"]
    assert steps[0].step_details.tool_calls[0].function.output == "noon"


def test_the_server_keeps_a_log_of_requests(server):
    httpx.post(f"{server.base_url}/threads", json={"metadata": {"a": "b"}})
    (record,) = server.requests
    assert (record.method, record.path, record.body) == ("POST", "/v1/threads", b'{"metadata":{"a":"b"}}')


def test_stopping_with_a_stream_open_leaves_no_thread_and_no_socket():
    before = set(threading.enumerate())
    with rx_assistant.local.serve() as server:
        base = server.base_url
        assistant = httpx.post(f"{base}/assistants", json={"model": "any"}).json()["id"]
        body = {"assistant_id": assistant, "stream": True}
        context = httpx.stream("POST", f"{base}/threads/runs", json=body)
        response = context.__enter__()
        next(response.iter_raw())
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base}/assistants")
    context.__exit__(None, None, None)

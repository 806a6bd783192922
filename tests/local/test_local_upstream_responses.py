"""Runs that a server of the Responses protocol answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from loopback import Received, Wire
from reference import SHARED

FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {}}}
TOO_LONG = {"reason": "max_output_tokens"}
RECORDED = SHARED / "chat" / "live" / "llamacpp__responses_text.sse"


def events(*values: dict[str, Any], status: str = "completed", **response: Any) -> bytes:
    """A stream of these events, and the terminal one."""
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    final = {"type": f"response.{status}", "response": {"status": status, "output": [], "usage": usage, **response}}
    return b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in [*values, final])


def message(index: int, *deltas: str) -> list[dict[str, Any]]:
    """The events of a message."""
    item = {"type": "message", "id": f"msg_{index}", "content": [{"type": "output_text", "text": "".join(deltas)}]}
    told = [{"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": delta}
            for delta in deltas]  # fmt: skip
    return [*told, {"type": "response.output_item.done", "output_index": index, "item": item}]


def item(index: int, **fields: Any) -> list[dict[str, Any]]:
    """The events of an item that comes whole."""
    return [
        {"type": f"response.output_item.{word}", "output_index": index, "item": fields} for word in ("added", "done")
    ]


def call(index: int, call_id: str) -> list[dict[str, Any]]:
    return item(index, type="function_call", id=f"fc_{call_id}", call_id=call_id, name="weather", arguments="{}")


def rest(api, **fields: Any) -> dict[str, Any]:
    return api.wait(api.start(api.assistant(instructions="Be kind."), api.thread("hi"), **fields))


def texts(api, run: dict[str, Any]) -> list[str]:
    return [part["text"]["value"] for message in api.messages(run["thread_id"])[1:] for part in message["content"]]


def test_a_request_is_stateless_and_its_answer_is_the_runs(ask) -> None:
    api, upstream = ask(events(*message(0, "Hel", "lo"), *message(1, "again")), protocol="responses", model="m")
    run = rest(api, max_completion_tokens=300)
    assert (run["status"], texts(api, run), run["usage"]["total_tokens"]) == ("completed", ["Hello", "again"], 10)
    assert upstream.server.requests[0].path == "/v1/responses"
    assert upstream.bodies[0] == {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}],
        "stream": True,
        "instructions": "Be kind.",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 300,
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (
            events(*message(0, "a"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "incomplete",
        ),
        (events(*message(0, "a"), status="failed", error={"code": "server_error", "message": "no"}), "failed"),
        (events(*message(0, "a")).rpartition(b"data: ")[0], "failed"),
        (b"", "failed"),
    ],
)
def test_every_ending_of_a_response_is_an_ending_of_the_run(ask, body, status) -> None:
    api, _ = ask(body, protocol="responses")
    assert rest(api)["status"] == status


def test_reasoning_goes_back_with_the_calls_of_the_run(ask) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"}
    first = events(*item(0, **thought), *message(1, "Wait."), *call(2, "a"), *call(3, "b"))
    api, upstream = ask(first, events(*message(0, "Sunny.")), protocol="responses")
    run = rest(api, tools=[FUNCTION], parallel_tool_calls=False)
    assert [one["id"] for one in run["required_action"]["submit_tool_outputs"]["tool_calls"]] == ["a"]
    run = api.wait(api.answer(run))
    assert (run["status"], texts(api, run)) == ("completed", ["Wait.", "Sunny."])
    sent = upstream.bodies[1]["input"]
    assert [one.get("type", one.get("role")) for one in sent] == [
        "user", "message", "reasoning", "function_call", "function_call_output",
    ]  # fmt: skip
    assert sent[2] == thought
    assert sent[4] == {"type": "function_call_output", "call_id": "a", "output": "ok"}


@pytest.mark.parametrize("name", ["include", "store", "temperature", "parallel_tool_calls", "tool_choice"])
def test_a_refused_member_is_left_out_from_then_on(ask, name) -> None:
    refused = 0

    async def picky(request: Received, wire: Wire) -> None:
        nonlocal refused
        if name not in request.json:
            await wire.reply(200, events(*message(0, "yes")))
            return
        refused += 1
        await wire.json({"error": {"message": "Unknown parameter.", "param": name}}, 400)

    api, _ = ask(picky, protocol="responses")
    fields = {"temperature": 0.5, "tools": [FUNCTION], "tool_choice": "required", "parallel_tool_calls": False}
    assert [rest(api, **fields)["status"] for _ in range(3)] == ["completed"] * 3
    assert refused == 1


@pytest.mark.usefixtures("shared")
def test_a_server_without_indices_and_numbers_is_read(ask) -> None:
    api, _ = ask(RECORDED.read_bytes(), protocol="responses")
    run = rest(api)
    assert run["status"] == "completed"
    assert texts(api, run)[0].startswith("Welcome to the world")

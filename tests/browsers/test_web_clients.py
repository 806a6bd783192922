"""Clients that were not written here: `@ag-ui/client` and `ai` from npm, against real servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import reactivex
from ag_ui.core import Event
from browsers.test_web_encoders import items, read
from browsers.web_readers import encoded, payloads
from browsers.web_servers import asgi
from generated import generate
from pydantic import TypeAdapter
from reference import RECORDINGS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rx_assistant import AsyncAssistantClient, ProtocolError
from rx_assistant.local import serve
from rx_assistant.web import EventStreamResponse
from rx_assistant.web.ag_ui import AgUiEncoder, compact, decode, verify

HERE = Path(__file__).parent
MODULES = Path(os.environ.get("RX_ASSISTANT_NODE_MODULES") or HERE.parent / "local/node/node_modules")
EXAMPLES = HERE.parents[1] / "examples"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (MODULES / "@ag-ui/client").is_dir() or not (MODULES / "ai").is_dir(),
        reason="the npm packages are missing: run `npm install` in tests/local/node",
    ),
]


def node(script: str, *arguments: str, given: Any = None) -> bytes:
    """What a script prints."""
    done = subprocess.run(
        ["node", str(HERE / script), *arguments],
        input=b"" if given is None else json.dumps(given).encode(),
        capture_output=True,
        timeout=90,
        env={**os.environ, "NODE_PATH": str(MODULES)},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An application that answers questions of pages: its address, by protocol and by how its tools are answered."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from concierge import Concierge, tools

    with serve(engine=Concierge(0.002)) as server:
        client = AsyncAssistantClient(base_url=server.base_url)
        streams: dict[str, Any] = {}

        async def ask(request: Request) -> Response:
            body = await request.json()
            ag_ui = "threadId" in body
            last = body["messages"][-1]
            text = last["content"] if ag_ui else last["parts"][0]["text"]
            text = request.query_params.get("text", text)
            assistant = await client.assistants.create(model="concierge", tools=tools.definitions())
            thread = await client.threads.create(messages=[{"role": "user", "content": text}])
            run = {"thread_id": thread.id, "assistant_id": assistant.id}
            runs = client.threads.runs
            answered = request.query_params.get("tools") == "server"
            stream = runs.stream_with_tools(**run, tools=tools) if answered else runs.stream(**run)
            streams[body.get("id", "")] = stream
            return EventStreamResponse(
                stream,
                (lambda: AgUiEncoder(thread_id=body["threadId"], run_id=body["runId"])) if ag_ui else "ui_message",
            )

        async def again(request: Request) -> Response:
            return EventStreamResponse(streams[request.path_params["chat"]], "ui_message")

        routes = [Route("/", ask, methods=["POST"]), Route("/{chat}/stream", again)]
        with asgi(Starlette(routes=routes)) as address:
            yield address
    sys.modules.pop("concierge", None)


WEATHER = "Lisbon: 24 °C, clear skies"


def test_an_ag_ui_client_shows_a_run_with_its_tools(chat: str) -> None:
    found = json.loads(node("ag_ui_client.cjs", "run", chat + "?tools=server"))
    assert found["problem"] is None
    assert (found["types"][0], found["types"][-1]) == ("RUN_STARTED", "RUN_FINISHED")
    question, call, result, answer = found["messages"]
    assert question["role"] == "user"
    assert call["toolCalls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Lisbon"}'}
    assert (result["role"], result["content"]) == ("tool", WEATHER)
    assert WEATHER in answer["content"]
    assert found["state"]["run"]["status"] == "completed"


def test_an_ag_ui_client_is_interrupted_by_a_call_to_answer(chat: str) -> None:
    found = json.loads(node("ag_ui_client.cjs", "run", chat))
    assert found["problem"] is None
    assert [each["reason"] for each in found["interrupts"]] == ["tool_call"]
    assert found["interrupts"][0]["toolCallId"] == found["messages"][1]["toolCalls"][0]["id"]
    assert found["state"]["run"]["status"] == "requires_action"


def test_an_ag_ui_client_gets_the_error_of_a_run(chat: str) -> None:
    found = json.loads(node("ag_ui_client.cjs", "run", chat + "?text=an+error"))
    assert found["types"][-1] == "RUN_ERROR"
    assert found["errors"] == ["The concierge has left the building, as you asked."]
    assert found["messages"][-1]["content"].startswith("I was asked to fail")


def test_the_ai_package_shows_a_run_with_its_tools(chat: str) -> None:
    found = json.loads(node("ui_message_client.cjs", chat + "?tools=server"))
    first, again = found["first"], found["again"]
    assert first["problem"] is None
    assert (first["chunks"][0], first["chunks"][-1]) == ("start", "finish")
    parts = {part["type"]: part for part in first["message"]["parts"]}
    tool = parts["tool-get_weather"]
    assert (tool["state"], tool["input"], tool["output"]) == ("output-available", {"city": "Lisbon"}, WEATHER)
    assert (parts["text"]["state"], WEATHER in parts["text"]["text"]) == ("done", True)
    assert again == first  # a page that was reloaded


def test_the_ai_package_gets_a_call_to_answer(chat: str) -> None:
    first = json.loads(node("ui_message_client.cjs", chat))["first"]
    tool = next(part for part in first["message"]["parts"] if part["type"] == "tool-get_weather")
    assert (tool["state"], tool["input"]) == ("input-available", {"city": "Lisbon"})


def test_the_ai_package_gets_the_error_of_a_run(chat: str) -> None:
    first = json.loads(node("ui_message_client.cjs", chat + "?text=an+error"))["first"]
    assert first["problem"] == "The concierge has left the building, as you asked."


def runs_in_ag_ui() -> list[list[Any]]:
    """Every recording, and some generated streams, in AG-UI."""
    found = [payloads(encoded(AgUiEncoder(), *read(recording))) for recording in RECORDINGS]
    generated = [generate(Random(seed), messy=seed % 2 > 0) for seed in range(60)]
    return found + [payloads(encoded(AgUiEncoder(), items(stream))) for stream in generated]


EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def as_json(events: list[Any]) -> list[Any]:
    return [event.model_dump(mode="json", by_alias=True) for event in events]


def test_the_client_accepts_the_order_of_every_run() -> None:
    runs = runs_in_ag_ui()
    assert json.loads(node("ag_ui_client.cjs", "verify", given=runs)) == [None] * len(runs)


def any_order(rng: Random) -> list[Any]:
    """AG-UI events of a few entities; mostly in an order that is allowed."""
    found: list[Any] = []
    for _ in range(rng.randrange(1, 8)):
        name, key = rng.choice(["m", "n"]), rng.choice(["messageId", "toolCallId", "stepName", "subagentRunId"])
        kinds = {
            "messageId": [
                *("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "REASONING_START"),
                *("REASONING_END", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END"),
            ],
            "toolCallId": ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"],
            "stepName": ["STEP_STARTED", "STEP_FINISHED"],
            "subagentRunId": ["SUBAGENT_STARTED", "SUBAGENT_FINISHED", "SUBAGENT_ERROR"],
        }[key]
        event = {"type": rng.choice(kinds), key: name, "delta": "x", "toolCallName": "t", "message": "x", "name": "x"}
        if key != "subagentRunId" and rng.random() < 0.2:
            event["subagentRunId"] = rng.choice(["m", "n"])
        elif event["type"] == "SUBAGENT_STARTED" and rng.random() < 0.3:
            event["parentSubagentRunId"] = "n"
        if event["type"].startswith("REASONING_MESSAGE_START"):
            event["role"] = "reasoning"
        found.append(event)
    run = {"threadId": "t", "runId": "r", "message": "x"}
    for _ in range(rng.choice([0, 0, 1, 2])):
        kind = rng.choice(["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"])
        found.insert(rng.randrange(len(found) + 1), {"type": kind, **run})
    return [{"type": "RUN_STARTED", **run}, *found] if rng.random() < 0.95 else found


def complaint(events: list[Any]) -> str | None:
    """What our `verify` says of events, besides that they have no end."""
    found: list[Exception] = []
    read = [EVENT.validate_python(event) for event in events]
    reactivex.from_iterable(read).pipe(verify()).subscribe(on_error=found.append)
    assert all(isinstance(error, ProtocolError) for error in found)
    return None if not found or "in the middle of a run" in str(found[0]) else str(found[0])


def test_both_verifiers_agree_on_any_order() -> None:
    orders = [any_order(Random(seed)) for seed in range(1000)]
    theirs = json.loads(node("ag_ui_client.cjs", "verify", given=orders))
    ours = [complaint(events) for events in orders]
    differing = [pair for pair in zip(orders, theirs, ours, strict=True) if (pair[1] is None) != (pair[2] is None)]
    assert differing == []
    assert 30 < sum(each is None for each in ours) < 970


def test_both_compact_to_the_same_events() -> None:
    runs = runs_in_ag_ui()
    for run in runs[::3]:  # metadata, and another state in the middle
        run[1:1] = [{"type": "STATE_SNAPSHOT", "snapshot": {"a": [1, {"b": 2}]}, "metadata": {"x": 1}}]
        run[-1:-1] = [
            {
                "type": "STATE_DELTA",
                "delta": [{"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"}],
            },
            {"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/none/0", "value": 1}]},
            {"type": "STATE_DELTA", "delta": [{"op": "move", "from": "/a", "path": "/c"}], "metadata": {"y": 2}},
        ]
        for index, event in enumerate(run):
            if event["type"] in ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS", "TEXT_MESSAGE_END"):
                event["metadata"] = {f"m{index % 3}": index}
    runs.append([event for event in runs[0] if not event["type"].endswith("_END")])
    theirs = json.loads(node("ag_ui_client.cjs", "compact", given=runs))
    for run, expected in zip(runs, theirs, strict=True):
        found: list[Any] = []
        read = [EVENT.validate_python(event) for event in run]
        reactivex.from_iterable(read).pipe(compact()).subscribe(found.append)
        assert as_json(found) == as_json([EVENT.validate_python(event) for event in expected])
        assert len(found) < len(run)


def test_the_bytes_of_the_reference_encoder_are_read() -> None:
    runs = [events for events in runs_in_ag_ui() if events[-1]["type"] == "RUN_FINISHED"]
    for events in runs[:1]:
        body = node("ag_ui_client.cjs", "encode", given=events)
        assert as_json(list(decode(body).pipe(verify()))) == as_json([EVENT.validate_python(each) for each in events])

"""Recorded answers of real model servers, read by the official SDK through the local server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from cases import in_one_test
from chat_recordings import EXPECTED, RESPONSES, body, status
from loopback import Received, Wire
from reference import SHARED

from local.upstreams import says
from rx_assistant.dialects.frames import ChatFrames
from rx_assistant.dialects.responses import ResponsesTranslator
from rx_assistant.events import ThreadMessageDelta
from rx_assistant.local.ids import new_id

pytestmark = pytest.mark.usefixtures("shared")


def streamed(api, thread_id: str, assistant_id: str) -> tuple[str, Any]:
    """The text of a streamed run as the SDK adds it up, and the run at its end."""
    client = openai.OpenAI(base_url=str(api.http.base_url), api_key="none", max_retries=0)
    text, run = "", None
    with client, client.beta.threads.runs.stream(thread_id=thread_id, assistant_id=assistant_id) as stream:
        for event in stream:
            if event.event == "thread.message.delta":
                text += "".join(part.text.value or "" for part in event.data.delta.content or () if part.type == "text")
            elif event.event.startswith("thread.run.") and ".step." not in event.event:
                run = event.data
    return text, run


@pytest.fixture
def playing(ask) -> Callable[..., Any]:
    """Gives a server whose model's server answers with these bytes. All calls of a test share one."""
    recorded = b""
    started: list[Any] = []

    async def in_pieces(request: Received, wire: Wire) -> None:
        await wire.events()
        for start in range(0, len(recorded), 997):
            await wire.chunk(recorded[start : start + 997])
        await wire.end()

    def play(data: bytes, **options: Any) -> Any:
        nonlocal recorded
        recorded = data
        if not started:
            started.append(ask(in_pieces, **options)[0])
        return started[0]

    return play


@in_one_test("expectation", EXPECTED, ids=lambda path: path.stem)
def test_a_recorded_stream_through_server_and_sdk(playing, expectation: Path) -> None:
    expected = json.loads(expectation.read_text())
    api = playing(body(expectation.stem))
    text, run = streamed(api, api.thread("hi"), api.assistant())
    assert run.status == status(expected)
    wanted = expected["text"]
    if wanted.lstrip().startswith("<think>"):  # the expectations leave the tags in the text
        wanted = wanted.partition("</think>")[2]
    if run.required_action is None:
        assert text.strip() == wanted.strip()
    else:
        assert wanted.strip().startswith(text.strip())
        asked = run.required_action.submit_tool_outputs.tool_calls
        assert [(call.function.name, call.function.arguments) for call in asked] == [
            (call["name"], call["arguments"]) for call in expected["tool_calls"]
        ]
    if expected["usage"] and run.usage is not None:
        assert run.usage.prompt_tokens == expected["usage"]["prompt_tokens"]


def test_the_first_text_arrives_before_the_model_has_finished(ask) -> None:
    arrived: list[str] = []

    async def waits(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(says("first", finish=None).removesuffix(b"data: [DONE]\n\n"))
        while not arrived:
            await wire.chunk(b": waiting\n\n")
        await wire.chunk(says(" last"))
        await wire.end()

    api, _ = ask(waits)
    client = openai.OpenAI(base_url=str(api.http.base_url), api_key="none", max_retries=0)
    with client, client.beta.threads.runs.stream(thread_id=api.thread("hi"), assistant_id=api.assistant()) as stream:
        arrived.extend(stream.text_deltas)
    assert "".join(arrived) == "first last"


ERRORS = [json.loads(line) for line in (SHARED / "chat" / "errors.jsonl").read_text().splitlines()] if EXPECTED else []
KEYS = re.compile(r"sk-fake|bad-key|not-a-r|test-key")


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_a_recorded_error_is_the_end_of_the_run(ask, monkeypatch, caplog, number: int) -> None:
    monkeypatch.setattr("rx_assistant.http.retries.FIRST", 0.001)
    recorded = ERRORS[number]
    api, upstream = ask((recorded["status"], recorded["body"].encode()), api_key="sk-own-0123456789")
    _, run = streamed(api, api.thread("hi"), api.assistant())
    words = recorded["body"]
    if "maximum context length" in words or "too long" in words:
        assert (run.status, run.incomplete_details.reason) == ("incomplete", "max_prompt_tokens")
        return
    code = {429: "rate_limit_exceeded", 400: "invalid_prompt", 422: "invalid_prompt"}
    assert (run.status, run.last_error.code) == ("failed", code.get(recorded["status"], "server_error"))
    assert run.last_error.message.startswith(f"the model's server answered {recorded['status']}: ")
    assert len(run.last_error.message) < 560
    assert not KEYS.search(run.to_json() + caplog.text)
    assert len(upstream.bodies) == (3 if recorded["status"] in {429, 500} else 1)


@in_one_test("recording", RESPONSES, ids=lambda path: path.name)
def test_a_recorded_response_through_server_and_sdk(playing, recording: Path) -> None:
    data = recording.read_bytes()
    if recording.suffix == ".jsonl":
        data = b"".join(b"data: " + line + b"\n\n" for line in data.splitlines() if line.strip())
    translator = ResponsesTranslator(new_id=new_id, now=lambda: 1)
    frames = ChatFrames()
    payloads = [*frames.push(data), *frames.end()]
    events = [event for name, payload in payloads for event in translator.feed(payload, name)] + translator.end()
    expected = events[-1].data
    said = "".join(
        part.text.value or ""
        for event in events
        if isinstance(event, ThreadMessageDelta)
        for part in event.data.delta.content or ()
        if part.type == "text" and part.text
    )
    api = playing(data, protocol="responses")
    text, run = streamed(api, api.thread("hi"), api.assistant())
    assert (run.status, text) == (expected.status, said)
    if expected.usage and run.usage:
        assert run.usage.total_tokens == expected.usage.total_tokens
    if run.required_action is not None:
        asked = run.required_action.submit_tool_outputs.tool_calls
        wanted = expected.required_action.submit_tool_outputs.tool_calls
        assert [(call.function.name, call.function.arguments) for call in asked] == [
            (call.function.name, call.function.arguments) for call in wanted
        ]

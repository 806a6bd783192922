"""Recorded answers of real model servers, read by the official SDK through the local server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from chat_recordings import EXPECTED, body, status
from loopback import Received, Wire

from local.upstreams import says

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


@pytest.mark.parametrize("expectation", EXPECTED, ids=lambda path: path.stem[:60])
def test_a_recorded_stream_through_server_and_sdk(ask, expectation: Path) -> None:
    expected = json.loads(expectation.read_text())
    recorded = body(expectation.stem)

    async def in_pieces(request: Received, wire: Wire) -> None:
        await wire.events()
        for start in range(0, len(recorded), 997):
            await wire.chunk(recorded[start : start + 997])
        await wire.end()

    api, _ = ask(in_pieces)
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

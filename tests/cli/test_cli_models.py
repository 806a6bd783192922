"""`rx-assistant models`, and `serve` and `ask` with a model of this machine or of a named server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from guard import GUARD
from local.embedding_server import EmbeddingServer
from local.upstreams import says
from loopback import Loopback, Received, Wire

from rx_assistant import local
from rx_assistant.cli import run
from rx_assistant.local import machine
from rx_assistant.local.machine import Place

KEY = "sk-upstream-0123456789"


async def qwen(request: Received, wire: Wire) -> None:
    """A server with one model."""
    if request.path == "/v1/models":
        await wire.json({"object": "list", "data": [{"id": "qwen3:8b", "max_model_len": 4096}]})
    else:
        await wire.events()
        await wire.chunk(says("Because of ", "Rayleigh."))
        await wire.end()


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(qwen) as server:
        yield server


@pytest.fixture
def places(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, Place]:
    """The server, and a port where nothing listens."""
    with Loopback(qwen) as gone:
        found = (Place(server.port, "Ollama", "ollama serve"), Place(gone.port, "vLLM", "vllm serve MODEL"))
    monkeypatch.setattr(machine, "PLACES", found)
    monkeypatch.setattr(machine, "PATIENCE", GUARD)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return found


def test_models_lists_server_model_and_context(places, capsys) -> None:
    assert run(["models"]) == 0
    assert capsys.readouterr().out == "Ollama  qwen3:8b  4096 tokens\n"
    assert run(["models", "-v"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Ollama  qwen3:8b  4096 tokens  {places[0].base_url}",
        f"port {places[1].port}: nothing listens; to start vLLM: vllm serve MODEL",
    ]


def test_models_without_a_server_says_how_to_start_one(places, capsys, monkeypatch) -> None:
    monkeypatch.setattr(machine, "PLACES", places[1:])
    assert run(["models"]) == 1
    told = capsys.readouterr()
    assert told.out == f"port {places[1].port}: nothing listens; to start vLLM: vllm serve MODEL\n"
    assert told.err == "rx-assistant: no model server answers on this machine\n"


def test_models_lists_what_the_upstream_of_this_server_has_refused(capsys, monkeypatch) -> None:
    async def strict(request: Received, wire: Wire) -> None:
        if "stream_options" in request.body.decode():
            await wire.json({"error": {"message": "unknown parameter", "param": "stream_options"}}, 400)
        else:
            await qwen(request, wire)

    with Loopback(strict) as upstream, local.serve(upstream=upstream.url, model="qwen3:8b", adopt=True) as server:
        body = {"assistant_id": "asst_1", "stream": True, "thread": {"messages": [{"role": "user", "content": "Hi"}]}}
        assert (
            b"thread.run.completed" in httpx.post(f"{server.base_url}/threads/runs", json=body, timeout=GUARD).content
        )
        port = int(server.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        monkeypatch.setattr(machine, "PLACES", (Place(port, "vLLM", "vllm serve MODEL"),))
        monkeypatch.setattr(machine, "PATIENCE", GUARD)
        assert run(["models", "-v"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"port {port}: this library's own server",
        "  qwen3:8b is asked without what its server refused: stream_options",
    ]


def test_serve_with_a_model_that_no_server_has_is_wrong_usage(places, capsys) -> None:
    assert run(["serve", "--port", "0", "--model", "qwen3"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "rx-assistant: no server on this machine has the model 'qwen3'; nearest: qwen3:8b",
        f"port {places[0].port}: Ollama has qwen3:8b",
        f"port {places[1].port}: nothing listens; to start vLLM: vllm serve MODEL",
    ]


@pytest.mark.parametrize("how", ["found", "named"])
def test_ask_prints_the_answer_of_the_model(how, places, server, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    named = ["--upstream", server.url, "--upstream-key-env", "MY_KEY"] if how == "named" else []
    if how == "named":
        monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    assert run(["ask", "--model", "qwen3:8b", *named, "Why is the sky blue?"]) == 0
    assert capsys.readouterr().out == "Because of Rayleigh.\n"
    asked = server.requests[-1]
    assert (asked.json["model"], asked.json["messages"][-1]["content"]) == ("qwen3:8b", "Why is the sky blue?")
    assert "tools" not in asked.json
    assert asked.headers.get("authorization") == (f"Bearer {KEY}" if how == "named" else None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--map", "gpt-4o"], "the application's name and the upstream's"),
        (["--map", "a=b", "--map", "a=c"], "'a' is given twice"),
        (["--assistant", "asst_1"], "must be an id and a file"),
        (["--assistant", "asst_1=/no/such/file.json"], "cannot read"),
        (["--upstream", "localhost"], "upstream must be an address"),
        (["--upstream-key-env", "MY_KEY"], "needs upstream"),
        (["--upstream", "http://localhost:9/v1", "--upstream-key-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE must"),
        (["--upstream", "http://localhost:9/v1"], "cannot be reached"),
        (["--engine", "responses"], "needs an upstream"),
        (["--embeddings", "nonsense"], "embeddings must be an address"),
        (["--embeddings-model", "m"], "needs embeddings"),
        (["--embeddings", "http://localhost:9/v1", "--embeddings-key-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
    ],
)
def test_options_that_cannot_work_are_wrong_usage(options, told, capsys) -> None:
    assert run(["serve", "--port", "0", *options]) == 2
    assert told in capsys.readouterr().err


def test_ask_refuses_two_servers(capsys) -> None:
    options = ["--base-url", "http://localhost:9/v1", "--upstream", "http://localhost:8/v1"]
    assert run(["ask", *options, "Hello"]) == 2
    assert "not both" in capsys.readouterr().err


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[str, list[str]]]:
    """The base URL of a server process with these options; its log once the block has ended."""
    command = [sys.executable, "-m", "rx_assistant", "serve", "--port", "0", *options]
    log: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stderr is not None
            found = None
            while found is None:
                log.append(process.stderr.readline())
                assert log[-1], "".join(log)
                found = re.search(r"listens on (\S+)", log[-1])
            yield found[1], log
            process.send_signal(signal.SIGINT)
            log += process.communicate(timeout=GUARD)[1].splitlines()
        finally:
            process.kill()


def test_serve_searches_with_an_embeddings_server() -> None:
    model = EmbeddingServer()
    with ExitStack() as stack:
        stack.enter_context(model.server)
        options = ["--embeddings", model.url, "--embeddings-model", "grams", "--embeddings-key-env", "MY_KEY"]
        url, _ = stack.enter_context(serving(*options, MY_KEY=KEY))
        http = stack.enter_context(httpx.Client(base_url=url, timeout=GUARD))
        content = {"file": ("plants.txt", "Photosynthesis turns sunlight into sugar.")}
        file = http.post("/files", files=content, data={"purpose": "assistants"}).json()["id"]
        store = http.post("/vector_stores", json={"file_ids": [file]}).json()
        while store["status"] == "in_progress":
            store = http.get(f"/vector_stores/{store['id']}").json()
        found = http.post(f"/vector_stores/{store['id']}/search", json={"query": "photosynthetic"}).json()["data"]
    assert [item["filename"] for item in found] == ["plants.txt"]
    asked = model.server.requests[-1]
    assert (asked.json["model"], asked.headers["authorization"]) == ("grams", f"Bearer {KEY}")


def test_an_old_application_runs_with_all_its_ids(server, tmp_path) -> None:
    saved = tmp_path / "support.json"
    saved.write_text(json.dumps({"id": "asst_old", "instructions": "Be brief.", "model": "gpt-4o"}), "utf-8")
    options = ["--upstream", server.url, "--upstream-key-env", "MY_KEY", "--map", "gpt-4o=qwen3:8b"]
    with serving(*options, "--adopt", "--assistant", f"asst_old={saved}", "--thinking", "text", MY_KEY=KEY) as (
        url,
        log,
    ):
        message = {"role": "user", "content": "Why is the sky blue?"}
        assert httpx.post(f"{url}/threads/thread_old/messages", json=message).status_code == 200
        run = httpx.post(
            f"{url}/threads/thread_old/runs", json={"assistant_id": "asst_old", "stream": True}, timeout=GUARD
        )
        assert '"status":"completed"' in run.text.replace(" ", "")
        assert '"model":"gpt-4o"' in run.text.replace(" ", "")
        assert httpx.get(f"{url}/models").json()["data"][0]["id"] == "qwen3:8b"
    asked = next(request for request in server.requests if request.method == "POST")
    assert asked.json["model"] == "qwen3:8b"
    assert asked.json["messages"][0] == {"role": "system", "content": "Be brief."}
    assert KEY not in "".join(log)
    assert sum("thread_old was not known" in line for line in log) == 1

"""What programs written for the official SDK do with a client, besides the operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from faces import got, with_client
from fault_server import FRAMES, frame, sends
from loopback import Loopback, Received, Wire

from rx_assistant import (
    NOT_GIVEN,
    APIError,
    AssistantClient,
    OpenAIError,
    PollTimeoutError,
    ServerErrorEvent,
    Timeout,
    omit,
)
from rx_assistant.errors import ConfigurationError

FACES = pytest.mark.parametrize("face", ["sync", "asyncio", "trio"])
Script = Callable[[Received, Wire], Awaitable[None]]


def play(face: str, script: Script, story: Callable[[Any], Awaitable[None]], **options: Any) -> Loopback:
    """Run a story, written once with `await got(…)`, with a client on this face; gives the server it spoke to."""
    with Loopback(script) as server:
        with_client(face, server.url, story, max_retries=0, **options)
    return server


async def thread(request: Received, wire: Wire) -> None:
    await wire.json({"id": "thread_1", "object": "thread"})


@FACES
def test_an_assigned_key_serves_every_resource_from_then_on(face: str) -> None:
    async def story(client: Any) -> None:
        assert client.api_key == "sk-1"
        threads, copy = client.beta.threads, client.with_options(api_key="sk-3")
        await got(threads.create())
        client.api_key = "sk-2"
        assert client.api_key == "sk-2"
        await got(threads.create())
        await got(copy.threads.create())
        client.api_key = None
        await got(threads.create())

    server = play(face, thread, story, api_key="sk-1")
    keys = [request.headers.get("authorization") for request in server.requests]
    assert keys == ["Bearer sk-1", "Bearer sk-2", "Bearer sk-3", None]


def test_an_async_token_function_cannot_be_assigned_to_a_client_of_threads() -> None:
    async def token() -> str:
        raise AssertionError("nothing awaits it")

    with AssistantClient(base_url="http://x") as client, pytest.raises(ConfigurationError, match="async"):
        client.api_key = token


@FACES
def test_a_client_says_what_it_is_set_to_and_whether_it_is_closed(face: str) -> None:
    seen: list[Any] = []

    async def story(client: Any) -> None:
        client.timeout = 3
        assert client.timeout == Timeout(connect=3, read=3)
        client.timeout = Timeout(total=9)
        assert (client.timeout.total, client.max_retries, client.is_closed()) == (9, 0, False)
        copy = client.with_options(timeout=NOT_GIVEN, max_retries=1)
        assert (copy.timeout, copy.max_retries) == (client.timeout, 1)
        await got(client.close())
        seen.append((client.is_closed(), copy.is_closed()))

    play(face, thread, story)
    assert seen == [(True, True)]


@FACES
@pytest.mark.parametrize("nothing", [NOT_GIVEN, omit], ids=["NOT_GIVEN", "omit"])
def test_what_is_not_given_is_left_out_wherever_it_is_written(face: str, nothing: Any) -> None:
    async def script(request: Received, wire: Wire) -> None:
        await wire.json({"id": "run_1", "thread_id": "thread_1", "status": "completed", "object": "thread.run"})

    async def story(client: Any) -> None:
        await got(
            client.beta.threads.runs.create_and_poll(
                thread_id="thread_1",
                assistant_id="a",
                instructions=nothing,
                include=nothing,
                poll_interval_ms=nothing,
                max_wait_seconds=nothing,
                timeout=nothing,
                extra_headers=nothing,
            )
        )

    server = play(face, script, story, timeout=nothing)
    assert server.requests[0].json == {"assistant_id": "a"}
    assert server.requests[0].target.endswith("/threads/thread_1/runs")


@FACES
@pytest.mark.parametrize("kind", [APIError, OpenAIError])
def test_an_error_event_is_an_api_error(face: str, kind: type[Exception]) -> None:
    said = {"message": "Sorry.", "code": "server_error", "param": "model", "type": "invalid_request_error"}

    async def story(client: Any) -> None:
        stream = client.threads.runs.stream(thread_id="t", assistant_id="a")
        with pytest.raises(kind) as caught:
            await got(stream.until_done())
        error: Any = caught.value
        assert type(error) is ServerErrorEvent
        assert (error.code, error.param, error.type) == ("server_error", "model", "invalid_request_error")
        assert "Sorry." in error.message == str(error)
        assert error.body["message"] == "Sorry."
        assert error.snapshot.run is not None

    play(face, sends(b"".join(FRAMES[:6]) + frame("error", said)), story)


def processing(*statuses: str) -> Script:
    """A file that has these statuses, one each time it is asked for, and keeps the last."""
    left = list(statuses)

    async def script(request: Received, wire: Wire) -> None:
        await wire.json({"id": "file_1", "object": "file", "status": left.pop(0) if len(left) > 1 else left[0]})

    return script


@FACES
@pytest.mark.parametrize("last", ["processed", "error"])
def test_a_file_is_waited_for_until_it_is_processed(face: str, last: str) -> None:
    async def story(client: Any) -> None:
        file = await got(client.files.wait_for_processing("file_1", poll_interval=0.001))
        assert file.status == last

    server = play(face, processing("uploaded", "uploaded", last), story)
    assert [request.path.rpartition("/")[2] for request in server.requests] == ["file_1"] * 3


@FACES
def test_a_file_is_not_waited_for_longer_than_asked(face: str) -> None:
    async def story(client: Any) -> None:
        with pytest.raises(PollTimeoutError):
            await got(client.files.wait_for_processing("file_1", poll_interval=0.001, max_wait_seconds=0.05))

    play(face, processing("uploaded"), story)


@FACES
def test_a_files_content_goes_to_a_file_under_the_old_name(face: str, tmp_path: Path) -> None:
    async def content(request: Received, wire: Wire) -> None:
        await wire.reply(200, b"hello", {"content-type": "application/octet-stream"})

    async def story(client: Any) -> None:
        (await got(client.files.content("file_1"))).stream_to_file(tmp_path / "x")

    play(face, content, story)
    assert (tmp_path / "x").read_bytes() == b"hello"

"""Web responses made of streams, on Starlette and uvicorn: a browser that leaves takes its run along."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import uvicorn
from fault_server import run
from loopback import GUARD, Loopback, Received, Wire
from reactivex import operators as ops
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from rx_assistant import AssistantClient, AsyncAssistantClient, operators as ax

PAGE = Path(__file__).resolve().parents[2] / "docs" / "streams.md"
BEGUN = b"""event: thread.run.created
data: {"id":"run_1","object":"thread.run","thread_id":"t","status":"queued"}

"""


def text(value: str) -> bytes:
    content = f'[{{"index":0,"type":"text","text":{{"value":"{value}"}}}}]'
    data = f'{{"id":"msg_1","object":"thread.message.delta","delta":{{"content":{content}}}}}'
    return f"event: thread.message.delta\ndata: {data}\n\n".encode()


class Writing:
    """A run that writes until it is cancelled, a word at a time or many at once."""

    def __init__(self, words: int, pause: float) -> None:
        self.words, self.pause = words, pause
        self.cancelled = threading.Event()

    async def __call__(self, request: Received, wire: Wire) -> None:
        if request.path.endswith("/cancel"):
            self.cancelled.set()
            await wire.json(run("cancelling"))
            return
        await wire.events()
        await wire.chunk(BEGUN)
        while not self.cancelled.is_set():
            await wire.chunk(text("word ") * self.words)
            await anyio.sleep(self.pause)


def closing_response() -> Any:
    """The class that the page shows."""
    [block] = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "Closing" in block
    ]
    space: dict[str, Any] = {"StreamingResponse": StreamingResponse, "Request": Request}
    exec(block, space)
    return space["ClosingResponse"]


@contextmanager
def site(response: Callable[..., Any], generator: Callable[[], Any]) -> Iterator[int]:
    """A web server with one page; gives its port."""

    async def page(_: Request) -> Any:
        return response(generator())

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=[Route("/", page)]), log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(GUARD)
        listener.close()


def visit(port: int, words: int) -> None:
    """Load the page until some words have come, and leave."""
    with socket.create_connection(("127.0.0.1", port), timeout=GUARD) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while got.count(b"word") < words:
            more = browser.recv(4096)
            assert more, got
            got += more


@pytest.mark.parametrize("kind", ["async generator", "generator", "generator, coalesced"])
def test_a_browser_that_leaves_while_a_generator_waits_takes_its_run_along(kind: str) -> None:
    script = Writing(words=1, pause=0.02)
    with Loopback(script) as server, AssistantClient(base_url=server.url, max_retries=0) as client:

        def plain() -> Iterator[str]:
            with client.threads.runs.stream("t", assistant_id="a", on_idle="cancel") as stream:
                if kind.endswith("coalesced"):
                    yield from stream.pipe(ax.text_deltas(), ax.coalesce())
                else:
                    yield from stream.text_deltas

        async def awaited() -> AsyncIterator[str]:
            async with (
                AsyncAssistantClient(base_url=server.url, max_retries=0) as other,
                other.threads.runs.stream("t", assistant_id="a", on_idle="cancel") as stream,
            ):
                async for piece in stream.text_deltas:
                    yield piece

        with site(StreamingResponse, awaited if kind.startswith("async") else plain) as port:
            visit(port, words=5)
            assert script.cancelled.wait(GUARD)


@pytest.mark.parametrize("kind", ["async generator", "generator"])
def test_the_response_of_the_page_closes_a_generator_that_does_not_wait(kind: str) -> None:
    script = Writing(words=2_000, pause=0.001)
    resting = threading.Event()
    with Loopback(script) as server, AssistantClient(base_url=server.url, max_retries=0) as client:

        def plain() -> Iterator[str]:
            with client.threads.runs.stream("t", assistant_id="a", on_idle="cancel") as stream:
                yield from stream.text_deltas

        async def awaited() -> AsyncIterator[str]:
            async with (
                AsyncAssistantClient(base_url=server.url, max_retries=0) as other,
                other.threads.runs.stream("t", assistant_id="a", on_idle="cancel") as stream,
            ):
                async for piece in stream.text_deltas:
                    yield piece

        def response(generator: Any) -> Any:
            made = closing_response()(generator)

            async def slowly(scope: Any, receive: Any, send: Any) -> None:
                async def stuck(message: Any) -> None:
                    await send(message)
                    if message["type"] == "http.response.body":
                        resting.set()
                        await anyio.sleep_forever()  # as for a browser that does not read; the generator rests

                await made(scope, receive, stuck)

            return slowly

        with site(response, awaited if kind.startswith("async") else plain) as port:
            visit(port, words=1)
            assert resting.wait(GUARD)
            assert script.cancelled.wait(GUARD)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("wait", ["loop", "until_done", "get_final_run"])
def test_a_wait_on_a_worker_thread_ends_with_the_task_that_waits_for_it(backend: str, wait: str) -> None:
    script = Writing(words=1, pause=0.01)

    def work(client: AssistantClient, begun: anyio.Event) -> None:
        with client.threads.runs.stream("t", assistant_id="a", on_idle="cancel") as stream:
            stream.pipe(ax.text_deltas(), ops.take(1)).subscribe(lambda _: anyio.from_thread.run_sync(begun.set))
            if wait == "loop":
                for _ in stream:
                    pass
            else:
                getattr(stream, wait)()

    async def main(client: AssistantClient) -> None:
        begun = anyio.Event()
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, work, client, begun)
                await begun.wait()
                group.cancel_scope.cancel()

    with Loopback(script) as server, AssistantClient(base_url=server.url, max_retries=0) as client:
        anyio.run(main, client, backend=backend)
        assert script.cancelled.wait(GUARD)

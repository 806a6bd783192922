"""Any wait of a call can be ended from outside: at each moment, in each way, on each face."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx
import httpx2
import pytest
from covering import covering, name_of
from loopback import GUARD, Loopback, Received, Wire

import rx_assistant
from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.http.timeouts import Timeout

pytestmark = pytest.mark.timeout(2 * GUARD)  # far below the time limits that would end these calls instead

EVENT = b"event: thread.created\ndata: {}\n\n"
DONE = b"event: done\ndata: [DONE]\n\n"

Script = Callable[[Wire, threading.Event], Awaitable[None]]
"""What a server sends; it sets the event when its moment has come."""


async def silent(wire: Wire, come: threading.Event) -> None:
    come.set()
    await wire.peer_gone()


async def dripping_head(wire: Wire, come: threading.Event) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    come.set()
    while True:
        await wire.send(b"x")
        await asyncio.sleep(0.01)


async def silent_between_events(wire: Wire, come: threading.Event) -> None:
    await wire.events()
    await wire.chunk(EVENT)
    come.set()
    await wire.peer_gone()


async def silent_inside_a_chunk(wire: Wire, come: threading.Event) -> None:
    await wire.events()
    await wire.send(b"100\r\nevent: thr")
    come.set()
    await wire.peer_gone()


async def comments(wire: Wire, come: threading.Event) -> None:
    await wire.events()
    come.set()
    while True:
        await wire.chunk(b": ping\n\n")
        await asyncio.sleep(0.01)


MOMENTS: dict[str, Script] = {
    "waiting for a head": silent,
    "inside a dripping head": dripping_head,
    "between events": silent_between_events,
    "inside a chunk": silent_inside_a_chunk,
    "among comments": comments,
}


@contextmanager
def serving(
    script: Script, *, reused: bool, come: threading.Event | None = None, strict: bool = True
) -> Iterator[Loopback]:
    """A server for one call; with `reused`, on a connection that has served another one."""
    come = come or threading.Event()

    async def handler(request: Received, wire: Wire) -> None:
        if request.path.endswith("/assistants/warm_up"):
            await wire.json({"id": "warm_up", "object": "assistant"})
        else:
            await script(wire, come)

    with Loopback(handler) as server:
        yield server
        server.wait_for(lambda: server.open_connections == 0)
        assert server.opened == 1 or not strict, "the call was not made on the connection that the moment asks for"


@contextmanager
def unreachable() -> Iterator[str]:
    """The address of a port whose backlog is full: connecting takes as long as one lets it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for filler in filling:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        for filler in filling:
            filler.close()


def error_of(call: Callable[[], object], end: Callable[[], object], come: threading.Event) -> Exception | None:
    """What `call` raises here, when another thread calls `end` after the moment has come."""

    def later() -> None:
        assert come.wait(GUARD)
        time.sleep(0.01)  # the client may read what was sent; the claim also holds where it has not
        end()

    thread = threading.Thread(target=later)
    thread.start()
    error: Exception | None = None
    try:
        call()
    except Exception as raised:
        error = raised
    thread.join()
    return error


def now() -> threading.Event:
    """A moment that has come already."""
    come = threading.Event()
    come.set()
    return come


@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", ["stream.close()", "client.close()"])
def test_on_threads(moment: str, reused: bool, way: str) -> None:
    come = threading.Event()
    with (
        serving(MOMENTS[moment], reused=reused, come=come) as server,
        AssistantClient(base_url=server.url) as client,
    ):
        if reused:
            client.assistants.retrieve("warm_up")
        stream = client.threads.runs.stream("t", assistant_id="a")

        def read() -> None:
            with stream:
                stream.until_done()

        error = error_of(read, stream.close if way == "stream.close()" else client.close, come)
        assert isinstance(error, errors.StreamClosedError if way == "stream.close()" else errors.RxAssistantError)
        client.close()


@pytest.mark.parametrize("moment", ["waiting for a head", "inside a dripping head", "inside a plain reply"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
def test_a_plain_call_on_threads_ends_with_its_client(moment: str, reused: bool) -> None:
    async def dripping_reply(wire: Wire, come: threading.Event) -> None:
        await wire.head(200, {"content-type": "application/json", "content-length": "1000000"})
        come.set()
        while True:
            await wire.send(b" ")
            await asyncio.sleep(0.01)

    script = MOMENTS.get(moment, dripping_reply)
    come = threading.Event()
    with serving(script, reused=reused, come=come) as server, AssistantClient(base_url=server.url) as client:
        if reused:
            client.assistants.retrieve("warm_up")
        error = error_of(lambda: client.assistants.retrieve("a"), client.close, come)
        assert isinstance(error, errors.APIConnectionError)
        assert "closed" in str(error)


@pytest.mark.parametrize("moment", ["waiting for a head", "inside a dripping head"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (Timeout(total=0.1), errors.TotalTimeoutError),
        (Timeout(first_event=0.1), errors.FirstEventTimeoutError),
    ],
    ids=["total", "first_event"],
)
def test_a_limit_on_threads_holds_also_on_a_connection_that_was_open(
    moment: str, reused: bool, timeout: Timeout, kind: type[Exception]
) -> None:
    with (
        serving(MOMENTS[moment], reused=reused, strict=reused) as server,
        AssistantClient(base_url=server.url) as client,
    ):
        if reused:
            client.assistants.retrieve("warm_up")
        with pytest.raises(kind), client.threads.runs.stream("t", assistant_id="a", timeout=timeout):
            pass


@contextmanager
def deaf_to_tls() -> Iterator[str]:
    """The address of a port that accepts connections, and never answers the greeting of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"


CONNECTING = pytest.mark.parametrize("server", [unreachable, deaf_to_tls])


@CONNECTING
@pytest.mark.parametrize("way", ["stream.close()", "client.close()", "total"])
def test_connecting_on_threads(way: str, server: Any) -> None:
    with server() as url, AssistantClient(base_url=url, max_retries=0) as client:
        timeout = Timeout(connect=600, total=0.1 if way == "total" else None)
        stream = client.threads.runs.stream("t", assistant_id="a", timeout=timeout)

        def read() -> None:
            with stream:
                pass

        end = {"stream.close()": stream.close, "client.close()": client.close}.get(way, lambda: None)
        error = error_of(read, end, now())
        assert isinstance(error, errors.RxAssistantError)
        if way == "total":
            assert isinstance(error, errors.TotalTimeoutError)


def test_a_wait_before_another_try_on_threads_ends_with_the_client() -> None:
    async def overloaded(wire: Wire, come: threading.Event) -> None:
        await wire.reply(503, headers={"retry-after": "60"})
        come.set()

    come = threading.Event()
    with serving(overloaded, reused=False, come=come) as server, AssistantClient(base_url=server.url) as client:
        error = error_of(lambda: client.assistants.retrieve("a"), client.close, come)
        assert isinstance(error, errors.APIConnectionError)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_given_client_on_threads_ends_on_a_connection_of_the_call(library: Any, moment: str) -> None:
    come = threading.Event()
    with serving(MOMENTS[moment], reused=False, come=come) as server, library.Client() as http:
        client = AssistantClient(base_url=server.url, http_client=http)
        stream = client.threads.runs.stream("t", assistant_id="a")

        def read() -> None:
            with stream:
                stream.until_done()

        error = error_of(read, stream.close, come)
        assert isinstance(error, errors.StreamClosedError)
        assert not http.is_closed


# -- event loops -------------------------------------------------------------------------------------------------


CLIENTS: dict[str, Callable[[], Any]] = {
    "own": lambda: None,
    "httpx": httpx.AsyncClient,
    "httpx2": httpx2.AsyncClient,
    "aiohttp": rx_assistant.aiohttp_client,
}


BACKENDS = ("asyncio", "trio")


def exists(_: str, way: str, library: str, backend: str, *_others: str) -> bool:
    """aiohttp only works on asyncio; a given client stays open, and its streams too."""
    return not (
        (library == "aiohttp" and backend == "trio") or (library in ("httpx", "httpx2") and way == "client.aclose()")
    )


def sample(names: str, *axes: tuple[str, ...], allowed: Callable[..., bool] = exists) -> pytest.MarkDecorator:
    """The cases of a product in which every combination of three values occurs."""
    cases = covering(*axes, size=3, allowed=allowed)
    return pytest.mark.parametrize(names, cases, ids=map(name_of, cases), indirect=["anyio_backend"])


@pytest.mark.anyio
@sample(
    "moment, way, library, anyio_backend, connection",
    tuple(MOMENTS),
    ("stream.close()", "from a thread", "client.aclose()"),
    tuple(CLIENTS),
    BACKENDS,
    ("new", "reused"),
)
async def test_on_event_loops(moment: str, way: str, library: str, connection: str) -> None:
    reused = connection == "reused"
    come = threading.Event()
    with serving(MOMENTS[moment], reused=reused, come=come) as server:
        http = CLIENTS[library]()
        client = AsyncAssistantClient(base_url=server.url, http_client=http)
        if reused:
            await client.assistants.retrieve("warm_up")
        stream = client.threads.runs.stream("t", assistant_id="a")

        async def end() -> None:
            while not come.is_set():  # noqa: ASYNC110  # a server of another thread sets it
                await anyio.sleep(0.001)
            await anyio.sleep(0.01)  # the client may read what was sent; the claim also holds where it has not
            if way == "client.aclose()":
                await client.aclose()
            elif way == "stream.close()":
                stream.close()
            else:
                await anyio.to_thread.run_sync(stream.close)

        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end)
                with pytest.raises(errors.RxAssistantError) as caught:
                    async with stream:
                        await stream.until_done()
        if way != "client.aclose()":
            assert isinstance(caught.value, errors.StreamClosedError)
        await client.aclose()
        if http is not None:
            await http.aclose()
        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))


@pytest.mark.anyio
@sample(
    "server, way, library, anyio_backend",
    (unreachable, deaf_to_tls),
    ("stream.close()", "client.aclose()", "total", "cancelled"),
    tuple(CLIENTS),
    BACKENDS,
)
async def test_connecting_on_event_loops(server: Any, way: str, library: str) -> None:
    with server() as url:
        http = CLIENTS[library]()
        client = AsyncAssistantClient(base_url=url, http_client=http, max_retries=0)
        timeout = Timeout(connect=600, total=0.25 if way == "total" else None)
        stream = client.threads.runs.stream("t", assistant_id="a", timeout=timeout)
        scope = anyio.CancelScope()
        caught: list[Exception] = []

        async def read() -> None:
            with scope:
                try:
                    async with stream:
                        await stream.until_done()
                except errors.RxAssistantError as error:
                    caught.append(error)

        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.sleep(0.1)
                if way == "stream.close()":
                    stream.close()
                elif way == "client.aclose()":
                    await client.aclose()
                elif way == "cancelled":
                    scope.cancel()
        assert bool(caught) is (way != "cancelled")
        await client.aclose()
        if http is not None:
            await http.aclose()
        gc.collect()  # a socket that was left open is a warning here, and so an error


def is_met(moment: str, limit: str, library: str, backend: str) -> bool:
    """`read` is only met without bytes, `first_event` only without an event."""
    unmet = {"read": (comments, dripping_head), "first_event": (silent_between_events,), "total": ()}
    return exists(moment, limit, library, backend) and MOMENTS[moment] not in unmet[limit]


@pytest.mark.anyio
@sample(
    "moment, limit, library, anyio_backend",
    tuple(MOMENTS),
    ("total", "first_event", "read"),
    tuple(CLIENTS),
    BACKENDS,
    allowed=is_met,
)
async def test_limits_hold_on_every_transport(moment: str, limit: str, library: str) -> None:
    kinds = {
        "total": errors.TotalTimeoutError,
        "first_event": errors.FirstEventTimeoutError,
        "read": errors.ReadTimeoutError,
    }
    with serving(MOMENTS[moment], reused=False, strict=False) as server:
        http = CLIENTS[library]()
        client = AsyncAssistantClient(base_url=server.url, http_client=http, max_retries=0)
        with anyio.fail_after(GUARD), pytest.raises(errors.RxAssistantError) as caught:
            timeout = Timeout(**{limit: 0.25})
            async with client.threads.runs.stream("t", assistant_id="a", timeout=timeout) as stream:
                await stream.until_done()
        assert kinds[limit] in {type(caught.value), type(caught.value.__cause__)}
        await client.aclose()
        if http is not None:
            await http.aclose()
        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))

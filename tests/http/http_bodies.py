"""Open bodies on threads and event loops, over each library, and servers for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
from faces import Face, OnEventLoop, OnThreads, entered, got, left
from http_clients import OverAiohttp, Own
from loopback import GUARD, ConnectProxy, H2Loopback, H2Wire, Loopback, Received, Wire, client_tls, server_tls

from rx_assistant.api import runs
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout

RUN = runs.create("t", {"assistant_id": "a"}).streamed()
EVENT = b"event: thread.created\ndata: {}\n\n"
DONE = b"event: done\ndata: [DONE]\n\n"


# -- servers -----------------------------------------------------------------------------------------------------------


async def hold(request: Received, wire: Wire) -> None:
    """One event, and then nothing until the client has gone."""
    await wire.events()
    await wire.chunk(EVENT)
    await wire.peer_gone()


async def h2_hold(request: Received, wire: H2Wire) -> None:
    await wire.events()
    await wire.send(EVENT)
    await asyncio.Event().wait()


async def whole(request: Received, wire: Wire) -> None:
    """A stream as it should be, or a plain answer for other paths."""
    if not request.path.endswith("/runs"):
        await wire.json({})
        return
    await wire.events()
    await wire.chunk(EVENT)
    await wire.chunk(DONE)
    await wire.end()


async def silent(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.peer_gone()


def comments(every: float) -> Callable[[Received, Wire], Any]:
    """One event, and then only comments."""

    async def handler(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(EVENT)
        while True:
            await wire.chunk(b": ping\n\n")
            await asyncio.sleep(every)

    return handler


def pausing(seconds: float) -> Callable[[Received, Wire], Any]:
    """One event, and a pause before the end."""

    async def handler(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(EVENT)
        await asyncio.sleep(seconds)
        await wire.chunk(DONE)
        await wire.end()

    return handler


async def talking(request: Received, wire: H2Wire) -> None:
    """Twenty events over HTTP/2."""
    await wire.events()
    for _ in range(20):
        await wire.send(EVENT)
        await asyncio.sleep(0.005)
    await wire.end()


KINDS = ("plain", "tls", "tls through a proxy", "http2")


@contextmanager
def transport(kind: str) -> Iterator[tuple[Loopback, dict[str, Any]]]:
    """A server that holds its streams, and what a client needs to reach it."""
    if kind == "http2":
        with H2Loopback(h2_hold) as server:
            yield server, {"verify": client_tls(), "http2": True}
        return
    with ConnectProxy() as proxy, Loopback(hold, tls=None if kind == "plain" else server_tls()) as server:
        client: dict[str, Any] = {"verify": client_tls()}
        if kind == "tls through a proxy":
            client["proxy"] = proxy.url
        yield server, client
        assert bool(proxy.tunnels) is (kind == "tls through a proxy")


# -- faces -------------------------------------------------------------------------------------------------------------


class BodyFace(Face):
    """A face with its sessions."""

    session: Any
    """The class of a session."""

    client: str
    """The name of a library's class of clients."""

    async def meanwhile(self, wait: Callable[[], Any], act: Callable[[], Any]) -> Any:
        """What `wait` gave or raised. Calls `act` once it waits."""
        raise NotImplementedError


class Threads(OnThreads, BodyFace):
    session = Session
    client = "Client"

    async def meanwhile(self, wait: Callable[[], Any], act: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait)
            wait_until_blocked(wait)
            act()
            return waiting.exception(GUARD) or waiting.result(GUARD)


class EventLoop(OnEventLoop, BodyFace):
    session = AsyncSession
    client = "AsyncClient"

    async def meanwhile(self, wait: Callable[[], Any], act: Callable[[], Any]) -> Any:
        results: list[Any] = []

        async def task() -> None:
            try:
                results.append(await wait())
            except Exception as error:
                results.append(error)

        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(task)
                await anyio.wait_all_tasks_blocked()
                await act()
        return results[0]


THREADS, ASYNCIO, TRIO = FACES = (Threads("threads"), EventLoop("asyncio"), EventLoop("trio"))
LIBRARIES = (httpx, httpx2, Own, OverAiohttp)


def works(face: Face, library: Any, *_: object) -> bool:
    """aiohttp knows asyncio only."""
    return library is not OverAiohttp or face is ASYNCIO


def wait_until_blocked(read: Any) -> None:
    """Return when a body is being read on another thread, by its method `read`."""
    deadline = time.monotonic() + GUARD
    while not read.__self__._state.reading:
        assert time.monotonic() < deadline, "must not be read"
        time.sleep(0.002)
    time.sleep(0.005)


@asynccontextmanager
async def connected(
    face: BodyFace, server: Loopback, timeout: Timeout | None = None, library: Any = httpx, **client: Any
) -> AsyncIterator[Any]:
    """A session over a client of the library."""
    manager = getattr(library, face.client)(**{"verify": client_tls(), **client})
    http = await entered(manager)
    session = face.session(Settings(base_url=server.url, max_retries=0, timeout=timeout or Timeout()), http)
    try:
        yield session
    finally:
        await closed(session)
        await left(manager)


@asynccontextmanager
async def opened(face: BodyFace, server: Loopback, *options: Any, **client: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A session as of `connected`, and a body of it."""
    async with connected(face, server, *options, **client) as session:
        body = await got(session.open(RUN))
        try:
            yield session, body
        finally:
            await closed(body)


def closed(thing: Any) -> Coroutine[Any, Any, Any]:
    """Close a session or a body of either face."""
    return got((thing.aclose if hasattr(thing, "aclose") else thing.close)())


async def connection_ends(face: Face, server: Loopback, kind: str = "plain") -> None:
    """The server has no connection left. On HTTP/2 the connection stays, for others."""
    if kind != "http2":
        await face.until(lambda: server.open_connections == 0)


async def drain(body: Any) -> bytes:
    """Read to the end, as a pump does."""
    received = b""
    while chunk := await got(body.read()):
        received += chunk
        if b"data:" in chunk:
            body.saw_event()
    return received

"""A host's addresses: which is taken, and that no socket is left of the others, or of a request that was cancelled."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from loopback import GUARD, Loopback, Received, Wire, client_tls, server_tls

from rx_assistant.http import dialling
from rx_assistant.http.connections import Lines
from rx_assistant.http.dialling import dial

TLS = pytest.mark.parametrize("tls", [None, "tls"], ids=["plain", "tls"])


@pytest.fixture(autouse=True)
def nothing_left_for_the_collector() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def places() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(places: ExitStack) -> int:
    return int(places.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])


def refusing(places: ExitStack) -> int:
    bound = places.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    return int(bound.getsockname()[1])


def silent(places: ExitStack) -> int:
    """Somewhere a connection neither comes about nor fails: nobody accepts, and the queue is full."""
    full = places.enter_context(socket.socket())
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    for _ in range(3):
        waiting = places.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(full.getsockname())
    return int(full.getsockname()[1])


def named(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """The name resolves to these, in this order."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.mark.parametrize("others", [[], [refusing], [silent], [refusing, silent, refusing], [silent, silent]])
def test_the_address_that_answers_is_taken(
    places: ExitStack, monkeypatch: pytest.MonkeyPatch, others: list[object]
) -> None:
    monkeypatch.setattr(dialling, "NEXT_AFTER", 0.005)
    good = listening(places)
    named(monkeypatch, *(other(places) for other in others), good)  # type: ignore[operator]
    with closing(asyncio.run(asyncio.wait_for(dial("somewhere", 1), GUARD))) as connected:
        assert connected.getpeername() == ("127.0.0.1", good)


@pytest.mark.parametrize("count", [1, 3])
def test_none_that_answers_is_an_error(places: ExitStack, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    named(monkeypatch, *(refusing(places) for _ in range(count)))
    with pytest.raises(OSError, match=r"refused|failed"):
        asyncio.run(dial("somewhere", 1))


def test_the_address_of_ones_own_is_the_one_that_was_asked_for(places: ExitStack) -> None:
    with closing(asyncio.run(dial("127.0.0.1", listening(places), "127.0.0.2"))) as connected:
        assert connected.getsockname()[0] == "127.0.0.2"


def test_the_families_take_turns(places: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "NEXT_AFTER", GUARD)
    good = listening(places)
    broken = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", refusing(places), 0, 0))]
    still = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", silent(places), 0, 0))
    found = [*broken, still, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", good))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with closing(asyncio.run(asyncio.wait_for(dial("somewhere", 1), GUARD / 2))) as connected:
        assert connected.getpeername() == ("127.0.0.1", good)


@TLS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["one address", "perhaps more"])
@pytest.mark.anyio
async def test_a_request_that_is_cancelled_at_any_step_leaves_nothing(host: str, tls: str | None) -> None:
    async def answer(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(b"x")
        await wire.end()

    async def request() -> None:
        await http.post(server.url.replace("localhost", host), content=bytes(100_000))

    async def only(steps: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(request)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    with Loopback(answer, tls=None if tls is None else server_tls()) as server:
        for steps in range(40):
            async with httpx.AsyncClient(transport=Lines(client_tls()), timeout=GUARD) as http:
                await only(steps)
            await anyio.lowlevel.checkpoint()
            gc.collect()
        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: not server.open_connections))

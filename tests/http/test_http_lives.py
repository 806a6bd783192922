"""Clients that outlive what they were made in: a fork, an event loop, or the program's last reference to them."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import trio
import uvloop
from loopback import GUARD, Loopback, Received, Wire

import rx_assistant
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.errors import APIConnectionError, ConfigurationError, RxAssistantError
from rx_assistant.http import clients
from rx_assistant.http.connection import Connection

EVENT = b'event: thread.created\ndata: {"id": "thread_1"}\n\n'
DONE = b"event: done\ndata: [DONE]\n\n"


async def answers(request: Received, wire: Wire) -> None:
    """Streams wait for the end of the test in their middle; other requests are answered with their path."""
    if request.path.endswith("/held/runs"):
        await wire.events()
        await wire.chunk(EVENT)
        await wire.peer_gone()
    elif request.path.endswith("/runs"):
        await wire.events()
        await wire.chunk(EVENT + DONE)
        await wire.end()
    else:
        await wire.json({"id": request.path.rpartition("/")[2], "object": "assistant"})


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(answers) as server:
        yield server


# -- a fork ------------------------------------------------------------------------------------------------------


def in_a_fork(work: Callable[[], object]) -> None:
    """Run `work` in a forked child, and fail if it does."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + GUARD
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, "the child failed"
            return
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hung")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@needs_fork
@forks
@pytest.mark.parametrize("what", ["client.close()", "stream.close()", "a request", "a request with a time limit"])
def test_a_forked_child_leaves_the_streams_of_its_parent_alone(server: Loopback, what: str) -> None:
    with AssistantClient(base_url=server.url) as client:
        client.assistants.retrieve("idle")
        with client.threads.runs.stream("held", assistant_id="a") as stream:
            events = iter(stream)
            next(events)
            actions: dict[str, Callable[[], object]] = {
                "client.close()": client.close,
                "stream.close()": stream.close,
                "a request": lambda: _same(client.assistants.retrieve("child").id, "child"),
                "a request with a time limit": lambda: client.assistants.retrieve(
                    "child", timeout=rx_assistant.Timeout(total=20)
                ),
            }
            before = len(server.endings)
            in_a_fork(actions[what])
            assert client.assistants.retrieve("parent").id == "parent"
            reading = threading.Thread(target=_read_on, args=(events,), daemon=True)
            reading.start()
            reading.join(0.05)
            assert reading.is_alive(), "the parent's stream was cut"
            assert len(server.endings) <= before + 1  # the child's own connection
        reading.join(GUARD)


def _read_on(events: Iterator[Any]) -> None:
    try:
        next(events)
    except RxAssistantError:
        pass


def _same(one: object, other: object) -> None:
    assert one == other


@needs_fork
@forks
def test_a_fork_while_another_thread_takes_connections_does_not_hang_the_child(server: Loopback) -> None:
    stop = threading.Event()
    with AssistantClient(base_url=server.url) as client:

        def busy() -> None:
            while not stop.is_set():
                client.assistants.retrieve("busy")

        with ThreadPoolExecutor(2) as pool:
            for _ in range(2):
                pool.submit(busy)
            try:
                for _ in range(5):
                    in_a_fork(lambda: _same(client.assistants.retrieve("child").id, "child"))
            finally:
                stop.set()


@needs_fork
@forks
def test_replies_are_not_mixed_up_between_processes(server: Loopback) -> None:
    with AssistantClient(base_url=server.url) as client:
        client.assistants.retrieve("idle")
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_ask_often, args=(client, name)) for name in ("one", "two")]
        for child in children:
            child.start()
        _ask_often(client, "parent")
        for child in children:
            child.join(GUARD)
            assert child.exitcode == 0


def _ask_often(client: AssistantClient, name: str) -> None:
    for number in range(20):
        assert client.assistants.retrieve(f"{name}_{number}").id == f"{name}_{number}"


# -- event loops -------------------------------------------------------------------------------------------------

LOOPS: dict[str, Callable[[Any], Any]] = {
    "asyncio": asyncio.run,
    "uvloop": lambda main: uvloop.run(main),
    "trio": lambda main: anyio.run(lambda: main, backend="trio"),
}


async def use(client: AsyncAssistantClient) -> None:
    assert (await client.assistants.retrieve("x")).id == "x"
    async with client.threads.runs.stream("t", assistant_id="a") as stream:
        assert [event async for event in stream]


@pytest.mark.parametrize("first", LOOPS)
@pytest.mark.parametrize("second", LOOPS)
def test_one_client_serves_one_loop_after_the_other(server: Loopback, first: str, second: str) -> None:
    client = AsyncAssistantClient(base_url=server.url)
    for loop in (first, second, first):
        LOOPS[loop](use(client))
        server.wait_for(lambda: server.open_connections == 0)  # none outlives its loop
    gc.collect()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_left_open_in_a_loop_that_ends_is_closed_with_it(server: Loopback, loop: str) -> None:
    client = AsyncAssistantClient(base_url=server.url)

    async def leave() -> None:
        stream = await client.threads.runs.stream("held", assistant_id="a").__aenter__()
        await anext(aiter(stream))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        LOOPS[loop](leave())
        server.wait_for(lambda: server.open_connections == 0)
        gc.collect()
    LOOPS[loop](use(client))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_trio_without_in_trio_run_does_no_harm(server: Loopback, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """trio 0.28 and earlier have no such function; the library is loaded wherever it is installed."""
    monkeypatch.delattr(trio.lowlevel, "in_trio_run", raising=False)
    client = AsyncAssistantClient(base_url=server.url)
    LOOPS[loop](use(client))


def test_one_client_serves_two_loops_at_once(server: Loopback) -> None:
    client = AsyncAssistantClient(base_url=server.url)

    async def often() -> None:
        for _ in range(10):
            await use(client)

    with ThreadPoolExecutor(2) as pool:
        for running in [pool.submit(asyncio.run, often()) for _ in range(2)]:
            running.result(GUARD)


@pytest.mark.parametrize("first", ["asyncio", "uvloop"])
@pytest.mark.parametrize("second", LOOPS)
def test_aiohttp_serves_one_loop_and_says_so_on_another(server: Loopback, first: str, second: str) -> None:
    client = AsyncAssistantClient(base_url=server.url, http_client=rx_assistant.aiohttp_client())
    LOOPS[first](use(client))
    server.wait_for(lambda: server.open_connections == 0)
    with pytest.raises(ConfigurationError, match=r"event loop|asyncio"):
        LOOPS[second](use(client))
    gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what httpx leaves in a loop that is over
@pytest.mark.parametrize("first", LOOPS)
@pytest.mark.parametrize("second", LOOPS)
def test_a_given_client_works_on_a_second_loop_or_says_so(server: Loopback, first: str, second: str) -> None:
    http = httpx.AsyncClient()
    client = AsyncAssistantClient(base_url=server.url, http_client=http, max_retries=0)
    LOOPS[first](use(client))
    with suppress(ConfigurationError, APIConnectionError):  # any other error fails
        LOOPS[second](use(client))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del http, client
        gc.collect()


def test_a_client_that_was_closed_in_its_loop_refuses_every_loop(server: Loopback) -> None:
    client = AsyncAssistantClient(base_url=server.url)

    async def close() -> None:
        await use(client)
        await client.close()

    asyncio.run(close())
    with pytest.raises(APIConnectionError, match="closed"):
        asyncio.run(use(client))


# -- without close() ---------------------------------------------------------------------------------------------


def test_a_client_on_threads_that_is_collected_closes_its_connections(server: Loopback) -> None:
    client = AssistantClient(base_url=server.url)
    client.assistants.retrieve("x")
    assert server.open_connections == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del client
        gc.collect()
    server.wait_for(lambda: server.open_connections == 0)


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_client_on_a_loop_that_is_collected_closes_its_connections(server: Loopback) -> None:
    client = AsyncAssistantClient(base_url=server.url)
    await client.assistants.retrieve("x")
    assert server.open_connections == 1
    del client
    gc.collect()
    await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))


# -- the pool on threads -----------------------------------------------------------------------------------------


def test_the_connection_that_was_used_last_is_used_next_and_idle_ones_expire(server: Loopback) -> None:
    now = [0.0]
    pool = clients.OwnClients(clock=lambda: now[0])
    one, two = pool.take(), pool.take()
    pool.give_back(one)
    pool.give_back(two)
    assert pool.take() is two
    pool.give_back(two)
    now[0] = clients.KEPT_SECONDS + 1
    assert pool.take() not in (one, two)
    pool.close()
    assert one.http.is_closed
    assert two.http.is_closed


def test_at_most_so_many_connections_stay_idle(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "KEPT", 2)
    pool = clients.OwnClients()
    taken = [pool.take() for _ in range(5)]
    for connection in taken:
        pool.give_back(connection)
    assert [connection.http.is_closed for connection in taken] == [True, True, True, False, False]
    pool.close()


def test_a_connection_that_the_server_closed_while_idle_serves_nobody(server: Loopback) -> None:
    async def once(request: Received, wire: Wire) -> None:
        await wire.json({"id": "x"})
        wire.hang_up()

    with Loopback(once) as server, AssistantClient(base_url=server.url, max_retries=0) as client:
        for number in range(1, 4):
            assert client.assistants.retrieve("x").id == "x"
            server.wait_for(lambda number=number: len(server.endings) == number)
        assert server.opened == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
def test_no_descriptor_is_left_by_calls_that_end_in_every_way(server: Loopback) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with AssistantClient(base_url=server.url) as client:
        client.assistants.retrieve("warm")
        before = descriptors()
        for _ in range(20):
            with client.threads.runs.stream("held", assistant_id="a") as stream:
                next(iter(stream))
            with client.threads.runs.stream("t", assistant_id="a") as stream:
                stream.until_done()
        server.wait_for(lambda: server.open_connections == 1)
        assert descriptors() <= before + 2  # the connection that is idle now, twice


def test_cutting_a_connection_that_was_given_back_does_nothing() -> None:
    one, other = socket.socketpair()
    connection = Connection(None, owned=False)

    class Network:
        def get_extra_info(self, name: str) -> Any:
            return {"socket": one}.get(name)

    connection.trace("connection.connect_tcp.complete", {"return_value": Network()})
    connection.give_up_socket()
    connection.shut()
    other.sendall(b"x")
    assert one.recv(1) == b"x"
    one.close()
    other.close()

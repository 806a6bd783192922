"""The limit on the whole of a call holds against a server that is never silent for long."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing

import anyio.to_thread
import pytest
from guard import attempts
from http_bodies import DONE, EVENT, pausing
from loopback import Loopback, Received, Wire

from rx_assistant.api import assistants
from rx_assistant.api.request import Request
from rx_assistant.errors import FirstEventTimeoutError, TotalTimeoutError
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout

Handler = Callable[[Received, Wire], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_left_for_the_collector() -> Iterator[None]:
    yield
    gc.collect()


async def drips(wire: Wire) -> None:
    for _ in range(3000):
        await wire.send(b" ")
        await asyncio.sleep(0.01)
    raise AssertionError("no call gave up")


async def drips_a_head(request: Received, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nx: ")
    await drips(wire)


async def drips_a_body(request: Received, wire: Wire) -> None:
    await wire.head(200, {"content-type": "application/json", "content-length": "1000"})
    await drips(wire)


def settings(server: Loopback, timeout: Timeout) -> Settings:
    return Settings(base_url=server.url, timeout=timeout, max_retries=3)


@pytest.mark.parametrize("handler", [drips_a_head, drips_a_body])
def test_a_reply_that_drips_is_over_in_time(handler: Handler) -> None:
    with Loopback(handler) as server:
        session = Session(settings(server, Timeout(total=0.1)))
        with pytest.raises(TotalTimeoutError):
            session.send(assistants.retrieve("asst_1"))
        session.close()
        server.wait_for(lambda: not server.open_connections)
        assert len(server.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("handler", [drips_a_head, drips_a_body])
async def test_so_it_is_where_nobody_blocks(handler: Handler) -> None:
    with Loopback(handler) as server:
        session = AsyncSession(settings(server, Timeout(total=0.1)))
        with pytest.raises(TotalTimeoutError):
            await session.send(assistants.retrieve("asst_1"))
        await session.aclose()
        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: not server.open_connections))
        assert len(server.requests) == 1


def test_the_head_of_a_stream_counts_as_waiting_for_its_first_event() -> None:
    with Loopback(drips_a_head) as server:
        session = Session(settings(server, Timeout(first_event=0.1)))
        with pytest.raises(FirstEventTimeoutError):
            session.open(Request("GET", "/stream").streamed())
        session.close()
        server.wait_for(lambda: not server.open_connections)


def test_a_stream_whose_head_came_in_time_goes_on_after_it() -> None:
    for attempt in attempts(FirstEventTimeoutError):
        with attempt as limit, Loopback(pausing(1.2 * limit)) as server:
            session = Session(settings(server, Timeout(first_event=limit)))
            with closing(session), closing(session.open(Request("GET", "/stream").streamed())) as body:
                assert body.read() == EVENT
                body.saw_event()
                assert body.read() == DONE

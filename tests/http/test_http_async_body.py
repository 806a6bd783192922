"""Open bodies on asyncio and trio: closed by tasks, threads and cancellation, over every transport."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx
import httpx2
import pytest
from guard import attempts
from http_clients import OverAiohttp, Own
from loopback import GUARD, ConnectProxy, H2Loopback, H2Wire, Loopback, Received, Wire, client_tls, server_tls
from test_http_body import DONE, EVENT, RUN, comments, h2_hold, hold, pausing, silent, whole

from rx_assistant import errors
from rx_assistant.http import async_body
from rx_assistant.http.async_body import AsyncResponseBody
from rx_assistant.http.session import AsyncSession
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout

pytestmark = pytest.mark.anyio


LIBRARIES = pytest.mark.parametrize(
    "library", [httpx, httpx2, Own, OverAiohttp], ids=["httpx", "httpx2", "own", "aiohttp"]
)
BOTH = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
TRANSPORTS = ["plain", "tls", "tls through a proxy", "http2"]


@pytest.fixture(autouse=True)
def nothing_left_for_the_collector() -> Iterator[None]:
    """An abandoned generator or coroutine is a warning, hence an error, where the collector finds it."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def what_each_library_can_do(request: pytest.FixtureRequest, anyio_backend_name: str) -> None:
    params = getattr(request.node, "callspec", None)
    chosen = params.params if params is not None else {}
    library, kind = chosen.get("library"), chosen.get("kind")
    if library is OverAiohttp and anyio_backend_name == "trio":
        pytest.skip("aiohttp knows asyncio only")
    if library in (Own, OverAiohttp) and kind == "http2":
        pytest.skip("HTTP/2 needs a given httpx client")


@contextmanager
def transport(kind: str) -> Iterator[tuple[Loopback, dict[str, Any]]]:
    if kind == "http2":
        with H2Loopback(h2_hold) as server:
            yield server, {"verify": client_tls(), "http2": True}
        return
    with ConnectProxy() as proxy, Loopback(hold, tls=None if kind == "plain" else server_tls()) as server:
        client: dict[str, Any] = {"verify": client_tls()}
        if kind == "tls through a proxy":
            client["proxy"] = proxy.url
        yield server, client


@asynccontextmanager
async def opened(
    server: Loopback, timeout: Timeout | None = None, library: Any = httpx, **client: Any
) -> AsyncIterator[tuple[AsyncSession, AsyncResponseBody]]:
    async with library.AsyncClient(**{"verify": client_tls(), **client}) as http:
        session = AsyncSession(Settings(base_url=server.url, max_retries=0, timeout=timeout or Timeout()), http)
        body = await session.open(RUN)
        try:
            yield session, body
        finally:
            await body.aclose()
            await session.aclose()


async def connection_closed(server: Loopback, kind: str = "plain") -> None:
    """On HTTP/2 the connection stays, for others."""
    if kind != "http2":
        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))


async def drain(body: AsyncResponseBody) -> bytes:
    """Read to the end, as a pump does."""
    received = b""
    while chunk := await body.read():
        received += chunk
        if b"data:" in chunk:
            body.saw_event()
    return received


@LIBRARIES
@pytest.mark.parametrize("kind", TRANSPORTS)
class TestClosing:
    async def test_from_another_task_ends_a_waiting_read(self, kind: str, library: Any) -> None:
        with transport(kind) as (server, client):
            async with opened(server, library=library, **client) as (_, body):
                assert await body.read() == EVENT

                async def read() -> None:
                    with pytest.raises(errors.StreamClosedError):
                        await body.read()

                with anyio.fail_after(GUARD):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(read)
                        await anyio.wait_all_tasks_blocked()
                        await body.aclose()
                await connection_closed(server, kind)

    async def test_while_nobody_reads(self, kind: str, library: Any) -> None:
        with transport(kind) as (server, client):
            async with opened(server, library=library, **client) as (_, body):
                assert await body.read() == EVENT
                await body.aclose()
                await body.aclose()
                await connection_closed(server, kind)
                with pytest.raises(errors.StreamClosedError):
                    await body.read()

    async def test_by_cancelling_the_task_that_reads(self, kind: str, library: Any) -> None:
        with transport(kind) as (server, client):
            async with opened(server, library=library, **client) as (_, body):
                assert await body.read() == EVENT
                with anyio.move_on_after(0.02) as scope:
                    await body.read()
                assert scope.cancelled_caught
                await connection_closed(server, kind)
                for _ in range(2):
                    with pytest.raises(errors.StreamCancelledError):
                        await body.read()


class TestTheConnection:
    @LIBRARIES
    @pytest.mark.parametrize("how", ["finish", "read to the end"])
    async def test_serves_the_next_stream_when_one_has_ended(self, how: str, library: Any) -> None:
        with Loopback(whole) as server:
            async with library.AsyncClient(verify=client_tls()) as http:
                session = AsyncSession(Settings(base_url=server.url, max_retries=0), http)
                for _ in range(5):
                    body = await session.open(RUN)
                    received = b""
                    while not received.endswith(DONE):  # what arrives together is read together
                        received += await body.read()
                    assert received == EVENT + DONE
                    if how == "finish":
                        await body.finish()
                    else:
                        assert await body.read() == b""
                        assert await body.read() == b""
                    await body.aclose()
                await session.aclose()
                assert server.opened == 1

    async def test_is_given_up_when_the_server_does_not_stop_after_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(async_body, "FINISH_SECONDS", 0.05)
        with Loopback(hold) as server:
            async with opened(server) as (_, body):
                await body.read()
                await body.finish()
                await connection_closed(server)


class TestBreaking:
    @LIBRARIES
    @pytest.mark.parametrize("how", ["reset", "hang_up"])
    async def test_is_a_connection_error_of_ours_each_time_it_is_asked(self, how: str, library: Any) -> None:
        async def breaks(request: Received, wire: Wire) -> None:
            await wire.events()
            await wire.chunk(EVENT)
            getattr(wire, how)()

        with Loopback(breaks) as server:
            async with opened(server, library=library) as (_, body):
                for _ in range(2):
                    with pytest.raises(errors.APIConnectionError) as caught:
                        await drain(body)
                    assert isinstance(caught.value.__cause__, library.HTTPError)

    async def test_html_with_status_200_is_no_event_stream_and_is_closed(self) -> None:
        async def html(request: Received, wire: Wire) -> None:
            await wire.head(200, {"content-type": "text/html"})
            await wire.send(b"<html>Sign in, please")
            await wire.peer_gone()

        with Loopback(html) as server:
            async with opened(server) as (_, body):
                with pytest.raises(errors.NotAnEventStreamError):
                    await body.read()
                await connection_closed(server)


class TestTimeLimits:
    @pytest.mark.parametrize(
        ("handler", "timeout", "error"),
        [
            (silent, Timeout(read=0.05), errors.ReadTimeoutError),
            (silent, Timeout(first_event=0.05), errors.FirstEventTimeoutError),
            (hold, Timeout(first_event=5, idle=0.05), errors.IdleTimeoutError),
            (comments(0.01), Timeout(idle=0.05), errors.IdleTimeoutError),
            (comments(0.01), Timeout(first_event=5, total=0.1), errors.TotalTimeoutError),
            (hold, Timeout(total=0.05, idle=60), errors.TotalTimeoutError),
        ],
        ids=[
            "read",
            "first_event",
            "idle in silence",
            "idle among comments",
            "total among comments",
            "total in silence",
        ],
    )
    async def test_each_has_its_error(self, handler: Any, timeout: Timeout, error: type[Exception]) -> None:
        with Loopback(handler) as server:
            with pytest.raises(error) as caught:
                async with opened(server, timeout) as (_, body):
                    await drain(body)
            assert type(caught.value) is error
            await connection_closed(server)


@LIBRARIES
class TestTheHead:
    async def test_cancelling_while_waiting_for_it_closes_the_connection(self, library: Any) -> None:
        async def never_answers(request: Received, wire: Wire) -> None:
            await wire.peer_gone()

        with Loopback(never_answers) as server:
            async with library.AsyncClient(verify=client_tls()) as http:
                session = AsyncSession(Settings(base_url=server.url), http)
                with anyio.move_on_after(0.05) as scope:
                    await session.open(RUN)
                assert scope.cancelled_caught
                await connection_closed(server)
                await session.aclose()

    async def test_a_limit_on_it_is_no_limit_on_the_body(self, library: Any) -> None:
        for attempt in attempts(errors.FirstEventTimeoutError):
            with attempt as limit, Loopback(pausing(1.2 * limit)) as server:
                async with opened(server, Timeout(first_event=limit, read=60), library) as (_, body):
                    assert await drain(body) == EVENT + DONE


@BOTH
class TestHTTP2:
    @pytest.mark.parametrize("how", ["close", "cancel"])
    async def test_ending_one_stream_leaves_the_other_whole(self, library: Any, how: str) -> None:
        async def talk(request: Received, wire: H2Wire) -> None:
            await wire.events()
            for _ in range(20):
                await wire.send(EVENT)
                await asyncio.sleep(0.005)
            await wire.end()

        with H2Loopback(talk) as server:
            async with opened(server, library=library, verify=client_tls(), http2=True) as (session, one):
                two = await session.open(RUN)
                assert await one.read() == EVENT
                ended: list[str] = []
                async with anyio.create_task_group() as tasks:

                    async def end_one() -> None:
                        with anyio.CancelScope() as scope:
                            tasks.start_soon(end, scope)
                            await drain(one)
                        ended.append("cancel" if scope.cancelled_caught else "nothing")

                    async def end(scope: anyio.CancelScope) -> None:
                        await anyio.sleep(0.02)
                        if how == "cancel":
                            scope.cancel()
                        else:
                            await one.aclose()

                    async def guarded() -> None:
                        try:
                            await end_one()
                        except errors.StreamClosedError:
                            ended.append("close")

                    tasks.start_soon(guarded)
                    received = await drain(two)
                assert ended == [how]
                assert received == EVENT * 20
                assert server.opened == 1

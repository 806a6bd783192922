"""The transport for many streams: whose connection serves whom, and how its reads and writes wait, fail and end."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import httpcore
import httpx
import pytest
from loopback import GUARD, ConnectProxy, Loopback, Received, Wire, client_tls, server_tls, untrusted_tls

from rx_assistant.http import transports
from rx_assistant.http.asyncio_network import AsyncioBackend, AsyncioStream
from rx_assistant.http.connections import Lines

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TLS = pytest.mark.parametrize("tls", [None, "tls"], ids=["plain", "tls"])


@pytest.fixture(autouse=True)
def nothing_left_for_the_collector() -> Iterator[None]:
    yield
    gc.collect()


def server_for(handler: object, tls: str | None = None) -> Loopback:
    return Loopback(handler, tls=None if tls is None else server_tls())  # type: ignore[arg-type]


def client_of(lines: Lines, timeout: float | None = GUARD) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=lines, timeout=timeout)


async def ok(request: Received, wire: Wire) -> None:
    await wire.json({})


async def hold(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.chunk(b"first")
    await wire.peer_gone()


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


async def until(server: Loopback, connections: int) -> None:
    """Return when the server has just so many connections open."""
    await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == connections))


class TestLines:
    @TLS
    async def test_one_after_the_other_share_a_connection(self, tls: str | None) -> None:
        with server_for(ok, tls) as server:
            async with client_of(Lines(client_tls())) as http:
                for _ in range(5):
                    assert (await http.get(server.url)).status_code == 200
            assert server.opened == 1
            await until(server, 0)

    @TLS
    async def test_each_at_once_has_its_own_and_idle_ones_are_kept_up_to_a_number(self, tls: str | None) -> None:
        everybody = asyncio.Event()  # on the server's loop

        async def together(request: Received, wire: Wire) -> None:
            if len(server.requests) == 20:
                everybody.set()
            await everybody.wait()
            await wire.json({})

        with server_for(together, tls) as server:
            async with client_of(Lines(client_tls(), max_idle=3)) as http:
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(http.get, server.url)
                assert server.opened == 20
                await until(server, 3)

    async def test_what_was_idle_for_long_is_closed_when_the_next_request_comes(self) -> None:
        now = 0.0
        with server_for(ok) as server, server_for(ok) as other:
            async with client_of(Lines(client_tls(), idle_seconds=15, clock=lambda: now)) as http:
                await http.get(server.url)
                now = 14.0
                await http.get(other.url)
                assert server.open_connections == 1
                now = 15.5
                await http.get(other.url)
                await until(server, 0)
                assert other.opened == 1

    @TLS
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio httpcore may have read the end of TLS and forgot
    async def test_what_the_server_closed_meanwhile_serves_nobody(self, tls: str | None) -> None:
        async def once(request: Received, wire: Wire) -> None:
            await wire.json({})
            wire.hang_up()

        with server_for(once, tls) as server:
            async with client_of(Lines(client_tls())) as http:
                for number in range(1, 4):
                    response = await http.get(server.url)
                    assert server.opened == number
                    with anyio.fail_after(GUARD):
                        while not response.extensions["network_stream"].get_extra_info("is_readable"):  # noqa: ASYNC110
                            await anyio.sleep(0.001)

    async def test_what_was_left_unread_serves_nobody(self) -> None:
        with server_for(hold) as server:
            async with client_of(Lines(client_tls())) as http:
                async with http.stream("GET", server.url):
                    pass
                await until(server, 0)

    @TLS
    async def test_closing_ends_those_in_use_too(self, tls: str | None) -> None:
        with server_for(hold, tls) as server:
            lines = Lines(client_tls())
            http = client_of(lines)
            response = await http.send(http.build_request("GET", server.url), stream=True)
            chunks = aiter(response.stream)  # type: ignore[arg-type]
            assert await anext(chunks) == b"first"
            await lines.aclose()
            await until(server, 0)
            with pytest.raises(httpx.ReadError):
                await anext(chunks)
            await response.aclose()
            await http.aclose()

    @TLS
    async def test_closing_leaves_none_that_was_about_to_be_opened(self, tls: str | None) -> None:
        asked, may_go_on = anyio.Event(), anyio.Event()

        class Slow(AsyncioBackend):
            async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
                asked.set()
                await may_go_on.wait()
                return await super().connect_tcp(*args, **kwargs)

        async def refused() -> None:
            with pytest.raises(httpx.ConnectError):
                await http.get(server.url)

        with server_for(ok, tls) as server:
            http = client_of(Lines(client_tls(), network=Slow()))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refused)
                await asked.wait()
                await http.aclose()
                may_go_on.set()
            await until(server, 0)
            assert not server.requests

    async def test_closing_a_response_again_gives_nobody_elses_connection_away(self) -> None:
        with server_for(ok) as server:
            async with client_of(Lines(client_tls())) as http:
                first = await http.get(server.url)
                async with http.stream("GET", server.url):
                    assert isinstance(first.stream, httpx.AsyncByteStream)
                    await first.stream.aclose()
                    await http.get(server.url)
                    assert server.opened == 2

    async def test_what_the_server_closed_while_the_loop_had_no_time_serves_nobody(self) -> None:
        async def once(request: Received, wire: Wire) -> None:
            await wire.json({})
            wire.hang_up()

        with server_for(once) as server:
            async with client_of(Lines(client_tls())) as http:
                for _ in range(3):
                    response = await http.post(server.url)
                    raw = response.extensions["network_stream"].get_extra_info("socket")
                    while not select.select([raw.fileno()], [], [], GUARD)[0]:
                        pytest.fail("the server never hung up")
                assert server.opened == 3


class TestFailures:
    async def test_a_refusal_is_read_though_the_request_is_still_on_its_way(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def answer() -> None:
                peer, _ = listening.accept()
                with peer:
                    peer.recv(100)
                    peer.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass

            async with client_of(Lines(client_tls())) as http, anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, answer)
                response = await http.post(f"http://127.0.0.1:{listening.getsockname()[1]}/", content=bytes(2**24))
                assert (response.status_code, response.content) == (413, b"no")

    async def test_nobody_listens(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            async with client_of(Lines(client_tls())) as http:
                with pytest.raises(httpx.ConnectError):
                    await http.get(f"http://127.0.0.1:{bound.getsockname()[1]}/")

    async def test_nobody_vouches_for_the_server(self) -> None:
        with Loopback(ok, tls=untrusted_tls()) as server:
            async with client_of(Lines(client_tls())) as http:
                with pytest.raises(httpx.ConnectError) as caught:
                    await http.get(server.url)
                assert any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(caught.value))
            await until(server, 0)

    async def test_the_server_never_answers_the_greeting_of_tls(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            async with client_of(Lines(client_tls()), timeout=0.05) as http:
                with pytest.raises(httpx.ConnectTimeout):
                    await http.get(f"https://127.0.0.1:{deaf.getsockname()[1]}/")

    async def test_another_scheme(self) -> None:
        async with client_of(Lines(client_tls())) as http:
            with pytest.raises(httpx.UnsupportedProtocol):
                await http.get("ftp://127.0.0.1/")

    @pytest.mark.parametrize("sent", [b"", b"SSH-2.0-x\r\n\r\n", HEAD + b"x\r\n", HEAD + b"5\r\nabc"])
    async def test_what_is_no_response_is_a_protocol_error(self, sent: bytes) -> None:
        async def talk(request: Received, wire: Wire) -> None:
            await wire.send(sent)
            wire.hang_up()

        with server_for(talk) as server:
            async with client_of(Lines(client_tls())) as http:
                with pytest.raises(httpx.RemoteProtocolError):
                    await http.get(server.url)
            await until(server, 0)

    async def test_a_header_that_cannot_be_sent_is_our_own_fault(self) -> None:
        with server_for(ok) as server:
            async with client_of(Lines(client_tls())) as http:
                await http.get(server.url)
                with pytest.raises(httpx.LocalProtocolError):
                    await http.get(server.url, headers={"x-a": "b\r\nc: d"})
                await until(server, 0)

    @TLS
    async def test_silence_is_a_read_timeout_and_steady_bytes_are_none(self, tls: str | None) -> None:
        async def slow(request: Received, wire: Wire) -> None:
            await wire.events()
            for _ in range(8):
                await wire.chunk(b"x")
                await asyncio.sleep(0.05)
            await wire.peer_gone()

        received = b""
        with server_for(slow, tls) as server:
            async with client_of(Lines(client_tls()), timeout=0.25) as http:
                with pytest.raises(httpx.ReadTimeout):
                    async with http.stream("GET", server.url) as response:
                        async for chunk in response.aiter_raw():
                            received += chunk
                assert received == b"x" * 8
            await until(server, 0)

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio httpx leaves a generator to the collector
    async def test_a_server_that_takes_nothing_is_a_write_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            async with client_of(Lines(client_tls()), timeout=0.2) as http:
                url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
                with pytest.raises((httpx.WriteTimeout, httpx.ReadTimeout)):
                    await http.post(url, content=bytes(32 * 2**20))


class TestMuch:
    @TLS
    async def test_sent_at_once_arrives_whole(self, tls: str | None) -> None:
        content = bytes(range(256)) * 16 * 1024
        with server_for(ok, tls) as server:
            async with client_of(Lines(client_tls())) as http:
                await http.post(server.url, content=content)
            assert server.requests[0].body == content

    @TLS
    async def test_unread_makes_the_server_wait_and_is_read_whole(self, tls: str | None) -> None:
        piece, count = b"x" * 65536, 512
        written = 0

        async def much(request: Received, wire: Wire) -> None:
            nonlocal written
            await wire.events()
            for _ in range(count):
                await wire.chunk(piece)
                written += 1
            await wire.end()

        with server_for(much, tls) as server:
            async with client_of(Lines(client_tls())) as http, http.stream("GET", server.url) as response:
                before = -1
                while not written or before != written:  # until it stands still
                    before = written
                    await anyio.sleep(0.05)
                assert 0 < written < count
                received = [chunk async for chunk in response.aiter_raw()]
                assert b"".join(received) == piece * count


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestOnAsyncio:
    async def opened(self, server: Loopback) -> AsyncioStream:
        stream = await AsyncioBackend().connect_tcp("127.0.0.1", server.port, timeout=GUARD)
        assert isinstance(stream, AsyncioStream)
        return stream

    async def test_closing_fails_a_waiting_read_on_the_spot(self) -> None:
        with Loopback(hold) as server:
            stream = await self.opened(server)
            reading = asyncio.create_task(stream.read(100))
            await asyncio.sleep(0)
            await stream.aclose()
            with pytest.raises(httpcore.ReadError):
                await asyncio.wait_for(reading, GUARD)
            with pytest.raises(httpcore.ReadError):
                await stream.read(100)
            with pytest.raises(httpcore.WriteError):
                await stream.write(b"x")
            await until(server, 0)

    async def test_a_cancelled_read_loses_nothing(self) -> None:
        with Loopback(hold) as server:
            stream = await self.opened(server)
            with anyio.move_on_after(0.01) as scope:
                await stream.read(100)
            assert scope.cancelled_caught
            await stream.write(b"GET /v1 HTTP/1.1\r\n\r\n")
            assert (await stream.read(4, timeout=GUARD)) == b"HTTP"
            with anyio.CancelScope() as scope:
                scope.cancel()
                await stream.read(4)
            assert scope.cancelled_caught, "a read that finds bytes notices, too"
            assert (await stream.read(4)) == b"/1.1"
            await stream.aclose()

    async def test_a_shorter_limit_after_a_longer_one_counts(self) -> None:
        with Loopback(hold) as server:
            stream = await self.opened(server)
            await stream.write(b"GET /v1 HTTP/1.1\r\n\r\n")
            received = b""
            while b"first" not in received:
                received += await stream.read(65536, timeout=600)
            with pytest.raises(httpcore.ReadTimeout):
                await asyncio.wait_for(stream.read(1, timeout=0.01), GUARD)
            await stream.aclose()

    async def test_no_timer_is_left_when_a_connection_is_closed(self) -> None:
        def ours() -> list[asyncio.TimerHandle]:
            timers = [item for item in gc.get_objects() if isinstance(item, asyncio.TimerHandle)]
            return [timer for timer in timers if not timer.cancelled() and "_Protocol._look" in repr(timer)]

        with Loopback(ok) as server:
            async with client_of(Lines(client_tls()), timeout=600) as http:
                await http.get(server.url)
                assert ours() != [], "an idle connection has one"
            await asyncio.sleep(0)
        gc.collect()
        assert ours() == []


@TLS
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # left behind by a loop that is no more
def test_a_connection_of_another_loop_serves_nobody_and_is_closed_where_that_loop_runs(
    tls: str | None, anyio_backend: str
) -> None:
    with server_for(ok, tls) as server, anyio.from_thread.start_blocking_portal() as elsewhere:
        http = client_of(Lines(client_tls()))
        for opened in (1, 2):
            assert asyncio.run(http.get(server.url)).status_code == 200
            assert server.opened == opened
        assert elsewhere.call(http.get, server.url).status_code == 200
        assert asyncio.run(http.get(server.url)).status_code == 200
        assert server.opened == 4
        asyncio.run(http.aclose())
        server.wait_for(lambda: server.open_connections == 0)


class TestTheDefaultClient:
    async def test_is_over_lines(self) -> None:
        with Loopback(hold) as server:
            async with transports.async_client() as http, http.stream("GET", server.url) as response:
                stream = response.extensions["network_stream"]
                assert isinstance(stream, AsyncioStream) == on_asyncio()

    async def test_goes_through_the_proxy_that_the_environment_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with ConnectProxy() as proxy, Loopback(ok, tls=server_tls()) as server:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            async with transports.async_client() as http:
                with pytest.raises(httpx.ConnectError):  # nobody vouches for the server there
                    await http.get(server.url)
            assert proxy.tunnels == [f"localhost:{server.port}"]


def on_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False

"""The synchronous transport for many streams: whose connection serves whom, and how it fails and ends."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpcore
import httpx
import pytest
from loopback import GUARD, ConnectProxy, Loopback, Received, Wire, client_tls, server_tls, untrusted_tls

from rx_assistant.http import idle, transports
from rx_assistant.http.sync_connections import SyncLines

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TLS = pytest.mark.parametrize("tls", [None, "tls"], ids=["plain", "tls"])


@pytest.fixture(autouse=True)
def nothing_left_for_the_collector() -> Iterator[None]:
    yield
    gc.collect()


def server_for(handler: object, tls: str | None = None) -> Loopback:
    return Loopback(handler, tls=None if tls is None else server_tls())  # type: ignore[arg-type]


def client_of(lines: SyncLines, timeout: float | None = GUARD) -> httpx.Client:
    return httpx.Client(transport=lines, timeout=timeout)


async def ok(request: Received, wire: Wire) -> None:
    await wire.json({})


async def hold(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.chunk(b"first")
    await wire.peer_gone()


def until(server: Loopback, connections: int) -> None:
    """Return when the server has just so many connections open."""
    server.wait_for(lambda: server.open_connections == connections)


class TestConnections:
    @TLS
    def test_one_after_the_other_share_a_connection(self, tls: str | None) -> None:
        with server_for(ok, tls) as server:
            with client_of(SyncLines(client_tls())) as http:
                for _ in range(5):
                    assert http.get(server.url).json() == {}
            assert server.opened == 1
            until(server, 0)

    @TLS
    def test_each_at_once_has_its_own_and_idle_ones_are_kept_up_to_a_number(self, tls: str | None) -> None:
        everybody = asyncio.Event()  # on the server's loop

        async def together(request: Received, wire: Wire) -> None:
            if len(server.requests) == 8:
                everybody.set()
            await everybody.wait()
            await wire.json({})

        with server_for(together, tls) as server:
            with client_of(SyncLines(client_tls(), max_idle=3)) as http, ThreadPoolExecutor(8) as threads:
                assert all(reply.status_code == 200 for reply in threads.map(http.get, [server.url] * 8))
                assert server.opened == 8
                until(server, 3)
            until(server, 0)

    def test_a_crowd_of_threads_mixes_nothing_up(self) -> None:
        async def echo(request: Received, wire: Wire) -> None:
            await wire.events()
            for piece in (request.body[:3], request.body[3:]):
                await wire.chunk(piece)
            await wire.end()

        with server_for(echo) as server, client_of(SyncLines(client_tls(), max_idle=4)) as http:
            texts = [f"number {number}".encode() for number in range(200)]
            with ThreadPoolExecutor(12) as threads:
                replies = threads.map(lambda text: http.post(server.url, content=text).content, texts)
                assert [*replies] == texts
            assert server.opened <= 200

    def test_what_was_idle_for_long_is_closed_when_the_next_request_comes(self) -> None:
        now = 0.0
        lines = SyncLines(client_tls(), idle_seconds=15, clock=lambda: now)
        with server_for(ok) as server, server_for(ok) as other, client_of(lines) as http:
            http.get(server.url)
            now = 14.0
            http.get(other.url)
            assert server.open_connections == 1
            now = 15.5
            http.get(other.url)
            until(server, 0)
            assert other.opened == 1

    @TLS
    def test_what_the_server_closed_meanwhile_serves_nobody(self, tls: str | None) -> None:
        async def once(request: Received, wire: Wire) -> None:
            await wire.json({})
            wire.hang_up()

        with server_for(once, tls) as server, client_of(SyncLines(client_tls())) as http:
            for number in range(1, 4):
                response = http.get(server.url)
                assert server.opened == number
                stream = response.extensions["network_stream"]
                server.wait_for(partial(stream.get_extra_info, "is_readable"))

    def test_what_was_left_unread_serves_nobody(self) -> None:
        with server_for(hold) as server, client_of(SyncLines(client_tls())) as http:
            with http.stream("GET", server.url):
                pass
            until(server, 0)

    @TLS
    def test_closing_ends_those_in_use_too(self, tls: str | None) -> None:
        with server_for(hold, tls) as server:
            http = client_of(SyncLines(client_tls()), timeout=None)
            response = http.send(http.build_request("GET", server.url), stream=True)
            chunks = response.iter_raw()
            assert next(chunks) == b"first"
            closing = threading.Timer(0.01, http.close)
            closing.start()
            with pytest.raises(httpx.TransportError):
                next(chunks)
            closing.join(GUARD)
            response.close()
            until(server, 0)

    def test_closing_closes_what_nobody_reads(self) -> None:
        with server_for(hold) as server:
            http = client_of(SyncLines(client_tls()))
            http.send(http.build_request("GET", server.url), stream=True)
            http.close()
            until(server, 0)

    @TLS
    def test_closing_leaves_none_that_was_about_to_be_opened(self, tls: str | None) -> None:
        asked, may_go_on = threading.Event(), threading.Event()

        class Slow(httpcore.SyncBackend):
            def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
                asked.set()
                assert may_go_on.wait(GUARD)
                return super().connect_tcp(*args, **kwargs)

        with server_for(ok, tls) as server, ThreadPoolExecutor(1) as threads:
            http = client_of(SyncLines(client_tls(), network=Slow()))
            request = threads.submit(http.get, server.url)
            assert asked.wait(GUARD)
            http.close()
            may_go_on.set()
            with pytest.raises(httpx.ConnectError):
                request.result(GUARD)
            until(server, 0)
            assert not server.requests

    def test_closing_ends_a_greeting_of_tls_that_nobody_answers(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf, ThreadPoolExecutor(1) as threads:
            http = client_of(SyncLines(client_tls()), timeout=None)
            request = threads.submit(http.get, f"https://127.0.0.1:{deaf.getsockname()[1]}/")
            peer, _ = deaf.accept()
            with peer:
                assert peer.recv(1)
                http.close()
                with pytest.raises(httpx.ConnectError):
                    request.result(GUARD)

    def test_closing_a_response_again_gives_nobody_elses_connection_away(self) -> None:
        with server_for(ok) as server, client_of(SyncLines(client_tls())) as http:
            first = http.get(server.url)
            with http.stream("GET", server.url):
                assert isinstance(first.stream, httpx.SyncByteStream)
                first.stream.close()
                http.get(server.url)
                assert server.opened == 2

    def test_the_child_of_a_fork_uses_none_of_its_parents(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server_for(ok) as server, client_of(SyncLines(client_tls())) as http:
            http.get(server.url)
            monkeypatch.setattr(idle, "getpid", lambda: -1)
            for _ in range(2):
                http.get(server.url)
            assert server.opened == 2


class TestFailures:
    def test_nobody_listens(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with client_of(SyncLines(client_tls())) as http, pytest.raises(httpx.ConnectError):
                http.get(f"http://127.0.0.1:{bound.getsockname()[1]}/")

    def test_nobody_vouches_for_the_server(self) -> None:
        with Loopback(ok, tls=untrusted_tls()) as server:
            with client_of(SyncLines(client_tls())) as http, pytest.raises(httpx.ConnectError) as caught:
                http.get(server.url)
            error: BaseException | None = caught.value
            while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
                error = error.__cause__
            assert error is not None
            until(server, 0)

    def test_the_server_never_answers_the_greeting_of_tls(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as deaf,
            client_of(SyncLines(client_tls()), timeout=0.05) as http,
            pytest.raises(httpx.ConnectTimeout),
        ):
            http.get(f"https://127.0.0.1:{deaf.getsockname()[1]}/")

    def test_another_scheme(self) -> None:
        with client_of(SyncLines(client_tls())) as http, pytest.raises(httpx.UnsupportedProtocol):
            http.get("ftp://127.0.0.1/")

    @TLS
    def test_silence_is_a_read_timeout(self, tls: str | None) -> None:
        with server_for(hold, tls) as server:
            with client_of(SyncLines(client_tls()), timeout=0.1) as http, pytest.raises(httpx.ReadTimeout):
                http.get(server.url)
            until(server, 0)

    @pytest.mark.parametrize("sent", [b"", b"SSH-2.0-x\r\n\r\n", HEAD + b"x\r\n", HEAD + b"5\r\nabc"])
    def test_what_is_no_response_is_a_protocol_error(self, sent: bytes) -> None:
        async def talk(request: Received, wire: Wire) -> None:
            await wire.send(sent)
            wire.hang_up()

        with server_for(talk) as server:
            with client_of(SyncLines(client_tls())) as http, pytest.raises(httpx.RemoteProtocolError):
                http.get(server.url)
            until(server, 0)

    def test_a_header_that_cannot_be_sent_is_our_own_fault(self) -> None:
        lines = SyncLines(client_tls())
        with server_for(ok) as server, client_of(lines) as http:
            http.get(server.url)
            with pytest.raises(httpx.LocalProtocolError):
                http.get(server.url, headers={"x-a": "b\r\nc: d"})
            until(server, 0)

    def test_a_refusal_is_read_though_the_request_is_still_on_its_way(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def answer() -> None:
                peer, _ = listening.accept()
                with peer:
                    peer.recv(100)
                    peer.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass

            thread = threading.Thread(target=answer)
            thread.start()
            with client_of(SyncLines(client_tls())) as http:
                response = http.post(f"http://127.0.0.1:{listening.getsockname()[1]}/", content=bytes(2**20))
            assert (response.status_code, response.content) == (413, b"no")
            thread.join(GUARD)


@TLS
def test_much_arrives_whole_both_ways(tls: str | None) -> None:
    content = bytes(range(256)) * 4096

    async def echo(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(request.body[:7])
        await wire.chunk(request.body[7:])
        await wire.end()

    with server_for(echo, tls) as server, client_of(SyncLines(client_tls())) as http:
        assert http.post(server.url, content=content).content == content


class TestTheDefaultClient:
    def test_goes_through_the_proxy_that_the_environment_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with ConnectProxy() as proxy, Loopback(ok, tls=server_tls()) as server:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            with transports.sync_client() as http, pytest.raises(httpx.ConnectError):  # nobody vouches for the server
                http.get(server.url)
            assert proxy.tunnels == [f"localhost:{server.port}"]

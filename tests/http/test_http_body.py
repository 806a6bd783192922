"""Open bodies on threads: read by one, closed by any, over every transport; and their time limits."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest
from guard import attempts
from http_clients import Own
from loopback import GUARD, ConnectProxy, H2Loopback, H2Wire, Loopback, Received, Wire, client_tls, ended, server_tls

from rx_assistant import errors
from rx_assistant.api import runs, threads
from rx_assistant.http import body as body_module
from rx_assistant.http.body import ResponseBody
from rx_assistant.http.session import Session
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout

RUN = runs.create("t", {"assistant_id": "a"}).streamed()
EVENT = b"event: thread.created\ndata: {}\n\n"
DONE = b"event: done\ndata: [DONE]\n\n"


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


@contextmanager
def opened(
    server: Loopback, timeout: Timeout | None = None, library: Any = httpx, **client: Any
) -> Iterator[tuple[Session, ResponseBody]]:
    with library.Client(**{"verify": client_tls(), **client}) as http:
        session = Session(Settings(base_url=server.url, max_retries=0, timeout=timeout or Timeout()), http)
        body = session.open(RUN)
        try:
            yield session, body
        finally:
            body.close()
            session.close()


def drain(body: ResponseBody) -> bytes:
    """Read to the end, as a pump does."""
    received = b""
    while chunk := body.read():
        received += chunk
        if b"data:" in chunk:
            body.saw_event()
    return received


def in_thread(call: Callable[[], object]) -> Callable[[], object]:
    """Start a call on another thread; gives a function that waits for its result, or its exception."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return lambda: future.exception(GUARD) or future.result(GUARD)


def wait_until_blocked(body: ResponseBody) -> None:
    """Return when a read is under way."""
    deadline = time.monotonic() + GUARD
    while not body._state.reading:
        assert time.monotonic() < deadline, "must not be read"
        time.sleep(0.002)
    time.sleep(0.005)


TRANSPORTS = ["plain", "tls", "tls through a proxy"]


LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2, Own], ids=["httpx", "httpx2", "own"])
BOTH = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@contextmanager
def transport(kind: str) -> Iterator[tuple[Loopback, dict[str, Any]]]:
    with ConnectProxy() as proxy, Loopback(hold, tls=None if kind == "plain" else server_tls()) as server:
        client: dict[str, Any] = {"verify": client_tls()}
        if kind == "tls through a proxy":
            client["proxy"] = proxy.url
        yield server, client
        assert bool(proxy.tunnels) is (kind == "tls through a proxy")


@LIBRARIES
@pytest.mark.parametrize("kind", TRANSPORTS)
class TestClosing:
    def test_from_another_thread_ends_a_blocked_read_and_the_connection(self, kind: str, library: Any) -> None:
        with transport(kind) as (server, client), opened(server, library=library, **client) as (_, body):
            assert body.read() == EVENT
            result = in_thread(body.read)
            wait_until_blocked(body)
            body.close()
            assert isinstance(result(), errors.StreamClosedError)
            server.wait_for(lambda: server.open_connections == 0)

    def test_while_nobody_reads_ends_the_connection(self, kind: str, library: Any) -> None:
        with transport(kind) as (server, client), opened(server, library=library, **client) as (_, body):
            in_thread(body.close)()
            server.wait_for(lambda: server.open_connections == 0)
            with pytest.raises(errors.StreamClosedError):
                body.read()


class TestTheConnection:
    @LIBRARIES
    @pytest.mark.parametrize("how", ["finish", "read to the end"])
    def test_serves_the_next_stream_when_one_has_ended(self, how: str, library: Any) -> None:
        with Loopback(whole) as server, library.Client(verify=client_tls()) as http:
            session = Session(Settings(base_url=server.url, max_retries=0), http)
            for _ in range(5):
                body = session.open(RUN)
                received = b""
                while not received.endswith(DONE):  # what arrives together is read together
                    received += body.read()
                assert received == EVENT + DONE
                if how == "finish":
                    body.finish()
                else:
                    assert body.read() == b""
                    assert body.read() == b""
                body.close()
            session.close()
            assert server.opened == 1
            assert len(server.requests) == 5

    def test_is_given_up_when_the_server_does_not_stop_after_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def never_ends(request: Received, wire: Wire) -> None:
            await wire.events()
            await wire.chunk(DONE)
            await wire.peer_gone()

        monkeypatch.setattr(body_module, "FINISH_SECONDS", 0.05)
        with Loopback(never_ends) as server, opened(server) as (_, body):
            assert body.read() == DONE
            body.finish()
            server.wait_for(lambda: server.open_connections == 0)

    def test_is_given_up_when_the_server_goes_on_and_on_after_done(self) -> None:
        async def goes_on(request: Received, wire: Wire) -> None:
            await wire.events()
            await wire.chunk(DONE)
            while True:
                await wire.chunk(b": more\n" * 1000)

        with Loopback(goes_on) as server, opened(server) as (_, body):
            body.read()
            body.finish()
            server.wait_for(lambda: server.open_connections == 0)

    def test_survives_a_close_that_races_with_the_end(self) -> None:
        """The next request must never be sent on a connection that a late close has cut."""
        with Loopback(whole) as server, httpx.Client(verify=client_tls()) as http, ThreadPoolExecutor(1) as closer:
            session = Session(Settings(base_url=server.url, max_retries=0), http)
            for _ in range(200):
                body = session.open(RUN)
                assert body.read() == EVENT
                closing = closer.submit(body.close)
                try:
                    drain(body)
                except errors.StreamClosedError:
                    pass
                closing.result(GUARD)
                assert session.send(threads.retrieve("t")).status == 200

    def test_leaves_no_descriptor_behind(self) -> None:
        def descriptors() -> int:
            return len(os.listdir("/proc/self/fd"))

        if not os.path.isdir("/proc/self/fd"):
            pytest.skip("this system does not list descriptors")
        with Loopback(whole) as server, httpx.Client(verify=client_tls()) as http:
            session = Session(Settings(base_url=server.url), http)
            session.send(threads.retrieve("t"))
            before = descriptors()
            for index in range(6):
                body = session.open(RUN)
                assert body.read() == EVENT
                if index % 2:
                    body.finish()
                else:
                    body.close()
            session.send(threads.retrieve("t"))
            server.wait_for(lambda: server.open_connections == 1)
            assert descriptors() <= before + 1


class TestBreaking:
    @LIBRARIES
    @pytest.mark.parametrize("how", ["reset", "hang_up"])
    def test_is_a_connection_error_of_ours_each_time_it_is_asked(self, how: str, library: Any) -> None:
        async def breaks(request: Received, wire: Wire) -> None:
            await wire.events()
            await wire.chunk(EVENT)
            getattr(wire, how)()

        with Loopback(breaks) as server, opened(server, library=library) as (_, body):
            caught = []
            for _ in range(2):
                with pytest.raises(errors.APIConnectionError) as error:
                    drain(body)
                caught.append(error.value)
            assert caught[0] is caught[1]
            assert isinstance(caught[0].__cause__, library.HTTPError)

    def test_html_with_status_200_is_no_event_stream_and_is_closed(self) -> None:
        async def html(request: Received, wire: Wire) -> None:
            await wire.head(200, {"content-type": "text/html", "x-request-id": "req_1"})
            await wire.send(b"<html>Sign in, please")
            await wire.peer_gone()

        with Loopback(html) as server, opened(server) as (_, body):
            with pytest.raises(errors.NotAnEventStreamError) as caught:
                body.read()
            assert caught.value.head == b"<html>Sign in, please"
            assert caught.value.request_id == "req_1"
            server.wait_for(lambda: server.open_connections == 0)

    def test_an_interrupt_while_reading_is_not_a_clean_end(self) -> None:
        class Interrupted(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield EVENT
                raise KeyboardInterrupt

        def reply(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Interrupted())

        with httpx.Client(transport=httpx.MockTransport(reply)) as http:
            body = Session(Settings(base_url="http://x"), http).open(RUN)
            assert body.read() == EVENT
            with pytest.raises(KeyboardInterrupt):
                body.read()
            with pytest.raises(errors.StreamCancelledError):
                body.read()


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


async def silent(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.peer_gone()


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
    def test_each_has_its_error(self, handler: Any, timeout: Timeout, error: type[Exception]) -> None:
        with Loopback(handler) as server:
            with pytest.raises(error) as caught, opened(server, timeout) as (_, body):
                drain(body)
            assert type(caught.value) is error
            assert isinstance(caught.value, TimeoutError)
            server.wait_for(lambda: server.open_connections == 0)

    def test_a_pause_between_two_reads_is_not_counted_as_waiting(self) -> None:
        now = [0.0]
        timeout = Timeout(first_event=5, idle=5)
        with Loopback(whole) as server, httpx.stream("POST", f"{server.url}/threads/t/runs") as response:
            body = ResponseBody(response, timeout, started=0.0, clock=lambda: now[0])
            now[0] = 4.0
            assert body.read() == EVENT
            body.saw_event()
            now[0] = 1000.0
            assert body.read() == DONE
            body.close()

    @LIBRARIES
    def test_a_limit_on_the_head_is_no_limit_on_the_body(self, library: Any) -> None:
        for attempt in attempts(errors.FirstEventTimeoutError):
            with (
                attempt as limit,
                Loopback(pausing(1.2 * limit)) as server,
                opened(server, Timeout(first_event=limit, read=60), library) as (_, body),
            ):
                assert drain(body) == EVENT + DONE

    def test_streams_without_limits_of_their_own_start_no_thread(self) -> None:
        with Loopback(whole) as server, opened(server) as (_, body):
            before = {*threading.enumerate()}
            assert body.read() == EVENT
            assert {*threading.enumerate()} <= before

    def test_the_thread_that_keeps_time_ends_with_the_stream(self) -> None:
        with Loopback(hold) as server, opened(server, Timeout(first_event=60)) as (_, body):
            body.read()
            server.wait_for(lambda: [thread for thread in threading.enumerate() if "timers" in thread.name])
            [keeper] = [thread for thread in threading.enumerate() if "timers" in thread.name]
            body.close()
            assert ended(keeper)


@BOTH
class TestHTTP2:
    def test_closing_one_stream_leaves_the_other_whole(self, library: Any) -> None:
        async def talk(request: Received, wire: H2Wire) -> None:
            await wire.events()
            for _ in range(20):
                await wire.send(EVENT)
                await asyncio.sleep(0.005)
            await wire.end()

        with (
            H2Loopback(talk) as server,
            opened(server, library=library, verify=client_tls(), http2=True) as (session, one),
        ):
            two = session.open(RUN)
            assert one.read() == EVENT
            one.close()
            assert drain(two) == EVENT * 20
            assert server.opened == 1
            with pytest.raises(errors.StreamClosedError):
                one.read()

    def test_a_blocked_read_ends_at_its_next_chunk(self, library: Any) -> None:
        go_on = asyncio.Event()

        async def wait_then_talk(request: Received, wire: H2Wire) -> None:
            await wire.events()
            await go_on.wait()
            await wire.send(EVENT)

        with (
            H2Loopback(wait_then_talk) as server,
            opened(server, library=library, verify=client_tls(), http2=True) as (_, body),
        ):
            result = in_thread(body.read)
            wait_until_blocked(body)
            body.close()
            server.call_soon(go_on.set)
            assert isinstance(result(), errors.StreamClosedError)

"""Open bodies on each face and over each transport: how they are read, closed and broken, and their time limits."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from covering import covering, name_of
from faces import driven, got, on_faces, played
from guard import attempts
from http_bodies import (
    ASYNCIO,
    DONE,
    EVENT,
    FACES,
    KINDS,
    LIBRARIES,
    RUN,
    THREADS,
    TRIO,
    BodyFace,
    closed,
    comments,
    connected,
    connection_ends,
    drain,
    hold,
    opened,
    pausing,
    silent,
    talking,
    transport,
    whole,
    works,
)
from http_clients import OverAiohttp, Own
from loopback import GUARD, H2Loopback, H2Wire, Loopback, Received, Wire, client_tls, ended

from rx_assistant import errors
from rx_assistant.api import threads
from rx_assistant.http import async_body, body as body_module
from rx_assistant.http.body import ResponseBody
from rx_assistant.http.session import Session
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout

LOOPS = (ASYNCIO, TRIO)
on_every_face = on_faces(FACES)


def sample(
    names: str, *axes: Any, allowed: Callable[..., bool] = works
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Play a test on cases in which every pair of values occurs. The first axes are the face and the library."""
    cases = covering(*axes, allowed=allowed)

    def decorate(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        marked: Callable[..., None] = pytest.mark.parametrize(names, cases, ids=map(name_of, cases))(played(scenario))
        return marked

    return decorate


def reaches(face: BodyFace, library: Any, kind: str) -> bool:
    """HTTP/2 needs a given client of httpx; on threads its reads are ended otherwise."""
    return works(face, library) and (kind != "http2" or (face is not THREADS and library not in (Own, OverAiohttp)))


@pytest.fixture(autouse=True)
def nothing_left_for_the_collector() -> Iterator[None]:
    """An abandoned generator or coroutine is a warning, hence an error, where the collector finds it."""
    yield
    gc.collect()


# -- closing -----------------------------------------------------------------------------------------------------------

closings = sample("face, library, kind", FACES, LIBRARIES, KINDS, allowed=reaches)


@closings
async def test_closing_from_elsewhere_ends_a_waiting_read_and_the_connection(
    face: BodyFace, library: Any, kind: str
) -> None:
    with transport(kind) as (server, client):
        async with opened(face, server, library=library, **client) as (_, body):
            assert await got(body.read()) == EVENT
            assert isinstance(await face.meanwhile(body.read, lambda: closing(body)), errors.StreamClosedError)
            await connection_ends(face, server, kind)


def closing(body: Any) -> Any:
    """`close()` or `aclose()`, as the face has it."""
    return body.close() if isinstance(body, ResponseBody) else body.aclose()


@closings
async def test_closing_while_nothing_is_read_ends_the_connection(face: BodyFace, library: Any, kind: str) -> None:
    with transport(kind) as (server, client):
        async with opened(face, server, library=library, **client) as (_, body):
            if face is THREADS:
                with ThreadPoolExecutor(1) as elsewhere:
                    elsewhere.submit(body.close).result(GUARD)
            else:
                assert await got(body.read()) == EVENT
                await closed(body)
            await closed(body)
            await connection_ends(face, server, kind)
            with pytest.raises(errors.StreamClosedError):
                await got(body.read())


@sample("face, library, kind", LOOPS, LIBRARIES, KINDS, allowed=reaches)
async def test_cancelling_the_task_that_reads_ends_the_connection(face: BodyFace, library: Any, kind: str) -> None:
    with transport(kind) as (server, client):
        async with opened(face, server, library=library, **client) as (_, body):
            assert await body.read() == EVENT
            with anyio.move_on_after(0.02) as scope:
                await body.read()
            assert scope.cancelled_caught
            await connection_ends(face, server, kind)
            for _ in range(2):
                with pytest.raises(errors.StreamCancelledError):
                    await body.read()


def test_an_interrupt_while_reading_is_not_a_clean_end() -> None:
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


# -- the connection ----------------------------------------------------------------------------------------------------


@sample("face, library, how", FACES, LIBRARIES, ("finish", "read to the end"))
async def test_the_connection_serves_the_next_stream_when_one_has_ended(face: BodyFace, library: Any, how: str) -> None:
    with Loopback(whole) as server:
        async with connected(face, server, library=library) as session:
            for _ in range(5):
                body = await got(session.open(RUN))
                received = b""
                while not received.endswith(DONE):  # what arrives together is read together
                    received += await got(body.read())
                assert received == EVENT + DONE
                if how == "finish":
                    await got(body.finish())
                else:
                    assert await got(body.read()) == b""
                    assert await got(body.read()) == b""
                await closed(body)
        assert server.opened == 1
        assert len(server.requests) == 5


@on_every_face
async def test_the_connection_is_given_up_when_the_server_does_not_stop_after_done(
    face: BodyFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_ends(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(DONE)
        await wire.peer_gone()

    for module in (body_module, async_body):
        monkeypatch.setattr(module, "FINISH_SECONDS", 0.05)
    with Loopback(never_ends) as server:
        async with opened(face, server) as (_, body):
            assert await got(body.read()) == DONE
            await got(body.finish())
            await connection_ends(face, server)


@on_every_face
async def test_the_connection_is_given_up_when_the_server_goes_on_and_on_after_done(face: BodyFace) -> None:
    async def goes_on(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(DONE)
        while True:
            await wire.chunk(b": more\n" * 1000)

    with Loopback(goes_on) as server:
        async with opened(face, server) as (_, body):
            await got(body.read())
            await got(body.finish())
            await connection_ends(face, server)


def test_the_connection_survives_a_close_that_races_with_the_end() -> None:
    """The next request must never be sent on a connection that a late close has cut."""
    with Loopback(whole) as server, httpx.Client(verify=client_tls()) as http, ThreadPoolExecutor(1) as closer:
        session = Session(Settings(base_url=server.url, max_retries=0), http)
        for _ in range(200):
            body = session.open(RUN)
            assert body.read() == EVENT
            closing = closer.submit(body.close)
            try:
                driven(drain(body))
            except errors.StreamClosedError:
                pass
            closing.result(GUARD)
            assert session.send(threads.retrieve("t")).status == 200


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list descriptors")
@on_every_face
async def test_no_descriptor_is_left_behind(face: BodyFace) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Loopback(whole) as server:
        async with connected(face, server) as session:
            await got(session.send(threads.retrieve("t")))
            before = descriptors()
            for index in range(6):
                body = await got(session.open(RUN))
                assert await got(body.read()) == EVENT
                await got(body.finish() if index % 2 else closing(body))
            await got(session.send(threads.retrieve("t")))
            await face.until(lambda: server.open_connections == 1)
            assert descriptors() <= before + 1


# -- the head ----------------------------------------------------------------------------------------------------------


@sample("face, library", LOOPS, LIBRARIES)
async def test_cancelling_while_waiting_for_the_head_closes_the_connection(face: BodyFace, library: Any) -> None:
    async def never_answers(request: Received, wire: Wire) -> None:
        await wire.peer_gone()

    with Loopback(never_answers) as server:
        async with connected(face, server, library=library) as session:
            with anyio.move_on_after(0.05) as scope:
                await session.open(RUN)
            assert scope.cancelled_caught
            await connection_ends(face, server)


@on_every_face
async def test_html_with_status_200_is_no_event_stream_and_is_closed(face: BodyFace) -> None:
    async def html(request: Received, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/html", "x-request-id": "req_1"})
        await wire.send(b"<html>Sign in, please")
        await wire.peer_gone()

    with Loopback(html) as server:
        async with opened(face, server) as (_, body):
            with pytest.raises(errors.NotAnEventStreamError) as caught:
                await got(body.read())
            assert caught.value.head == b"<html>Sign in, please"
            assert caught.value.request_id == "req_1"
            await connection_ends(face, server)


# -- breaking ----------------------------------------------------------------------------------------------------------


@sample("face, library, how", FACES, LIBRARIES, ("reset", "hang_up"))
async def test_breaking_is_a_connection_error_of_ours_each_time_it_is_asked(
    face: BodyFace, library: Any, how: str
) -> None:
    async def breaks(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(EVENT)
        getattr(wire, how)()

    with Loopback(breaks) as server:
        async with opened(face, server, library=library) as (_, body):
            caught = []
            for _ in range(2):
                with pytest.raises(errors.APIConnectionError) as error:
                    await drain(body)
                caught.append(error.value)
            assert caught[0] is caught[1]
            assert isinstance(caught[0].__cause__, library.HTTPError)


# -- time limits -------------------------------------------------------------------------------------------------------

LIMITS: dict[str, tuple[Any, Timeout, type[Exception]]] = {
    "read": (silent, Timeout(read=0.05), errors.ReadTimeoutError),
    "first_event": (silent, Timeout(first_event=0.05), errors.FirstEventTimeoutError),
    "idle in silence": (hold, Timeout(first_event=5, idle=0.05), errors.IdleTimeoutError),
    "idle among comments": (comments(0.01), Timeout(idle=0.05), errors.IdleTimeoutError),
    "total among comments": (comments(0.01), Timeout(first_event=5, total=0.1), errors.TotalTimeoutError),
    "total in silence": (hold, Timeout(total=0.05, idle=60), errors.TotalTimeoutError),
}


@pytest.mark.parametrize("limit", LIMITS)
@on_every_face
async def test_each_limit_has_its_error(face: BodyFace, limit: str) -> None:
    handler, timeout, error = LIMITS[limit]
    with Loopback(handler) as server:
        with pytest.raises(error) as caught:
            async with opened(face, server, timeout) as (_, body):
                await drain(body)
        assert type(caught.value) is error
        assert isinstance(caught.value, TimeoutError)
        await connection_ends(face, server)


def test_a_pause_between_two_reads_is_not_counted_as_waiting() -> None:
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


@sample("face, library", FACES, LIBRARIES)
async def test_a_limit_on_the_head_is_no_limit_on_the_body(face: BodyFace, library: Any) -> None:
    for attempt in attempts(errors.FirstEventTimeoutError):
        with attempt as limit, Loopback(pausing(1.2 * limit)) as server:
            async with opened(face, server, Timeout(first_event=limit, read=60), library) as (_, body):
                assert await drain(body) == EVENT + DONE


@on_faces([THREADS])
async def test_streams_without_limits_of_their_own_start_no_thread(face: BodyFace) -> None:
    with Loopback(whole) as server:
        async with opened(face, server) as (_, body):
            before = {*threading.enumerate()}
            assert body.read() == EVENT
            assert {*threading.enumerate()} <= before


@on_faces([THREADS])
async def test_the_thread_that_keeps_time_ends_with_the_stream(face: BodyFace) -> None:
    with Loopback(hold) as server:
        async with opened(face, server, Timeout(first_event=60)) as (_, body):
            body.read()
            server.wait_for(lambda: [thread for thread in threading.enumerate() if "timers" in thread.name])
            [keeper] = [thread for thread in threading.enumerate() if "timers" in thread.name]
            body.close()
            assert ended(keeper)


# -- HTTP/2 ------------------------------------------------------------------------------------------------------------


@sample("face, library", [THREADS], [httpx, httpx2])
async def test_closing_one_stream_of_a_connection_leaves_the_other_whole(face: BodyFace, library: Any) -> None:
    with H2Loopback(talking) as server:
        async with opened(face, server, library=library, http2=True) as (session, one):
            two = session.open(RUN)
            assert one.read() == EVENT
            one.close()
            assert await drain(two) == EVENT * 20
            assert server.opened == 1
            with pytest.raises(errors.StreamClosedError):
                one.read()


@sample("face, library", [THREADS], [httpx, httpx2])
async def test_a_blocked_read_of_a_shared_connection_ends_at_its_next_chunk(face: BodyFace, library: Any) -> None:
    go_on = asyncio.Event()

    async def wait_then_talk(request: Received, wire: H2Wire) -> None:
        await wire.events()
        await go_on.wait()
        await wire.send(EVENT)

    with H2Loopback(wait_then_talk) as server:
        async with opened(face, server, library=library, http2=True) as (_, body):

            def close() -> None:
                body.close()
                server.call_soon(go_on.set)

            assert isinstance(await face.meanwhile(body.read, close), errors.StreamClosedError)


@sample("face, library, how", LOOPS, [httpx, httpx2], ("close", "cancel"))
async def test_ending_one_task_of_a_connection_leaves_the_other_whole(face: BodyFace, library: Any, how: str) -> None:
    ended: list[str] = []

    async def read_to_its_end(body: Any, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await drain(body)
            ended.append("cancel" if scope.cancelled_caught else "nothing")
        except errors.StreamClosedError:
            ended.append("close")

    with H2Loopback(talking) as server:
        async with opened(face, server, library=library, http2=True) as (session, one):
            two = await session.open(RUN)
            assert await one.read() == EVENT
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_to_its_end, one, scope)
                tasks.start_soon(end_soon, scope.cancel if how == "cancel" else one.aclose)
                received = await drain(two)
            assert ended == [how]
            assert received == EVENT * 20
            assert server.opened == 1


async def end_soon(act: Callable[[], Any]) -> None:
    await anyio.sleep(0.02)
    await got(act())

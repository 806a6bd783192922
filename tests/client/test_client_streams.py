"""Streams from a client: what is sent and when, one request per run, and every way to stop early."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx
import httpx2
import pytest
from fault_server import BODY, FRAMES, STOPPED, TERMINAL, run, sends, status
from loopback import GUARD, ConnectProxy, H2Loopback, H2Wire, Loopback, Received, Wire, client_tls, ended, server_tls

from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.streams import AssistantStream

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread of this package is left, and nothing warns when it is garbage-collected (C35)."""
    before = {*threading.enumerate()}
    yield
    deadline = time.monotonic() + GUARD
    for thread in {*threading.enumerate()} - before:
        if thread.name.startswith("rx"):
            assert ended(thread, max(0.0, deadline - time.monotonic())) or "timers" in thread.name.lower(), thread
    while OPEN:
        OPEN.pop().close()
    gc.collect()


OPEN: list[httpx.Client] = []
"""To be closed when the test is over."""


def client_of(server: Loopback, http: httpx.Client | None = None) -> AssistantClient:
    if http is None:
        http = httpx.Client(verify=client_tls())
        OPEN.append(http)
    return AssistantClient(base_url=server.url, max_retries=0, http_client=http)


def held(count: int) -> Callable[[Received, Wire], Awaitable[None]]:
    """So many events, and then nothing; a cancel is answered."""

    async def script(request: Received, wire: Wire) -> None:
        if request.path.endswith("/cancel"):
            await wire.json(run("cancelling"))
            return
        await wire.events()
        for frame in FRAMES[:count]:
            await wire.chunk(frame)
        await wire.peer_gone()

    return script


STREAMS: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any]]] = {
    "runs.stream": (
        lambda c: c.threads.runs.stream(thread_id="t", assistant_id="a", metadata={"k": "v"}),
        "/v1/threads/t/runs",
        {"assistant_id": "a", "metadata": {"k": "v"}},
    ),
    "runs.create_and_stream": (
        lambda c: c.beta.threads.runs.create_and_stream(thread_id="t", assistant_id="a"),
        "/v1/threads/t/runs",
        {"assistant_id": "a"},
    ),
    "runs.create(stream=True)": (
        lambda c: c.threads.runs.create("t", assistant_id="a", stream=True, on_idle="close"),
        "/v1/threads/t/runs",
        {"assistant_id": "a"},
    ),
    "create_and_run_stream": (
        lambda c: c.threads.create_and_run_stream(assistant_id="a", thread={"messages": []}, replay="none"),
        "/v1/threads/runs",
        {"assistant_id": "a", "thread": {"messages": []}},
    ),
    "create_and_run(stream=True)": (
        lambda c: c.threads.create_and_run(assistant_id="a", stream=True),
        "/v1/threads/runs",
        {"assistant_id": "a"},
    ),
    "submit_tool_outputs_stream": (
        lambda c: c.threads.runs.submit_tool_outputs_stream(
            thread_id="t", run_id="r", tool_outputs=[{"tool_call_id": "c", "output": "1"}]
        ),
        "/v1/threads/t/runs/r/submit_tool_outputs",
        {"tool_outputs": [{"tool_call_id": "c", "output": "1"}]},
    ),
    "submit_tool_outputs(stream=True)": (
        lambda c: c.threads.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=[], stream=True),
        "/v1/threads/t/runs/r/submit_tool_outputs",
        {"tool_outputs": []},
    ),
}


@pytest.mark.parametrize(("make", "path", "body"), STREAMS.values(), ids=STREAMS)
class TestWhatIsSent:
    def test_by_threads(self, make: Callable[[Any], Any], path: str, body: dict[str, Any]) -> None:
        with Loopback(sends(BODY)) as server:
            stream = make(client_of(server))
            assert server.requests == []
            with stream:
                assert [event.event for event in stream][-1] == "thread.run.completed"
                assert stream.get_final_run().status == "completed"
                assert stream.request_id == "req_test"
        [request] = server.requests
        assert (request.method, request.path, request.json) == ("POST", path, body | {"stream": True})
        assert request.headers["accept"] == "text/event-stream"

    @BACKENDS
    def test_by_tasks(self, make: Callable[[Any], Any], path: str, body: dict[str, Any], backend: str) -> None:
        async def main(server: Loopback) -> None:
            async with AsyncAssistantClient(base_url=server.url) as client:
                stream = make(client)
                if asyncio.iscoroutine(stream):
                    stream = await stream
                assert server.requests == []
                async with stream:
                    assert len([event async for event in stream]) == TERMINAL
                    assert (await stream.get_final_run()).status == "completed"

        with Loopback(sends(BODY)) as server:
            anyio.run(main, server, backend=backend)
        [request] = server.requests
        assert (request.path, request.json) == (path, body | {"stream": True})


class TestOneRequest:
    """However many subscribers there are, and whatever they do (L7, C28, C29)."""

    def test_two_subscribers_a_late_one_and_a_raising_one(self) -> None:
        seen: dict[str, list[str]] = {"one": [], "two": [], "late": []}

        def raising(event: Any) -> None:
            raise ZeroDivisionError

        with Loopback(sends(BODY)) as server, client_of(server).threads.runs.stream("t", assistant_id="a") as stream:
            stream.subscribe(lambda event: seen["one"].append(event.event))
            stream.subscribe(raising, lambda error: None)
            stream.subscribe(lambda event: seen["two"].append(event.event))
            stream.until_done()
            stream.subscribe(lambda event: seen["late"].append(event.event))
            assert [event.event for event in stream] == seen["one"] == seen["two"] == seen["late"]
            assert len(seen["one"]) == TERMINAL
        assert len(server.requests) == 1

    def test_none_when_nobody_asks(self) -> None:
        with Loopback(sends(BODY)) as server:
            stream = client_of(server).threads.runs.stream("t", assistant_id="a")
            stream.subscribe(lambda event: None).dispose()
            stream.close()
            with pytest.raises(errors.StreamClosedError):
                stream.until_done()
        assert server.requests == []

    def test_one_also_without_a_block(self) -> None:
        with Loopback(sends(BODY)) as server:
            stream = client_of(server).threads.runs.stream("t", assistant_id="a")
            assert stream.get_final_run().status == "completed"
            assert sum(1 for _ in stream) == TERMINAL
        assert len(server.requests) == 1

    def test_entering_raises_what_the_api_answers(self) -> None:
        body = b'{"error": {"message": "No thread.", "code": null}}'
        with Loopback(status(404, body)) as server:
            stream = client_of(server).threads.runs.stream("t", assistant_id="a")
            with pytest.raises(errors.NotFoundError, match="No thread"):
                stream.__enter__()


def leave(stream: AssistantStream, count: int, server: Loopback) -> None:
    """Break out of the loop, and out of the block."""
    with stream:
        for index, _ in enumerate(stream, 1):
            if index == count:
                break


def close_inside(stream: AssistantStream, count: int, server: Loopback) -> None:
    """Close from inside a callback."""
    seen = []

    def take(event: Any) -> None:
        seen.append(event)
        if len(seen) == count:
            stream.close()

    failed: list[Exception] = []
    with stream:
        stream.subscribe(take, failed.append)
        with pytest.raises(errors.StreamClosedError):
            stream.until_done()
    assert len(seen) == count
    assert [type(error) for error in failed] == [errors.StreamClosedError]


def close_elsewhere(stream: AssistantStream, count: int, server: Loopback) -> None:
    """Close from another thread, while this one is blocked in a read."""
    arrived = threading.Event()

    def close() -> None:
        arrived.wait(GUARD)
        stream.close()

    closer = threading.Thread(target=close)
    closer.start()
    seen = []

    def read() -> None:
        for event in stream:
            seen.append(event)
            if len(seen) == count:
                arrived.set()

    with stream:
        with pytest.raises(errors.StreamClosedError):
            read()
        closer.join(GUARD)
    assert len(seen) == count


def dispose_the_last(stream: AssistantStream, count: int, server: Loopback) -> None:
    """The last subscriber goes, under on_idle="close", on another thread than the one that reads."""
    seen = []
    gone = threading.Event()

    def take(event: Any) -> None:
        seen.append(event)
        if len(seen) == count:
            gone.set()

    subscription = stream.subscribe(take)
    with stream:
        stream.connect()
        assert gone.wait(GUARD)
        subscription.dispose()
        server.wait_for(lambda: server.open_connections == 0)


WAYS = {way.__name__: way for way in (leave, close_inside, close_elsewhere, dispose_the_last)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", range(1, TERMINAL + 1))
def test_stopping_after_any_event_closes_the_connection(way: str, count: int) -> None:
    """L9 on threads, at every event."""
    with Loopback(held(count)) as server:
        policy = {"on_idle": "close"} if way == "dispose_the_last" else {}
        stream = client_of(server).threads.runs.stream("t", assistant_id="a", **policy)  # type: ignore[call-overload]
        WAYS[way](stream, count, server)
        server.wait_for(lambda: server.open_connections == 0)
        assert len(server.requests) == 1


async def async_leave(stream: Any, count: int, server: Loopback) -> None:
    async with stream:
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == count:
                break


async def async_close_inside(stream: Any, count: int, server: Loopback) -> None:
    seen = []

    def take(event: Any) -> None:
        seen.append(event)
        if len(seen) == count:
            stream.close()

    async with stream:
        stream.subscribe(take, lambda error: None)
        with pytest.raises(errors.StreamClosedError):
            await stream.until_done()
    assert len(seen) == count


async def async_close_from_a_thread(stream: Any, count: int, server: Loopback) -> None:
    seen = []

    async def read() -> None:
        async for event in stream:
            seen.append(event)
            if len(seen) == count:
                threading.Timer(0.002, stream.close).start()

    async with stream:
        with pytest.raises(errors.StreamClosedError):
            await read()
    assert len(seen) == count


async def async_cancel_outside(stream: Any, count: int, server: Loopback) -> None:
    seen = 0
    with anyio.CancelScope() as scope:
        async with stream:
            async for _ in stream:
                seen += 1
                if seen == count:
                    scope.cancel()
    assert scope.cancelled_caught
    assert seen == count


async def async_dispose_the_last(stream: Any, count: int, server: Loopback) -> None:
    seen: list[Any] = []
    reached = anyio.Event()

    def take(event: Any) -> None:
        seen.append(event)
        if len(seen) == count:
            reached.set()

    subscription = stream.subscribe(take)
    async with stream:
        await stream.connect()
        await reached.wait()
        subscription.dispose()
        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))


ASYNC_WAYS = {
    way.__name__: way
    for way in (
        async_leave,
        async_close_inside,
        async_close_from_a_thread,
        async_cancel_outside,
        async_dispose_the_last,
    )
}


@BACKENDS
@pytest.mark.parametrize("way", ASYNC_WAYS)
@pytest.mark.parametrize("count", range(1, TERMINAL + 1))
def test_stopping_after_any_event_closes_the_connection_in_an_event_loop(way: str, count: int, backend: str) -> None:
    """L9 on asyncio and trio, at every event."""

    async def main(server: Loopback) -> None:
        async with httpx.AsyncClient(verify=client_tls()) as http:
            client = AsyncAssistantClient(base_url=server.url, max_retries=0, http_client=http)
            policy = {"on_idle": "close"} if "dispose" in way else {}
            stream = client.threads.runs.stream("t", assistant_id="a", **policy)  # type: ignore[call-overload]
            with anyio.fail_after(GUARD):
                await ASYNC_WAYS[way](stream, count, server)
            await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))
            if backend == "asyncio":
                assert asyncio.all_tasks() == {asyncio.current_task()}

    with Loopback(held(count)) as server:
        anyio.run(main, server, backend=backend)
        assert len(server.requests) == 1


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("kind", ["plain", "tls", "tls through a proxy", "http2"])
class TestEveryTransport:
    """Closing from another thread, while a reader waits (C26, C27)."""

    def server(self, kind: str) -> Loopback:
        async def h2(request: Received, wire: H2Wire) -> None:
            await wire.events()
            while True:
                await wire.send(FRAMES[2] if request.path.endswith("runs") else FRAMES[3])
                await asyncio.sleep(0.01)

        if kind == "http2":
            return H2Loopback(h2)
        return Loopback(held(3), tls=None if kind == "plain" else server_tls())

    def options(self, kind: str, proxy: ConnectProxy) -> dict[str, Any]:
        options: dict[str, Any] = {"verify": client_tls(), "http2": kind == "http2"}
        return options | ({"proxy": proxy.url} if "proxy" in kind else {})

    def test_on_threads(self, kind: str, library: Any) -> None:
        with ConnectProxy() as proxy, self.server(kind) as server, library.Client(**self.options(kind, proxy)) as http:
            client = client_of(server, http)
            stream = client.threads.runs.stream("t", assistant_id="a")
            with stream:
                stream.connect()
                failed: list[Exception] = []
                over = threading.Event()
                stream.subscribe(on_error=lambda error: (failed.append(error), over.set()))
                threading.Timer(0.01, stream.close).start()
                assert over.wait(GUARD)
                assert [type(error) for error in failed] == [errors.StreamClosedError]
            if kind != "http2":
                server.wait_for(lambda: server.open_connections == 0)

    @BACKENDS
    def test_in_an_event_loop(self, kind: str, library: Any, backend: str) -> None:
        async def main(server: Loopback, proxy: ConnectProxy) -> None:
            async with library.AsyncClient(**self.options(kind, proxy)) as http:
                client = AsyncAssistantClient(base_url=server.url, http_client=http)
                with anyio.fail_after(GUARD):
                    async with client.threads.runs.stream("t", assistant_id="a") as stream:
                        threading.Timer(0.01, stream.close).start()
                        with pytest.raises(errors.StreamClosedError):
                            await stream.until_done()
                    if kind != "http2":
                        await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: server.open_connections == 0))

        with ConnectProxy() as proxy, self.server(kind) as server:
            anyio.run(main, server, proxy, backend=backend)


def cancels(server: Loopback) -> int:
    return sum(request.path.endswith("/cancel") for request in server.requests)


def ends_when_cancelled(count: int) -> Any:
    """So many events; after the cancel, the server's own ending."""
    cancelled = asyncio.Event()

    async def script(request: Received, wire: Wire) -> None:
        if request.path.endswith("/cancel"):
            await wire.json(run("cancelling"))
            cancelled.set()
            return
        await wire.events()
        for frame in FRAMES[:count]:
            await wire.chunk(frame)
        await cancelled.wait()
        ending = b"".join(FRAMES[-1:])
        await wire.chunk(FRAMES[0].replace(b"created", b"cancelled").replace(b"queued", b"cancelled") + ending)
        await wire.end()

    return script


class TestCancelling:
    def test_posts_once_and_goes_on_to_the_servers_ending(self) -> None:
        with Loopback(ends_when_cancelled(4)) as server:
            with client_of(server).threads.runs.stream("thread_1", assistant_id="a") as stream:
                assert stream.cancel().status == "cancelling"
                assert stream.cancel().status == "cancelling"
                assert stream.get_final_run().status == "cancelled"
                assert stream.cancel().status in {"cancelling", "cancelled"}
            assert cancels(server) == 1
            assert server.requests[1].path == "/v1/threads/thread_1/runs/run_1/cancel"

    def test_posts_nothing_after_the_end(self) -> None:
        with Loopback(sends(BODY)) as server, client_of(server).threads.runs.stream("t", assistant_id="a") as stream:
            stream.until_done()
            assert stream.cancel().status == "completed"
            assert cancels(server) == 0

    @BACKENDS
    def test_in_an_event_loop(self, backend: str) -> None:
        async def main(server: Loopback) -> None:
            async with (
                AsyncAssistantClient(base_url=server.url) as client,
                client.threads.runs.stream("thread_1", assistant_id="a") as stream,
            ):
                assert (await stream.cancel()).status == "cancelling"
                assert (await stream.cancel()).status == "cancelling"
                assert (await stream.get_final_run()).status == "cancelled"

        with Loopback(ends_when_cancelled(4)) as server:
            anyio.run(main, server, backend=backend)
            assert cancels(server) == 1


class TestOnIdleCancel:
    def test_posts_the_cancel_once_when_the_last_has_gone_for_long_enough(self) -> None:
        with Loopback(held(4)) as server:
            stream = client_of(server).threads.runs.stream("t", assistant_id="a", on_idle="cancel", idle_grace=0.02)
            with stream:
                subscription = stream.subscribe(lambda event: None)
                stream.connect()
                server.wait_for(lambda: len(server.requests) == 1)
                subscription.dispose()
                server.wait_for(lambda: cancels(server) == 1)
                server.wait_for(lambda: server.open_connections <= 1)
            assert cancels(server) == 1

    def test_spares_a_run_to_which_somebody_returns(self) -> None:
        with Loopback(held(4)) as server:
            stream = client_of(server).threads.runs.stream("t", assistant_id="a", on_idle="cancel", idle_grace=0.5)
            with stream:
                first = stream.subscribe(lambda event: None)
                stream.connect()
                server.wait_for(lambda: len(server.requests) == 1)
                first.dispose()
                second = stream.subscribe(lambda event: None)
                threading.Event().wait(0.75)
                assert cancels(server) == 0
                assert not stream.log.ended
                second.dispose()
                server.wait_for(lambda: cancels(server) == 1)

    @BACKENDS
    def test_in_an_event_loop(self, backend: str) -> None:
        async def main(server: Loopback) -> None:
            async with AsyncAssistantClient(base_url=server.url) as client:
                stream = client.threads.runs.stream("t", assistant_id="a", on_idle="cancel", idle_grace=0.02)
                async with stream:
                    subscription = stream.subscribe(lambda event: None)
                    await stream.connect()
                    await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: len(server.requests) == 1))
                    subscription.dispose()
                    await anyio.to_thread.run_sync(lambda: server.wait_for(lambda: cancels(server) == 1))

        with Loopback(held(4)) as server:
            anyio.run(main, server, backend=backend)
            assert cancels(server) == 1


def test_a_run_that_stops_for_tool_outputs_ends_its_stream_well() -> None:
    script = sends(b"".join(STOPPED))
    with Loopback(script) as server, client_of(server).threads.runs.stream("t", assistant_id="a") as stream:
        assert stream.get_final_run().status == "requires_action"


def test_options_of_the_call_reach_the_request_of_the_stream() -> None:
    with Loopback(sends(BODY)) as server:
        options: dict[str, Any] = {"extra_headers": {"X-A": "1"}, "extra_query": {"q": "2"}, "extra_body": {"b": 3}}
        client_of(server).threads.runs.stream("t", assistant_id="a", include=["x"], **options).until_done()  # type: ignore[list-item]
    [request] = server.requests
    assert request.headers["x-a"] == "1"
    assert request.query == [("include[]", "x"), ("q", "2")]
    assert request.json == {"assistant_id": "a", "b": 3, "stream": True}


def test_the_async_face_refuses_the_sync_loop_and_the_other_way_round() -> None:
    with pytest.raises(TypeError, match="async for"):
        iter(AsyncAssistantClient(base_url="http://x").threads.runs.stream("t", assistant_id="a"))
    with pytest.raises(TypeError, match="for"):
        aiter(AssistantClient(base_url="http://x").threads.runs.stream("t", assistant_id="a"))

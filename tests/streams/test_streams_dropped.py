"""A stream that is dropped half-read gives its connection back: collected means closed, with one warning."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from loopback import Loopback, Received, Wire
from streams_bodies import (
    AsyncFedBody,
    FedBody,
    answer,
    async_stream,
    elsewhere,
    joined,
    sync_stream,
    until,
    until_async,
)

from rx_assistant import AssistantClient, AsyncAssistantClient, replay
from rx_assistant.errors import StreamClosedError


async def half(_: Received, wire: Wire) -> None:
    """A run that begins to answer, and continues as long as the client reads."""
    await wire.events()
    for frame in answer("a", "b")[:4]:
        await wire.chunk(frame)
    await wire.peer_gone()


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(half) as running:
        yield running


def loop_and_leave(stream: Any) -> None:
    for _ in stream:
        break


def take_one(stream: Any) -> None:
    next(stream)


def text_of(stream: Any) -> None:
    next(stream.text_deltas)


def subscribe_and_leave(stream: Any) -> None:
    stream.subscribe(lambda _: None)
    loop_and_leave(stream)


def enter_only(stream: Any) -> None:
    stream.__enter__()


USES: dict[str, Callable[[Any], None]] = {
    use.__name__: use for use in (loop_and_leave, take_one, text_of, subscribe_and_leave, enter_only)
}


def unclosed_in(use: Callable[[], object]) -> list[str]:
    """The ResourceWarnings while `use` runs and what it leaves is collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use()
        gc.collect()
    return [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)]


@pytest.mark.parametrize("name", USES)
def test_a_stream_that_is_dropped_half_read_is_closed_with_one_warning(server: Loopback, name: str) -> None:
    with AssistantClient(base_url=server.url, api_key="k") as client:
        told = unclosed_in(lambda: USES[name](client.threads.runs.stream("t", assistant_id="a")))
        server.wait_for(lambda: server.open_connections == 0)
    assert len(told) == 1
    assert "unclosed stream" in told[0]
    assert "run_1" in told[0] or name == "enter_only"


@pytest.mark.parametrize("name", ["loop", "anext", "enter"])
async def test_an_async_stream_that_is_dropped_half_read_is_closed_with_one_warning(
    anyio_backend: str, server: Loopback, name: str
) -> None:
    async with AsyncAssistantClient(base_url=server.url, api_key="k") as client:

        async def use() -> None:
            stream = client.threads.runs.stream("t", assistant_id="a")
            if name == "loop":
                async for _ in stream:
                    break
            elif name == "anext":
                await anext(stream)
            else:
                await stream.__aenter__()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await use()
            gc.collect()
        told = [str(w.message) for w in caught if issubclass(w.category, ResourceWarning)]
        await until_async(lambda: server.open_connections == 0)
    assert len(told) == 1
    assert "unclosed stream" in told[0]


def test_a_stream_that_is_collected_while_its_thread_holds_the_lock_of_the_connections_is_closed(
    server: Loopback,
) -> None:
    with AssistantClient(base_url=server.url, api_key="k") as client:
        stream: Any = client.threads.runs.stream("t", assistant_id="a")
        next(stream)
        stream.cycle = stream
        connections: Any = client._session._clients
        gc.disable()
        try:
            del stream

            def collect() -> None:
                with connections._lock, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    gc.collect()

            joined(elsewhere(collect))
        finally:
            gc.enable()
        server.wait_for(lambda: server.open_connections == 0)


def test_without_the_collector_a_loop_that_breaks_closes_at_once() -> None:
    body = FedBody(*answer("a", "b")[:4])
    gc.disable()
    try:
        for _ in sync_stream(body).text_deltas:
            break
        assert body.endings == ["close"]
    finally:
        gc.enable()


def test_subscribers_of_a_dropped_stream_get_its_ending() -> None:
    body, got = FedBody(*answer("a", "b")[:4]), list[Any]()
    stream = sync_stream(body)
    stream.subscribe(on_error=got.append)
    next(iter(stream))
    del stream
    gc.collect()
    assert [type(error) for error in got] == [StreamClosedError]


def test_a_stream_that_is_read_in_the_background_goes_on_when_it_is_dropped() -> None:
    body, got = FedBody(*answer("a", "b")[:4]), list[str]()
    stream = sync_stream(body)
    stream.text_deltas.subscribe(got.append)
    stream.connect()
    until(lambda: got == ["a"])
    del stream
    gc.collect()
    body.feed(*answer("a", "b")[4:])
    until(lambda: got == ["a", "b"])
    until(lambda: body.endings == ["finish"])


@pytest.mark.parametrize("how", ["never sent", "read", "closed", "left"])
def test_what_is_not_left_open_warns_of_nothing(server: Loopback, how: str, tmp_path: Path) -> None:
    def use() -> None:
        if how == "never sent":
            AssistantClient(base_url=server.url, api_key="k").threads.runs.stream("t", assistant_id="a")
        elif how == "read":
            list(sync_stream(_Connected(*answer("a"))))
        elif how == "closed":
            stream = sync_stream(_Connected(*answer("a")))
            next(stream)
            stream.close()
        else:
            with sync_stream(_Connected(*answer("a"))) as stream:
                next(stream)

    assert unclosed_in(use) == []


def test_a_recording_that_is_dropped_half_read_is_closed_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "run.sse"
    path.write_bytes(b"".join(answer("a", "b")))

    def use() -> None:
        next(replay(path, chunk_size=10))
        next(replay(path.read_bytes()))

    assert unclosed_in(use) == []


async def test_dropping_an_async_stream_of_a_loop_that_is_over_is_quiet(anyio_backend: str) -> None:
    left: list[Any] = []

    async def elsewhere() -> None:
        left.append(async_stream(AsyncFedBody(*answer("a", "b")[:4])))
        await anext(left[0])

    def run() -> None:
        anyio.run(elsewhere, backend=anyio_backend)

    await anyio.to_thread.run_sync(run)
    left.clear()
    gc.collect()


class _Connected(FedBody):
    holds_connection = True

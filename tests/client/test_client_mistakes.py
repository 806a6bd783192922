"""Mistakes that people make while they type: each is an error that says what to write instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from functools import partial
from typing import Any

import httpx
import pytest
from loopback import Loopback, Received, Wire

from rx_assistant import (
    AssistantClient,
    AssistantEventHandler,
    AssistantStream,
    AsyncAssistantClient,
    AsyncAssistantEventHandler,
    AsyncAssistantStream,
    ConfigurationError,
    InvalidArgumentError,
    StreamClosedError,
    Timeout,
    replay,
    replay_async,
)

URL = "http://127.0.0.1:9/v1"
CREATED = b'event: thread.run.created\ndata: {"id": "run_1", "thread_id": "t", "status": "queued"}\n\n'
ENDED = b'event: thread.run.completed\ndata: {"id": "run_1", "thread_id": "t", "status": "completed"}\n\n'


def sync_objects() -> Iterator[Any]:
    client = AssistantClient(base_url=URL)
    yield client
    yield client.threads.runs.stream("t", assistant_id="a")
    yield client.threads.runs.stream("t", assistant_id="a", event_handler=AssistantEventHandler())
    yield replay(ENDED)


def async_objects() -> Iterator[Any]:
    client = AsyncAssistantClient(base_url=URL)
    yield client
    yield client.threads.runs.stream("t", assistant_id="a")
    yield client.threads.runs.stream("t", assistant_id="a", event_handler=AsyncAssistantEventHandler())
    yield replay_async(ENDED)


@pytest.mark.parametrize("thing", [*sync_objects()], ids=lambda thing: type(thing).__name__)
def test_async_with_on_something_synchronous_says_with(thing: Any) -> None:
    async def block() -> None:
        async with thing:
            pytest.fail("the block was entered")

    async def stack() -> None:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(thing)

    for attempt in (block, stack):
        with pytest.raises(TypeError, match=f"{type(thing).__name__} is synchronous: write `with`"):
            asyncio.run(attempt())


@pytest.mark.parametrize("thing", [*async_objects()], ids=lambda thing: type(thing).__name__)
def test_with_on_something_asynchronous_says_async_with(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(thing).__name__} is asynchronous: write `async with`"), thing:
        pytest.fail("the block was entered")


def test_an_awaited_stream_that_is_entered_or_looped_over_says_to_leave_out_await() -> None:
    async def enter() -> None:
        stream: Any = await replay_async(ENDED)
        async with stream:
            pytest.fail("the block was entered")

    async def loop() -> None:
        stream: Any = await replay_async(ENDED)
        async for _ in stream:
            pytest.fail("the loop began")

    for attempt in (enter, loop):
        with pytest.raises(TypeError, match="leave out `await`"):
            asyncio.run(attempt())


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (lambda messages: messages.data, "await the list first"),
        (lambda messages: messages.has_next_page(), "await the list first"),
        (list, "write `async for`"),
    ],
)
def test_a_list_that_was_not_awaited_says_so(use: Callable[[Any], object], hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        use(AsyncAssistantClient(base_url=URL).threads.messages.list("t"))


def test_other_names_are_missing_from_a_list_that_was_not_awaited() -> None:
    assert not hasattr(AsyncAssistantClient(base_url=URL).threads.messages.list("t"), "no_such_name")


def test_a_coroutine_where_an_id_belongs_says_await() -> None:
    async def forget() -> None:
        client: Any = AsyncAssistantClient(base_url=URL)
        with closing(client.threads.create()) as thread:
            await client.threads.messages.create(thread, role="user", content="x")

    async def forget_in_the_body(name: str) -> None:
        client: Any = AsyncAssistantClient(base_url=URL)
        with closing(client.assistants.create(model="m")) as assistant:
            await client.threads.runs.create("t", **{"assistant_id": "a", name: assistant})

    with pytest.raises(InvalidArgumentError, match=r"thread_id must be the id of an object.*await it"):
        asyncio.run(forget())
    with pytest.raises(InvalidArgumentError, match=r"assistant_id must be the id of an object.*await it"):
        asyncio.run(forget_in_the_body("assistant_id"))
    with pytest.raises(TypeError, match="await it"):
        asyncio.run(forget_in_the_body("metadata"))


WRONG_TIMEOUTS = ["5", "soon", [5], True, {}]


@pytest.mark.parametrize("timeout", WRONG_TIMEOUTS, ids=repr)
def test_a_timeout_that_is_no_number_is_named(timeout: Any) -> None:
    client = AssistantClient(base_url=URL)
    attempts: list[Callable[[], object]] = [
        lambda: AssistantClient(base_url=URL, timeout=timeout),
        lambda: AsyncAssistantClient(base_url=URL, timeout=timeout),
        lambda: client.with_options(timeout=timeout),
        lambda: setattr(client, "timeout", timeout),
        lambda: client.threads.create(timeout=timeout),
        lambda: client.threads.runs.stream("t", assistant_id="a", timeout=timeout).run(),
        lambda: Timeout(idle=timeout),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigurationError, match=r"timeout.* must be a number of seconds"):
            attempt()


@pytest.mark.parametrize("name", ["max_retries", "max_reply_bytes"])
def test_a_count_that_is_no_number_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a number, got str"):
        AssistantClient(base_url=URL, **{name: "2"})  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://a b/v1", "http://a/v 1", "http://a/v1\tx", "http://a/\nv1", "http://a/v1 # x"])
def test_a_blank_inside_of_base_url_is_refused_at_once(url: str) -> None:
    for make in (AssistantClient, AsyncAssistantClient):
        with pytest.raises(ConfigurationError, match="base_url must contain no blanks, got 'http://a"):
            make(base_url=url)


@pytest.mark.parametrize("url", [f" {URL}", f"{URL}\n", f"\t{URL} \r\n"])
def test_blanks_around_base_url_are_dropped(url: str) -> None:
    assert AssistantClient(base_url=url).base_url == URL


async def events_without_end(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.chunk(CREATED)
    await wire.peer_gone()


def stream_of(client: Any) -> Any:
    return client.threads.runs.stream("t", assistant_id="a")


@pytest.mark.parametrize("given", [False, True], ids=["own", "given"])
def test_a_client_that_is_closed_in_mid_stream_closes_the_stream_and_does_not_truncate_it(given: bool) -> None:
    with Loopback(events_without_end) as server:
        http = httpx.Client() if given else None
        client = AssistantClient(base_url=server.url, http_client=http)
        stream: AssistantStream = stream_of(client)
        with stream, pytest.raises(StreamClosedError, match="the client was closed before its stream had ended"):
            for event in stream:
                assert event.event == "thread.run.created"
                (http or client).close()


@pytest.mark.parametrize("given", [False, True], ids=["own", "given"])
def test_an_async_client_that_is_closed_in_mid_stream_closes_the_stream(given: bool) -> None:
    async def main(url: str) -> None:
        http = httpx.AsyncClient() if given else None
        client = AsyncAssistantClient(base_url=url, http_client=http)
        close: Callable[[], Awaitable[object]] = client.aclose if http is None else http.aclose
        stream: AsyncAssistantStream = stream_of(client)
        async with stream:
            with pytest.raises(StreamClosedError, match="the client was closed before its stream had ended"):
                await close_at_first(stream, close)

    async def close_at_first(stream: AsyncIterator[Any] | Any, close: Callable[[], Awaitable[object]]) -> None:
        async for event in stream:
            assert event.event == "thread.run.created"
            await close()

    with Loopback(events_without_end) as server:
        asyncio.run(main(server.url))


def test_a_run_that_had_ended_when_its_client_was_closed_has_ended_well() -> None:
    async def ended(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(CREATED + ENDED)
        await wire.peer_gone()

    with Loopback(ended) as server:
        client = AssistantClient(base_url=server.url)
        with stream_of(client) as stream:
            for event in stream:
                if event.event == "thread.run.completed":
                    client.close()
            assert stream.get_final_run().status == "completed"


STREAM_LIMITS = ("cancel_wait", "idle_grace", "max_pending", "max_event_bytes")


@pytest.mark.parametrize("value", ["2", [2]], ids=repr)
def test_other_limits_that_are_no_number_are_named(value: Any) -> None:
    runs: Any = AssistantClient(base_url=URL).threads.runs
    batches: Any = AssistantClient(base_url=URL).vector_stores.file_batches
    anything: Any = replay
    attempts: dict[str, Callable[[], object]] = {
        **{name: partial(runs.stream, "t", assistant_id="a", **{name: value}) for name in STREAM_LIMITS},
        "longest wait": lambda: runs.watch("r", "t", max_wait_seconds=value),
        "poll_interval_ms": lambda: runs.watch("r", "t", poll_interval_ms=value),
        "max_concurrency": lambda: batches.watch_upload("v", files=[b"x"], max_concurrency=value),
        "timeout": lambda: runs.stream("t", assistant_id="a").cancel_and_wait(timeout=value),
        "events_per_second": lambda: anything(ENDED, events_per_second=value),
        "chunk_size": lambda: anything(ENDED, chunk_size=value),
    }
    for name, attempt in attempts.items():
        with pytest.raises(ValueError, match=f"{name} must be a .*number.*, got "):
            attempt()

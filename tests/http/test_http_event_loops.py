"""Blocks that another task may end, and what an httpx client over aiohttp adds to httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from guard import GUARD
from loopback import Loopback, Received, Wire

import rx_assistant
from rx_assistant.client import AsyncAssistantClient
from rx_assistant.http.event_loops import span

EVENT = b'event: thread.created\ndata: {"id": "thread_%d"}\n\n'
DONE = b"event: done\ndata: [DONE]\n\n"


# -- blocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("begun", [True, False])
async def test_a_block_that_another_task_ends_ends_without_an_exception(begun: bool) -> None:
    block, seen = span(), []

    async def wait() -> None:
        with block:
            seen.append("in")
            await anyio.sleep_forever()
        seen.append("behind")
        await anyio.lowlevel.checkpoint()  # no cancellation is left for the next wait
        seen.append("out")

    with anyio.fail_after(GUARD):
        async with anyio.create_task_group() as tasks:
            if not begun:
                block.cancel()
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            block.cancel()
            block.cancel()
    assert seen == ["in", "behind", "out"]


@pytest.mark.anyio
async def test_ending_a_block_that_is_over_changes_nothing() -> None:
    block = span()
    with block:
        await anyio.lowlevel.checkpoint()
    block.cancel()
    await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize("waits", [True, False])
async def test_a_task_that_ends_its_own_block_is_not_cancelled_behind_it(waits: bool) -> None:
    """A hook of the HTTP client runs inside the call, and may close the stream."""
    block = span()
    with anyio.fail_after(GUARD):
        with block:
            block.cancel()
            if waits:
                await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_a_cancellation_of_the_task_itself_goes_through_the_block() -> None:
    block, seen = span(), []

    async def wait(scope: anyio.CancelScope) -> None:
        with scope:
            with block:
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()
            seen.append("behind the block")
        seen.append("behind the scope")

    with anyio.fail_after(GUARD):
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()
            tasks.start_soon(wait, scope)
            await anyio.wait_all_tasks_blocked()
            block.cancel()
            scope.cancel()
    assert seen == ["behind the scope"]


def test_a_task_is_cancelled_although_its_block_was_ended_too() -> None:
    async def main() -> None:
        block = span()

        async def wait() -> None:
            with block:
                await asyncio.sleep(GUARD)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        block.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_another_exception_leaves_an_ended_block_and_no_cancellation_is_left() -> None:
    async def main() -> None:
        block = span()

        async def wait() -> int:
            with pytest.raises(ValueError, match="instead"), block:
                try:
                    await asyncio.sleep(GUARD)
                except asyncio.CancelledError:
                    raise ValueError("instead") from None
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        block.cancel()
        assert await task == 0

    asyncio.run(main())


# -- over aiohttp ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Loopback]:
    async def answers(request: Received, wire: Wire) -> None:
        if request.path.endswith("/runs"):
            await wire.events({"Set-Cookie": "taste=sweet"})
            for number in range(5):
                await wire.chunk(EVENT % number)
                await asyncio.sleep(0)
            await wire.chunk(DONE)
            await wire.end()
        else:
            await wire.json({"id": request.headers.get("cookie", "none"), "object": "assistant"})

    with Loopback(answers) as server:
        yield server


class Counted(httpx.AsyncByteStream):
    """A stream around another one, as tracing makes it."""

    def __init__(self, inner: Any, seen: list[bytes]) -> None:
        self._inner = inner
        self._seen = seen

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._seen.append(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def test_what_wraps_the_stream_of_a_response_over_aiohttp_gets_every_chunk(server: Loopback) -> None:
    seen: list[bytes] = []

    async def main() -> None:
        http = rx_assistant.aiohttp_client()
        inner: Any = http._transport
        send = inner.handle_async_request

        async def counting(request: httpx.Request) -> httpx.Response:
            response: httpx.Response = await send(request)
            response.stream = Counted(response.stream, seen)
            return response

        inner.handle_async_request = counting
        client = AsyncAssistantClient(base_url=server.url, http_client=http)
        async with client, client.threads.runs.stream(thread_id="t", assistant_id="a") as stream:
            await stream.until_done()
            assert stream.log.length == 5

    asyncio.run(main())
    assert b"".join(seen) == b"".join(EVENT % number for number in range(5)) + DONE


def test_over_aiohttp_the_cookies_of_responses_are_not_kept_and_the_programs_are_sent(server: Loopback) -> None:
    async def main() -> list[str]:
        http = rx_assistant.aiohttp_client()
        sent: list[str] = []
        async with AsyncAssistantClient(base_url=server.url, http_client=http) as client:
            async with client.threads.runs.stream(thread_id="t", assistant_id="a") as stream:
                await stream.until_done()
            sent.append((await client.assistants.retrieve("a")).id)
            http.cookies.set("mine", "1")
            sent.append((await client.assistants.retrieve("a")).id)
            http.cookies = {"other": "2"}
            sent.append((await client.assistants.retrieve("a")).id)
        return sent

    assert asyncio.run(main()) == ["none", "mine=1", "other=2"]

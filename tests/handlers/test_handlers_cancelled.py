"""Cancelling the task that reads, awaits a handler, sends the request or waits: never swallowed."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from handlers_faces import LOOPS, TEXT, WAYS, AsyncFace, Slow, Stuck, Told, ToldAtOnce

from rx_assistant import StreamCancelledError


@pytest.fixture(params=LOOPS, ids=repr)
def loop(request: pytest.FixtureRequest) -> AsyncFace:
    face: AsyncFace = request.param
    return face


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", [Told, ToldAtOnce])
def test_cancelling_the_reading_task_is_reported_and_propagates(loop: AsyncFace, kind: type, way: Any) -> None:
    handler, attached = kind(), kind()

    async def scenario() -> None:
        reached = anyio.Event()

        async def stuck() -> None:
            reached.set()
            await anyio.sleep_forever()

        stream = loop.stream(*TEXT[:8], stuck, handler=handler)
        stream.attach(attached)
        async with stream as given:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    await reached.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(cancel)
                await way(given)
                raise AssertionError("the cancellation was swallowed")
            assert tasks.cancel_scope.cancelled_caught
            with pytest.raises(StreamCancelledError) as raised:
                await given.until_done()
        assert stream.script.closed
        assert handler.told == attached.told == [raised.value, "end"]
        assert handler.exception is raised.value
        assert raised.value.snapshot is not None
        assert raised.value.snapshot.text == "Hel"

    loop.play(scenario())


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_cancelling_the_task_that_awaits_a_handler_is_reported_and_propagates(loop: AsyncFace, way: Any) -> None:
    async def scenario() -> None:
        handler, other = Stuck(), Told()
        stream = loop.stream(*TEXT, handler=handler)
        stream.attach(other)
        async with stream as given:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    await handler.reached.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(cancel)
                await way(given)
                raise AssertionError("the cancellation was swallowed")
            assert tasks.cancel_scope.cancelled_caught
            with pytest.raises(StreamCancelledError) as raised:
                await given.until_done()
        assert handler.told == ["Hel", "cancelled", raised.value, "end"]
        assert other.told == [raised.value, "end"]

    loop.play(scenario())


def test_cancelling_an_asyncio_task_cancels_it() -> None:
    async def main() -> None:
        handler = Stuck()

        async def run() -> None:
            async with LOOPS[0].stream(*TEXT, handler=handler) as given:
                await given.until_done()

        task = asyncio.create_task(run())
        await handler.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [type(one) for one in handler.told] == [str, str, StreamCancelledError, str]
        assert handler.told[-1] == "end"

    asyncio.run(main())


def test_cancelling_the_request_is_reported_and_propagates(loop: AsyncFace) -> None:
    handler = Told()

    async def scenario() -> None:
        stream = loop.stream(*TEXT, handler=handler)
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with stream:
                raise AssertionError("the request was sent")
        assert scope.cancelled_caught

    loop.play(scenario())
    assert [type(one) for one in handler.told] == [StreamCancelledError, str]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_after_connect_waiting_tasks_may_be_cancelled_freely(loop: AsyncFace, way: Any) -> None:
    async def scenario() -> None:
        handler, go_on = Slow(), anyio.Event()
        async with loop.stream(*TEXT[:8], go_on.wait, *TEXT[8:], handler=handler) as given:
            await given.connect()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(way, given)
                    await loop.until(lambda: "Hel" in handler.told)
                    scope.cancel()
            assert scope.cancelled_caught
            go_on.set()
            await given.until_done()
        assert handler.told[-1] == "end"
        assert handler.exception is None

    loop.play(scenario())


def test_another_waiter_gets_the_cancellation(loop: AsyncFace) -> None:
    async def scenario() -> None:
        handler = Stuck()
        results: list[Any] = []
        async with loop.stream(*TEXT, handler=handler) as given, anyio.create_task_group() as tasks:

            async def wait() -> None:
                try:
                    await given.until_done()
                except StreamCancelledError as error:
                    results.append(error)

            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    inner.start_soon(given.until_done)
                    await handler.reached.wait()
                    tasks.start_soon(wait)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            assert scope.cancelled_caught
        assert results == [handler.exception]
        assert isinstance(handler.exception, StreamCancelledError)
        assert handler.told[:2] == ["Hel", "cancelled"]
        assert handler.told[-2:] == [handler.exception, "end"]

    loop.play(scenario())

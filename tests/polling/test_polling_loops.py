"""watch_async() on asyncio and trio: tasks are cancelled when the last subscriber leaves, and none stays (C35)."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import anyio
import pytest
import reactivex
from polling_seen import GUARD, Boom, Seen
from reactivex import operators as ops
from reactivex.testing import TestScheduler

from rx_assistant import AsyncStream
from rx_assistant.errors import PollTimeoutError
from rx_assistant.polling import Polled, poll_async, watch_async


def counting_async(stop: int = 3, **plan: Any) -> AsyncStream[int]:
    numbers = itertools.count(1)

    async def fetch() -> Polled[int]:
        await anyio.lowlevel.checkpoint()
        return Polled(next(numbers))

    return watch_async(fetch, until=lambda n: n % stop == 0, **{"interval": 0.001, **plan})


@pytest.mark.anyio
async def test_it_is_awaited_iterated_and_subscribed_to(anyio_backend: str) -> None:
    states = counting_async()
    assert await states == 3
    assert [state async for state in states] == [4, 5, 6]
    assert [state async for state in states.pipe(ops.map(lambda n: n * 10))] == [70, 80, 90]
    seen, over = Seen(), anyio.Event()
    states.subscribe(seen.on_next, seen.on_error, over.set)
    with anyio.fail_after(GUARD):
        await over.wait()
    assert (seen.states, seen.threads) == ([10, 11, 12], {threading.current_thread()})


@pytest.mark.anyio
async def test_poll_async_gives_the_last_value(anyio_backend: str) -> None:
    numbers = itertools.count(1)

    async def fetch() -> Polled[int]:
        return Polled(next(numbers))

    assert await poll_async(fetch, until=lambda n: n == 3, interval=0.001) == 3


@pytest.mark.anyio
async def test_disposing_cancels_the_fetch_under_way(anyio_backend: str) -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def fetch() -> Polled[int]:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    seen = Seen()
    subscription = watch_async(fetch, until=lambda _: True).subscribe(seen)
    with anyio.fail_after(GUARD):
        await begun.wait()
        subscription.dispose()
        await ended.wait()
    assert (seen.states, seen.endings) == ([], [])


@pytest.mark.anyio
async def test_disposing_from_another_thread_cancels_the_fetch_under_way(anyio_backend: str) -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def fetch() -> Polled[int]:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    subscription = watch_async(fetch, until=lambda _: True).subscribe(Seen())
    with anyio.fail_after(GUARD):
        await begun.wait()
        await anyio.to_thread.run_sync(subscription.dispose)
        await ended.wait()


@pytest.mark.anyio
async def test_cancelling_who_awaits_cancels_the_fetch_under_way(anyio_backend: str) -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def fetch() -> Polled[int]:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    with anyio.fail_after(GUARD):
        async with anyio.create_task_group() as group:

            async def waiting() -> None:
                await watch_async(fetch, until=lambda _: True)

            group.start_soon(waiting)
            await begun.wait()
            group.cancel_scope.cancel()
        await ended.wait()


@pytest.mark.anyio
async def test_the_deadline_cancels_the_fetch_under_way(anyio_backend: str) -> None:
    ended = anyio.Event()

    async def fetch() -> Polled[int]:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    with pytest.raises(PollTimeoutError) as caught:
        await watch_async(fetch, until=lambda _: True, deadline=0.01)
    assert caught.value.last is None
    with anyio.fail_after(GUARD):
        await ended.wait()


@pytest.mark.anyio
async def test_a_deadline_of_0_awaits_nothing(anyio_backend: str) -> None:
    async def fetch() -> Polled[int]:
        raise AssertionError("must not be fetched")

    with pytest.raises(PollTimeoutError):
        await watch_async(fetch, until=lambda _: True, deadline=0)


@pytest.mark.anyio
async def test_an_error_of_an_async_fetch_ends_the_stream(anyio_backend: str) -> None:
    async def fetch() -> Polled[int]:
        raise Boom

    with pytest.raises(Boom):
        await watch_async(fetch, until=lambda _: True)
    with pytest.raises(TypeError, match="must be an async function"):
        await watch_async(lambda: Polled(1), until=lambda _: True)  # type: ignore[arg-type,return-value]


@pytest.mark.anyio
async def test_leaving_the_loop_early_stops_the_polling(anyio_backend: str) -> None:
    fetched: list[None] = []

    async def fetch() -> Polled[int]:
        fetched.append(None)
        return Polled(len(fetched))

    async for number in watch_async(fetch, until=lambda _: False, interval=0):
        if number == 3:
            break
    had = len(fetched)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert len(fetched) == had


@pytest.mark.anyio
async def test_leaving_inside_on_next_does_not_cancel_who_delivers(anyio_backend: str) -> None:
    states = counting_async(100)
    got: list[int] = []
    over = anyio.Event()

    def act(number: int) -> None:
        got.append(number)
        if number == 2:
            subscription.dispose()
            over.set()

    subscription = states.subscribe(act)
    with anyio.fail_after(GUARD):
        await over.wait()
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert got == [1, 2]


@pytest.mark.anyio
async def test_merged_watches_share_an_event_loop(anyio_backend: str) -> None:
    merged = counting_async(3).pipe(ops.merge(counting_async(4)))
    assert sorted([state async for state in merged]) == [1, 1, 2, 2, 3, 3, 4]
    both = reactivex.merge(counting_async(3), counting_async(3))
    over, got = anyio.Event(), []
    both.subscribe(got.append, on_completed=over.set)
    with anyio.fail_after(GUARD):
        await over.wait()
    assert sorted(got) == [1, 1, 2, 2, 3, 3]


def test_without_an_event_loop_an_async_watch_says_so() -> None:
    seen = Seen()
    counting_async().subscribe(seen, scheduler=TestScheduler())
    assert isinstance(seen.endings[0], RuntimeError)
    assert "event loop" in str(seen.endings[0])

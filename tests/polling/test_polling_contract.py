"""The Rx contract for watch(), on a virtual clock, on threads, and on both event loops: C1–C19, C24, C31, C35."""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
import reactivex
from reactivex import Observer, abc, operators as ops
from reactivex.testing import TestScheduler

from rx_assistant import AsyncStream, Stream
from rx_assistant.errors import PollTimeoutError
from rx_assistant.polling import Polled, poll, poll_async, watch, watch_async

GUARD = 5.0


class Boom(Exception):
    """What a misbehaving observer raises."""


class Seen(Observer[Any]):
    """Notes what it is told, and on which thread; `act` is called with each state."""

    def __init__(self, act: Callable[[Any], object] | None = None) -> None:
        super().__init__()
        self._act = act
        self.states: list[Any] = []
        self.endings: list[Any] = []
        self.threads: set[threading.Thread] = set()
        self.over = threading.Event()

    def on_next(self, value: Any) -> None:
        assert not self.endings
        self.threads.add(threading.current_thread())
        self.states.append(value)
        if self._act is not None:
            self._act(value)

    def on_error(self, error: Exception) -> None:
        self.endings.append(error)
        self.over.set()

    def on_completed(self) -> None:
        self.endings.append("completed")
        self.over.set()


def counting(scheduler: abc.SchedulerBase | None, *, stop: int = 4, **plan: Any) -> Stream[int]:
    """1, 2, 3 … `stop`, for each subscription anew."""

    def deferred() -> Stream[int]:
        numbers = itertools.count(1)
        return watch(lambda: Polled(next(numbers)), until=lambda n: n == stop, scheduler=scheduler, **plan)

    class Fresh(Stream[int]):
        def link(self, down: Any, given: abc.SchedulerBase | None) -> Any:
            return deferred().link(down, given)

    return Fresh()


@pytest.fixture
def clock() -> TestScheduler:
    return TestScheduler()


def test_c1_c2_nothing_follows_the_ending(clock: TestScheduler) -> None:
    seen = Seen()
    counting(clock, interval=1).subscribe(seen)
    clock.advance_to(100)
    assert (seen.states, seen.endings) == ([1, 2, 3, 4], ["completed"])


def test_c2_a_failure_is_told_exactly_once(clock: TestScheduler) -> None:
    boom = Boom()
    calls: list[None] = []

    def fetch() -> Polled[int]:
        calls.append(None)
        raise boom

    seen = Seen()
    watch(fetch, until=lambda _: True, interval=1, deadline=5, scheduler=clock).subscribe(seen)
    clock.advance_to(100)
    assert (seen.states, seen.endings, len(calls)) == ([], [boom], 1)


def raising(*_: object) -> None:
    raise Boom


def void(*_: object) -> None:
    """An observer that is told, and does nothing."""


@pytest.mark.parametrize(
    "callbacks",
    [
        (),
        (lambda _: None,),
        (lambda _: None, raising, raising),
        (raising,),
        (raising, raising),
        (raising, lambda _: None),
    ],
    ids=["none", "no-on_error", "raises-at-the-end", "raises", "raises-twice", "raises-and-is-told"],
)
def test_c3_c4_c5_c6_c24_what_one_observer_does_costs_no_other_anything(
    clock: TestScheduler, callbacks: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    before, after = Seen(), Seen()
    states = counting(clock, interval=1)
    states.subscribe(before)
    states.subscribe(*callbacks)
    states.subscribe(after)
    with caplog.at_level(logging.CRITICAL, "rx_assistant"):
        clock.advance_to(100)
    for seen in (before, after):
        assert (seen.states, seen.endings) == ([1, 2, 3, 4], ["completed"])


def test_c7_the_offender_is_cancelled_gets_on_error_once_and_polls_no_more(clock: TestScheduler) -> None:
    boom = Boom()
    fetched: list[int] = []
    numbers = itertools.count(1)

    def fetch() -> Polled[int]:
        fetched.append(next(numbers))
        return Polled(fetched[-1])

    def offend(number: int) -> None:
        if number == 2:
            raise boom

    seen = Seen(offend)
    watch(fetch, until=lambda n: n == 9, interval=1, deadline=20, scheduler=clock).subscribe(seen)
    clock.advance_to(100)
    assert (seen.states, seen.endings, fetched) == ([1, 2], [boom], [1, 2])


def test_c8_c9_an_error_in_a_chain_ends_that_chain_and_its_polling(clock: TestScheduler) -> None:
    fetched: list[int] = []
    numbers = itertools.count(1)

    def fetch() -> Polled[int]:
        fetched.append(next(numbers))
        return Polled(fetched[-1])

    def mapper(number: int) -> int:
        if number == 3:
            raise Boom
        return 10 * number

    seen = Seen()
    chain = watch(fetch, until=lambda n: n == 9, interval=1, scheduler=clock).pipe(
        ops.map(mapper), ops.filter(lambda n: n > 0), ops.scan(lambda a, b: a + b, 0)
    )
    chain.subscribe(seen)
    clock.advance_to(100)
    assert seen.states == [10, 30]
    assert [type(ending) for ending in seen.endings] == [Boom]
    assert fetched == [1, 2, 3]


def test_c10_c11_the_deadline_waits_for_the_observer_that_has_a_state() -> None:
    """On threads, where it may come at any moment: the error follows what is being delivered, and never overlaps it."""
    inside, fired = threading.Event(), threading.Event()
    order: list[str] = []

    class Manual(TestScheduler):
        """Hands its actions to the test."""

    clock = Manual()

    def act(_: int) -> None:
        inside.set()
        assert fired.wait(GUARD)
        order.append("state delivered")

    seen = Seen(act)
    states = watch(lambda: Polled(1), until=lambda _: False, interval=1, deadline=10, scheduler=clock)
    actions: list[tuple[float, Any]] = []
    clock.schedule_relative = lambda due, action, state=None: actions.append((due, action))  # type: ignore[method-assign,assignment,return-value]
    states.pipe(ops.do_action(on_error=lambda _: order.append("error"))).subscribe(seen)
    (expiry_due, expire), (_, turn) = actions
    assert expiry_due == 10
    worker = threading.Thread(target=turn, args=(clock,))
    worker.start()
    assert inside.wait(GUARD)
    expire(clock)
    assert seen.endings == []
    fired.set()
    worker.join(GUARD)
    assert order == ["state delivered", "error"]
    assert isinstance(seen.endings[0], PollTimeoutError)
    assert len(actions) == 2  # no further turn was armed


def test_c15_disposing_oneself_in_on_next_stops(clock: TestScheduler) -> None:
    subscription: list[abc.DisposableBase] = []
    seen = Seen(lambda number: subscription[0].dispose() if number == 2 else None)
    subscription.append(counting(clock, interval=1).subscribe(seen))
    clock.advance_to(100)
    assert (seen.states, seen.endings) == ([1, 2], [])


def test_c16_disposing_a_sibling_in_on_next_stops_it(clock: TestScheduler) -> None:
    sibling = Seen()
    states = counting(clock, interval=1)
    acting = Seen(lambda number: subscription.dispose() if number == 2 else None)
    states.subscribe(acting)
    subscription = states.subscribe(sibling)
    clock.advance_to(100)
    assert (sibling.states, sibling.endings) == ([1], [])
    assert (acting.states, acting.endings) == ([1, 2, 3, 4], ["completed"])


def test_c17_disposing_is_idempotent_and_safe_from_any_thread() -> None:
    for _ in range(20):
        seen = Seen()
        subscription = watch(lambda: Polled(1), until=lambda _: False, interval=0).subscribe(seen)
        start = threading.Barrier(3)

        def leave(start: threading.Barrier = start, subscription: abc.DisposableBase = subscription) -> None:
            start.wait(GUARD)
            subscription.dispose()
            subscription.dispose()

        threads = [threading.Thread(target=leave) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GUARD)
        assert gone(seen.threads)
        had = len(seen.states)
        assert (len(seen.states), seen.endings) == (had, [])


def gone(threads: set[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(GUARD)
    return not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("ending", ["dispose", "complete", "fail", "deadline"])
def test_c18_c19_every_reference_is_dropped_at_the_end(clock: TestScheduler, ending: str) -> None:
    class State:
        """What is fetched, weakly referable."""

    def fetch() -> Polled[State]:
        if ending == "fail" and clock.clock > 3:
            raise Boom
        state = State()
        states.append(weakref.ref(state))
        return Polled(state)

    states: list[weakref.ref[State]] = []
    seen = Seen()
    deadline = 4 if ending == "deadline" else None
    watched = watch(
        fetch, until=lambda _: ending == "complete" and clock.clock > 3, interval=2, deadline=deadline, scheduler=clock
    )
    subscription = watched.subscribe(seen)
    clock.advance_to(5)
    if ending == "dispose":
        subscription.dispose()
    observer = weakref.ref(seen)
    assert len(states) >= 2
    del seen
    gc.collect()
    assert observer() is None
    assert [state() for state in states] == [None] * len(states)
    del watched, subscription


@pytest.mark.parametrize("make", [watch, watch_async])
def test_c31_an_async_callback_is_a_type_error(make: Any) -> None:
    async def callback(*_: object) -> None:
        raise AssertionError("nobody awaits it")

    async def later() -> Polled[int]:
        return Polled(1)

    states = make(later if make is watch_async else lambda: Polled(1), until=lambda _: True)
    with pytest.raises(TypeError, match="async function"):
        states.subscribe(callback)


def test_an_async_fetch_is_refused_with_the_right_spelling() -> None:
    async def later() -> Polled[int]:
        return Polled(1)

    with pytest.raises(TypeError, match="watch_async"):
        watch(later, until=lambda _: True)  # type: ignore[arg-type]


def test_the_wrong_kind_of_loop_is_a_type_error_with_the_right_spelling() -> None:
    async def later() -> Polled[int]:
        return Polled(1)

    with pytest.raises(TypeError, match="async for"):
        iter(watch_async(later, until=lambda _: True))
    with pytest.raises(TypeError, match="without `async`"):
        aiter(watch(lambda: Polled(1), until=lambda _: True))


# -- on threads ----------------------------------------------------------------------------------------------------


def test_run_and_loops_fetch_on_the_callers_thread() -> None:
    threads: list[threading.Thread] = []
    numbers = itertools.count(1)

    def fetch() -> Polled[int]:
        threads.append(threading.current_thread())
        return Polled(next(numbers))

    states = watch(fetch, until=lambda n: n % 3 == 0, interval=0.001)
    assert states.run() == 3
    assert list(states) == [4, 5, 6]
    assert list(states.pipe(ops.map(str))) == ["7", "8", "9"]
    assert set(threads) == {threading.current_thread()}


def test_subscriptions_fetch_on_one_daemon_thread_each_and_leave_none_behind() -> None:
    """C35"""
    threads: list[threading.Thread] = []

    def fetch() -> Polled[int]:
        threads.append(threading.current_thread())
        return Polled(len(threads))

    states = watch(fetch, until=lambda n: n >= 20, interval=0.001)
    first, second = Seen(), Seen()
    states.subscribe(first)
    states.subscribe(second)
    assert first.over.wait(GUARD)
    assert second.over.wait(GUARD)
    assert threading.current_thread() not in threads
    assert first.threads.isdisjoint(second.threads)
    assert (len(first.threads), len(second.threads), len(set(threads))) == (1, 1, 2)
    assert all(thread.daemon for thread in threads)
    assert gone(set(threads))


def test_time_operators_below_run_on_the_subscriptions_own_thread() -> None:
    """C10: a stock time operator of its own scheduler would call from a timer's thread."""
    numbers = itertools.count(1)
    states = watch(lambda: Polled(next(numbers)), until=lambda n: n == 3, interval=0.001)
    seen = Seen()
    states.pipe(ops.delay(0.002)).subscribe(seen)
    assert seen.over.wait(GUARD)
    assert seen.states == [1, 2, 3]
    assert len(seen.threads) == 1
    assert gone(seen.threads)


def test_the_deadline_comes_even_while_a_fetch_hangs() -> None:
    hang = threading.Event()
    seen = Seen()
    try:
        watch(lambda: Polled(hang.wait(GUARD)), until=lambda _: True, deadline=0.02).subscribe(seen)
        assert seen.over.wait(GUARD / 2)
        assert isinstance(seen.endings[0], PollTimeoutError)
    finally:
        hang.set()
    assert (seen.states, len(seen.endings)) == ([], 1)


def test_disposing_while_a_fetch_hangs_returns_at_once_and_drops_its_reply() -> None:
    hang, begun = threading.Event(), threading.Event()
    threads: set[threading.Thread] = set()

    def fetch() -> Polled[int]:
        threads.add(threading.current_thread())
        begun.set()
        hang.wait(GUARD)
        return Polled(1)

    seen = Seen()
    subscription = watch(fetch, until=lambda _: True).subscribe(seen)
    assert begun.wait(GUARD)
    subscription.dispose()
    assert not hang.is_set()
    hang.set()
    assert gone(threads)
    assert (seen.states, seen.endings) == ([], [])


def test_an_interrupt_in_a_fetch_comes_out_of_the_loop_and_the_loop_can_go_on() -> None:
    replies: Iterator[Any] = iter([1, KeyboardInterrupt(), 2, 3])

    def fetch() -> Polled[int]:
        reply = next(replies)
        if isinstance(reply, BaseException):
            raise reply
        return Polled(reply)

    loop = iter(watch(fetch, until=lambda n: n == 3, interval=0))
    assert next(loop) == 1
    with pytest.raises(KeyboardInterrupt):
        next(loop)
    assert list(loop) == [2, 3]


def test_what_a_fetch_subscribes_to_is_no_part_of_the_loop() -> None:
    inner: list[int] = []

    def fetch() -> Polled[int]:
        other = watch(lambda: Polled(7), until=lambda _: True)
        inner.append(other.run())
        return Polled(len(inner))

    assert list(watch(fetch, until=lambda n: n == 2, interval=0)) == [1, 2]
    assert inner == [7, 7]


def test_poll_gives_the_last_value() -> None:
    numbers = itertools.count(1)
    assert poll(lambda: Polled(next(numbers)), until=lambda n: n == 3, interval=0.001) == 3
    with pytest.raises(PollTimeoutError) as caught:
        poll(lambda: Polled("a"), until=lambda _: False, interval=0.001, deadline=0.01)
    assert caught.value.last == "a"


def test_many_watches_merge_on_one_loop() -> None:
    def numbers(first: int) -> Stream[int]:
        count = itertools.count(first)
        return watch(lambda: Polled(next(count)), until=lambda n: n == first + 2, interval=0.001)

    merged = numbers(0).pipe(ops.merge(numbers(10), numbers(20)))
    assert sorted(merged) == [0, 1, 2, 10, 11, 12, 20, 21, 22]


def test_zip_and_concat_poll_when_they_subscribe() -> None:
    begun: list[str] = []

    def named(name: str) -> Stream[str]:
        return watch(lambda: Polled(begun.append(name) or name), until=lambda _: True)

    first, second = named("first"), named("second")
    assert list(first + second) == ["first", "second"]
    assert begun == ["first", "second"]
    assert first.pipe(ops.zip(second)).run() == ("first", "second")


# -- on event loops ------------------------------------------------------------------------------------------------

pytestmark_async = pytest.mark.anyio


def counting_async(stop: int = 3, **plan: Any) -> AsyncStream[int]:
    numbers = itertools.count(1)

    async def fetch() -> Polled[int]:
        await anyio.lowlevel.checkpoint()
        return Polled(next(numbers))

    return watch_async(fetch, until=lambda n: n % stop == 0, **{"interval": 0.001, **plan})


@pytestmark_async
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


@pytestmark_async
async def test_poll_async_gives_the_last_value(anyio_backend: str) -> None:
    numbers = itertools.count(1)

    async def fetch() -> Polled[int]:
        return Polled(next(numbers))

    assert await poll_async(fetch, until=lambda n: n == 3, interval=0.001) == 3


@pytestmark_async
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


@pytestmark_async
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


@pytestmark_async
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


@pytestmark_async
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


@pytestmark_async
async def test_a_deadline_of_0_awaits_nothing(anyio_backend: str) -> None:
    async def fetch() -> Polled[int]:
        raise AssertionError("nobody asked")

    with pytest.raises(PollTimeoutError):
        await watch_async(fetch, until=lambda _: True, deadline=0)


@pytestmark_async
async def test_an_error_of_an_async_fetch_ends_the_stream(anyio_backend: str) -> None:
    async def fetch() -> Polled[int]:
        raise Boom

    with pytest.raises(Boom):
        await watch_async(fetch, until=lambda _: True)
    with pytest.raises(TypeError, match="must be an async function"):
        await watch_async(lambda: Polled(1), until=lambda _: True)  # type: ignore[arg-type,return-value]


@pytestmark_async
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


@pytestmark_async
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


@pytestmark_async
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

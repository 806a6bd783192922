"""The Rx contract for watch(), on a virtual clock and on threads: C1–C19, C24, C31."""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import weakref
from typing import Any

import pytest
from polling_seen import GUARD, Boom, Seen, gone
from reactivex import abc, operators as ops
from reactivex.testing import TestScheduler

from rx_assistant import Stream
from rx_assistant.errors import PollTimeoutError
from rx_assistant.polling import Polled, watch, watch_async


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
    """An observer that does nothing."""


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
        raise AssertionError("must not be awaited")

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

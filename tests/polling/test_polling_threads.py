"""watch() on threads: where it fetches, what it leaves behind (C35), and loops over it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from polling_seen import GUARD, Seen, gone
from reactivex import operators as ops

from rx_assistant import Stream
from rx_assistant.errors import PollTimeoutError
from rx_assistant.polling import Polled, poll, watch


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

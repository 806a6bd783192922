"""watch() on virtual time: when it fetches, to the tick, and how it ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from reactivex import abc, operators as ops
from reactivex.scheduler import CurrentThreadScheduler, ImmediateScheduler, TimeoutScheduler, VirtualTimeScheduler
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.mockobserver import MockObserver

from rx_assistant.errors import PollTimeoutError
from rx_assistant.polling import Backoff, Polled, watch

on_next, on_completed = ReactiveTest.on_next, ReactiveTest.on_completed


class Server:
    """Answers fetches from a list, the last one for ever; notes when each came, and takes `slow` ticks for it."""

    def __init__(self, scheduler: VirtualTimeScheduler, replies: Iterable[Any], slow: float = 0) -> None:
        self.scheduler = scheduler
        self.replies = list(replies)
        self.slow = slow
        self.fetched: list[float] = []

    def __call__(self) -> Polled[Any]:
        self.fetched.append(self.scheduler.to_seconds(self.scheduler.now))
        if self.slow:
            self.scheduler.sleep(self.slow)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Polled) else Polled(reply)


def is_done(state: str) -> bool:
    return state == "done"


def poll(
    replies: Iterable[Any],
    *,
    slow: float = 0,
    disposed: float = 1000,
    until: Callable[[Any], bool] = is_done,
    **plan: Any,
) -> tuple[MockObserver[Any], Server]:
    """Subscribe at 200."""
    scheduler = TestScheduler()
    server = Server(scheduler, replies, slow)
    observer = scheduler.start(lambda: watch(server, until=until, scheduler=scheduler, **plan), disposed=disposed)
    return observer, server


def error_of(observer: MockObserver[Any], time: float) -> Exception:
    last = observer.messages[-1]
    assert (last.time, last.value.kind) == (time, "E")
    return last.value.exception  # type: ignore[attr-defined,no-any-return]


def test_the_first_fetch_comes_at_once_then_one_interval_after_each_reply() -> None:
    observer, server = poll(["queued", "working", "done"], interval=10)
    assert server.fetched == [200, 210, 220]
    assert observer.messages == [
        on_next(200, "queued"),
        on_next(210, "working"),
        on_next(220, "done"),
        on_completed(220),
    ]


def test_a_state_that_is_final_at_once_costs_one_fetch() -> None:
    observer, server = poll(["done"], interval=10)
    assert server.fetched == [200]
    assert observer.messages == [on_next(200, "done"), on_completed(200)]


def test_a_slow_fetch_delays_the_next_one_and_never_overlaps_it() -> None:
    observer, server = poll(["a", "b", "done"], interval=10, slow=35)
    assert server.fetched == [200, 245, 290]
    assert observer.messages == [on_next(235, "a"), on_next(280, "b"), on_next(325, "done"), on_completed(325)]


def test_each_reply_may_change_the_wait() -> None:
    _, server = poll([Polled("a", 5), Polled("b", 50), Polled("c"), Polled("d", 0), "done"])
    assert server.fetched == [200, 205, 255, 256, 256]


@pytest.mark.parametrize("garbage", [-5, float("nan"), float("inf"), "7"])
def test_garbage_from_the_server_means_one_second(garbage: Any) -> None:
    _, server = poll([Polled("a", garbage), "done"])
    assert server.fetched == [200, 201]


def test_an_interval_wins_over_what_the_server_asks() -> None:
    _, server = poll([Polled("a", 500), Polled("b", 1), "done"], interval=10)
    assert server.fetched == [200, 210, 220]


def test_backoff_stretches_the_interval_up_to_its_cap() -> None:
    _, server = poll(["a"] * 5 + ["done"], interval=10, backoff=Backoff(2, cap=40))
    assert server.fetched == [200, 210, 230, 270, 310, 350]


def test_jitter_shortens_the_wait_by_the_share_that_was_drawn() -> None:
    draws = iter([0.0, 0.5, 1.0])
    _, server = poll(
        ["a"] * 3 + ["done"], interval=100, backoff=Backoff(1, cap=100, jitter=0.5, random=lambda: next(draws))
    )
    assert server.fetched == [200, 300, 375, 425]


def test_an_unknown_state_keeps_polling_until_the_deadline() -> None:
    observer, server = poll(["brand_new_status"], interval=10, deadline=35)
    assert server.fetched == [200, 210, 220, 230]
    error = error_of(observer, 235)
    assert isinstance(error, PollTimeoutError)
    assert isinstance(error, TimeoutError)
    assert error.last == "brand_new_status"
    assert "35 s" in str(error)
    assert "brand_new_status" in str(error)


def test_the_deadline_wins_over_a_fetch_that_is_due_at_the_same_time() -> None:
    observer, server = poll(["a"], interval=10, deadline=20)
    assert server.fetched == [200, 210]
    assert error_of(observer, 220).last == "a"  # type: ignore[attr-defined]


@pytest.mark.parametrize("deadline", [0, -1])
def test_a_deadline_of_0_raises_without_a_fetch(deadline: float) -> None:
    observer, server = poll(["done"], interval=10, deadline=deadline)
    assert server.fetched == []
    error = error_of(observer, 200)
    assert isinstance(error, PollTimeoutError)
    assert error.last is None


def test_a_reply_that_is_final_counts_even_if_it_was_too_slow_for_the_deadline() -> None:
    observer, _ = poll(["a", "done"], interval=10, slow=30, deadline=45)
    assert observer.messages == [on_next(230, "a"), on_next(270, "done"), on_completed(270)]


def test_a_reply_after_the_deadline_that_is_not_final_is_the_last_one() -> None:
    observer, server = poll(["a", "b", "c"], interval=10, slow=30, deadline=45)
    assert server.fetched == [200, 240]
    assert observer.messages[:-1] == [on_next(230, "a"), on_next(270, "b")]
    assert error_of(observer, 270).last == "b"  # type: ignore[attr-defined]


def test_an_error_of_the_fetch_ends_the_stream_at_once() -> None:
    boom = RuntimeError("gone")
    observer, server = poll(["a", boom, "done"], interval=10)
    assert server.fetched == [200, 210]
    assert observer.messages[0] == on_next(200, "a")
    assert error_of(observer, 210) is boom


def test_an_error_in_until_ends_the_stream_and_fetches_no_more() -> None:
    def until(_: str) -> bool:
        raise KeyError("status")

    observer, server = poll(["a"], interval=10, until=until)
    assert isinstance(error_of(observer, 200), KeyError)
    assert server.fetched == [200]


def test_a_fetch_that_gives_another_type_is_a_type_error_that_names_polled() -> None:
    scheduler = TestScheduler()
    observer = scheduler.start(lambda: watch(lambda: "done", until=is_done, scheduler=scheduler))  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match=r"Polled\(value, poll_after\), got str"):
        raise error_of(observer, 200)


def test_disposing_between_two_fetches_stops_at_once() -> None:
    observer, server = poll(["a"], interval=10, disposed=225)
    assert server.fetched == [200, 210, 220]
    assert observer.messages == [on_next(200, "a"), on_next(210, "a"), on_next(220, "a")]


def test_disposing_before_the_first_turn_fetches_nothing() -> None:
    scheduler = TestScheduler()
    server = Server(scheduler, ["a"])
    watch(server, until=is_done, scheduler=scheduler, deadline=5).subscribe(scheduler.create_observer()).dispose()
    scheduler.start()
    assert server.fetched == []


def test_the_time_that_an_observer_takes_is_part_of_the_interval() -> None:
    scheduler = TestScheduler()
    server = Server(scheduler, ["a", "b", "c", "done"])
    pauses = iter([4, 25, 0, 0])
    watch(server, until=is_done, interval=10, scheduler=scheduler).subscribe(lambda _: scheduler.sleep(next(pauses)))
    scheduler.start()
    assert server.fetched == [0, 10, 35, 45]


def test_every_subscription_polls_for_itself() -> None:
    scheduler = TestScheduler()
    server = Server(scheduler, ["a", "b", "c", "done"])
    states = watch(server, until=is_done, interval=10, scheduler=scheduler)
    first, second = scheduler.create_observer(), scheduler.create_observer()
    states.subscribe(first)
    scheduler.schedule_relative(15, lambda *_: states.subscribe(second))
    scheduler.start()
    assert server.fetched == [0, 10, 15, 20, 25]
    assert first.messages == [on_next(0, "a"), on_next(10, "b"), on_next(20, "done"), on_completed(20)]
    assert second.messages == [on_next(15, "c"), on_next(25, "done"), on_completed(25)]


def test_the_scheduler_of_the_subscription_serves_where_the_watch_has_none() -> None:
    scheduler = TestScheduler()
    server = Server(scheduler, ["a", "done"])
    observer = scheduler.start(lambda: watch(server, until=is_done, interval=10))
    assert server.fetched == [200, 210]
    assert observer.messages[-1] == on_completed(210)


def test_it_composes_with_stock_operators_on_the_same_clock() -> None:
    scheduler = TestScheduler()
    server = Server(scheduler, ["a", "a", "b", "b", "done"])
    chain = watch(server, until=is_done, interval=10).pipe(ops.distinct_until_changed(), ops.delay(1))
    observer = scheduler.start(lambda: chain)
    assert observer.messages == [on_next(201, "a"), on_next(221, "b"), on_next(241, "done"), on_completed(241)]


def test_take_until_stops_the_polling_underneath() -> None:
    scheduler = TestScheduler()
    server = Server(scheduler, ["a"])
    scheduler.start(lambda: watch(server, until=is_done, interval=10).pipe(ops.take(3)))
    assert server.fetched == [200, 210, 220]


def test_a_wall_clock_that_is_set_changes_no_wait_by_more_than_an_interval() -> None:
    """Waits are durations; only the time that an observer took is read from the scheduler's clock, within bounds."""
    jumps = itertools.cycle([timedelta(0), timedelta(days=-400), timedelta(days=400), timedelta(hours=1)])
    waits: list[float] = []

    class Stepped(TimeoutScheduler):
        @property
        def now(self) -> datetime:
            return datetime(2026, 8, 26, tzinfo=UTC) + next(jumps)

        def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
            waits.append(duetime)
            return super().schedule_relative(60.0 if duetime == 100 else 0.0, action, state)

    states = iter(["a"] * 20 + ["done"])
    watched = watch(lambda: Polled(next(states)), until=is_done, interval=10, deadline=100, scheduler=Stepped())
    assert watched.run() == "done"
    assert waits[:2] == [100, 0]
    assert len(waits) == 22
    assert all(0 <= wait <= 10 for wait in waits[1:])
    assert 10 in waits


@pytest.mark.parametrize("kind", [ImmediateScheduler, CurrentThreadScheduler])
def test_a_scheduler_that_runs_at_once_needs_no_stack(kind: type[Any]) -> None:
    """C14: 20 000 turns without a wait."""
    numbers = iter(range(20_000))
    got: list[int] = []
    endings: list[object] = []
    states = watch(lambda: Polled(next(numbers)), until=lambda n: n == 19_999, interval=0, scheduler=kind())
    states.subscribe(got.append, endings.append, lambda: endings.append("completed"))
    assert (len(got), endings) == (20_000, ["completed"])

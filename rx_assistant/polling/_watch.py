"""watch(): a fetch that is repeated until its result is final → a cold stream of states."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from reactivex import abc

from rx_assistant.hot import AsyncStream, HotLog, Root, Stream, Subscriber
from rx_assistant.polling._pace import Backoff, Polled, checked_deadline, checked_interval
from rx_assistant.polling._turns import AsyncTurns, Fetch, OwnThread, Plan, SyncTurns
from rx_assistant.schedulers import LoopWaker, current_event_loop, loop_scheduler

T = TypeVar("T")
R = TypeVar("R")


def watch(
    fetch: Callable[[], Polled[T]],
    *,
    until: Callable[[T], bool],
    interval: float | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Stream[T]:
    """Give the states that `fetch` finds, the last one being the first for which `until` is true.

        fetch      f---f---f---f|
        watch      a---a---b---C|       until(C)

    Cold: every subscription and every loop polls for itself. The first fetch comes at once, each further one an
    interval after the reply before it, so there are never two at a time. Turns run on `scheduler`, or on the one given
    to `subscribe()`; without either on the thread that iterates or waits in `run()`, and for `subscribe()` on a daemon
    thread of the subscription's own. Disposing stops at once.

    Args:
        fetch: Gives `Polled(value, poll_after)`. Retries belong inside: what it raises ends the stream.
        until: Whether a state is final.
        interval: Seconds. By default each reply's `poll_after` says when to fetch again, and 1 s where it does not.
        deadline: Seconds from the subscription to PollTimeoutError; 0 raises it without a fetch.
        backoff: Lets the interval grow.
        scheduler: Runs the turns and keeps the time.

    Raises:
        PollTimeoutError: through `on_error`, with the last state in `last`.
    """
    if inspect.iscoroutinefunction(fetch):
        raise TypeError("fetch is an async function: use watch_async(...)")
    plan = planned(lambda _: _Plain(fetch), until, interval, deadline, backoff)
    return watching(plan, scheduler)


def watch_async(
    fetch: Callable[[], Awaitable[Polled[T]]],
    *,
    until: Callable[[T], bool],
    interval: float | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> AsyncStream[T]:
    """Give the states that an async `fetch` finds: `watch`, on asyncio and trio.

    Fetches run in tasks on the event loop of whoever subscribes; disposing cancels the one under way. `scheduler`,
    where given, only keeps the time.
    """

    async def fetched() -> Polled[T]:
        pending = fetch()
        if not inspect.isawaitable(pending):
            raise TypeError(f"fetch must be an async function, but gave {type(pending).__name__}: use watch(...)")
        return await pending

    plan = planned(lambda _: _Plain(fetched), until, interval, deadline, backoff)
    return watching_async(plan, scheduler)


def poll(
    fetch: Callable[[], Polled[T]],
    *,
    until: Callable[[T], bool],
    interval: float | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
) -> T:
    """Give the final state, fetching on this thread until it is there: the last value of `watch`.

    Raises:
        PollTimeoutError: it was not there by the deadline; `last` is the last state.
    """
    return watch(fetch, until=until, interval=interval, deadline=deadline, backoff=backoff).run()


async def poll_async(
    fetch: Callable[[], Awaitable[Polled[T]]],
    *,
    until: Callable[[T], bool],
    interval: float | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
) -> T:
    """Give the final state: `poll`, on asyncio and trio."""
    return await watch_async(fetch, until=until, interval=interval, deadline=deadline, backoff=backoff)


def planned(
    open: Callable[[bool], Fetch[R]],
    until: Callable[[T], bool],
    interval: float | None,
    deadline: float | None,
    backoff: Backoff | None = None,
    *,
    begins: bool = False,
) -> Plan[T, R]:
    """The plan of a watch; ValueError for an interval or deadline that is no number of seconds."""
    return Plan(open, until, checked_interval(interval), backoff, checked_deadline(deadline), begins)


def watching(plan: Plan[T, Polled[T]], scheduler: abc.SchedulerBase | None = None) -> Stream[T]:
    """The stream of a plan."""

    def link(down: Subscriber[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        turns = SyncTurns(plan, down, scheduler, given)
        down.hold(turns)  # a scheduler that runs at once may end it before we return
        turns.start()
        return turns

    return Stream(link, origin())


def watching_async(
    plan: Plan[T, Coroutine[Any, Any, Polled[T]]], scheduler: abc.SchedulerBase | None = None
) -> AsyncStream[T]:
    """The asynchronous stream of a plan."""

    def link(down: Subscriber[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        loop = current_event_loop()
        turns = AsyncTurns(plan, down, scheduler or given or loop_scheduler(loop), loop)
        down.hold(turns)
        turns.start()
        return turns

    return AsyncStream(link, async_origin())


def origin() -> Root:
    """The origin of a cold stream whose subscriptions each get a thread of their own."""
    return _Threads()


def async_origin() -> Root:
    """The origin of a cold stream whose subscriptions live on the event loop that they are made on."""
    return _Here()


class _Plain(Generic[R]):
    """A function as a Fetch: it is the same for all subscriptions, and cannot be broken off."""

    def __init__(self, fetch: Callable[[], R]) -> None:
        self._fetch = fetch

    def __call__(self) -> R:
        return self._fetch()

    def close(self) -> None:
        """Nothing to break off."""


class _Origin:
    """The origin of a watch, which has nothing to read from: no log of its own, each subscription polls for itself."""

    def __init__(self) -> None:
        self.log: HotLog[Any] = HotLog()

    driver: _Driver | None = None


class _Threads(_Origin):
    """Each subscription gets a thread, for the time operators below it too (C10)."""

    @property
    def scheduler(self) -> abc.SchedulerBase:
        return OwnThread()


class _Here(_Origin):
    """Subscriptions live on whatever event loop runs where they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = _Driver()

    @property
    def scheduler(self) -> abc.SchedulerBase:
        return loop_scheduler(current_event_loop())


class _Driver:
    """What a loop over an asynchronous watch asks of its event loop. The turns drive themselves."""

    gated = False

    async def advance(self, position: int) -> None:
        """Nothing to read."""

    async def connect(self) -> None:
        """Nothing to read."""

    async def deliver(self, upto: int) -> None:
        """No handlers to serve."""

    async def settle(self) -> None:
        """No connection to give back."""

    def waker(self) -> LoopWaker:
        """Something to sleep on that any thread may wake."""
        return LoopWaker(current_event_loop())

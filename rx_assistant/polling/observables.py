"""watch() and poll(): a fetch that is repeated until its result is final → a cold stream of states, or the last one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from reactivex import abc

from rx_assistant.hot import AsyncStream, HotLog, Root, Stream, Subscriber
from rx_assistant.polling.loop import Plan
from rx_assistant.polling.pace import Backoff, Polled, PollSettings
from rx_assistant.polling.subscription import AsyncPollSubscription, OwnThreadScheduler, SyncPollSubscription
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
    interval after the reply before it, so two never overlap. Fetches run on `scheduler`, or on the scheduler given to
    `subscribe()`. Without either they run on the thread that iterates or waits in `run()`, and for `subscribe()` on a
    daemon thread of the subscription's own. Disposing stops at once.

    Args:
        fetch: Gives `Polled(value, poll_after)`. Its error ends the stream, so retries belong inside it.
        until: Whether a state is final.
        interval: Seconds. By default each reply's `poll_after` says when to fetch again, and 1 s where it does not.
        deadline: Seconds from the subscription to PollTimeoutError; 0 raises it without a fetch.
        backoff: Lets the interval grow.
        scheduler: Runs the fetches and keeps the time.

    Raises:
        PollTimeoutError: through `on_error`, with the last state in `last`.
    """
    if inspect.iscoroutinefunction(fetch):
        raise TypeError("fetch is an async function: use watch_async(...)")
    settings = PollSettings(interval=interval, deadline=deadline, backoff=backoff)
    return observe(Plan(open=lambda _: _Function(fetch), until=until, settings=settings), scheduler)


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

    Fetches run in tasks on the subscriber's event loop. Disposing cancels the fetch under way. `scheduler` only keeps
    the time.
    """

    async def fetched() -> Polled[T]:
        pending = fetch()
        if not inspect.isawaitable(pending):
            raise TypeError(
                f"fetch must be an async function, got one that gives {type(pending).__name__}: use watch(...)"
            )
        return await pending

    settings = PollSettings(interval=interval, deadline=deadline, backoff=backoff)
    return observe_async(Plan(open=lambda _: _Function(fetched), until=until, settings=settings), scheduler)


def poll(
    fetch: Callable[[], Polled[T]],
    *,
    until: Callable[[T], bool],
    interval: float | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
) -> T:
    """Give the final state, the last value of `watch`. Fetches run on this thread.

    Raises:
        PollTimeoutError: the deadline passed; `last` is the last state.
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


def observe(plan: Plan[T, Polled[T]], scheduler: abc.SchedulerBase | None = None) -> Stream[T]:
    """The stream of a plan."""

    def link(down: Subscriber[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        subscription = SyncPollSubscription(plan, down, scheduler, given)
        down.hold(subscription)  # a scheduler that runs at once may end it before this returns
        subscription.start()
        return subscription

    return Stream(link, thread_origin())


def observe_async(
    plan: Plan[T, Coroutine[Any, Any, Polled[T]]], scheduler: abc.SchedulerBase | None = None
) -> AsyncStream[T]:
    """The asynchronous stream of a plan."""

    def link(down: Subscriber[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        loop = current_event_loop()
        subscription = AsyncPollSubscription(plan, down, scheduler or given or loop_scheduler(loop), loop)
        down.hold(subscription)
        subscription.start()
        return subscription

    return AsyncStream(link, loop_origin())


def thread_origin() -> Root:
    """The origin of a cold stream whose subscriptions each get a thread of their own."""
    return _ThreadOrigin()


def loop_origin() -> Root:
    """The origin of a cold stream whose subscriptions live on the event loop that runs where they are made."""
    return _LoopOrigin()


class _Function(Generic[R]):
    """A function as a Fetch. All subscriptions share it, and nothing can break it off."""

    def __init__(self, fetch: Callable[[], R]) -> None:
        self._fetch = fetch

    def __call__(self) -> R:
        return self._fetch()

    def close(self) -> None:
        """Nothing to break off."""


class _Origin:
    """The origin of a watch. Its log stays empty, because each subscription polls for itself."""

    def __init__(self) -> None:
        self.log: HotLog[Any] = HotLog()

    driver: _Driver | None = None


class _ThreadOrigin(_Origin):
    """Each subscription gets a thread, also for the time operators below it (C10)."""

    @property
    def scheduler(self) -> abc.SchedulerBase:
        return OwnThreadScheduler()


class _LoopOrigin(_Origin):
    """Subscriptions live on the event loop that runs where they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = _Driver()

    @property
    def scheduler(self) -> abc.SchedulerBase | None:
        try:
            return loop_scheduler(current_event_loop())
        except RuntimeError:  # a stream that needs a loop says so itself
            return None


class _Driver:
    """What a loop over an asynchronous watch asks of its event loop. The subscription drives itself."""

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
        """An alarm that any thread can set off."""
        return LoopWaker(current_event_loop())

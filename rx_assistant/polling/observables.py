"""watch() and poll(): a fetch, repeated until its result is final → a cold stream of states, or the last state."""

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
    """Emit the states that `fetch` returns, up to the first one for which `until` is true.

        fetch      f---f---f---f|
        watch      a---a---b---C|       until(C)

    Cold: every subscription and every loop sends its own fetches. The first fetch is sent at once, each further one an
    interval after the reply before it, so two never overlap. Fetches run on `scheduler`, or on the scheduler given to
    `subscribe()`. Without a scheduler they run on the thread that iterates or waits in `run()`, and each `subscribe()`
    starts a daemon thread. Disposing stops at once.

    Args:
        fetch: Returns `Polled(value, poll_after)`. Its error ends the stream, so retries belong inside it.
        until: Whether a state is final.
        interval: Seconds. By default each reply's `poll_after` decides, or 1 s if it is missing.
        deadline: Seconds from the subscription to PollTimeoutError; 0 raises it without a fetch.
        backoff: Makes the interval grow.
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
    """Emit the states that an async `fetch` returns: `watch`, on asyncio and trio.

    Fetches run in tasks on the subscriber's event loop. Disposing cancels the active fetch. `scheduler` is only used
    for the time.
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
    """Return the final state, the last value of `watch`. Fetches run on this thread.

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
    """Return the final state: `poll`, on asyncio and trio."""
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
    """The origin of a cold stream. Each subscription gets its own thread."""
    return _ThreadOrigin()


def loop_origin() -> Root:
    """The origin of a cold stream. Each subscription lives on the event loop that runs when it is made."""
    return _LoopOrigin()


class _Function(Generic[R]):
    """A function as a Fetch. All subscriptions share it, and it cannot be stopped."""

    def __init__(self, fetch: Callable[[], R]) -> None:
        self._fetch = fetch

    def __call__(self) -> R:
        return self._fetch()

    def close(self) -> None:
        """Do nothing: a function cannot be stopped."""


class _Origin:
    """The origin of a watch. Its log stays empty, because each subscription sends its own fetches."""

    def __init__(self) -> None:
        self.log: HotLog[Any] = HotLog()

    driver: _Driver | None = None


class _ThreadOrigin(_Origin):
    """Each subscription gets a thread, also for the time operators below it (C10)."""

    @property
    def scheduler(self) -> abc.SchedulerBase:
        return OwnThreadScheduler()


class _LoopOrigin(_Origin):
    """Subscriptions live on the event loop that runs when they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = _Driver()

    @property
    def scheduler(self) -> abc.SchedulerBase | None:
        try:
            return loop_scheduler(current_event_loop())
        except RuntimeError:  # a stream that needs a loop raises its own error
            return None


class _Driver:
    """The driver of a loop over an asynchronous watch. It does nothing, because the subscription drives itself."""

    gated = False

    async def advance(self, position: int) -> None:
        """Do nothing: there is nothing to read."""

    async def connect(self) -> None:
        """Do nothing: there is nothing to read."""

    async def deliver(self, upto: int) -> None:
        """Do nothing: there are no handlers."""

    async def settle(self) -> None:
        """Do nothing: there is no connection."""

    def waker(self) -> LoopWaker:
        """An alarm that any thread can set off."""
        return LoopWaker(current_event_loop())

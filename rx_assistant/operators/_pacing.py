"""Items as they come → no more of them than an eye can follow, or a queue may hold.

    source            --a-b-c-------d-e-|
    coalesce(---)     --a---(bc)----d--e|
    latest(---)       --a---c-------d--e|

Reading pace and looking pace differ by a factor of a hundred: a server writes a delta each few milliseconds or less,
and whoever shows them needs one each frame. Time operators of reactivex do not do this: debounce starves,
throttle_first loses the tail, sample loses everything else, buffer_with_time wakes while idle and loses its buffer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rx_assistant.hot import TIMERS, Hooks, Scope, Sink, StreamScheduler, operator
from rx_assistant.operators._joining import joined, may_join
from rx_assistant.operators._pacing_backlog import Backlog, Handoff, Newest, Overflow

T = TypeVar("T")

FRAME = 1 / 30
"""Seconds between two groups: text that appears thirty times a second looks as if it flowed."""

STRETCH = 1.5
"""A frame lasts at least this many times as long as the last draining: slow observers get fewer, larger items."""


def coalesce(
    interval: float = FRAME,
    *,
    adjacent: Callable[[T, T], bool] = may_join,
    join: Callable[[Sequence[T]], T] = joined,
    leading: bool = True,
    max_pending: int | None = None,
    overflow: Overflow = "error",
    on_drop: Callable[[T], object] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Emit fewer, larger items: at most one group of joined neighbours per `interval` (seconds), and lose nothing.

        source                --a-b-c-------d-X-e-|       X: joins nothing
        coalesce(interval)    --a---(bc)----d-X-e-|

    The first item after idle goes out at once. An item that may not be joined to the one before it is a barrier:
    what waits and the item itself go out at once, so that a tool call or a required action never waits for a frame.
    What waits goes out before the ending; disposing drops it. There is no timer while nothing waits. A draining that
    took long stretches the frame to 1.5 times as long.

    Text, deltas of one part or call, and run snapshots of one status are joined by default; other items only by
    `adjacent(earlier, later)`, asked for each item, and `join(items)`, called for each group of more than one.

    >>> list(stream.pipe(ax.text_deltas(), ax.coalesce(interval=60)))
    ['It is', ' 12°C in Paris.']

    Args:
        interval: Seconds between two groups.
        adjacent: Whether two neighbours may be joined.
        join: Gives one item for many.
        leading: Whether the first item after idle goes out at once, instead of waiting for an interval.
        max_pending: How many groups may wait, where observers are slower than the source and run on other threads.
        overflow: `"error"` ends with StreamOverflowError after what waits; or `"drop_oldest"`, `"drop_newest"`.
        on_drop: Called with each item that is dropped.
        scheduler: Its timer is used; by default the one given to `subscribe()`, or the stream's own.
    """
    _check(interval=interval, capacity=max_pending, overflow=overflow)

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        backlog = Backlog(adjacent, join, capacity=max_pending, overflow=overflow, on_drop=on_drop)
        return _Coalescing(down, backlog, interval, leading, scheduler or timing(scope)).hooks

    return operator(start)


def latest(
    interval: float = FRAME, *, leading: bool = True, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Observable[T]]:
    """Emit the newest item, at most one per `interval` (seconds), and always the last one. For snapshots.

        source              --a-b-c-d------e-|
        latest(interval)    --a---c---d----e-|

    Otherwise as `coalesce`: the first after idle at once, the last before the ending, a slow observer gets fewer.

    >>> [text.value for text in stream.pipe(ax.text_snapshots(), ax.latest(interval=60))]
    ['It is', 'It is 12°C in Paris.']
    """
    _check(interval=interval)

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        return _Coalescing(down, Newest(), interval, leading, scheduler or timing(scope)).hooks

    return operator(start)


def buffer_bounded(
    capacity: int,
    *,
    overflow: Overflow = "error",
    on_drop: Callable[[T], object] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Emit every item, in order, from turns of `scheduler`, while at most `capacity` of them wait there.

        source                --abc----d-|
        buffer_bounded(3)     ---a-b-c--d-|

    For observers that need every event and are slower than the stream: it reads on while they work. One turn is
    pending at a time, and hands on whatever waits. What waits goes out before the ending; disposing drops it.

    >>> list(stream.pipe(ax.text_deltas(), ax.buffer_bounded(1000)))
    ['It is', ' 12°C in Paris', '.']

    Args:
        capacity: How many items may wait.
        overflow: `"error"` ends with StreamOverflowError after what waits; or `"drop_oldest"`, `"drop_newest"`.
        on_drop: Called with each item that is dropped.
        scheduler: Where the observer runs; by default the scheduler given to `subscribe()`, or the stream's own.
    """
    _check(capacity=capacity, overflow=overflow)

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        backlog = Backlog(_never, joined, capacity=capacity, overflow=overflow, on_drop=on_drop)
        return _Buffering(down, backlog, scheduler or timing(scope)).hooks

    return operator(start)


def timing(scope: Scope[Any]) -> abc.SchedulerBase:
    """Give the scheduler of a subscription; for sources without one, the process's timers, called as they are due."""
    return scope.scheduler or StreamScheduler(_at_once, TIMERS.call_later)


def _at_once(action: Callable[[], None]) -> None:
    action()


def _never(_earlier: object, _later: object) -> bool:
    return False


def _check(*, interval: object = FRAME, capacity: object = None, overflow: str = "error") -> None:
    if not isinstance(interval, int | float):  # a stream, when the parentheses were forgotten in a pipe
        raise TypeError(f"interval is a number of seconds, not {interval!r}")
    if not interval > 0:
        raise ValueError(f"interval is a number of seconds, more than 0, not {interval!r}")
    if not isinstance(capacity, int | None):
        raise TypeError(f"the capacity is a number of items, not {capacity!r}")
    if capacity is not None and capacity < 1:
        raise ValueError(f"the capacity is a number of items, at least 1, not {capacity!r}")
    if overflow not in ("error", "drop_oldest", "drop_newest"):
        raise ValueError(f"overflow must be 'error', 'drop_oldest' or 'drop_newest', not {overflow!r}")


class _Scheduled(Handoff[T]):
    """Drains on a scheduler, on which at most one action of it is pending."""

    def __init__(self, down: Sink[T], backlog: Backlog[T], scheduler: abc.SchedulerBase) -> None:
        super().__init__(down, backlog)
        self._scheduler = scheduler
        self._timer: SingleAssignmentDisposable | None = None
        self._mutex = threading.Lock()

    def dispose(self) -> None:
        super().dispose()
        self._disarm()

    def _arm(self, seconds: float) -> None:
        timer = SingleAssignmentDisposable()
        with self._mutex:
            if self._timer is not None or self.over:
                return
            self._timer = timer
        if seconds > 0:
            timer.disposable = self._scheduler.schedule_relative(seconds, self._tick, timer)
        else:
            timer.disposable = self._scheduler.schedule(self._tick, timer)

    def _disarm(self) -> None:
        with self._mutex:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.dispose()

    def _tick(self, _scheduler: abc.SchedulerBase, timer: object) -> None:
        if timer is self._timer:
            self.drain()

    def _deliver(self) -> None:
        self._disarm()
        super()._deliver()


class _Coalescing(_Scheduled[T]):
    """Drains at once when a frame has passed or a barrier comes; else when the frame will have passed."""

    def __init__(
        self, down: Sink[T], backlog: Backlog[T], interval: float, leading: bool, scheduler: abc.SchedulerBase
    ) -> None:
        super().__init__(down, backlog, scheduler)
        self._interval = self._frame = interval
        self._leading = leading
        self._began: datetime | None = None  # when the last draining began
        self._draining = False

    def _arrange(self) -> None:
        if self._draining:
            return  # whoever drains will see, once this is False, that something waits
        rest = self._rest()
        if rest > 0:
            self._arm(rest)
        elif self._leading:
            self.drain()
        else:
            self._arm(self._interval)

    def _hurry(self) -> None:
        self.drain()

    def _rest(self) -> float:
        """Seconds until the frame has passed that began with the last draining."""
        if self._began is None:
            return 0.0
        passed = (self._scheduler.now - self._began).total_seconds()
        return min(self._frame - passed, self._frame)  # a clock that was set back must not stop us

    def _deliver(self) -> None:
        self._draining = True
        self._began = began = self._scheduler.now
        try:
            super()._deliver()
        finally:
            took = (self._scheduler.now - began).total_seconds()
            self._frame = max(self._interval, STRETCH * took)
            self._draining = False
            if self.backlog:
                self._arm(self._rest())


class _Buffering(_Scheduled[T]):
    """Drains in the scheduler's next turn."""

    def _arrange(self) -> None:
        self._arm(0)

    _hurry = _arrange

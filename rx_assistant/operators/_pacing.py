"""Items at the server's pace → fewer items, at a pace that a person or an observer can follow.

    source            --a-b-c-------d-e-|
    coalesce(---)     --a---(bc)----d--e|
    latest(---)       --a---c-------d--e|

A server writes a delta every few milliseconds or less, but a screen needs one update per frame. The time operators of
reactivex do not solve this: debounce emits nothing while items keep coming, throttle_first loses the last items, sample
loses all items between its samples, and buffer_with_time runs a timer all the time and loses its buffer on an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rx_assistant.hot import Hooks, Scope, Sink, StreamScheduler, Worker, operator
from rx_assistant.operators._joining import joined, may_join
from rx_assistant.operators._pacing_backlog import Backlog, Handoff, Newest, Overflow

T = TypeVar("T")

FRAME = 1 / 30
"""Seconds between two groups. Text that is updated thirty times a second looks continuous."""

STRETCH = 1.5
"""A frame lasts at least this many times as long as the last delivery: slow observers get fewer, larger items."""


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
    """Emit fewer, larger items: at most one group of joined items per `interval` (seconds). Nothing is lost.

        source                --a-b-c-------d-X-e-|       X: cannot be joined
        coalesce(interval)    --a---(bc)----d-X-e-|

    The first item after a pause is emitted at once. An item that cannot be joined to the one before it is a barrier:
    all waiting items and the barrier are emitted at once, so a tool call or required action never waits for a frame.
    Waiting items are emitted before the ending; disposal drops them. No timer runs while no item waits. If a delivery
    takes long, the next frame lasts 1.5 times as long as that delivery.

    By default, texts, deltas of one part or call, and run snapshots of one status are joined. For other items, pass
    `adjacent(earlier, later)`, which is called for each item, and `join(items)`, which is called for each group of
    more than one item.

    >>> list(stream.pipe(ax.text_deltas(), ax.coalesce(interval=60)))
    ['It is', ' 12°C in Paris.']

    Args:
        interval: Seconds between two groups.
        adjacent: Returns whether two adjacent items may be joined.
        join: Returns one item for many.
        leading: Whether the first item after a pause is emitted at once, instead of after an interval.
        max_pending: How many groups may wait, for observers on other threads that are slower than the source.
        overflow: The policy when more would have to wait: `"error"` emits all waiting items, then a
            StreamOverflowError; `"drop_oldest"` and `"drop_newest"` drop an item.
        on_drop: Called with each item that is dropped.
        scheduler: The scheduler for timers; by default the one given to `subscribe()`, or the stream's own.

    Raises:
        TypeError: an argument has the wrong type; at once.
        ValueError: `interval` is not above 0, `max_pending` is below 1, or `overflow` is unknown; at once.
    """
    _check(scheduler, interval=interval, overflow=overflow, max_pending=max_pending)
    for name, function in (("adjacent", adjacent), ("join", join)):
        if not callable(function):
            raise TypeError(f"{name} must be a function of two items, got {function!r:.80}")

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        backlog = Backlog(adjacent, join, capacity=max_pending, overflow=overflow, on_drop=on_drop)
        return _Coalescing(down, backlog, interval, leading, scheduler or timing(scope)).hooks

    return operator(start)


def latest(
    interval: float = FRAME, *, leading: bool = True, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Observable[T]]:
    """Emit the newest item, at most one per `interval` (seconds), and always the last one. Use it for snapshots.

        source              --a-b-c-d------e-|
        latest(interval)    --a---c---d----e-|

    As with `coalesce`, the first item after a pause is emitted at once, and the last item before the ending.

    >>> [text.value for text in stream.pipe(ax.text_snapshots(), ax.latest(interval=60))]
    ['It is', 'It is 12°C in Paris.']

    Raises:
        TypeError: `interval` or `scheduler` has the wrong type; at once.
        ValueError: `interval` is not above 0; at once.
    """
    _check(scheduler, interval=interval)

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
    """Emit every item, in order, in actions of `scheduler`. At most `capacity` items wait.

        source                --abc----d-|
        buffer_bounded(3)     ---a-b-c--d-|

    Use it for observers that need every item and are slower than the stream: reading continues while they work. At
    most one action is pending, and it emits all waiting items. They are emitted before the ending; disposal drops them.

    >>> list(stream.pipe(ax.text_deltas(), ax.buffer_bounded(1000)))
    ['It is', ' 12°C in Paris', '.']

    Args:
        capacity: How many items may wait.
        overflow: The policy when more would have to wait: `"error"` emits all waiting items, then a
            StreamOverflowError; `"drop_oldest"` and `"drop_newest"` drop an item.
        on_drop: Called with each item that is dropped.
        scheduler: Runs the observer; by default the scheduler given to `subscribe()`, or the stream's own.

    Raises:
        TypeError: an argument has the wrong type; at once.
        ValueError: `capacity` is below 1, or `overflow` is unknown; at once.
    """
    _check(scheduler, overflow=overflow, capacity=capacity)

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        backlog = Backlog(_never, joined, capacity=capacity, overflow=overflow, on_drop=on_drop)
        return _Buffering(down, backlog, scheduler or timing(scope)).hooks

    return operator(start)


def timing(scope: Scope[Any]) -> abc.SchedulerBase:
    """Return the scheduler of a subscription; for sources without one, a worker's."""
    return scope.scheduler or StreamScheduler(_at_once, Worker().call_later)


def _at_once(action: Callable[[], None]) -> None:
    action()


def _never(_earlier: object, _later: object) -> bool:
    return False


def _check(scheduler: object, *, interval: object = FRAME, overflow: str = "error", **limits: object) -> None:
    if not isinstance(scheduler, abc.SchedulerBase | None):
        raise TypeError(f"scheduler must be a scheduler of reactivex, got {scheduler!r:.80}")
    if not isinstance(interval, int | float):  # it is a stream if the parentheses are missing in a pipe
        raise TypeError(f"interval must be a number of seconds, got {interval!r}")
    if not interval > 0:
        raise ValueError(f"interval must be a number of seconds above 0, got {interval!r}")
    for name, limit in limits.items():
        if not isinstance(limit, int | None):
            raise TypeError(f"{name} must be a number of items, got {limit!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be at least 1, got {limit!r}")
    if overflow not in ("error", "drop_oldest", "drop_newest"):
        raise ValueError(f"overflow must be 'error', 'drop_oldest' or 'drop_newest', got {overflow!r}")


class _Scheduled(Handoff[T]):
    """Delivers on a scheduler; at most one action is pending there."""

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
    """Delivers at once if a frame has passed or a barrier arrives; else at the end of the frame."""

    def __init__(
        self, down: Sink[T], backlog: Backlog[T], interval: float, leading: bool, scheduler: abc.SchedulerBase
    ) -> None:
        super().__init__(down, backlog, scheduler)
        self._interval = self._frame = interval
        self._leading = leading
        self._began: datetime | None = None  # when the last delivery began
        self._draining = False

    def _arrange(self) -> None:
        if self._draining:
            return  # the draining thread sets this to False, then looks for waiting items again
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
        """Seconds until the end of the frame that began with the last delivery."""
        if self._began is None:
            return 0.0
        passed = (self._scheduler.now - self._began).total_seconds()
        return min(self._frame - passed, self._frame)  # if the clock was set back, wait for at most one frame

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
    """Delivers in the scheduler's next action."""

    def _arrange(self) -> None:
        self._arm(0)

    _hurry = _arrange

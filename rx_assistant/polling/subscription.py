"""One subscription to a polled state: it fetches, emits the state, and schedules the next fetch.

Theory of operation

    subscribe ── schedule(0) ──► fetch ──► state ──► on_next ──┬── final ──► on_completed
                                   ▲                           └── schedule(seconds left since the reply)
                                   └──────── scheduler ────────────┘

There is at most one timer and at most one fetch, because each reply schedules the next fetch. No clock ticks on its
own, and nothing is compared with the time of day. The scheduler gets every wait as a duration, so a virtual clock
makes it exact, and setting the wall clock changes nothing.

The deadline is a separate timer. It is set before the first fetch, so that it wins a tie. It may fire during a fetch:
then the fetch is stopped. It may fire while an observer receives a state on another thread: then the error waits until
the observer returns (`_late`), so that signals stay serial (C10, C11).
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable, SerialDisposable, SingleAssignmentDisposable

from rx_assistant.errors import StreamCancelledError
from rx_assistant.hot import StreamScheduler, Timers, call_later, loop_for
from rx_assistant.polling.loop import DeadlinePassed, Plan, PollLoop, timeout_error
from rx_assistant.polling.pace import Polled

if TYPE_CHECKING:
    from rx_assistant.hot import Subscriber
    from rx_assistant.schedulers import EventLoop, Task

T = TypeVar("T")


class OwnThreadScheduler(StreamScheduler):
    """Runs its actions on its own daemon thread, which lives only while an action is pending."""

    def __init__(self) -> None:
        timers = Timers()
        super().__init__(lambda action: _drop(timers.call_later(0.0, action)), timers.call_later)


def _drop(_: object) -> None:
    """Ignore a result."""


class PollSubscription(abc.DisposableBase, Generic[T]):
    """The common part of both faces. They differ in how they fetch."""

    def __init__(
        self, plan: Plan[T, Any], down: Subscriber[T], scheduler: abc.SchedulerBase, *, reachable: bool
    ) -> None:
        self._plan = plan
        self._down = down
        self._scheduler = scheduler
        self._loop = PollLoop(plan.until, plan.settings)
        self._fetch = plan.open(reachable)
        self._mutex = threading.Lock()
        self._over = False
        self._delivering = False
        self._late: Exception | None = None
        self._limited = False
        self._timer = SerialDisposable()
        self._expiry = SingleAssignmentDisposable()

    def start(self) -> None:
        """Set the deadline and schedule the first fetch."""
        if self._plan.begins or self._is_in_time():
            self._schedule(0.0)

    def _is_in_time(self) -> bool:
        """Set the deadline, once. False if it has passed already."""
        deadline = self._plan.settings.deadline
        if deadline is not None and not self._limited:
            self._limited = True
            if deadline <= 0:
                self._expire()
                return False
            self._expiry.disposable = self._set_deadline(deadline)
        return True

    def dispose(self) -> None:
        """Stop at once: end the active fetch, and start no other one. Idempotent, from any thread."""
        with self._mutex:
            over, self._over = self._over, True
        if not over:
            self._clear()

    # -- fetches ---------------------------------------------------------------------------------------------------

    def _schedule(self, seconds: float) -> None:
        if not self._over:
            self._timer.disposable = self._scheduler.schedule_relative(max(seconds, 0.0), self._due)

    def _due(self, *_: object) -> abc.DisposableBase | None:
        """Fetch now."""
        raise NotImplementedError  # each face fetches in its own way

    def _take(self, polled: Polled[T], came: datetime) -> None:
        """Emit the state of a reply, then end or schedule the next fetch."""
        try:
            wait = self._loop.take(polled)
        except Exception as error:
            self._end(error)
            return
        if not self._deliver(polled.value):
            return
        if wait is None:
            self._end(None)
        elif self._late is not None:
            self._end(self._late)
        elif self._is_in_time():
            took = (self._scheduler.now - came).total_seconds()
            self._schedule(wait - min(max(took, 0.0), wait))

    def _deliver(self, value: T) -> bool:
        """Pass a state to the observer; True if it is still subscribed. Its own exception unsubscribes it (C5, C7)."""
        down = self._down
        with self._mutex:
            if self._over:
                return False
            self._delivering = True
        try:
            down.next(value)
        except Exception as error:
            down.fail(error)
        finally:
            self._delivering = False
        return down.active and not self._over

    # -- endings -------------------------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float) -> abc.DisposableBase:
        return self._scheduler.schedule_relative(seconds, self._expire)

    def _expire(self, *_: object, cause: BaseException | None = None) -> None:
        error = timeout_error(self._plan.settings, self._loop.last)
        error.__cause__ = cause
        with self._mutex:
            if self._delivering:
                self._late = error
                return
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        with self._mutex:
            if self._over:
                return
            self._over = True
        down = self._down
        self._clear()
        if error is None:
            down.completed()
        else:
            down.error(error)

    def _clear(self) -> None:
        self._timer.dispose()
        self._expiry.dispose()
        self._fetch.close()
        self._loop.last = None


class SyncPollSubscription(PollSubscription[T]):
    """Fetches on the thread on which its scheduler runs actions."""

    def __init__(
        self,
        plan: Plan[T, Polled[T]],
        down: Subscriber[T],
        chosen: abc.SchedulerBase | None,
        given: abc.SchedulerBase | None,
    ) -> None:
        alone = chosen is None and loop_for(given) is not None  # the thread of the `for` loop fetches
        super().__init__(plan, down, chosen or given or OwnThreadScheduler(), reachable=not alone)
        self._busy = False
        self._wanted = False

    def _due(self, *_: object) -> None:
        """Fetch as long as a fetch is due. The next may be due before this one returns, on any thread (C14)."""
        with self._mutex:
            self._wanted = True
            if self._busy:
                return
            self._busy = True
        try:
            while self._is_wanted():
                self._fetch_once()
        except BaseException:  # an interrupt on the iterating thread; the program may iterate on afterwards
            self._busy = False
            self._schedule(0.0)
            raise

    def _is_wanted(self) -> bool:
        with self._mutex:
            self._busy = self._wanted and not self._over and self._down.active
            self._wanted = False
            return self._busy

    def _fetch_once(self) -> None:
        try:
            polled = self._fetch()
        except DeadlinePassed as late:
            self._expire(cause=late.__cause__)
            return
        except Exception as error:
            self._end(error)
            return
        self._take(polled, self._scheduler.now)

    def _set_deadline(self, seconds: float) -> abc.DisposableBase:
        if not isinstance(self._scheduler, OwnThreadScheduler):
            return super()._set_deadline(seconds)
        return Disposable(call_later(seconds, self._expire))  # the scheduler's thread may be blocked in a fetch


class AsyncPollSubscription(PollSubscription[T]):
    """Fetches in its own task, on the subscriber's event loop."""

    def __init__(
        self,
        plan: Plan[T, Coroutine[Any, Any, Polled[T]]],
        down: Subscriber[T],
        scheduler: abc.SchedulerBase,
        event_loop: EventLoop,
    ) -> None:
        super().__init__(plan, down, scheduler, reachable=False)
        self._event_loop = event_loop
        self._task: Task | None = None

    def _due(self, *_: object) -> None:
        if self._event_loop.is_here():
            self._spawn()
        else:
            self._event_loop.call_soon(self._spawn)

    def _spawn(self) -> None:
        if not self._over and self._task is None:
            self._task = self._event_loop.spawn(self._fetch_once)

    async def _fetch_once(self) -> None:
        try:
            polled = await self._fetch()
        except DeadlinePassed as late:
            self._task = None
            self._expire(cause=late.__cause__)
        except Exception as error:
            self._task = None
            self._end(error)
        except BaseException:
            self._task = None
            self._end(StreamCancelledError("the task that polled was cancelled"))
            raise
        else:
            self._task = None
            self._hand_back(polled)

    def _hand_back(self, polled: Polled[T]) -> None:
        """Emit through the scheduler. A loop then emits when it is asked for an item, in its own context."""
        came = self._scheduler.now

        def take(*_: object) -> None:
            self._take(polled, came)

        self._timer.disposable = self._scheduler.schedule(take)

    def _clear(self) -> None:
        super()._clear()
        task, self._task = self._task, None
        if task is None:
            return
        if self._event_loop.is_here():
            task.cancel()
        else:
            self._event_loop.call_soon(task.cancel)

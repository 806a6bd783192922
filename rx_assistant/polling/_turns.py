"""One subscription to polled states: a turn fetches, hands the state on, and arms the next.

Theory of operation

    subscribe ─ arm(0) ─► turn: fetch ─► state ─► on_next ─┬─ `until`? ─► on_completed
                           ▲                               └─ arm(interval since the reply)
                           └──────────── scheduler ────────────┘

There is one timer at most and one fetch at most: the next turn is armed by the reply, never by a clock that ticks on
its own. Nothing is ever compared with the time of day. Waits are handed to the scheduler as durations, so that a
virtual clock makes them exact and a wall clock that is set does not matter.

The deadline is a timer of its own, set before the first turn, so that it wins a tie. It may come while a fetch is
under way, or while an observer has a state on another thread. What is then in flight is broken off; what is then being
delivered is delivered first (`_late`), so that signals stay serial (C10, C11).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from reactivex import abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from rx_assistant.errors import PollTimeoutError, StreamCancelledError
from rx_assistant.hot import TIMERS, StreamScheduler, Timers, loop_for
from rx_assistant.polling._pace import Backoff, Pace, Polled

if TYPE_CHECKING:
    from rx_assistant.hot import Subscriber
    from rx_assistant.schedulers import EventLoop, Task

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class Fetch(Protocol[R_co]):
    """Fetches for one subscription. Its result is a Polled, or an awaitable of one."""

    def __call__(self) -> R_co:
        """Fetch the state as it is now. What it raises is final: retries belong in here."""
        ...

    def close(self) -> None:
        """No more is wanted: a fetch under way may be broken off. From any thread, idempotent, without waiting."""


class TooLate(Exception):
    """Raised by a fetch that knows the deadline itself, when it passes; its cause says what was under way."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[T, R_co]):
    """What to poll, and for how long.

    `open(reachable)` gives a subscription its Fetch; `reachable` says that others than the fetching thread may end the
    subscription while it fetches. `begins`: the first fetch starts what is polled then, so it comes in any case, and
    the deadline counts from its reply.
    """

    open: Callable[[bool], Fetch[R_co]]
    until: Callable[[T], bool]
    interval: float | None = None
    backoff: Backoff | None = None
    deadline: float | None = None
    begins: bool = False


class OwnThread(StreamScheduler):
    """Runs its actions on one daemon thread of its own, which lives only while something is pending."""

    def __init__(self) -> None:
        timers = Timers()
        super().__init__(lambda action: void(timers.call_later(0.0, action)), timers.call_later)


def void(_: object) -> None:
    """Drop a result."""


class Turns(abc.DisposableBase, Generic[T]):
    """What both faces share; they differ in how a turn fetches."""

    def __init__(
        self, plan: Plan[T, Any], down: Subscriber[T], scheduler: abc.SchedulerBase, *, reachable: bool
    ) -> None:
        self._plan = plan
        self._down = down
        self._scheduler = scheduler
        self._pace = Pace(plan.interval, plan.backoff)
        self._fetch = plan.open(reachable)
        self._mutex = threading.Lock()
        self._over = False
        self._delivering = False
        self._late: Exception | None = None
        self._last: T | None = None
        self._limited = False
        self._timer = SerialDisposable()
        self._expiry = SingleAssignmentDisposable()

    def start(self) -> None:
        """Set the deadline, and arm the first turn."""
        if self._plan.begins or self._is_in_time():
            self._arm(0.0)

    def _is_in_time(self) -> bool:
        """Set the deadline, once; False when it is over at once."""
        deadline = self._plan.deadline
        if deadline is not None and not self._limited:
            self._limited = True
            if deadline <= 0:
                self._expire()
                return False
            self._expiry.disposable = self._set_deadline(deadline)
        return True

    def dispose(self) -> None:
        """Stop at once: no further turn, and what is under way is broken off. Idempotent, from any thread."""
        with self._mutex:
            over, self._over = self._over, True
        if not over:
            self._clear()

    # -- turns ---------------------------------------------------------------------------------------------------

    def _arm(self, seconds: float) -> None:
        if not self._over:
            self._timer.disposable = self._scheduler.schedule_relative(max(seconds, 0.0), self._due)

    def _due(self, *_: object) -> abc.DisposableBase | None:
        """It is time for a turn."""
        raise NotImplementedError  # each face fetches in its own way

    def _take(self, polled: Polled[T], came: datetime) -> None:
        """A reply: hand its state on, then end or go on."""
        try:
            if not isinstance(polled, Polled):
                raise TypeError(f"a fetch gives Polled(value, poll_after), not {type(polled).__name__}")
            ends = self._plan.until(polled.value)
            wait = self._pace.after(polled)
        except Exception as error:
            self._end(error)
            return
        self._last = polled.value
        if not self._deliver(polled.value):
            return
        if ends:
            self._end(None)
        elif self._late is not None:
            self._end(self._late)
        elif self._is_in_time():
            took = (self._scheduler.now - came).total_seconds()
            self._arm(wait - min(max(took, 0.0), wait))

    def _deliver(self, value: T) -> bool:
        """Give the observer a state; whether it is still there. What it raises ends its subscription (C5, C7)."""
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
        error = PollTimeoutError(f"not finished within {self._plan.deadline:g} s; {_told(self._last)}", self._last)
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
        self._last = None


class SyncTurns(Turns[T]):
    """Fetches where its scheduler runs its actions."""

    def __init__(
        self,
        plan: Plan[T, Polled[T]],
        down: Subscriber[T],
        chosen: abc.SchedulerBase | None,
        given: abc.SchedulerBase | None,
    ) -> None:
        alone = chosen is None and loop_for(given) is not None  # the loop's own thread fetches
        super().__init__(plan, down, chosen or given or OwnThread(), reachable=not alone)
        self._busy = False
        self._wanted = False

    def _due(self, *_: object) -> None:
        """Take turns as long as they are due; the next may be due before this one returns, here or elsewhere (C14)."""
        with self._mutex:
            self._wanted = True
            if self._busy:
                return
            self._busy = True
        try:
            while self._is_wanted():
                self._turn()
        except BaseException:  # an interrupt on the thread that iterates, which may go on afterwards
            self._busy = False
            self._arm(0.0)
            raise

    def _is_wanted(self) -> bool:
        with self._mutex:
            self._busy = self._wanted and not self._over and self._down.active
            self._wanted = False
            return self._busy

    def _turn(self) -> None:
        try:
            polled = self._fetch()
        except TooLate as late:
            self._expire(cause=late.__cause__)
            return
        except Exception as error:
            self._end(error)
            return
        self._take(polled, self._scheduler.now)

    def _set_deadline(self, seconds: float) -> abc.DisposableBase:
        if not isinstance(self._scheduler, OwnThread):
            return super()._set_deadline(seconds)
        return _Cancel(TIMERS.call_later(seconds, self._expire_on_a_thread))

    def _expire_on_a_thread(self) -> None:
        """Our own thread may be stuck in a fetch, and the process's timers are not to run observers."""
        threading.Thread(target=self._expire, name="rx-assistant-deadline", daemon=True).start()


class AsyncTurns(Turns[T]):
    """Fetches in a task of its own, on the event loop of the subscriber."""

    def __init__(
        self,
        plan: Plan[T, Coroutine[Any, Any, Polled[T]]],
        down: Subscriber[T],
        scheduler: abc.SchedulerBase,
        loop: EventLoop,
    ) -> None:
        super().__init__(plan, down, scheduler, reachable=False)
        self._loop = loop
        self._task: Task | None = None

    def _due(self, *_: object) -> None:
        if self._loop.is_here():
            self._spawn()
        else:
            self._loop.call_soon(self._spawn)

    def _spawn(self) -> None:
        if not self._over and self._task is None:
            self._task = self._loop.spawn(self._turn)

    async def _turn(self) -> None:
        try:
            polled = await self._fetch()
        except TooLate as late:
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
            self._hand_over(polled)

    def _hand_over(self, polled: Polled[T]) -> None:
        """Let the scheduler take the reply: a loop does so when it is asked for an item, and in its own context."""
        came = self._scheduler.now

        def take(*_: object) -> None:
            self._take(polled, came)

        self._timer.disposable = self._scheduler.schedule(take)

    def _clear(self) -> None:
        super()._clear()
        task, self._task = self._task, None
        if task is None:
            return
        if self._loop.is_here():
            task.cancel()
        else:
            self._loop.call_soon(task.cancel)


class _Cancel(abc.DisposableBase):
    """A function that cancels, as a disposable."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel

    def dispose(self) -> None:
        self._cancel()


def _told(last: object) -> str:
    if last is None:
        return "nothing had been fetched"
    status = getattr(last, "status", None)
    return f"the last status was {status!r}" if isinstance(status, str) else f"the last state was {last!r:.200}"

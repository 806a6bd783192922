"""Time for streams: schedulers whose actions run serially with a stream's items (C10), and timers on one thread.

An Rx time operator on an ordinary timer would call observers on the timer's thread, at the same time as the stream
delivers. Here the timer only passes the action on, to the queue of the log or of the loop that iterates.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from reactivex import abc, typing
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

from rx_assistant.hot.threads import Alarm, start_thread

S = TypeVar("S")

_logger = logging.getLogger("rx_assistant")

CallLater = Callable[[float, Callable[[], None]], Callable[[], None]]
"""`call_later(seconds, action)` runs `action` once, on any thread, and returns a function that cancels it."""


class StreamScheduler(PeriodicScheduler):
    """An Rx scheduler that runs its actions through `hand_over` and measures time by a monotonic clock."""

    def __init__(self, hand_over: Callable[[Callable[[], None]], None], call_later: CallLater) -> None:
        self._hand_over = hand_over
        self._call_later = call_later
        self._epoch: datetime | None = None

    @property
    def owner(self) -> object:
        """The object whose method receives the actions: a log, a loop or an event loop."""
        return getattr(self._hand_over, "__self__", None)

    @property
    def now(self) -> datetime:
        """The time, as a datetime in UTC. Setting the wall clock after the first use has no effect."""
        if self._epoch is None:
            self._epoch = datetime.now(UTC) - timedelta(seconds=time.monotonic())
        return self._epoch + timedelta(seconds=time.monotonic())

    def schedule(self, action: abc.ScheduledAction[S], state: S | None = None) -> abc.DisposableBase:
        """Run `action` as soon as possible."""
        disposable = SingleAssignmentDisposable()
        self._hand_over(self._entry(action, state, disposable))
        return disposable

    def schedule_relative(
        self, duetime: typing.RelativeTime, action: abc.ScheduledAction[S], state: S | None = None
    ) -> abc.DisposableBase:
        """Run `action` after `duetime`, in seconds or as a timedelta."""
        seconds = self.to_seconds(duetime)
        if seconds <= 0:
            return self.schedule(action, state)
        disposable = SingleAssignmentDisposable()
        entry = self._entry(action, state, disposable)
        cancel = self._call_later(seconds, lambda: self._hand_over(entry))
        return CompositeDisposable(Disposable(cancel), disposable)

    def schedule_absolute(
        self, duetime: typing.AbsoluteTime, action: abc.ScheduledAction[S], state: S | None = None
    ) -> abc.DisposableBase:
        """Run `action` at the time `duetime`, a datetime or a number of seconds since 1970."""
        return self.schedule_relative(self.to_datetime(duetime) - self.now, action, state)

    def _entry(
        self, action: abc.ScheduledAction[S], state: S | None, disposable: SingleAssignmentDisposable
    ) -> Callable[[], None]:
        def run() -> None:
            if not disposable.is_disposed:
                disposable.disposable = self.invoke_action(action, state)

        return run


class Timers:
    """Timers of one process on one daemon thread, which runs only while a timer is pending."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._actions: dict[int, Callable[[], object]] = {}  # actions that were neither run nor cancelled
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._alarm = Alarm()
        self._running = False

    def call_later(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        """Run `action` on the timer thread, `seconds` from now; returns a function that cancels it."""
        number = next(self._numbers)
        with self._lock:
            self._actions[number] = action
            heapq.heappush(self._heap, (time.monotonic() + seconds, number))
            if not self._running:
                start_thread(threading.Thread(target=self._run, name="rx-assistant-timers", daemon=True))
                self._running = True  # after the start: an interrupt in between costs a second thread, but no timer
        self._alarm.wake()
        return partial(self._cancel, number)

    def _cancel(self, number: int) -> None:
        if self._actions.pop(number, None) is not None and not self._actions:
            self._alarm.wake()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except BaseException:  # sys.exit() in one callback must not stop the timers of other streams
                _logger.exception("the action of a timer raised")

    def _next(self) -> Callable[[], object] | None:
        """Wait for the next action that is due; None if no timer is pending, and then the thread ends."""
        while True:
            with self._lock:
                if not self._actions:
                    self._heap.clear()
                    self._running = False
                    return None
                due, number = self._heap[0]
                wait = due - time.monotonic() if number in self._actions else 0
                if wait <= 0:
                    heapq.heappop(self._heap)
                    action = self._actions.pop(number, None)
                    if action is not None:
                        return action
            if wait > 0:
                self._alarm.sleep(wait)


TIMERS = Timers()
"""The timers of the process; streams on threads use them."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TIMERS.__init__)  # type: ignore[misc]  # a fork copies no thread

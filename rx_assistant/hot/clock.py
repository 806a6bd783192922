"""Time for streams: schedulers whose actions run serially with a stream's items (C10), timers, and workers.

An Rx time operator on an ordinary timer would call observers on the timer's thread, at the same time as the stream
delivers. Here a due action goes into the queue of the log, or of the loop that iterates. On threads it takes three
classes:

    Timers       one thread of the process waits for all times, and passes each due action on to a worker
    Worker       one for each stream: on its thread the entry is delivered, and with it subscribers are called
    LoneThread   what both are: a thread that is started at need and ends when there is nothing left to do

So a subscriber below a time operator may be slow, and no timer of another stream is late.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import time
from collections import deque
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


class LoneThread:
    """At most one daemon thread, which runs only while there is work.

    A thread that dies, or that a fork did not copy, is replaced by the next `_start()`. No lock is taken, so a
    finalizer may call `_start()` in the middle of another `_start()` on the same thread.
    """

    __slots__ = ("_turn",)

    name = "rx-assistant"

    def __init__(self) -> None:
        self._turn: dict[int, threading.Thread] = {}  # key 0: the thread that works or is being started

    def _work(self) -> None:
        """Do all the work there is, on the thread."""
        raise NotImplementedError

    def _has_work(self) -> bool:
        raise NotImplementedError

    def _start(self) -> None:
        """Start the thread unless it lives. Call it whenever there is more work."""
        before = self._turn.get(0)
        if before is not None:
            if before.ident is None or before.is_alive():
                return
            self._leave(before)
        thread = _Working(self)
        try:
            if self._turn.setdefault(0, thread) is thread:
                start_thread(thread)
        except BaseException:  # an interrupt, or the system refuses another thread: the next call tries again
            self._leave(thread)
            raise

    def main(self, thread: threading.Thread) -> None:
        """Work as `thread` until there is nothing left to do, unless another thread does so."""
        while self._turn.setdefault(0, thread) is thread:
            try:
                self._work()
            finally:
                self._leave(thread)
            if not self._has_work():  # looked at again: a caller may have found the thread alive just before
                return

    def _leave(self, thread: threading.Thread) -> None:
        try:
            if self._turn[0] is thread:
                del self._turn[0]
        except KeyError:
            pass


class _Working(threading.Thread):
    """The thread of a LoneThread."""

    def __init__(self, lone: LoneThread) -> None:
        super().__init__(name=lone.name, daemon=True)
        self._lone: LoneThread | None = lone

    def run(self) -> None:
        lone, self._lone = self._lone, None  # no reference cycle is left behind
        if lone is not None:
            lone.main(self)


class Timers(LoneThread):
    """Timers whose actions run on one daemon thread, which runs only while a timer is pending.

    Each step that other threads depend on is a single one. `_actions` decides: a timer is set once it is there, and the
    code that removes it runs or drops it. The thread sorts the times in a heap of its own, which it makes again from
    `_actions` if an interrupt or the end of a thread has left a gap.
    """

    name = "rx-assistant-timers"

    def __init__(self) -> None:
        super().__init__()
        self._actions: dict[int, tuple[float, Callable[[], object]]] = {}  # timers that were neither run nor cancelled
        self._new: deque[tuple[float, int]] = deque()  # times that the thread has not sorted yet
        self._numbers = itertools.count()
        self._alarm = Alarm()

    def call_later(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        """Run `action` on the timer thread, `seconds` from now; returns a function that cancels it."""
        due, number = time.monotonic() + seconds, next(self._numbers)
        self._actions[number] = (due, action)
        self._new.append((due, number))
        self._start()
        self._alarm.wake()
        return partial(self._cancel, number)

    def _cancel(self, number: int) -> None:
        if self._actions.pop(number, None) is not None and not self._actions:
            self._alarm.wake()

    def _has_work(self) -> bool:
        return bool(self._actions)

    def _work(self) -> None:
        self._new.clear()  # of timers that were set while there was no thread; `_actions` has those that count
        heap: list[tuple[float, int]] = []
        while self._actions:
            while self._new:
                heapq.heappush(heap, self._new.popleft())
            if not heap:
                heap = sorted((due, number) for number, (due, _) in self._actions.copy().items())
                continue
            due, number = heap[0]
            wait = due - time.monotonic() if number in self._actions else 0
            if wait > 0:
                self._alarm.sleep(wait)
                continue
            heapq.heappop(heap)
            _, action = self._actions.pop(number, (0, None))
            if action is not None:
                _perform(action)
            del action  # before the next sleep: it may hold a stream


TIMERS = Timers()
"""The timers of the process. They must be on time for every stream, so their actions are short and run no code of the
program: no observer, no handler of the log. For other actions use a Worker, or `call_later()`."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TIMERS.__init__)  # type: ignore[misc]  # a fork copies no thread


class Worker(LoneThread):
    """Runs actions in their order on a daemon thread, which runs only while an action is due.

    So an action may take long: it delays only the actions after it, and no timer of another stream.
    """

    __slots__ = ("_due",)

    name = "rx-assistant-worker"

    def __init__(self) -> None:
        super().__init__()
        self._due: deque[list[Callable[[], object]]] = deque()  # lists of one action; empty after a cancel

    def call_later(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        """Run `action`, `seconds` from now; returns a function that cancels it."""
        timed = [action]  # the timers never hold the action alone, so none of its objects is freed on their thread
        stop = TIMERS.call_later(seconds, partial(self._put, timed))

        def cancel() -> None:
            stop()
            timed.clear()

        return cancel

    def _put(self, timed: list[Callable[[], object]]) -> None:
        self._due.append(timed)
        self._start()

    def _has_work(self) -> bool:
        return bool(self._due)

    def _work(self) -> None:
        while self._due:
            timed = self._due.popleft()
            try:
                action = timed.pop()
            except IndexError:  # it was cancelled
                continue
            _perform(action)
            del action


def call_later(seconds: float, action: Callable[[], object]) -> Callable[[], None]:
    """Run `action` on a thread of its own, `seconds` from now; returns a function that cancels it."""
    return Worker().call_later(seconds, action)


def _perform(action: Callable[[], object]) -> None:
    try:
        action()
    except BaseException:  # sys.exit() in one callback must not stop the actions of others
        _logger.exception("the action of a timer raised")

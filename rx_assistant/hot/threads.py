"""Threads that an interrupt (Ctrl-C) of their caller cannot leave half-started, and sleep that it cannot leave locked.

Python raises KeyboardInterrupt in the main thread, after almost any call. So a lock that Python code takes and gives
back in two steps, as `threading.Condition`, `Event` and `Thread.start()` do, may stay taken for ever. Here each step
that others depend on is one call into C. An interrupt can still swallow a wake-up, so every sleep looks again after
HEARTBEAT seconds.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from typing import Final

HEARTBEAT: Final = 1.0
"""Seconds after which a sleeping thread looks again without being woken."""


def start_thread(thread: threading.Thread) -> None:
    """Start `thread`; an interrupt of the caller comes before the start or after it, not in between."""
    _thread.start_new_thread(_started, (thread,))


def _started(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # no more threads: this one has to do
        thread.run()


class Sleepers:
    """Threads that sleep until something has changed. Any thread may wake them."""

    def __init__(self) -> None:
        self._alarms: dict[Alarm, None] = {}

    def sleep(self, enough: Callable[[], bool], seconds: float | None = None) -> bool:
        """Return once `enough()`, or after `seconds`; gives whether it is enough."""
        end = None if seconds is None else time.monotonic() + seconds
        alarm = Alarm()
        try:
            self._alarms[alarm] = None  # before the first look: no change is missed
            while not enough():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                alarm.sleep(left)
            return True
        finally:
            if alarm in self._alarms:
                del self._alarms[alarm]

    def wake(self) -> None:
        """Let every sleeper look again."""
        if self._alarms:
            for alarm in tuple(self._alarms):
                alarm.wake()


class Alarm:
    """One thread's sleep: `wake()` ends it, now or the next one."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def sleep(self, seconds: float | None = None) -> None:
        """Return when woken, after `seconds`, or after HEARTBEAT."""
        self._lock.acquire(True, HEARTBEAT if seconds is None else min(max(seconds, 0.0), HEARTBEAT))

    def wake(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # it was woken already
            pass

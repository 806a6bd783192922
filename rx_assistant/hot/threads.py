"""Starting threads and sleeping, safe against an interrupt (Ctrl-C) at any point.

Python raises KeyboardInterrupt in the main thread, after almost any call. So a lock that Python code takes and releases
in two steps, as `threading.Condition`, `Event` and `Thread.start()` do, may stay locked for ever. Here each step that
other threads depend on is one call into C. An interrupt can still lose a wake-up, so every sleeping thread checks its
condition again after HEARTBEAT seconds.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from typing import Final

HEARTBEAT: Final = 1.0
"""Seconds after which a sleeping thread checks its condition again."""


def start_thread(thread: threading.Thread) -> None:
    """Start `thread`. An interrupt of the caller comes before the start or after it, never in between."""
    _thread.start_new_thread(_started, (thread,))


def _started(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # the system refuses another thread: use this one
        thread.run()


class Sleepers:
    """Threads that sleep until something has changed. Any thread may wake them."""

    def __init__(self) -> None:
        self._alarms: dict[Alarm, None] = {}

    def sleep(self, enough: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until `enough()` is true, at most so many `seconds`. Returns whether it is true."""
        end = None if seconds is None else time.monotonic() + seconds
        alarm = Alarm()
        try:
            self._alarms[alarm] = None  # before the first look, so that no change is missed
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
        """Make every sleeping thread check its condition again."""
        if self._alarms:
            for alarm in tuple(self._alarms):
                alarm.wake()


class Alarm:
    """The sleep of one thread: `wake()` ends it, or the next one if the thread is awake."""

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
        except RuntimeError:  # it was woken before
            pass

"""Starting threads and sleeping, safe against an interrupt (Ctrl-C) at any point.

Python raises KeyboardInterrupt in the main thread, after almost any call. So a lock that Python code takes and releases
in two steps, as `threading.Condition`, `Event` and `Thread.start()` do, may stay locked for ever. Here each step that
other threads depend on is one call into C. An interrupt can still lose a wake-up, so every sleeping thread checks its
condition again after HEARTBEAT seconds.

The garbage collector may run inside almost any call, on any thread, also while that thread holds a lock. A finalizer
that takes the same lock there would wait for its own thread. So finalizers pass what they have to do to
`outside_collection()`. It uses another thread while the collector runs on this one.
"""

from __future__ import annotations

import _thread
import gc
import threading
import time
from collections.abc import Callable
from typing import Any, Final

HEARTBEAT: Final = 1.0
"""Seconds after which a sleeping thread checks its condition again."""

COLLECTING_SECONDS: Final = 0.2
"""Seconds for which the garbage collector waits for the action of one finalizer."""


def start_thread(thread: threading.Thread) -> None:
    """Start `thread`. An interrupt of the caller comes before the start or after it, never in between."""
    _thread.start_new_thread(_started, (thread,))


def _started(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # the system refuses another thread: use this one
        thread.run()


class _Collecting:
    """Which thread runs the garbage collector now."""

    thread: int | None = None

    def __call__(self, phase: str, _info: dict[str, Any]) -> None:
        self.thread = threading.get_ident() if phase == "start" else None


_collecting = _Collecting()
gc.callbacks.append(_collecting)


def outside_collection(action: Callable[[], object]) -> None:
    """Run the action of a finalizer: at once, or on a new thread while the garbage collector runs on this one.

    The collector waits for that thread, so that what it drops is closed. It stops waiting after COLLECTING_SECONDS,
    because the action may need a lock that this thread holds.
    """
    if _collecting.thread != threading.get_ident():
        action()
        return
    done, actions = Alarm(), [action]

    def run() -> None:
        try:
            actions.pop()()  # the objects of the action are free before the collector continues
        finally:
            done.wake()

    try:
        start_thread(threading.Thread(target=run, name="rx-assistant-collected", daemon=True))
    except RuntimeError:  # the system refuses another thread: use this one
        run()
    done.sleep(COLLECTING_SECONDS)


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
            for alarm in self._alarms.copy():  # one step, unlike tuple(): the collector may run inside that
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

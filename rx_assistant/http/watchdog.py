"""An alarm for blocking reads: one thread per stream, only for streams that have time limits of their own."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread


class Watchdog:
    """Calls `fire`, on its own thread, once the armed moment has passed and nobody has disarmed it."""

    def __init__(self, fire: Callable[[], None], clock: Callable[[], float]) -> None:
        self._fire = fire
        self._clock = clock
        self._due: float | None = None
        self._sleeps_until: float | None = None
        self._stopped = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def arm(self, due: float) -> None:
        """Fire at `due`, on the clock given."""
        with self._changed:
            self._due = due
            if self._thread is None and not self._stopped:
                self._thread = Thread(target=self._run, name="rx_assistant time limits", daemon=True)
                self._thread.start()
            elif self._sleeps_until is None or due < self._sleeps_until:
                self._changed.notify()

    def disarm(self) -> None:
        """Do not fire. The thread sleeps on: the next `arm` is usually later, and costs no wake-up."""
        if self._due is not None:  # only the reader's own thread sets it
            with self._changed:
                self._due = None

    def stop(self) -> None:
        """Never fire again, and let the thread end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            self._fire()

    def _wait(self) -> bool:
        """Sleep until there is something to fire; False once stopped."""
        with self._changed:
            while not self._stopped:
                left = None if self._due is None else self._due - self._clock()
                if left is not None and left <= 0:
                    self._due = None
                    return True
                self._sleeps_until = self._due
                self._changed.wait(left)
            return False

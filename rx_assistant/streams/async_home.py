"""The event loop of an asynchronous stream, and its tasks that sleep until something changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from rx_assistant.hot import Worker
from rx_assistant.schedulers import EventLoop, LoopWaker, current_event_loop

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog


class Home:
    """The event loop of a stream's tasks: the one that is running at the first use.

    The stream's log calls `wake()` after each change, once a task has slept.
    """

    __slots__ = ("_log", "_sleepers", "_worker", "loop")

    def __init__(self, log: HotLog[Any]) -> None:
        self.loop: EventLoop | None = None
        self._log = log
        self._sleepers: set[LoopWaker] | None = None
        self._worker: Worker | None = None  # runs the actions of timers that were set before there was a loop

    def here(self) -> EventLoop:
        """Return the loop. The first call chooses the loop that is running; RuntimeError if there is none."""
        if self.loop is None:
            self.loop = current_event_loop()
        return self.loop

    @property
    def is_here(self) -> bool:
        """Whether this thread is running the loop."""
        return self.loop is not None and self.loop.is_here()

    def waker(self) -> LoopWaker:
        """Return a waker for the calling task; any thread may wake it."""
        return LoopWaker(self.here())

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` on the loop, `seconds` from now; on a thread as long as the stream has no loop."""
        if self.loop is not None:
            return self.loop.call_later(seconds, action)
        self._worker = self._worker or Worker()
        return self._worker.call_later(seconds, action)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task on the loop, if the stream has one; from any thread."""
        loop = self.loop
        if loop is not None and loop.is_here():
            loop.spawn(main)
        elif loop is not None:
            loop.call_soon(lambda: loop.spawn(main))

    async def sleep(self, enough: Callable[[], bool]) -> None:
        """Return once `enough()` is true. `wake()` makes this task check it again."""
        sleepers = self._sleepers
        if sleepers is None:
            sleepers = self._sleepers = set()
            self._log.listen(self.wake)
        waker = self.waker()
        sleepers.add(waker)
        try:
            while not enough():
                await waker.sleep(None)
        finally:
            sleepers.discard(waker)

    def wake(self) -> None:
        """Make the sleeping tasks check their conditions again; from any thread."""
        if self._sleepers:
            for waker in tuple(self._sleepers):
                waker.wake()

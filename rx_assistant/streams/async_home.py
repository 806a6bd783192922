"""The event loop of an asynchronous stream, and its tasks that sleep until something changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from rx_assistant.hot import TIMERS
from rx_assistant.schedulers import EventLoop, LoopWaker, current_event_loop

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog


class Home:
    """Where a stream's tasks run. The first use decides which loop that is.

    The stream's log calls `wake()` after each change, once a task has slept.
    """

    __slots__ = ("_log", "_sleepers", "loop")

    def __init__(self, log: HotLog[Any]) -> None:
        self.loop: EventLoop | None = None
        self._log = log
        self._sleepers: set[LoopWaker] | None = None

    def here(self) -> EventLoop:
        """Return the loop; the first call chooses the one that is running."""
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
        """Run `action` on the loop, `seconds` from now; on a thread while there is none."""
        return (TIMERS if self.loop is None else self.loop).call_later(seconds, action)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task on the loop, if there is one; from any thread."""
        loop = self.loop
        if loop is not None and loop.is_here():
            loop.spawn(main)
        elif loop is not None:
            loop.call_soon(lambda: loop.spawn(main))

    async def sleep(self, enough: Callable[[], bool]) -> None:
        """Return once it is enough; `wake()` makes this task look again."""
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
        """Let the sleeping tasks look again; from any thread."""
        if self._sleepers:
            for waker in tuple(self._sleepers):
                waker.wake()

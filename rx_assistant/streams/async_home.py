"""The event loop of an asynchronous stream, and its tasks that sleep until something changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from rx_assistant.hot import TIMERS
from rx_assistant.schedulers import EventLoop, LoopWaker, current_event_loop


class Home:
    """Where a stream's tasks run. The first use decides which loop that is.

    `listen` makes the stream's log call `wake()` after each change. Nothing is called before a task has slept.
    """

    __slots__ = ("_listen", "_sleepers", "loop")

    def __init__(self, listen: Callable[[Callable[[], None]], None]) -> None:
        self.loop: EventLoop | None = None
        self._listen: Callable[[Callable[[], None]], None] | None = listen
        self._sleepers: set[LoopWaker] = set()

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
        listen, self._listen = self._listen, None
        if listen is not None:
            listen(self.wake)
        waker = self.waker()
        self._sleepers.add(waker)
        try:
            while not enough():
                await waker.sleep(None)
        finally:
            self._sleepers.discard(waker)

    def wake(self) -> None:
        """Let the sleeping tasks look again; from any thread."""
        if self._sleepers:
            for waker in tuple(self._sleepers):
                waker.wake()

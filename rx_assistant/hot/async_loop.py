"""`async for` over a stream: the loop that waits in its task, and the iterator that holds it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from rx_assistant.hot.loops import Loop

if TYPE_CHECKING:
    from rx_assistant.hot.stream import AsyncStream
    from rx_assistant.hot.types import Waker

T = TypeVar("T")


class AsyncLoop(Loop[T]):
    """A loop that waits in its task."""

    def __init__(self, source: AsyncStream[T]) -> None:
        super().__init__(source)
        self._waker: Waker | None = None
        self._open()

    async def serve(self) -> None:
        """Let async handlers have what this loop will hand on next."""
        for pull in self.pulls:
            driver = pull.root.driver
            if driver is not None and driver.gated:
                await driver.deliver(pull.cursor.position + 1)

    async def wait(self) -> None:
        """Return when another step may do something."""
        sole = self._sole()
        if sole is not None:
            await sole.root.driver.advance(sole.cursor.position)
            return
        waker = self._own_waker()
        self._asleep = True
        try:
            for root in self._roots():
                self._listen(root)
                if root.driver is not None:
                    await root.driver.connect()
            if not self._has_something():
                await waker.sleep(self._seconds_left())
        finally:
            self._asleep = False

    async def settle(self) -> None:
        """Return when a stream that has ended has given its connection back."""
        origin = self._source.origin
        if origin is not None and origin.driver is not None:
            await origin.driver.settle()

    def _own_waker(self) -> Waker:
        if self._waker is None:
            origin = self._source.origin
            if origin is None or origin.driver is None:
                raise TypeError("this stream is not fed by an event loop, so nothing can wake an `async for` on it")
            waker: Waker = origin.driver.waker()
            self._waker = waker
            return waker
        return self._waker

    def _wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()


class AsyncItems(Generic[T]):
    """What `async for item in stream` iterates.

    A cancelled `anext()` leaves the stream at once, so that `on_idle` takes its course. The position stays: a further
    `anext()` comes back and gives the next item, and none is lost. So `wait_for(anext(items), …)` may be repeated after
    `connect()`. Without `connect()` it is the cancelled task that was reading, which ends the stream for everybody.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: AsyncLoop[T]) -> None:
        self._loop = loop

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def __anext__(self) -> T:
        loop = self._loop
        items = loop.items
        loop.thread = threading.get_ident()
        try:
            loop.resume()
            while not items:
                if loop.over:
                    error = loop.finish()
                    await loop.settle()
                    if error is not None:
                        raise error
                    raise StopAsyncIteration
                await loop.serve()
                if not loop.step():
                    await loop.wait()
            return items.popleft()
        except Exception:
            raise
        except BaseException:  # cancelled: leave at once; the traceback would hold this iterator for a while
            loop.rest()
            raise

    @property
    def exhausted(self) -> bool:
        """Whether the end was handed out, or the stream was left."""
        return self._loop.over and not self._loop.items

    async def aclose(self) -> None:
        """Leave the stream; for `contextlib.aclosing`. Dropping the last reference does so too."""
        self._loop.close()

    def __del__(self) -> None:
        if hasattr(self, "_loop"):  # else an interrupt came while it was made
            self._loop.close()

"""`for` over a stream: the loop that waits on its thread, and the iterator that holds it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from rx_assistant.hot.cursor import NOTHING
from rx_assistant.hot.loops import Loop
from rx_assistant.hot.threads import Alarm

if TYPE_CHECKING:
    from rx_assistant.hot.stream import Stream

T = TypeVar("T")


class SyncLoop(Loop[T]):
    """A loop that waits on its thread."""

    def __init__(self, source: Stream[T]) -> None:
        super().__init__(source)
        self._alarm = Alarm()
        self._open()

    def wait(self) -> None:
        """Return when another step may do something."""
        sole = self._sole()
        if sole is not None:
            sole.root.driver.advance(sole.cursor.position)
            return
        roots = self._roots()
        self._asleep = True
        try:
            for root in roots:
                self._listen(root)
                if root.driver is not None:
                    root.driver.connect()
            if not self._has_something():
                self._alarm.sleep(self._seconds_left())
        finally:
            self._asleep = False
        for root in roots:
            if root.driver is not None:
                root.driver.leave_if_cancelled()

    def _wake(self) -> None:
        self._alarm.wake()


class SyncItems(Generic[T]):
    """What `for item in stream` iterates.

    An interrupted `next()` leaves the stream at once; a further one comes back and gives the next item.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: SyncLoop[T]) -> None:
        self._loop = loop

    def __iter__(self) -> SyncItems[T]:
        return self

    def __next__(self) -> T:
        loop = self._loop
        items, direct = loop.items, loop.direct
        if direct is not None and not items:
            cursor = direct.cursor
            item: T = cursor.log.pass_by(cursor.position)
            if item is not NOTHING:
                cursor.position += 1
                return item
        loop.thread = threading.get_ident()
        try:
            loop.resume()
            while not items:
                if loop.over:
                    error = loop.finish()
                    if error is not None:
                        raise error
                    raise StopIteration
                if not loop.step():
                    loop.wait()
        except Exception:
            raise
        except BaseException:  # an interrupt: leave at once; the traceback would hold this iterator for a while
            loop.rest()
            raise
        item = items[0]
        del items[0]  # not popleft(): after that call an interrupt would lose the item
        return item

    @property
    def exhausted(self) -> bool:
        """Whether the end was handed out, or the stream was left."""
        return self._loop.over and not self._loop.items

    def close(self) -> None:
        """Leave the stream; for `contextlib.closing`. Dropping the last reference does so too."""
        self._loop.close()

    def __del__(self) -> None:
        if hasattr(self, "_loop"):  # else an interrupt came while it was made
            self._loop.close()

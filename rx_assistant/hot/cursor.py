"""A private position in a hot log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rx_assistant.errors import StreamOverflowError
from rx_assistant.hot.state import ENDED

if TYPE_CHECKING:
    from rx_assistant.hot.log import HotLog

T = TypeVar("T")

NOTHING: Any = object()
"""What stands for an item where there is none."""


class Cursor(Generic[T]):
    """A private position in a log. `take()` gives the next item, or NOTHING when it is not there yet."""

    __slots__ = ("__weakref__", "_error", "_hold", "_open", "log", "position")

    def __init__(self, log: HotLog[T], position: int) -> None:
        self.log = log
        self.position = position
        self._error: StreamOverflowError | None = None
        self._open = True
        self._hold = object()  # the last attribute, see __del__
        if not log.keep:
            log.register(self)
        log.retain(self._hold)

    @property
    def is_open(self) -> bool:
        """Whether someone reads here: it was not closed, and the log did not have to go on without it."""
        return self._open and self._error is None

    def overflow(self, pending: int) -> None:
        """Mark the cursor as too slow; its next `take()` raises."""
        capacity = self.log.max_pending
        self._error = StreamOverflowError(
            f"this reader fell {pending} bytes behind the stream; max_pending is {capacity} bytes",
            capacity=capacity,
            pending=pending,
        )

    def take(self) -> T:
        """Give the next item, after the seats have had it, unless they are having it right now on another thread."""
        log, position = self.log, self.position
        if self._error is not None:
            raise self._error
        if position >= log._pos:
            item = log.pass_by(position)
            if item is not NOTHING:
                self.position = position + 1
                return item
            if position >= log._length and log.state < ENDED:
                return item
            if position >= log._wish:
                log.want(position + 1)
            elif log.is_mine_to_drain:
                log.drain()  # wanted by someone who could not wait for it
        if log.alarm is not None:
            log.check()
        item = log.item(position)
        if item is NOTHING:
            return item
        self.position = position + 1
        log.shown = (position, item)
        return item

    @property
    def at_end(self) -> bool:
        """Whether every item was taken and the log has ended."""
        return self.log.state >= ENDED and self.position >= self.log.length

    def rest(self) -> None:
        """Count no longer as a reader, until `resume()`: the position stays. Idempotent."""
        self.log.release(self._hold)

    def resume(self) -> None:
        """Count as a reader again. Idempotent."""
        if self._open:
            self.log.retain(self._hold)

    def close(self) -> None:
        """Leave for good. Idempotent."""
        if self._open:
            self._open = False
            self.log.release(self._hold)

    def __del__(self) -> None:
        if hasattr(self, "_hold"):  # else an interrupt came while it was made
            self.close()

"""Cursors: private positions in a hot log, from which loops pull their items."""

from __future__ import annotations

from typing import Generic, TypeVar

from rx_assistant.errors import StreamOverflowError
from rx_assistant.hot.delivery import HotLog
from rx_assistant.hot.state import ENDED
from rx_assistant.hot.storage import NOTHING

T = TypeVar("T")


class Cursor(Generic[T]):
    """A private reader of a log. It starts at `position`, or at the first stored item if that is later.

    `take()` returns the next item, or NOTHING if it has not arrived yet.
    """

    __slots__ = ("__weakref__", "_hold", "_open", "failure", "log", "position")

    def __init__(self, log: HotLog[T], position: int = 0) -> None:
        self.log = log
        self.position = position
        self.failure: StreamOverflowError | None = None  # the reader was too slow
        self._open = True
        self._hold = object()  # the last attribute, see __del__
        if not log.keep:
            log.storage.register(self)
        log.retain(self._hold)

    @property
    def is_open(self) -> bool:
        """Whether the cursor still needs items: it was not closed, and it was not too slow."""
        return self._open and self.failure is None

    def overflow(self, pending: int) -> None:
        """Mark the cursor as too slow: its next `take()` raises."""
        capacity = self.log.storage.max_pending
        self.failure = StreamOverflowError(
            f"a reader must be at most {capacity} bytes (max_pending) behind the stream, got {pending}: read faster, "
            "or set a larger max_pending",
            capacity=capacity,
            pending=pending,
        )

    def take(self) -> T:
        """Return the next item.

        The log's subscribers get it first, unless another thread is delivering it to them at this moment. Raises
        StreamOverflowError if the cursor was too slow. Also raises an exception that a handler of the stream raised.
        """
        log, position = self.log, self.position
        if self.failure is not None:
            raise self.failure
        storage = log.storage
        if position >= storage.position:
            item = log.take_alone(position)
            if item is not NOTHING:
                self.position = position + 1
                return item
            if position >= storage.length and storage.state < ENDED:
                return item
            if position >= log.wish:
                log.want(position + 1)
            elif log.is_mine_to_drain:
                log.drain()  # a caller that could not wait has asked for this item
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
        storage = self.log.storage
        return storage.state >= ENDED and self.position >= storage.length

    def rest(self) -> None:
        """Stop counting as a reader until `resume()`. The position stays. Idempotent."""
        self.log.release(self._hold)

    def resume(self) -> None:
        """Count as a reader again. Idempotent."""
        if self._open:
            self.log.retain(self._hold)

    def close(self) -> None:
        """Stop counting as a reader for ever. Idempotent."""
        if self._open:
            self._open = False
            self.log.release(self._hold)

    def __del__(self) -> None:
        if hasattr(self, "_hold"):  # else an interrupt came during __init__
            self.close()

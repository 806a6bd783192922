"""What a hot log holds: items in the order of their arrival, how far they were delivered, and the ending.

An item is kept as a pair `(kind, payload)`, and made by `kind(payload)` for whoever reads it. Positions count items
from the first one ever appended. Arrival and ending are decided under one mutex, under which no foreign code ever
runs; reading needs none as long as everything is kept.

Trimming (`keep=False`): what every seat and cursor has passed is dropped in blocks of 256. A cursor that holds more
than `max_pending` bytes back is cut loose with a StreamOverflowError of its own.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast

from rx_assistant.hot.cursor import NOTHING, Cursor
from rx_assistant.hot.state import DELIVERED, ENDED, MOVES, OPEN, RELEASED, Signal, State

T = TypeVar("T")

BLOCK: Final = 256
"""So many items are dropped at a time."""


class Kept(Generic[T]):
    """The items of a log, whatever becomes of them. `keep=False` drops those that everybody has passed."""

    def __init__(self, *, keep: bool, max_pending: int) -> None:
        self.keep = keep
        self.max_pending = max_pending
        self.shown: tuple[int, T] = (-1, NOTHING)  # the item last handed to anybody, and its position
        self.state: State = OPEN
        self.read_out = False  # a loop has come to the end
        self._kinds: list[Callable[[Any], T]] = []
        self._payloads: list[Any] = []
        self._read = self.reader()
        self._base = 0
        self._length = 0
        self._bytes = 0
        self._pos = 0
        self._error: Exception | None = None
        self._cursors: weakref.WeakSet[Cursor[T]] = weakref.WeakSet()
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._mutex = threading.RLock()  # never taken twice; this kind knows whether the caller is under it

    # -- what the reader does ------------------------------------------------------------------------------------

    def append(self, kinds: list[Callable[[Any], T]], payloads: list[Any]) -> bool:
        """Append items in order; False, and nothing appended, after the ending. Delivers nothing by itself."""
        with self._mutex:
            if self.state >= ENDED:
                return False
            self._add(kinds, payloads)
        if not self.keep:
            self.trim()
        self._tell()
        return True

    def end(self, error: Exception | None = None) -> bool:
        """End after the last item, well or with `error`; False if it had ended already."""
        with self._mutex:
            after = MOVES.get((self.state, "end"))
            if after is None:
                return False
            self._error, self.state = error, after
        self._tell()
        return True

    def cut(self, error: Exception) -> bool:
        """End with `error` right after the item in delivery, dropping later ones; False if all was delivered.

        The ending still has to be delivered: `want(FOREVER)`.
        """
        with self._mutex:
            after = MOVES.get((self.state, "cut"))
            if after is None or (self.state == ENDED and self._pos == self._length):
                return False
            delivered = self._pos - self._base
            if not self.keep:
                self._bytes -= weight(self._payloads[delivered:])
            del self._kinds[delivered:], self._payloads[delivered:]
            self._length = self._pos
            self._error, self.state = error, after
        self._tell()
        return True

    def _move(self, signal: Signal) -> bool:
        """Follow the table; gives whether it has this signal in this state."""
        after = MOVES.get((self.state, signal))
        if after is None:
            return False
        self.state = after
        return True

    def _add(self, kinds: list[Callable[[Any], T]], payloads: list[Any]) -> None:
        self._kinds.extend(kinds)
        self._payloads.extend(payloads)
        self._length += len(payloads)
        if not self.keep:
            self._bytes += weight(payloads)

    # -- who is told of changes ----------------------------------------------------------------------------------

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change of what is in the log and of what was delivered, until the ending was."""
        with self._mutex:
            self._listeners = (*self._listeners, changed)

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    # -- what is in it -------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """How many items were ever appended."""
        return self._length

    @property
    def base(self) -> int:
        """The position of the first item that is still kept."""
        return self._base

    @property
    def position(self) -> int:
        """How many items have been delivered, the one in delivery included."""
        return self._pos

    @property
    def ended(self) -> bool:
        """Whether the ending is decided (it may still have to be delivered)."""
        return self.state >= ENDED

    @property
    def delivered(self) -> bool:
        """Whether everything was delivered, the ending too."""
        return self.state >= DELIVERED

    @property
    def released(self) -> bool:
        """Whether, besides, the thread that delivered the ending has given its turn back."""
        return self.state >= RELEASED

    @property
    def failure(self) -> Exception | None:
        """The error it ended with, if it has."""
        return self._error

    def peek(self, position: int) -> tuple[Callable[[Any], T], Any] | None:
        """Give the pair `(kind, payload)` at `position`; None when it is not there yet, or no longer."""
        if self.keep:
            return self._read(position)
        with self._mutex:
            index = position - self._base
            return (self._kinds[index], self._payloads[index]) if 0 <= index < len(self._payloads) else None

    def reader(self) -> Callable[[int], tuple[Callable[[Any], T], Any] | None]:
        """Give what `peek` is for a log that keeps everything, without a reference to the log."""
        kinds, payloads = self._kinds, self._payloads

        def read(position: int) -> tuple[Callable[[Any], T], Any] | None:
            try:
                return kinds[position], payloads[position]
            except IndexError:
                return None

        return read

    def item(self, position: int) -> T:
        """Give the item at `position`, the very object that was handed out last if it is that; NOTHING without one."""
        at, item = self.shown
        if at == position and item is not NOTHING:
            return item
        pair = self.peek(position)
        return cast("T", NOTHING) if pair is None else pair[0](pair[1])

    # -- trimming ------------------------------------------------------------------------------------------------

    def trim(self, least: int = BLOCK) -> None:
        """Drop what everybody has passed, `least` items at a time; cut loose whoever holds too much back."""
        with self._mutex:
            low = self._pos - (self.state < DELIVERED)  # the item in delivery stays: substreams start there
            lagging = [cursor for cursor in self._cursors if cursor.is_open]
            if self._bytes > self.max_pending and lagging and min(c.position for c in lagging) < low:
                low_cursor = min(lagging, key=lambda cursor: cursor.position)
                low_cursor.overflow(self._bytes)
                lagging.remove(low_cursor)
            for cursor in lagging:
                low = min(low, cursor.position)
            drop = low - self._base
            if drop < least and self._bytes <= self.max_pending:
                return
            if drop > 0:
                self._bytes -= weight(self._payloads[:drop])
                del self._kinds[:drop], self._payloads[:drop]
                self._base = low

    def register(self, cursor: Cursor[T]) -> None:
        with self._mutex:
            cursor.position = max(cursor.position, self._base)
            self._cursors.add(cursor)


def weight(payloads: list[Any]) -> int:
    """Bytes that payloads hold; items that an operator made weigh nothing."""
    return sum([len(payload) for payload in payloads if type(payload) is bytes])

"""The items of a log in the order of their arrival, and its ending. A storage delivers nothing.

    base                 position                length
    ▼                    ▼                       ▼
    ┌────────────────────┬───────────────────────┐
    │ delivered, stored  │ stored, not delivered │  ◀── append
    └────────────────────┴───────────────────────┘
    ◀── trim               ◀── take        cut ──▶

Positions count items from the first one ever appended. An item is stored as a pair `(kind, payload)`, and each reader
builds it with `kind(payload)`.

Only `take()` makes an item count as delivered. Changes run under one mutex, under which no foreign code runs. With
`keep=True`, `peek()` and `take()` are exceptions: there the mutex would cost more than the rest of a delivery. Only one
thread at a time takes, so only `cut()` can interfere. `take()` first raises the position, then looks at the length
again; `cut()` first lowers the length, then looks at the position again. So at least one of the two sees the other: the
item is either cut or taken.

`keep=False` drops the items that every reader has passed, in blocks of 256. If the stored items have more than
`max_pending` bytes, the slowest reader gets a StreamOverflowError, and the storage stops waiting for it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from rx_assistant.hot.state import DELIVERED, ENDED, MOVES, OPEN, Signal, State

T = TypeVar("T")

Kind: TypeAlias = Callable[[Any], T]
"""Builds an item from its payload."""

NOTHING: Any = object()
"""The value that methods return if there is no item."""

FOREVER: Final = 1 << 62
"""A position after all others, the ending included."""

BLOCK: Final = 256
"""The number of items that are dropped at a time."""


class Reader(Protocol):
    """A position that trimming must not pass."""

    position: int

    @property
    def is_open(self) -> bool:
        """Whether the reader still needs the items from `position` on."""
        ...

    def overflow(self, pending: int) -> None:
        """Fail, because the reader is too slow: `pending` bytes are stored for it."""


class Stored(Generic[T]):
    """The items of a storage with `keep=True`, without a reference to the storage."""

    __slots__ = ("_kinds", "_payloads")

    def __init__(self, kinds: list[Kind[T]], payloads: list[Any]) -> None:
        self._kinds = kinds
        self._payloads = payloads

    def __call__(self, position: int) -> tuple[Kind[T], Any] | None:
        """Return the pair at `position`; None if it has not arrived yet."""
        try:
            return self._kinds[position], self._payloads[position]
        except IndexError:
            return None


class Storage(Generic[T]):
    """Items and positions; see the module's text."""

    __slots__ = (
        "_bytes",
        "_kinds",
        "_payloads",
        "_read",
        "_readers",
        "base",
        "failure",
        "keep",
        "length",
        "max_pending",
        "mutex",
        "position",
        "state",
    )

    def __init__(self, *, keep: bool, max_pending: int) -> None:
        self.keep = keep
        self.max_pending = max_pending
        self.state: State = OPEN
        self.failure: Exception | None = None
        self.base = self.position = self.length = 0
        self.mutex = threading.RLock()  # never taken twice; this kind knows whether the caller holds it
        self._kinds: list[Kind[T]] = []
        self._payloads: list[Any] = []
        self._bytes = 0
        self._readers: weakref.WeakSet[Any] | tuple[()] = () if keep else weakref.WeakSet()
        self._read = Stored(self._kinds, self._payloads)

    # -- the ends ------------------------------------------------------------------------------------------------

    def append(self, kinds: list[Kind[T]], payloads: list[Any]) -> bool:
        """Append items in order; False, and nothing appended, after the ending."""
        with self.mutex:
            if self.state >= ENDED:
                return False
            self._kinds.extend(kinds)
            self._payloads.extend(payloads)
            self.length += len(payloads)
            if not self.keep:
                self._bytes += weight(payloads)
        return True

    def take(self, position: int) -> tuple[Kind[T], Any] | None:
        """Count the item at `position` as delivered, and return its pair; None if it is not the next one to deliver."""
        if position != self.position or position >= self.length:
            return None
        if not self.keep:
            return self._take_stored(position)
        self.position = position + 1
        if position >= self.length:  # it was cut meanwhile
            self.position = position
            return None
        return self._kinds[position], self._payloads[position]

    def _take_stored(self, position: int) -> tuple[Kind[T], Any] | None:
        with self.mutex:
            if position >= self.length:
                return None
            self.position = position + 1
            index = position - self.base
            return self._kinds[index], self._payloads[index]

    # -- the life of the log, see hot/state.py -------------------------------------------------------------------

    def end(self, error: Exception | None) -> bool:
        """End after the last item, well or with `error`; False if the log has ended already."""
        with self.mutex:
            return self._end("end", error)

    def cut(self, error: Exception) -> bool:
        """End with `error` at `position`, and drop the items after it; False if all items were delivered."""
        with self.mutex:
            if (self.state, "cut") not in MOVES or (self.state == ENDED and self.position == self.length):
                return False
            self.length = self.position
            while self.length != self.position:  # an item was taken meanwhile
                self.length = self.position
            delivered = self.length - self.base
            if not self.keep:
                self._bytes -= weight(self._payloads[delivered:])
            del self._kinds[delivered:], self._payloads[delivered:]
            return self._end("cut", error)

    def _end(self, signal: Signal, error: Exception | None) -> bool:
        if (self.state, signal) in MOVES:
            self.failure = error  # before the state: readers look at both without the mutex
        return self.move(signal)

    def move(self, signal: Signal) -> bool:
        """Change the state as the table says. Returns False if the table has no such signal for the state."""
        after = MOVES.get((self.state, signal))
        if after is None:
            return False
        self.state = after
        return True

    # -- reading -------------------------------------------------------------------------------------------------

    def reader(self) -> Callable[[int], tuple[Kind[T], Any] | None]:
        """Return a function like `peek`, without a reference to the storage. Only for `keep=True`."""
        return self._read

    def peek(self, position: int) -> tuple[Kind[T], Any] | None:
        """Return the pair at `position`; None if it has not arrived yet, or was dropped."""
        if self.keep:
            return self._read(position)
        with self.mutex:
            index = position - self.base
            return (self._kinds[index], self._payloads[index]) if 0 <= index < len(self._payloads) else None

    # -- trimming ------------------------------------------------------------------------------------------------

    def register(self, reader: Reader) -> None:
        """Keep the items from the reader's position on; a position that was dropped becomes the first one stored."""
        with self.mutex:
            reader.position = max(reader.position, self.base)
            if isinstance(self._readers, weakref.WeakSet):  # else no item is ever dropped
                self._readers.add(reader)

    def trim(self, least: int = BLOCK) -> None:
        """Drop the items that every reader has passed, if there are `least` of them; fail a reader that is too slow."""
        with self.mutex:
            readers = [reader for reader in self._readers if reader.is_open]
            self._drop(readers, least)
            slowest = min(readers, key=lambda reader: reader.position, default=None)
            if slowest is None or self._bytes <= self.max_pending:
                return
            held_back = weight(self._payloads[max(slowest.position - self.base, 0) : self.position - self.base])
            if held_back > self.max_pending:
                slowest.overflow(held_back)
                readers.remove(slowest)
                self._drop(readers, least)

    def _drop(self, readers: list[Any], least: int) -> None:
        low = self.position - (self.state < DELIVERED)  # the item in delivery stays: substreams start there
        drop = min([low, *[reader.position for reader in readers]]) - self.base
        if drop > 0 and (drop >= least or self._bytes > self.max_pending):
            self._bytes -= weight(self._payloads[:drop])
            del self._kinds[:drop], self._payloads[:drop]
            self.base += drop


def weight(payloads: list[Any]) -> int:
    """Return the number of bytes in the payloads. Items that an operator built count as 0."""
    return sum([len(payload) for payload in payloads if type(payload) is bytes])

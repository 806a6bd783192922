"""A queue of waiting items, in groups that can be joined; and their delivery, by one thread at a time.

Theory of operation

One thread fills a `Backlog` and another may drain it. Pushing only tests whether an item can join its neighbour: a
group is a list that is joined when it is taken. A group of snapshots holds only the newest. The capacity counts groups,
because joining more text into a group does not make the queue longer.

A `Handoff` delivers a backlog to a sink. A thread only tries to take its lock. The thread that gets it delivers, and
checks for new requests after releasing it. A thread that does not get it stores its request as state (`_wanted`). So
delivery is serial and in order (C10), a push from inside a delivery cannot recurse, and no thread waits for a slow
observer. The operators differ in when they start to deliver.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from itertools import repeat
from typing import Generic, Literal, TypeAlias, TypeVar, cast

from rx_assistant.errors import StreamOverflowError
from rx_assistant.hot import NOTHING, Hooks, Sink
from rx_assistant.operators._joining import grows, is_replaced, joined

T = TypeVar("T")

Overflow: TypeAlias = Literal["error", "drop_oldest", "drop_newest"]
"""The policy for a full queue: end the chain with StreamOverflowError, or drop an item."""


class Added(Enum):
    """The result of adding an item that could not join a waiting group."""

    OPENED = "opened"  # a new group that may grow
    BARRIER = "barrier"  # a new group that must be delivered at once


class Backlog(Generic[T]):
    """A queue of groups; `capacity` bounds how many wait."""

    __slots__ = (
        "_adjacent",
        "_capacity",
        "_groups",
        "_join",
        "_last",
        "_mutex",
        "_numbering",
        "_numbers",
        "_on_drop",
        "_overflow",
    )

    def __init__(
        self,
        adjacent: Callable[[T, T], bool],
        join: Callable[[Sequence[T]], T],
        *,
        capacity: int | None = None,
        overflow: Overflow = "error",
        on_drop: Callable[[T], object] | None = None,
        numbering: Iterator[int] = repeat(0),  # noqa: B008  # a constant
    ) -> None:
        self._adjacent = adjacent
        self._join = join
        self._capacity = capacity
        self._overflow = overflow
        self._on_drop = on_drop
        self._groups: deque[list[T]] = deque()
        self._numbering = numbering
        self._numbers: deque[int] = deque()  # one for each group
        self._last: T = NOTHING
        self._mutex = threading.RLock()  # the garbage collector may dispose the subscription while this thread holds it

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def first_number(self) -> int | None:
        """The number that `numbering` gave to the oldest group; None when no group waits."""
        with self._mutex:
            return self._numbers[0] if self._numbers else None

    @property
    def first_size(self) -> int:
        """How many items are in the oldest group; 0 when no group waits."""
        with self._mutex:
            return len(self._groups[0]) if self._groups else 0

    @property
    def last_number(self) -> int | None:
        """The number of the newest group; None when no group waits."""
        with self._mutex:
            return self._numbers[-1] if self._numbers else None

    def add(self, item: T) -> Added | None:
        """Add an item at the end, from one thread at a time. None if the item joined a group or was dropped.

        Raises:
            StreamOverflowError: the queue is full, and `overflow` is `"error"`.
        """
        last = self._last
        joins = self._adjacent(item if last is NOTHING else last, item)
        if joins:
            with self._mutex:
                if self._groups:
                    if self._join is joined and is_replaced(item):
                        self._groups[-1][-1] = item
                    else:
                        self._groups[-1].append(item)
                    self._last = item
                    return None
        if self._capacity is not None and not self._make_room(item):
            return None
        with self._mutex:
            self._groups.append([item])
            self._numbers.append(next(self._numbering))
            self._last = item
        return Added.OPENED if joins else Added.BARRIER

    def take(self) -> T:
        """Return the oldest group as one item; NOTHING when no group waits."""
        return self.take_some(None)[0]

    def take_some(self, most: int | None) -> tuple[T, int]:
        """Return the oldest group as one item, and the number of its pieces. A growing text has at most `most` pieces.

        The item is NOTHING when no group waits.
        """
        with self._mutex:
            if not self._groups:
                return cast("T", NOTHING), 0
            group = self._groups[0]
            if most is not None and len(group) > most and grows(group[0]):
                group, self._groups[0] = group[:most], group[most:]
            else:
                self._numbers.popleft()
                self._groups.popleft()
        return group[0] if len(group) == 1 else self._join(group), len(group)

    def clear(self) -> None:
        """Remove all groups."""
        with self._mutex:
            self._groups.clear()
            self._numbers.clear()
            self._last = NOTHING

    def _make_room(self, item: T) -> bool:
        """Apply the overflow policy; returns False if `item` must be dropped."""
        dropped: Sequence[T] = ()
        with self._mutex:
            waiting = len(self._groups)
            full = waiting == self._capacity
            if full and self._overflow == "drop_oldest":
                dropped = self._groups.popleft()
                self._numbers.popleft()
        if not full:
            return True
        if self._overflow == "error":
            message = f"at most {self._capacity} groups of items may wait, got {waiting + 1}: the observer is too slow"
            raise StreamOverflowError(message, capacity=self._capacity or 0, pending=waiting)
        for lost in dropped or (item,):
            if self._on_drop is not None:
                self._on_drop(lost)
        return bool(dropped)


class Newest(Backlog[T]):
    """A backlog of at most one item: each item replaces the one before it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_always, _last)

    def add(self, item: T) -> Added | None:
        """Replace the waiting item by `item`."""
        with self._mutex:
            if self._groups:
                self._groups[0][0] = item
                return None
            self._groups.append([item])
            self._numbers.append(next(self._numbering))
        return Added.OPENED


class Intake(Generic[T]):
    """Puts upstream's items and ending into a backlog. Subclasses deliver them."""

    def __init__(self, down: Sink[T], backlog: Backlog[T]) -> None:
        self.backlog = backlog
        self.over = False
        self._down = down
        self._ending: tuple[Exception | None] | None = None

    @property
    def hooks(self) -> Hooks:
        """The operator's hooks for upstream's signals."""
        return Hooks(self.push, self.error, self.completed, self.dispose)

    def push(self, item: T) -> None:
        """Take an item from upstream."""
        if self._ending is not None:
            return
        try:
            added = self.backlog.add(item)
        except StreamOverflowError as error:
            self.error(error)
            return
        if added is None:
            return
        if added is Added.OPENED:
            self._arrange()
        else:
            self._hurry()

    def error(self, error: Exception) -> None:
        """Take upstream's error: it is delivered after all waiting items."""
        self._end(error)

    def completed(self) -> None:
        """Take upstream's completion: it is delivered after all waiting items."""
        self._end(None)

    def dispose(self) -> None:
        """Drop all waiting items. Nothing is delivered any more."""
        self.over = True
        self.backlog.clear()

    def _end(self, error: Exception | None) -> None:
        if self._ending is None:
            self._ending = (error,)
            self._hurry()

    def _finish(self, error: Exception | None) -> None:
        """Deliver the ending, once."""
        if self.over:
            return
        self.over = True
        if error is None:
            self._down.completed()
        else:
            self._down.error(error)

    def _arrange(self) -> None:
        """Schedule the delivery of the waiting items."""
        raise NotImplementedError

    def _hurry(self) -> None:
        """Deliver the waiting items as soon as possible."""
        raise NotImplementedError


class Handoff(Intake[T]):
    """Delivers by draining, on the thread that calls `drain()`."""

    def __init__(self, down: Sink[T], backlog: Backlog[T]) -> None:
        super().__init__(down, backlog)
        self._wanted = False
        self._lock: dict[int, object] = {}  # key 0: the token of the thread that delivers; see hot/delivery.py

    def drain(self) -> None:
        """Deliver all waiting items, unless another thread, or a caller further up this stack, is delivering."""
        self._wanted = True
        while self._wanted:
            token, lock = object(), self._lock
            try:
                if lock.setdefault(0, token) is not token:
                    return
                while self._wanted:
                    self._wanted = False
                    self._deliver()
            finally:
                try:
                    if lock[0] is token:
                        del lock[0]
                except KeyError:
                    pass
            # check again: a request may have come while this thread still had the lock

    def _deliver(self) -> None:
        """Deliver the groups that wait now, then the ending if it has arrived."""
        ending, down = self._ending, self._down  # read the ending first: no item is added after it
        try:
            for _ in range(len(self.backlog)):
                item = self.backlog.take()
                if item is NOTHING:
                    break
                down.next(item)
        except Exception as error:
            ending = (error,)
        if ending is not None:
            self._finish(ending[0])


def _always(_earlier: object, _later: object) -> bool:
    return True


def _last(items: Sequence[T]) -> T:
    return items[-1]

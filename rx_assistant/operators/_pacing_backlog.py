"""Items that wait to be handed on, in groups of what may be joined; and their handing on, one thread at a time.

Theory of operation

A `Backlog` is filled by whoever pushes and emptied by whoever drains, on any threads. Joining two neighbours costs
nothing but the question whether they may: a group is a list, joined when it is taken; of things that give way to the
newest, such as snapshots, it holds one. Only groups count against the capacity, since a longer text is no longer queue.

A `Handoff` gives a backlog to a sink. The lock is only ever try-acquired: the thread that gets it delivers, and looks
again after releasing; a thread that does not get it has left its wish as state (`_wanted`). So delivery is serial and
in order (C10), a push from inside a delivery cannot recurse, and no thread ever waits for a slow observer. When the
draining starts is what operators differ in.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from itertools import repeat
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from rx_assistant.errors import StreamOverflowError
from rx_assistant.hot import Hooks, Sink
from rx_assistant.operators._joining import gives_way, grows, joined

T = TypeVar("T")

Overflow: TypeAlias = Literal["error", "drop_oldest", "drop_newest"]
"""What becomes of an item too many: the chain ends with StreamOverflowError, or an item is dropped."""

NOTHING: Any = object()
"""What an empty backlog gives."""


class Added(Enum):
    """What an item became that was not joined to what waits already."""

    OPENED = "opened"  # a new group, which may still grow
    BARRIER = "barrier"  # a new group, which must not wait


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
        self._mutex = threading.RLock()  # what the garbage collector finds in here may dispose the subscription

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def first_number(self) -> int | None:
        """The number that the oldest group got from `numbering`; None when nothing waits."""
        with self._mutex:
            return self._numbers[0] if self._numbers else None

    @property
    def last_number(self) -> int | None:
        """The number of the newest group; None when nothing waits."""
        with self._mutex:
            return self._numbers[-1] if self._numbers else None

    def add(self, item: T) -> Added | None:
        """Add an item behind all others, from one thread at a time; None when nothing new waits.

        Raises:
            StreamOverflowError: there are as many groups as there may be, and `overflow` is `"error"`.
        """
        last = self._last
        joins = self._adjacent(item if last is NOTHING else last, item)
        if joins:
            with self._mutex:
                if self._groups:
                    if self._join is joined and gives_way(item):
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
        """Give the oldest group as one item; NOTHING when nothing waits."""
        return self.take_some(None)[0]

    def take_some(self, most: int | None) -> tuple[T, int]:
        """Give the oldest group as one item, but of a text that grows only the first `most` pieces; and their number.

        NOTHING when nothing waits.
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
        """Forget everything."""
        with self._mutex:
            self._groups.clear()
            self._numbers.clear()
            self._last = NOTHING

    def _make_room(self, item: T) -> bool:
        """Keep to the capacity; False when that means to drop `item`."""
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
            message = f"{waiting} items wait to be handed on and cannot be joined; the capacity is {self._capacity}"
            raise StreamOverflowError(message, capacity=self._capacity or 0, pending=waiting)
        for lost in dropped or (item,):
            if self._on_drop is not None:
                self._on_drop(lost)
        return bool(dropped)


class Newest(Backlog[T]):
    """A backlog of at most one item: each takes the place of the one before it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_always, _last)

    def add(self, item: T) -> Added | None:
        """Put `item` in the place of what waits."""
        with self._mutex:
            if self._groups:
                self._groups[0][0] = item
                return None
            self._groups.append([item])
            self._numbers.append(next(self._numbering))
        return Added.OPENED


class Intake(Generic[T]):
    """Takes upstream's signals: items into a backlog, the ending behind them. Subclasses hand them on."""

    def __init__(self, down: Sink[T], backlog: Backlog[T]) -> None:
        self.backlog = backlog
        self.over = False
        self._down = down
        self._ending: tuple[Exception | None] | None = None

    @property
    def hooks(self) -> Hooks:
        """What the operator does with upstream's signals."""
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
        """Take upstream's error: it goes out behind everything that waits."""
        self._end(error)

    def completed(self) -> None:
        """Take upstream's completion: it goes out behind everything that waits."""
        self._end(None)

    def dispose(self) -> None:
        """Drop what waits. Nothing is handed on any more."""
        self.over = True
        self.backlog.clear()

    def _end(self, error: Exception | None) -> None:
        if self._ending is None:
            self._ending = (error,)
            self._hurry()

    def _finish(self, error: Exception | None) -> None:
        """Hand on the ending, once."""
        if self.over:
            return
        self.over = True
        if error is None:
            self._down.completed()
        else:
            self._down.error(error)

    def _arrange(self) -> None:
        """See to it that what waits is handed on in time."""
        raise NotImplementedError

    def _hurry(self) -> None:
        """See to it that what waits is handed on at once."""
        raise NotImplementedError


class Handoff(Intake[T]):
    """Hands on by draining, on whichever thread asks."""

    def __init__(self, down: Sink[T], backlog: Backlog[T]) -> None:
        super().__init__(down, backlog)
        self._wanted = False
        self._turn: dict[
            int, object
        ] = {}  # the token of the thread that delivers, under 0: see hot/_log.py, "Interrupts"

    def drain(self) -> None:
        """Hand on what waits, unless another thread, or a caller further up this stack, is doing so."""
        self._wanted = True
        while self._wanted:
            token, turn = object(), self._turn
            try:
                if turn.setdefault(0, token) is not token:
                    return
                while self._wanted:
                    self._wanted = False
                    self._deliver()
            finally:
                try:
                    if turn[0] is token:
                        del turn[0]
                except KeyError:
                    pass
            # look again: a wish placed after the last look found the turn taken and left

    def _deliver(self) -> None:
        """Hand on the groups that wait now, and then the ending if it has come."""
        ending, down = self._ending, self._down  # looked at first: nothing is added behind an ending
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

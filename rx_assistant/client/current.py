"""A value that changes, and its subscribers: each gets the current value, then every later one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable

from rx_assistant.hot import Subscriber

T = TypeVar("T")

_NONE: Any = object()


class Current(Generic[T]):
    """One value for any number of subscribers, on any thread.

    Every change is an entry of a queue. One thread at a time works through the queue, and looks at it again after
    leaving. So subscribers are called serially and in order, even if one of them makes a change.
    """

    def __init__(self, value: T = _NONE) -> None:
        self._value = value
        self._seats: tuple[Subscriber[T], ...] = ()
        self._over = False
        self._entries: deque[Callable[[], None]] = deque()
        self._turn = threading.Lock()

    @property
    def is_watched(self) -> bool:
        """Whether there are subscribers."""
        return bool(self._seats)

    def set(self, value: T) -> None:
        """Set the value. Setting the same object changes nothing."""
        self._enter(partial(self._set, value))

    def end(self, error: Exception | None = None) -> None:
        """End all subscriptions. After an error new subscribers may come; after completion they complete at once."""
        self._enter(partial(self._end, error))

    def subscribe(self, down: Subscriber[T]) -> abc.DisposableBase:
        """Add a subscriber; returns the disposable that removes it."""
        self._enter(partial(self._admit, down))
        return Disposable(partial(self._enter, partial(self._leave, down)))

    def _enter(self, entry: Callable[[], None]) -> None:
        self._entries.append(entry)
        while self._entries and self._turn.acquire(blocking=False):
            try:
                while self._entries:
                    self._entries.popleft()()
            finally:
                self._turn.release()

    def _set(self, value: T) -> None:
        if self._over or self._value is value:
            return
        self._value = value
        for seat in self._seats:
            _tell(seat, value)

    def _admit(self, down: Subscriber[T]) -> None:
        if self._value is not _NONE:
            _tell(down, self._value)
        if self._over:
            down.completed()
        elif down.active:
            self._seats = (*self._seats, down)

    def _leave(self, down: Subscriber[T]) -> None:
        self._seats = tuple([seat for seat in self._seats if seat is not down])

    def _end(self, error: Exception | None) -> None:
        self._over = self._over or error is None
        seats, self._seats = self._seats, ()
        for seat in seats:
            if error is None:
                seat.completed()
            else:
                seat.error(error)


def _tell(seat: Subscriber[T], value: T) -> None:
    try:
        seat.next(value)
    except Exception as error:
        seat.fail(error)

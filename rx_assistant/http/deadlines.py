"""The time limits of an open stream as arithmetic, and the alarm that ends a wait which is too long.

Only waiting counts for `read`, `first_event` and `idle`. If the program pauses for a minute between two reads, the
server has not caused that minute. `total` is the time since the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from rx_assistant.errors import (
    APITimeoutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    ReadTimeoutError,
    TotalTimeoutError,
)
from rx_assistant.http.timeouts import Timeout

Left: TypeAlias = Callable[[], float | None]
"""Seconds until the time limit of the current wait; None without a wait, or without a limit."""

CallLater: TypeAlias = Callable[[float, Callable[[], None]], Callable[[], None]]


class Limit(NamedTuple):
    """The time at which a read must end, and the error if it does not."""

    due: float
    kind: type[APITimeoutError]
    text: str

    def error(self) -> APITimeoutError:
        return self.kind(self.text)


class Deadlines:
    """Measures the waits of reads, and decides when the current one must end. Not thread-safe.

    `since` is the time at which the current wait began; None means now. `read` limits a wait without a byte; None if
    the transport enforces that limit. `counts`: whether a limit can pass between two reads, or while bytes arrive.
    """

    __slots__ = ("_clock", "_finish_by", "_read", "_seen", "_started", "_timeout", "_waited", "counts")

    def __init__(
        self, timeout: Timeout, clock: Callable[[], float], started: float | None, *, read: float | None = None
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        now = clock()
        self._started = now if started is None else started
        self._waited = now - self._started
        self._read = read
        self._finish_by: float | None = None
        self._seen = False
        self.counts = not (timeout.total is None and timeout.first_event is None and timeout.idle is None)

    def waited(self, since: float) -> None:
        """A wait has ended."""
        self._waited += self._clock() - since

    def saw_event(self) -> bool:
        """The last read held an event. True if the next limit is nearer now, because `idle` begins to count."""
        first, self._seen = not self._seen, True
        self._waited = 0.0
        return first and self._timeout.idle is not None

    def finish_within(self, seconds: float) -> None:
        """The stream has ended: allow this many seconds for the rest of the body."""
        self._finish_by = self._clock() + seconds
        self.counts = True

    def nearest(self, since: float | None) -> Limit | None:
        """The limit that comes first for a wait."""
        timeout = self._timeout
        since = self._clock() if since is None else since
        limits: list[Limit] = []
        if self._finish_by is not None:
            limits.append(Limit(self._finish_by, APITimeoutError, "the body went on after the end of the stream"))
        if timeout.total is not None:
            text = f"the stream had not ended within timeout.total = {timeout.total:g} s"
            limits.append(Limit(self._started + timeout.total, TotalTimeoutError, text))
        if timeout.first_event is not None and not self._seen:
            text = f"no event within timeout.first_event = {timeout.first_event:g} s"
            limits.append(Limit(since + timeout.first_event - self._waited, FirstEventTimeoutError, text))
        if timeout.idle is not None and self._seen:
            text = f"no further event within timeout.idle = {timeout.idle:g} s"
            limits.append(Limit(since + timeout.idle - self._waited, IdleTimeoutError, text))
        if self._read is not None:
            text = f"no byte within timeout.read = {self._read:g} s"
            limits.append(Limit(since + self._read, ReadTimeoutError, text))
        return min(limits, key=_due, default=None)

    def left(self, since: float) -> float | None:
        """Seconds until the nearest limit, None if there is none."""
        limit = self.nearest(since)
        return None if limit is None else limit.due - self._clock()

    def passed(self) -> APITimeoutError | None:
        """The error of a limit that has passed; None if none has."""
        limit = self.nearest(None)
        return limit.error() if limit is not None and limit.due <= self._clock() else None


def _due(limit: Limit) -> float:
    return limit.due


class Alarm:
    """Calls `ring` when a wait reaches its time limit.

    A limit usually moves with each chunk, and a timer for each chunk would cost more than the chunk. So there is one
    timer. When it fires and the limit has moved, it is set again for the remaining time.
    """

    __slots__ = ("_call_later", "_cancel", "_left", "_ring", "is_set")

    def __init__(self, call_later: CallLater, left: Left, ring: Callable[[], object]) -> None:
        self._call_later = call_later
        self._left = left
        self._ring = ring
        self._cancel: Callable[[], None] | None = None
        self.is_set = False

    def set(self) -> None:
        """A wait has begun."""
        self.is_set = True
        left = self._left()
        if left is not None:
            self._cancel = self._call_later(max(left, 0.0), self.look)

    def look(self) -> None:
        """Call `ring` if the limit has passed. Otherwise set the timer again, if a wait is still active."""
        self._cancel = None
        left = self._left()
        if left is None:
            self.is_set = False
        elif left <= 0:
            self._ring()
        else:
            self._cancel = self._call_later(left, self.look)

    def stop(self) -> None:
        """Cancel the timer, until `set()`."""
        self.is_set = False
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

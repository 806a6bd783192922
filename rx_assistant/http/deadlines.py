"""The time limits of an open stream, as arithmetic: what has been waited for, and what may still be.

Only waiting counts for `first_event` and `idle`: a program that looks away for a minute between two reads has not
been kept waiting by the server. `total` is the time on the clock since the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rx_assistant.errors import APITimeoutError, FirstEventTimeoutError, IdleTimeoutError, TotalTimeoutError
from rx_assistant.http.timeouts import Timeout


class Limit(NamedTuple):
    """By when a read has to end, on the clock, and the error if it does not."""

    due: float
    kind: type[APITimeoutError]
    text: str

    def error(self) -> APITimeoutError:
        return self.kind(self.text)


class Deadlines:
    """Told of reads and events, it knows by when the current read has to end. Not thread-safe by itself."""

    __slots__ = (
        "_clock",
        "_finish_by",
        "_reading_since",
        "_seen",
        "_started",
        "_timeout",
        "_waited",
        "unlimited",
    )

    def __init__(self, timeout: Timeout, clock: Callable[[], float], started: float | None) -> None:
        self._timeout = timeout
        self._clock = clock
        now = clock()
        self._started = now if started is None else started
        self._waited = now - self._started
        self._reading_since: float | None = None
        self._finish_by: float | None = None
        self._seen = False
        unlimited = timeout.total is None and timeout.first_event is None and timeout.idle is None
        self.unlimited = unlimited  # whether no limit can ever be met, so that nothing has to be told of reads

    def begin_read(self) -> None:
        if not self.unlimited:
            self._reading_since = self._clock()

    def end_read(self) -> None:
        if self._reading_since is not None:
            self._waited += self._clock() - self._reading_since
            self._reading_since = None

    def saw_event(self) -> None:
        """What was read last held an event."""
        self._seen = True
        self._waited = 0.0

    def finish_within(self, seconds: float) -> None:
        """The stream has said all; what follows is only waited for so long."""
        self._finish_by = self._clock() + seconds
        self.unlimited = False

    def nearest(self) -> Limit | None:
        """The limit that the current read, or one that began now, meets first."""
        if self.unlimited:
            return None
        timeout = self._timeout
        since = self._clock() if self._reading_since is None else self._reading_since
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
        return min(limits, key=_due, default=None)

    def passed(self) -> APITimeoutError | None:
        """The error of the limit that has passed already."""
        limit = self.nearest()
        return limit.error() if limit is not None and limit.due <= self._clock() else None


def _due(limit: Limit) -> float:
    return limit.due

"""Connections that nobody uses at the moment: which serves the next request, and which have to go. From any thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from os import getpid
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from rx_assistant.http.wire import Key

N = TypeVar("N")


class _Idle(NamedTuple, Generic[N]):
    network: N
    since: float


class IdleConnections(Generic[N]):
    """At most so many, each for so many seconds. Who is given one, by any method, owns it and may have to close it."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._rows: dict[Key, deque[_Idle[N]]] = {}
        self._count = 0
        self._process = getpid()
        self._lock = Lock()

    def pop(self, key: Key) -> N | None:
        """The one that was used last: it is the likeliest still to stand."""
        with self._lock:
            row = self._rows.get(key)
            return None if row is None else self._taken(key, row, row.pop)

    def push(self, key: Key, network: N) -> N | None:
        """Keep one; gives the one that is too many then."""
        with self._lock:
            self._rows.setdefault(key, deque()).append(_Idle(network, self._clock()))
            self._count += 1
            if self._count <= self._most:
                return None
            oldest = min(self._rows, key=lambda key: self._rows[key][0].since)
            return self._taken(oldest, self._rows[oldest], self._rows[oldest].popleft)

    def expired(self) -> list[N]:
        """Those that nobody has used for too long; in the child of a fork all that its parent has left in it."""
        before = self._clock() - self._seconds
        gone: list[N] = []
        with self._lock:
            if self._process != getpid():
                self._process = getpid()
                return self._clear()
            for key, row in [*self._rows.items()]:
                while row and row[0].since < before:
                    gone.append(self._taken(key, row, row.popleft))
        return gone

    def close(self) -> list[N]:
        """All of them; from now on none is kept."""
        self._most = 0
        with self._lock:
            return self._clear()

    def _clear(self) -> list[N]:
        rows, self._rows, self._count = self._rows, {}, 0
        return [idle.network for row in rows.values() for idle in row]

    def _taken(self, key: Key, row: deque[_Idle[N]], take: Callable[[], _Idle[N]]) -> N:
        idle = take()
        self._count -= 1
        if not row:
            del self._rows[key]
        return idle.network

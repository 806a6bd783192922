"""The httpx clients of a session: owned clients, or the client that the program has passed.

On threads, each call takes an owned client with one connection, and returns it at its end. It takes the client that was
used last. On event loops there is one client for each loop, because a connection only works on its own loop. A passed
client serves every call and stays open. A forked child starts without connections, because its parent uses the
inherited ones.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import anyio

from rx_assistant.errors import APIConnectionError
from rx_assistant.grace import KEPT_SECONDS
from rx_assistant.http.connection import Abort, Connection
from rx_assistant.http.event_loops import current_loop, with_its_loop
from rx_assistant.http.transports import (
    AsyncHTTP,
    SyncHTTP,
    checked_async,
    checked_sync,
    load,
    new_async_client,
    new_client,
)

KEPT = 100
"""The largest number of idle connections on threads."""


def closed_error() -> APIConnectionError:
    """The error of every call on a closed client."""
    return APIConnectionError("the client has been closed; nothing more can be sent with it")


class GivenClient:
    """All calls use the client that was passed."""

    def __init__(self, http: SyncHTTP) -> None:
        self._http: Any = checked_sync(http)

    @property
    def is_closed(self) -> bool:
        """Whether the passed client is closed."""
        return bool(self._http.is_closed)

    def begin(self, abort: Abort) -> None:
        """Do nothing: calls on a passed client continue."""

    def end(self, abort: Abort) -> None:
        """Do nothing: there is nothing to end."""

    def take(self) -> Connection:
        if self._http.is_closed:
            raise closed_error()
        return Connection(self._http, owned=False)

    def give_back(self, connection: Connection) -> None:
        connection.give_up_socket()

    def close(self) -> None:
        """Do nothing: the passed client stays open."""


class OwnClients:
    """One client for each active call, and some idle clients. Usable from any thread."""

    def __init__(self, make: Callable[[], SyncHTTP] = new_client, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._closed = False
        self._begin()
        first = Connection(make(), owned=True)  # loading the library is slower than most requests
        first.idle_since = clock()
        self._idle.append(first)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()  # a forked child needs a new lock: a thread of the parent may hold the old one
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._calls: set[Abort] = set()

    @property
    def is_closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    def begin(self, abort: Abort) -> None:
        """Begin a call. `close()` ends it through `abort`."""
        self._forget_parent()
        with self._lock:
            if self._closed:
                raise closed_error()
            self._calls.add(abort)

    def end(self, abort: Abort) -> None:
        """The call has ended."""
        with self._lock:
            self._calls.discard(abort)

    def take(self) -> Connection:
        """The most recently used idle connection, or a new one, for one request. APIConnectionError after `close()`."""
        with self._lock:
            if self._closed:
                raise closed_error()
            expired = self._expired()
            connection = self._idle.pop() if self._idle else None
        for gone in expired:
            gone.close()
        connection = connection or Connection(self._make(), owned=True)
        with self._lock:
            self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Return a connection: the reply was read or abandoned."""
        connection.settle()
        with self._lock:
            keep = connection in self._busy and not (connection.is_shut or self._closed)
            gone = [] if keep else [connection]
            self._busy.discard(connection)
            if keep:
                connection.idle_since = self._clock()
                self._idle.append(connection)
                if len(self._idle) > KEPT:
                    gone.append(self._idle.popleft())
        for other in gone:
            other.close()

    def close(self) -> None:
        """End every call and close every connection."""
        self._forget_parent()
        with self._lock:
            self._closed = True
            calls, idle = [*self._calls], [*self._idle]
            self._idle.clear()
        for abort in calls:
            abort.abort(closed_error())
        for connection in idle:
            connection.close()

    def _expired(self) -> list[Connection]:
        before, gone = self._clock() - KEPT_SECONDS, []
        while self._idle and self._idle[0].idle_since < before:
            gone.append(self._idle.popleft())
        return gone

    def _forget_parent(self) -> None:
        if self._process != os.getpid():
            inherited = [*self._idle, *self._busy]
            self._begin()
            for connection in inherited:
                connection.forget()


SyncClients: TypeAlias = GivenClient | OwnClients


class AsyncCall(Protocol):
    """An active call or an open body on an event loop."""

    async def end(self) -> None:
        """End it, because the client is closed."""
        ...


class GivenAsyncClient:
    """All calls use the client that was passed. A client from `aiohttp_client()` is closed at the end."""

    def __init__(self, http: AsyncHTTP) -> None:
        self._http: Any = checked_async(http)
        self._closes = getattr(self._http, "closes_with_its_user", False)
        self._loop: Any = None
        self._calls: set[AsyncCall] = set()
        self.has_moved = False

    @property
    def is_closed(self) -> bool:
        """Whether the passed client is closed."""
        return bool(self._http.is_closed)

    def current(self) -> Any:
        if self._http.is_closed:
            raise closed_error()
        loop = current_loop()
        self._loop = self._loop or loop
        self.has_moved = self._loop is not loop
        return self._http

    def begin(self, call: AsyncCall) -> None:
        if self._closes:
            self._calls.add(call)

    def end(self, call: AsyncCall) -> None:
        self._calls.discard(call)

    async def aclose(self) -> None:
        if self._closes:
            for call in [*self._calls]:
                await call.end()
            await self._http.aclose()


class OwnAsyncClients:
    """One client for each event loop. It is closed at the latest when its loop ends."""

    has_moved = False

    def __init__(self) -> None:
        load()
        self._closed = False
        self._loops: WeakKeyDictionary[Any, _OfOneLoop] = WeakKeyDictionary()

    @property
    def is_closed(self) -> bool:
        """Whether `aclose()` was called."""
        return self._closed

    def current(self) -> Any:
        """The httpx client for this loop. APIConnectionError after `aclose()`."""
        if self._closed:
            raise closed_error()
        loop = current_loop()
        found = self._loops.get(loop)
        if found is None or found.process != os.getpid():
            for ended in [loop for loop, other in self._loops.items() if other.http.is_closed]:
                del self._loops[ended]
            found = self._loops[loop] = _OfOneLoop()
        return found.http

    def begin(self, call: AsyncCall) -> None:
        """Register a call or a body. `aclose()` ends it."""
        self.current()
        self._loops[current_loop()].calls.add(call)

    def end(self, call: AsyncCall) -> None:
        """It has ended."""
        found = self._loops.get(current_loop())
        if found is not None:
            found.calls.discard(call)

    async def aclose(self) -> None:
        """End every call and close every connection of this loop."""
        self._closed = True
        found = self._loops.pop(current_loop(), None)
        if found is not None and found.process == os.getpid():
            await found.aclose()


class _OfOneLoop:
    """The client of one event loop, with its active calls."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.http: Any = new_async_client()
        self.calls: set[AsyncCall] = set()
        self._close = with_its_loop(self.http.aclose)

    async def aclose(self) -> None:
        for call in [*self.calls]:
            await call.end()
        with anyio.CancelScope(shield=True):
            await self._close()


AsyncClients: TypeAlias = GivenAsyncClient | OwnAsyncClients

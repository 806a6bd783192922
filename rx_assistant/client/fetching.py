"""One fetch of a polled object, as a generator of requests that two small drivers carry out.

A `Turn` yields each request with its options, receives the reply (or the APIError), and returns the state. So what to
ask is written once. `SyncFetch` and `AsyncFetch` send the requests on threads and on event loops.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Generic, TypeAlias, TypeVar

from rx_assistant.api.request import Omit, Request
from rx_assistant.errors import APIError, TotalTimeoutError
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.polling import DeadlinePassed, Polled

T = TypeVar("T")

Ask: TypeAlias = tuple[Request, CallOptions]
Sending: TypeAlias = Generator[Ask, Reply, Reply]
Turn: TypeAlias = Generator[Ask, Reply, Polled[T]]

_CLOSE = 0.01  # seconds by which a time limit of the transport may be early


class Countdown:
    """What is left of a deadline, for requests that must not outlast it. It starts with the first limited request."""

    def __init__(self, seconds: float | None, default: Timeout) -> None:
        self._seconds = seconds
        self._default = default
        self._end: float | None = None

    def send(self, request: Request, options: CallOptions) -> Sending:
        """Send a request with no more time than is left. DeadlinePassed if the deadline comes before the reply."""
        limited = self.limit(options)
        try:
            return (yield request, limited)
        except TotalTimeoutError as error:
            if self._end is not None and time.monotonic() >= self._end - _CLOSE:
                raise DeadlinePassed from error
            raise

    def limit(self, options: CallOptions) -> CallOptions:
        """The options with no more time than is left. DeadlinePassed if no time is left."""
        if self._seconds is None:
            return options
        if self._end is None:
            self._end = time.monotonic() + self._seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        timeout = self._default if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
        total = left if timeout.total is None else min(left, timeout.total)
        return replace(options, timeout=replace(timeout, total=total))


class SyncFetch(Generic[T]):
    """Sends the requests of each turn on the thread that fetches. `close()` ends a request from any thread."""

    def __init__(self, session: Session, turn: Callable[[], Turn[T]], *, abort: Abort | None = None) -> None:
        self._session = session
        self._turn = turn
        self._abort = abort

    def __call__(self) -> Polled[T]:
        turn = self._turn()
        try:
            request, options = next(turn)
            while True:
                try:
                    reply = self._session.send(request, options, self._abort)
                except APIError as error:
                    request, options = turn.throw(error)
                else:
                    request, options = turn.send(reply)
        except StopIteration as end:
            polled: Polled[T] = end.value
            return polled

    def close(self) -> None:
        if self._abort is not None:
            self._abort.abort()


class AsyncFetch(Generic[T]):
    """Sends the requests of each turn in the task that fetches. Cancelling the task ends a request."""

    def __init__(self, session: AsyncSession, turn: Callable[[], Turn[T]]) -> None:
        self._session = session
        self._turn = turn

    async def __call__(self) -> Polled[T]:
        turn = self._turn()
        try:
            request, options = next(turn)
            while True:
                try:
                    reply = await self._session.send(request, options)
                except APIError as error:
                    request, options = turn.throw(error)
                else:
                    request, options = turn.send(reply)
        except StopIteration as end:
            polled: Polled[T] = end.value
            return polled

    def close(self) -> None:
        """Cancelling the task is enough."""

"""Polling: the requests of one fetch as a generator, and objects that are fetched until they are final.

`Requests` yields each request with its options, receives the reply (or the APIError), and returns the state. So each
sequence of requests is written once. `SyncFetch` and `AsyncFetch` send the requests on threads and on event loops. A
`PollTarget` is data: what to fetch, and what is final.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar

from rx_assistant.api.request import Omit, Request
from rx_assistant.client.params import OnFailure, PollParams
from rx_assistant.client.resource import parsed
from rx_assistant.errors import APIError, IngestionError, TotalTimeoutError
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.lifecycle import Lifecycle
from rx_assistant.polling import DeadlinePassed, Plan, Polled, observe, observe_async, poll_after
from rx_assistant.types import WireModel

T = TypeVar("T")
M = TypeVar("M", bound=WireModel)

Ask: TypeAlias = tuple[Request, CallOptions]
Sending: TypeAlias = Generator[Ask, Reply, Reply]
Requests: TypeAlias = Generator[Ask, Reply, Polled[T]]

_CLOSE = 0.01  # seconds by which a time limit of the transport may be early


class Countdown:
    """What is left of a deadline, for requests that must not outlast it. It starts with the first limited request."""

    def __init__(self, seconds: float | None, default: Timeout) -> None:
        self._seconds = seconds
        self._default = default
        self._end: float | None = None

    def send(self, request: Request, options: CallOptions) -> Sending:
        """Send a request within the remaining time. DeadlinePassed if the deadline comes before the reply."""
        limited = self.limit(options)
        try:
            return (yield request, limited)
        except TotalTimeoutError as error:
            if self._end is not None and time.monotonic() >= self._end - _CLOSE:
                raise DeadlinePassed from error
            raise

    def limit(self, options: CallOptions) -> CallOptions:
        """The options with the remaining time as their limit. DeadlinePassed if no time is left."""
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
    """Sends the requests of each fetch on the thread that fetches. `close()` ends a request from any thread."""

    def __init__(self, session: Session, fetch: Callable[[], Requests[T]], *, abort: Abort | None = None) -> None:
        self._session = session
        self._fetch = fetch
        self._abort = abort

    def __call__(self) -> Polled[T]:
        requests = self._fetch()
        try:
            request, options = next(requests)
            while True:
                try:
                    reply = self._session.send(request, options, self._abort)
                except APIError as error:
                    request, options = requests.throw(error)
                else:
                    request, options = requests.send(reply)
        except StopIteration as end:
            polled: Polled[T] = end.value
            return polled

    def close(self) -> None:
        if self._abort is not None:
            self._abort.abort()


class AsyncFetch(Generic[T]):
    """Sends the requests of each fetch in the task that fetches. Cancelling the task ends a request."""

    def __init__(self, session: AsyncSession, fetch: Callable[[], Requests[T]]) -> None:
        self._session = session
        self._fetch = fetch

    async def __call__(self) -> Polled[T]:
        requests = self._fetch()
        try:
            request, options = next(requests)
            while True:
                try:
                    reply = await self._session.send(request, options)
                except APIError as error:
                    request, options = requests.throw(error)
                else:
                    request, options = requests.send(reply)
        except StopIteration as end:
            polled: Polled[T] = end.value
            return polled

    def close(self) -> None:
        """Cancelling the task is enough."""


# -- objects -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PollTarget(Generic[M]):
    """What is polled: the model, its statuses, and the request that fetches it.

    With `again`, the request starts the work (it creates a run, a batch …), and `again` gives the request that fetches
    the object which it started.
    """

    model: type[M]
    lifecycle: Lifecycle
    request: Request
    again: Callable[[M], Request] | None = None

    def is_final(self, value: M) -> bool:
        """Whether the object will not change by itself. An unknown status is not final."""
        return getattr(value, "status", None) in self.lifecycle.stops


def watch_object(session: Session, target: PollTarget[M], call: PollParams) -> Stream[M]:
    """The states of an object. Each subscription sends its own requests."""
    timeout = session.settings.timeout

    def open(reachable: bool) -> SyncFetch[M]:
        return SyncFetch(session, object_requests(target, call, timeout), abort=Abort() if reachable else None)

    return observe(_plan(target, call, open))


def watch_object_async(session: AsyncSession, target: PollTarget[M], call: PollParams) -> AsyncStream[M]:
    """The same for asyncio and trio."""
    timeout = session.settings.timeout

    def open(_: bool) -> AsyncFetch[M]:
        return AsyncFetch(session, object_requests(target, call, timeout))

    return observe_async(_plan(target, call, open))


def poll_object(session: Session, target: PollTarget[M], call: PollParams) -> M:
    """The final state. IngestionError if it is a failure and the call has `on_failure="raise"`."""
    return checked(watch_object(session, target, call).run(), target.lifecycle, call.on_failure)


async def poll_object_async(session: AsyncSession, target: PollTarget[M], call: PollParams) -> M:
    """The same for asyncio and trio."""
    return checked(await watch_object_async(session, target, call), target.lifecycle, call.on_failure)


def checked(value: M, lifecycle: Lifecycle, on_failure: OnFailure) -> M:
    """The final value. IngestionError if it is a failure and failures are to be raised."""
    status = getattr(value, "status", None)
    if on_failure == "return" or status not in lifecycle.failures:
        return value
    reason = getattr(getattr(value, "last_error", None), "message", None)
    message = f"the {lifecycle.name} {getattr(value, 'id', None)!r} ended as {status!r}"
    raise IngestionError(f"{message}: {reason}" if reason else message, value)


def _plan(target: PollTarget[M], call: PollParams, open: Callable[[bool], Any]) -> Plan[M, Any]:
    begins = target.again is not None
    return Plan(open=open, until=target.is_final, settings=call.settings, begins=begins)


def object_requests(target: PollTarget[M], call: PollParams, timeout: Timeout) -> Callable[[], Requests[M]]:
    """The fetches of one subscription. The request that starts the work is sent once, and without the deadline."""
    countdown = Countdown(call.settings.deadline, timeout)
    request, options, again = target.request, call.options, target.again

    def fetch() -> Requests[M]:
        nonlocal request, options, again
        if again is None:
            reply = yield from countdown.send(request, options)
            return Polled(parsed(target.model, reply), poll_after(reply.headers))
        reply = yield request, options
        started = parsed(target.model, reply)
        request, options, again = again(started), replace(options, extra_body={}), None
        return Polled(started, poll_after(reply.headers))

    return fetch

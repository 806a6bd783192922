"""Requests that are repeated until the object they ask for is final: replies of a session → streams of states."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from rx_assistant.api.request import Omit, Request, is_omitted
from rx_assistant.client._resource import parsed
from rx_assistant.errors import IngestionError, TotalTimeoutError
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.lifecycle import Lifecycle
from rx_assistant.polling import DeadlinePassed, Plan, Polled, PollSettings, observe, observe_async, poll_after
from rx_assistant.types import WireModel

M = TypeVar("M", bound=WireModel)

OnFailure: TypeAlias = Literal["return", "raise"]
"""What happens with a file or batch that ended as failed or cancelled: it is returned like any other, or raised."""

_NAMES = ("poll_interval_ms", "max_wait_seconds", "backoff", "on_failure")
_CLOSE = 0.01  # seconds by which a time limit of the transport may be early


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a call polls: seconds between two requests, seconds in all, and what becomes of failures."""

    settings: PollSettings
    on_failure: OnFailure = "return"

    def judged(self, value: M, life: Lifecycle) -> M:
        """The final value; IngestionError for a failure, where that is wanted."""
        status = getattr(value, "status", None)
        if self.on_failure == "return" or status not in life.failures:
            return value
        reason = getattr(getattr(value, "last_error", None), "message", None)
        message = f"the {life.name} {getattr(value, 'id', None)!r} ended as {status!r}"
        raise IngestionError(f"{message}: {reason}" if reason else message, value)


def taken_waiting(params: Mapping[str, Any]) -> tuple[dict[str, Any], Waiting]:
    """The parameters of the request, and those of the polling."""
    own = {name: value for name, value in params.items() if name not in _NAMES}
    given = {name: params[name] for name in _NAMES if name in params and not is_omitted(params[name])}
    milliseconds, on_failure = given.get("poll_interval_ms"), given.get("on_failure", "return")
    if on_failure not in ("return", "raise"):
        raise ValueError(f"on_failure must be 'return' or 'raise', not {on_failure!r}")
    if milliseconds is not None and not (isinstance(milliseconds, int | float) and 0 <= milliseconds < math.inf):
        raise ValueError(f"poll_interval_ms must be a number of milliseconds, 0 or more, not {milliseconds!r}")
    interval = None if milliseconds is None else milliseconds / 1000
    settings = PollSettings(interval=interval, deadline=given.get("max_wait_seconds"), backoff=given.get("backoff"))
    return own, Waiting(settings, on_failure)


@dataclass(frozen=True, slots=True)
class Subject(Generic[M]):
    """What is polled, and how to ask for it: by `first`, again and again; or, once `first` has begun it, by `again`."""

    model: type[M]
    life: Lifecycle
    options: CallOptions
    first: Request
    again: Callable[[M], Request] | None = None

    def is_final(self, value: M) -> bool:
        """Whether nothing more will happen to it by itself; an unknown status says nothing."""
        return getattr(value, "status", None) in self.life.stops

    def next_request(self, last: M | None) -> tuple[Request, CallOptions]:
        """What to send after a reply that gave `last`."""
        if self.again is None or last is None:
            return self.first, self.options
        return self.again(last), replace(self.options, extra_body={})

    def read(self, reply: Reply) -> Polled[M]:
        """The state in a reply, and when the server wants to be asked again."""
        return Polled(parsed(self.model, reply), poll_after(reply.headers))

    def plan(self, open: Callable[[bool], Any], waiting: Waiting) -> Plan[M, Any]:
        """How it is polled."""
        begins = self.again is not None
        return Plan(open=open, until=self.is_final, settings=waiting.settings, begins=begins)


def watched(session: Session, subject: Subject[M], waiting: Waiting) -> Stream[M]:
    """The states of a subject, each subscription asking for itself."""
    return observe(subject.plan(lambda reachable: _Asking(session, subject, waiting, reachable), waiting))


def watched_async(session: AsyncSession, subject: Subject[M], waiting: Waiting) -> AsyncStream[M]:
    """The same for asyncio and trio."""
    return observe_async(subject.plan(lambda _: _AskingAsync(session, subject, waiting), waiting))


class Countdown:
    """What is left of a deadline, for requests that must not outlast it. It starts with the first that is limited."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def limit(self, options: CallOptions, default: Timeout) -> CallOptions:
        """The options with no more time than is left; DeadlinePassed when nothing is."""
        if self._seconds is None:
            return options
        if self._end is None:
            self._end = time.monotonic() + self._seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        timeout = default if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
        total = left if timeout.total is None else min(left, timeout.total)
        return replace(options, timeout=replace(timeout, total=total))

    def check(self, error: TotalTimeoutError) -> None:
        """Raise DeadlinePassed if it was the deadline that cut the request short."""
        if self._end is not None and time.monotonic() >= self._end - _CLOSE:
            raise DeadlinePassed from error


class _AskingBase(Generic[M]):
    """The requests of one subscription."""

    def __init__(self, subject: Subject[M], waiting: Waiting, default: Timeout) -> None:
        self._subject = subject
        self._last: M | None = None
        self._default = default
        self._countdown = Countdown(waiting.settings.deadline)

    def _next(self) -> tuple[Request, CallOptions]:
        request, options = self._subject.next_request(self._last)
        if self._last is None and self._subject.again is not None:
            return request, options
        return request, self._countdown.limit(options, self._default)

    def _read(self, reply: Reply) -> Polled[M]:
        polled = self._subject.read(reply)
        self._last = polled.value
        return polled


class _Asking(_AskingBase[M]):
    def __init__(self, session: Session, subject: Subject[M], waiting: Waiting, reachable: bool) -> None:
        super().__init__(subject, waiting, session.settings.timeout)
        self._session = session
        self._abort = Abort() if reachable else None

    def __call__(self) -> Polled[M]:
        request, options = self._next()
        try:
            return self._read(self._session.send(request, options, self._abort))
        except TotalTimeoutError as error:
            self._countdown.check(error)
            raise

    def close(self) -> None:
        if self._abort is not None:
            self._abort.abort()


class _AskingAsync(_AskingBase[M]):
    def __init__(self, session: AsyncSession, subject: Subject[M], waiting: Waiting) -> None:
        super().__init__(subject, waiting, session.settings.timeout)
        self._session = session

    async def __call__(self) -> Polled[M]:
        request, options = self._next()
        try:
            return self._read(await self._session.send(request, options))
        except TotalTimeoutError as error:
            self._countdown.check(error)
            raise

    def close(self) -> None:
        """Cancelling the task that fetches is enough."""

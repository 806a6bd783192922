"""The decisions of one call, without I/O: the next request, the wait before it, and when to stop.

`exchange` is a generator. It yields the next step (`Send`, `Wait`, `FetchKey`), receives its outcome, and returns the
reply or raises the error. The two sessions carry out the steps, each in its own way of waiting; tests do so on virtual
time. Keys, redirects, retries and time limits are decided only here.

    try ──reply 2xx──────────────────────────► return it
     ▲  ──3xx, may be followed──► try there
     │  ──retryable, tries left──► wait ──┬── may have arrived, and the request says how to find out: ask
     └────────────────────────────────────┴───────┴─ still wanted: try again · done already: return / raise
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rx_assistant.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    FirstEventTimeoutError,
    TotalTimeoutError,
)
from rx_assistant.http.call import Call, Outgoing, prepare, redirected, with_key
from rx_assistant.http.connection import Connection
from rx_assistant.http.failures import status_error
from rx_assistant.http.options import CallOptions
from rx_assistant.http.redaction import redact, redact_headers
from rx_assistant.http.retries import is_retryable, wait_before
from rx_assistant.http.transports import Response, is_final, never_arrived

_log = logging.getLogger("rx_assistant.http")

MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Clock:
    """The sources of time and randomness. Tests replace them."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request.

    The outcome is an `Incoming` or a connection error of this package. Limits are in seconds. `read` limits each wait;
    `within` limits the time to the head of a stream, or to the end of any other reply. `most` is the largest length of
    a reply in bytes; with `any_size` it only holds for failures.
    """

    outgoing: Outgoing
    connect: float | None
    read: float | None
    stream: bool
    most: int
    any_size: bool = False
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for this number of seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FetchKey:
    """Call the token provider. The outcome is its result."""

    provider: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A reply.

    `content` is its body, or None for an event stream that is still unread. On threads such a stream holds
    `connection`.
    """

    response: Response
    content: bytes | None = field(default=None, repr=False)
    connection: Connection | None = field(default=None, repr=False)

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers


Step: TypeAlias = Send | Wait | FetchKey
Outcome: TypeAlias = Incoming | APIConnectionError
Course: TypeAlias = Generator[Step, Any, Incoming]


def exchange(call: Call, clock: Clock) -> Course:
    """The steps of a call. Returns a reply with a 2xx status, or raises an error of this package."""
    course = _Course(call, clock)
    while True:
        outcome = yield from course.attempt()
        if isinstance(outcome, Incoming) and outcome.status < 300:
            return outcome
        wait = course.wait_after(outcome)
        if wait is None:
            raise course.error(outcome)
        yield Wait(wait)
        if call.confirm is not None and _may_have_arrived(outcome):
            reply = yield from course.unless_still_asked(outcome)
            if reply is not None:
                return reply


class _Course:
    """The state of one `exchange`: its start time, the number of tries, the keys that were used."""

    __slots__ = ("_call", "_clock", "_secrets", "_started", "_tries")

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._clock = clock
        self._started = clock.monotonic()
        self._tries = 0
        self._secrets: set[str] = set()

    def attempt(self) -> Generator[Step, Any, Outcome]:
        """One try: the request and its redirects."""
        self._tries += 1
        outgoing = yield from self._with_key()
        hops = 1
        while True:
            outcome: Outcome = yield self._send(outgoing)
            self._log(outgoing, outcome)
            if not isinstance(outcome, Incoming):
                return self._timed_out(outcome)
            following = redirected(outgoing, outcome.status, outcome.headers.get("location"))
            if following is None or hops == MAX_REDIRECTS:
                return outcome
            outgoing, hops = following, hops + 1

    def wait_after(self, outcome: Outcome) -> float | None:
        """Seconds to wait before the next try, None if there is none."""
        if self._tries > self._call.settings.max_retries or not self._call.repeatable:
            return None
        headers: Mapping[str, str] = {}
        if isinstance(outcome, Incoming):
            headers = outcome.headers
            if not is_retryable(outcome.status, headers):
                return None
        elif isinstance(outcome, TotalTimeoutError | FirstEventTimeoutError) or is_final(outcome):
            return None
        wait = wait_before(self._tries, headers, now=self._clock.wall(), random=self._clock.random)
        left = self._left()
        if wait is None or (left is not None and wait >= left):
            return None
        _log.info("trying again in %.2f s (try %d failed)", wait, self._tries)
        return wait

    def error(self, outcome: Outcome) -> APIError:
        """The error for the caller."""
        if isinstance(outcome, Incoming):
            return status_error(outcome.response, outcome.content or b"", sorted(self._secrets))
        return outcome

    def unless_still_asked(self, outcome: Outcome) -> Generator[Step, Any, Incoming | None]:
        """Ask the server. None if the request must be sent again; else its object, which replaces the lost reply."""
        confirm = self._call.confirm
        assert confirm is not None
        options = CallOptions(extra_headers=self._call.options.extra_headers, timeout=self._call.timeout)
        error = self.error(outcome)
        try:
            state = yield from exchange(prepare(confirm.request, self._call.settings, options), self._clock)
            value = state.response.json()
        except (APIError, ValueError) as failure:
            raise error from failure
        if confirm.still_asks(value):
            return None
        if not self._call.stream:
            return state
        error.add_note("The request had arrived at the server, so it was not repeated; only its events are lost.")
        raise error

    def _with_key(self) -> Generator[Step, Any, Outgoing]:
        key = self._call.settings.api_key
        fresh = callable(key)
        if callable(key):
            key = yield FetchKey(key)
            if not isinstance(key, str):
                raise ConfigurationError(f"the token provider must give a text, got {type(key).__name__}")
            key = key.strip()
        if key:
            self._secrets.add(key)
        return with_key(self._call.outgoing, self._call, key, fresh=fresh)

    def _send(self, outgoing: Outgoing) -> Send:
        timeout, left = self._call.timeout, self._left()
        if left is not None and left <= 0:
            raise self._limit_error()
        return Send(
            outgoing,
            least(timeout.connect, left),
            least(timeout.read, left),
            self._call.stream,
            self._call.settings.max_reply_bytes,
            self._call.any_size,
            left,
        )

    def _left(self) -> float | None:
        """Seconds until the nearest of the limits that count from the start of the call."""
        timeout = self._call.timeout
        limit = least(timeout.total, timeout.first_event if self._call.stream else None)
        return None if limit is None else self._started + limit - self._clock.monotonic()

    def _timed_out(self, error: APIConnectionError) -> APIConnectionError:
        """The error of the time limit that ended the wait; the same error if no limit did."""
        left = self._left()
        if not isinstance(error, APITimeoutError) or left is None or left > 0.001:
            return error
        limit = self._limit_error()
        limit.__cause__ = error.__cause__
        return limit

    def _limit_error(self) -> APITimeoutError:
        timeout = self._call.timeout
        if timeout.total is not None and timeout.total == least(
            timeout.total, timeout.first_event if self._call.stream else None
        ):
            return TotalTimeoutError(f"no reply within timeout.total = {timeout.total:g} s")
        return FirstEventTimeoutError(f"no event within timeout.first_event = {timeout.first_event:g} s")

    def _log(self, outgoing: Outgoing, outcome: Outcome) -> None:
        if not _log.isEnabledFor(logging.DEBUG):
            return
        result = outcome.status if isinstance(outcome, Incoming) else type(outcome).__name__
        url = redact(outgoing.url, self._secrets)
        took = self._clock.monotonic() - self._started
        _log.debug("%s %s → %s after %.3f s (try %d)", outgoing.method, url, result, took, self._tries)
        if self._call.settings.log == "content":
            body = redact((outgoing.content or b"").decode("utf-8", "replace"), self._secrets)
            _log.debug("headers %s, body %s", redact_headers(outgoing.headers), body)


def _may_have_arrived(outcome: Outcome) -> bool:
    if isinstance(outcome, Incoming):
        return outcome.status >= 500 or outcome.status == 408
    return not never_arrived(outcome)


def least(*limits: float | None) -> float | None:
    """The smallest of some limits; None means no limit."""
    return min((limit for limit in limits if limit is not None), default=None)

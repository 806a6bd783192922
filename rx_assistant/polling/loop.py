"""The decisions of the polling loop: a fetched state → whether it is final, and the wait before the next fetch.

    fetch ── Polled(value) ──► take() ──┬── seconds ──► emit value, wait, fetch again
                                        └── None ─────► emit value, end

`PollLoop` is the state of one such loop. It reads no clock and waits for nothing. Four small drivers share it:
`subscription.py` pushes values on an Rx scheduler (on threads, on event loops), `body.py` passes frames to the pump
that reads them (on threads, on event loops).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rx_assistant.errors import PollTimeoutError
from rx_assistant.polling.pace import Pace, Polled, PollSettings

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Fetch(Protocol[R_co]):
    """Fetches for one loop. Its result is a Polled, or an awaitable of one."""

    def __call__(self) -> R_co:
        """Fetch the current state. An error ends the loop, so retries belong inside the fetch."""
        ...

    def close(self) -> None:
        """Stop the active fetch, if that is possible. From any thread, idempotent, without waiting."""


class DeadlinePassed(Exception):
    """Raised by a fetch that watches the deadline itself. Its cause is the error of the request that was cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[T, R_co]):
    """How to poll: the fetch, the end, and the settings.

    `open(reachable)` gives each subscription its Fetch. `reachable`: whether another thread may end the subscription
    while it fetches. With `begins` the first fetch starts the polled work: it is always sent, and the deadline counts
    from its reply.
    """

    open: Callable[[bool], Fetch[R_co]]
    until: Callable[[T], bool]
    settings: PollSettings
    begins: bool = False


class PollLoop(Generic[T]):
    """The state of one loop: the last value, and the pace."""

    __slots__ = ("_pace", "_until", "last")

    def __init__(self, until: Callable[[T], bool], settings: PollSettings) -> None:
        self._until = until
        self._pace = Pace(settings)
        self.last: T | None = None
        """The last value that was fetched."""

    def take(self, polled: Polled[T]) -> float | None:
        """Seconds between this reply and the next fetch; None if the value is final."""
        if not isinstance(polled, Polled):
            raise TypeError(f"fetch must give Polled(value, poll_after), got {type(polled).__name__}")
        is_final = self._until(polled.value)
        wait = self._pace.after(polled)
        self.last = polled.value
        return None if is_final else wait


def timeout_error(settings: PollSettings, last: Any) -> PollTimeoutError:
    """The error for a deadline that has passed. `last` is the last value that was fetched, None without one."""
    if last is None:
        state = "nothing had been fetched"
    else:
        status = getattr(last, "status", None)
        state = f"the last status was {status!r}" if isinstance(status, str) else f"the last state was {last!r:.200}"
    return PollTimeoutError(f"not finished within {settings.deadline:g} s; {state}", last)

"""The protocols of roots and drivers: a root is a stream that owns a log, and a driver reads for it.

`streams` and `operators` implement them.
"""

from __future__ import annotations

from typing import Any, Protocol

from reactivex import abc

from rx_assistant.hot.delivery import HotLog


class Driver(Protocol):
    """Reads for a synchronous stream. A log without a driver is filled by an operator or by a test."""

    def advance(self, position: int) -> None:
        """Return once the log holds more than `position` items, or has ended. Read if no other thread does.

        After `connect()` only the background thread reads. A callback on that thread must not wait for another thread
        that waits here.

        Raises an exception that a handler of the stream raised meanwhile.
        """

    def connect(self) -> None:
        """Make a background thread read from now on. Idempotent."""

    def leave_if_cancelled(self) -> None:
        """Raise the cancellation of the task that waits for the calling thread, if it was cancelled."""


class AsyncDriver(Protocol):
    """Reads for an asynchronous stream, on its event loop."""

    async def advance(self, position: int) -> None:
        """Return once the log holds more than `position` items, or has ended. Read if no other task does."""

    async def connect(self) -> None:
        """Make a background task read from now on. Idempotent."""

    @property
    def gated(self) -> bool:
        """Whether the log has async handlers, which must be awaited before an item is passed on."""
        ...

    async def deliver(self, upto: int) -> None:
        """Deliver the items before `upto` to subscribers and async handlers."""

    async def settle(self) -> None:
        """Return when a stream that has ended has released its connection."""

    def waker(self) -> Waker:
        """Return a waker for the calling task."""
        ...


class Waker(Protocol):
    """A flag that one task sleeps on and any thread may raise."""

    def wake(self) -> None:
        """End the sleep, now or the next one."""

    async def sleep(self, seconds: float | None) -> None:
        """Return when woken, or after `seconds`."""


class Root(Protocol):
    """A stream that owns a log. A loop reads it with a private cursor."""

    log: HotLog[Any]
    driver: Any  # a Driver or an AsyncDriver; None if the log has none

    @property
    def scheduler(self) -> abc.SchedulerBase | None:
        """Runs the actions of time operators serially with the log's items."""

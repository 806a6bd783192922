"""What streams/ must offer to the rooms below it: drivers that read, and roots that loops can step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from reactivex import abc

    from rx_assistant.hot.log import HotLog


class Driver(Protocol):
    """Reads for a sync stream. `streams/` fulfils it; a log without one is fed by others."""

    def advance(self, position: int) -> None:
        """Return once the log holds more than `position` items, or has ended; read here if nobody else does.

        Raises what a handler of the stream raised meanwhile."""

    def connect(self) -> None:
        """Let a background thread read from now on. Idempotent."""

    def leave_if_cancelled(self) -> None:
        """Raise the cancellation of the task that waits for the calling thread, if there is one."""


class AsyncDriver(Protocol):
    """Reads for an async stream, on its event loop."""

    async def advance(self, position: int) -> None:
        """Return once the log holds more than `position` items, or has ended; read here if nobody else does."""

    async def connect(self) -> None:
        """Let a background task read from now on. Idempotent."""

    @property
    def gated(self) -> bool:
        """Whether async handlers have to be awaited before an item is handed on."""
        ...

    async def deliver(self, upto: int) -> None:
        """Let subscribers and async handlers have the items before `upto`."""

    async def settle(self) -> None:
        """Return when a stream that has ended has given its connection back."""

    def waker(self) -> Waker:
        """Give something to sleep on that other threads may wake."""
        ...


class Waker(Protocol):
    """A flag that one task sleeps on and any thread may raise."""

    def wake(self) -> None:
        """End the sleep, now or the next one."""

    async def sleep(self, seconds: float | None) -> None:
        """Return when woken, or after `seconds`."""


class Root(Protocol):
    """A stream that owns a log: where a loop's private cursors start."""

    log: HotLog[Any]
    driver: Any  # a Driver or an AsyncDriver; None when others feed the log

    @property
    def scheduler(self) -> abc.SchedulerBase | None:
        """Serves time operators, serially with the log's items."""

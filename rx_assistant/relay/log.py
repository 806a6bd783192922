"""The operations on the log of runs that each kind of relay has in its own way, and its settings.

They are called from any thread. Those of a relay over a network wait for the network, and raise RelayError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from rx_assistant.errors import RelayError
from rx_assistant.relay.entries import Command, Entry, RelayState

Outcome: TypeAlias = Literal["ok", "fenced", "ended", "behind", "lost"]
"""What became of a write. `behind`: the relay lacks events before it. `lost`: it has no such run any more."""


class Write(NamedTuple):
    """One call of an operation of the log."""

    operation: Literal["append", "seal", "release", "beat"]
    arguments: tuple[Any, ...]

    def do(self, log: RelayLog) -> Outcome | Exception:
        """Make the call; an exception is returned."""
        try:
            outcome: Outcome = getattr(log, self.operation)(*self.arguments)
        except RelayError as error:
            return error
        return outcome


class RelayLog(ABC):
    """The log of runs that several processes share. `Relay` says what the settings mean."""

    is_remote: bool = True

    def __init__(
        self,
        *,
        lease: float,
        ttl: float,
        max_entries: int,
        flush_interval: float,
        max_batch_bytes: int,
        max_event_bytes: int,
        max_pending: int,
    ) -> None:
        for name, value in (("lease", lease), ("ttl", ttl)):
            if not value > 0:
                raise ValueError(f"{name} must be a number of seconds above 0, got {value!r}")
        if not flush_interval >= 0:
            raise ValueError(f"flush_interval must be a number of seconds, 0 or more, got {flush_interval!r}")
        for name, size in (("max_entries", max_entries), ("max_batch_bytes", max_batch_bytes)):
            if not size >= 1:
                raise ValueError(f"{name} must be at least 1, got {size!r}")
        self.lease = lease
        self.ttl = ttl
        self.max_entries = max_entries
        self.flush_interval = flush_interval
        self.max_batch_bytes = max_batch_bytes
        self.max_event_bytes = max_event_bytes
        self.max_pending = max_pending

    @abstractmethod
    def claim(self, key: str, *, taking: int | None = None, base: int | None = None) -> RelayState | None:
        """Begin a generation as the only producer of a run; None if the claim is refused.

        Without `taking`, the run is new, it is paused, or its producer is dead. With `taking`, its producer of that
        generation is dead. With `base`, the relay may have lost the run; then its next event has that number.
        """

    @abstractmethod
    def append(self, key: str, generation: int, start: int, frames: Sequence[bytes]) -> Outcome:
        """Write the frames of events `start`, `start + 1`, … as one entry. Writing the same again changes nothing."""

    @abstractmethod
    def seal(self, key: str, generation: int, start: int, frame: bytes) -> Outcome:
        """End the run: first its status is written, then `frame`, which is `done` or an `error`."""

    @abstractmethod
    def release(self, key: str, generation: int, status: Literal["paused", "interrupted"], reason: str = "") -> Outcome:
        """Stop to be the producer of a run that has not ended."""

    @abstractmethod
    def beat(self, key: str, generation: int) -> Outcome:
        """Give a sign of life, and keep the run for another `ttl` seconds."""

    @abstractmethod
    def state(self, key: str) -> RelayState | None:
        """How far the run is; None if the relay does not know it."""

    @abstractmethod
    def read(self, key: str, position: int, limit: int) -> list[Entry]:
        """The first entries with events from number `position` on. The first may begin before it, or after a gap."""

    @abstractmethod
    def send(self, key: str, command: Command) -> None:
        """Ask the producer of a run to do something, such as `Command("cancel")`."""

    @abstractmethod
    def accept(self, key: str, number: object) -> bool:
        """Take a command away, to carry it out; False if it was taken before."""

    @abstractmethod
    def store_snapshot(self, key: str, generation: int, position: int, frames: bytes) -> Outcome:
        """Keep frames that give the run's state before event number `position`, for followers that come late."""

    @abstractmethod
    def stored_snapshot(self, key: str) -> tuple[int, bytes]:
        """The newest position and frames that were stored; (0, b"") without any."""

    @abstractmethod
    def listen(self, key: str, position: int | None, take: Callable[[list[Any]], None]) -> Callable[[], None]:
        """Call `take` with each new entry of a run from `position` on; without one, with its commands.

        A command comes as a pair: what `accept` wants, and the command.

        Returns the function that stops it.
        """

    def write(self, writes: Sequence[Write]) -> list[Outcome | Exception]:
        """Do several writes, of different runs. A relay over a network does them in one round trip."""
        return [write.do(self) for write in writes]

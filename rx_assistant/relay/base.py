"""Relay: the log of runs that several processes share, and what producers and followers do with it.

The first half are the operations that each kind of relay has. They are called from any thread, and those of a relay
over a network wait for the network. The second half is the same for all: publishing, following, commands.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

from reactivex import Observable

from rx_assistant.hot import SyncBlock
from rx_assistant.relay.entries import Command, Entry, RelayState, checked_key, position_of
from rx_assistant.relay.following import FollowedAsyncStream, FollowedStream, Follower
from rx_assistant.relay.publishing import Publication, Sender, publishing
from rx_assistant.relay.tailing import Hubs, Tail

if TYPE_CHECKING:
    from rx_assistant.relay.publishing import OnCommand, Write
    from rx_assistant.relay.takeover import AsyncResumer, Resumer

CatchUp: TypeAlias = Literal["events", "snapshot"]
"""What a late follower gets first: each event, or one compacted state of the run."""

Outcome: TypeAlias = Literal["ok", "fenced", "ended", "behind", "lost"]
"""What became of a write. `behind`: the relay lacks events before it. `lost`: it has no such run any more."""


class Relay(SyncBlock, ABC):
    """Runs that are published by one process and followed by any number of processes.

    `MemoryRelay` serves one process, `RedisRelay` many. Operators, handlers and loops work on a followed stream as on
    any other.

        relay.publish(stream, "run-1")                    # the producer
        with relay.follow("run-1") as stream: ...         # followers, at any time

    A producer gives a sign of life at least every third of `lease` seconds. Events are written at most
    `flush_interval` seconds after they arrive, at the end of a message, step or run at once. `max_entries` bounds the
    log of a run, `ttl` is the time in seconds that a run is kept after its last sign of life. A batch is at most
    `max_batch_bytes` long, an event at most `max_event_bytes`. `max_pending` bytes may wait while the relay cannot be
    reached.
    """

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
            if not (isinstance(value, int | float) and value > 0):
                raise ValueError(f"{name} must be a number of seconds above 0, got {value!r}")
        if not (isinstance(flush_interval, int | float) and flush_interval >= 0):
            raise ValueError(f"flush_interval must be a number of seconds, 0 or more, got {flush_interval!r}")
        sizes = {
            "max_entries": max_entries,
            "max_batch_bytes": max_batch_bytes,
            "max_event_bytes": max_event_bytes,
            "max_pending": max_pending,
        }
        for name, size in sizes.items():
            if not (isinstance(size, int) and size >= 1):
                raise ValueError(f"{name} must be a whole number, at least 1, got {size!r}")
        self.lease = lease
        self.ttl = ttl
        self.max_entries = max_entries
        self.flush_interval = flush_interval
        self.max_batch_bytes = max_batch_bytes
        self.max_event_bytes = max_event_bytes
        self.max_pending = max_pending
        self._sender = Sender(self)
        self._hubs = Hubs(self)
        self._closed = threading.Event()

    # -- what each relay does in its own way ---------------------------------------------------------------------

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

    # -- what is the same for all --------------------------------------------------------------------------------

    @overload
    def publish(
        self, stream: str, /, *, on_command: OnCommand | None = None
    ) -> Callable[[Observable[Any]], Observable[Any]]: ...
    @overload
    def publish(self, stream: Observable[Any], key: str, /, *, on_command: OnCommand | None = None) -> Publication: ...
    def publish(
        self, stream: Observable[Any] | str, key: str | None = None, /, *, on_command: OnCommand | None = None
    ) -> Publication | Callable[[Observable[Any]], Observable[Any]]:
        """Publish a stream of a run under a key: `relay.publish(stream, key)`, or `stream.pipe(relay.publish(key))`.

        The first subscribes to the stream and returns a Publication, which can be waited for. The second is an operator
        that publishes the events on their way. A run that requires action is paused: the stream of its next leg is
        published under the same key. A follower's cancel cancels the stream; `on_command` is called with all other
        commands, on a thread of its own.
        """
        if on_command is not None and not callable(on_command):
            raise TypeError(f"on_command must be a function of a command, got {on_command!r:.60}")
        if isinstance(stream, str):
            return publishing(self._sender, checked_key(stream), on_command)
        if not isinstance(stream, Observable) or not isinstance(key, str):
            raise TypeError(f"publish() must be given a stream and a key, got {stream!r:.60} and {key!r}")
        return Publication(self._sender, checked_key(key), stream, on_command).begin()

    def follow(
        self,
        key: str,
        after: str | None = None,
        *,
        catch_up: CatchUp = "events",
        resumer: Resumer | None = None,
        patience: float | None = None,
        **policies: Any,
    ) -> FollowedStream:
        """Follow a run from its beginning, or from the place `after` a cursor. `stream.cursor` is the current place.

        With `catch_up="snapshot"` and without `after`, the first events give the state so far, and then the live ones
        follow. With a `resumer`, such as a client, this follower takes over when the producer dies: exactly one of all
        followers does. `patience` is the time in seconds to wait for a run that was not published yet; by default it is
        the lease. `policies` are those of a stream: `replay`, `on_idle`, `on_subscribe`, `max_pending` …

        Raises, by the stream:
            StreamInterruptedError: the producer has died, and no other process has taken over.
            CursorExpiredError: the relay has dropped the events after the cursor.
        """
        return FollowedStream(
            Follower(self, checked_key(key), position_of(after), catch_up, resumer, patience), policies
        )

    def follow_async(
        self,
        key: str,
        after: str | None = None,
        *,
        catch_up: CatchUp = "events",
        resumer: Resumer | AsyncResumer | None = None,
        patience: float | None = None,
        **policies: Any,
    ) -> FollowedAsyncStream:
        """The same for asyncio and trio."""
        return FollowedAsyncStream(
            Follower(self, checked_key(key), position_of(after), catch_up, resumer, patience), policies
        )

    def tail(self, key: str, after: str | None = None, *, patience: float | None = None) -> Tail:
        """The entries of a run from the place `after` a cursor, as they are written: for a `for` or `async for` loop.

        An entry holds the bytes of whole frames, and its cursor. A server may pass both on without decoding them.
        """
        return Tail(self, self._hubs, checked_key(key), position_of(after), patience)

    def close(self) -> None:
        """Write what is pending, give up the runs that are being published, and end the followers."""
        self._closed.set()
        self._sender.close()
        self._hubs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

"""Relay: the operations of producers and followers on a log of runs, the same for all kinds of relays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

from reactivex import Observable

from rx_assistant.hot import SyncBlock
from rx_assistant.relay.entries import checked_key, position_of
from rx_assistant.relay.following import FollowedAsyncStream, FollowedStream, Follower
from rx_assistant.relay.log import RelayLog
from rx_assistant.relay.publishing import Publication, Sender, publishing
from rx_assistant.relay.tailing import Hubs, Tail

if TYPE_CHECKING:
    from rx_assistant.relay.publishing import OnCommand
    from rx_assistant.relay.takeover import AsyncResumer, Resumer

CatchUp: TypeAlias = Literal["events", "snapshot"]
"""What a late follower gets first: each event, or one compacted state of the run."""


class Relay(SyncBlock, RelayLog):
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

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._sender = Sender(self)
        self._hubs = Hubs(self)
        self._closed = threading.Event()

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
        that publishes the events on their way. A run that requires action is paused: the stream of its next response is
        published under the same key. A follower's cancel cancels the stream; `on_command` is called with all other
        commands, each time on a new thread.
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
        return FollowedStream(self._follower(key, after, catch_up, resumer, patience), policies)

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
        return FollowedAsyncStream(self._follower(key, after, catch_up, resumer, patience), policies)

    def _follower(
        self,
        key: str,
        after: str | None,
        catch_up: CatchUp,
        resumer: Resumer | AsyncResumer | None,
        patience: float | None,
    ) -> Follower:
        tail = Tail(self, self._hubs, checked_key(key), position_of(after), patience, takes=resumer is not None)
        return Follower(self, self._sender, tail, catch_up, resumer)

    def tail(self, key: str, after: str | None = None, *, patience: float | None = None) -> Tail:
        """The entries of a run after a cursor, as they are written: for a `for` or `async for` loop.

        An entry holds the bytes of whole frames, and its cursor. A server may pass both on without decoding them.
        """
        return Tail(self, self._hubs, checked_key(key), position_of(after), patience)

    def close(self) -> None:
        """Write all pending events, stop publishing, and end the followers."""
        self._closed.set()
        self._sender.close()
        self._hubs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

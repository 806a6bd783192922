"""A followed run as a stream like any other: bodies that give the frames of a relay, and the streams over them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
import anyio.to_thread

from rx_assistant.events import frame
from rx_assistant.relay.catching_up import caught_up
from rx_assistant.relay.entries import Command, cursor_at
from rx_assistant.relay.takeover import is_async, take, take_async
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

if TYPE_CHECKING:
    from rx_assistant.relay.log import RelayLog
    from rx_assistant.relay.publishing import Sender
    from rx_assistant.relay.tailing import Tail
    from rx_assistant.relay.takeover import AsyncResumer, Resumer
    from rx_assistant.types import Run

_POLICIES = ("replay", "on_idle", "idle_grace", "on_subscribe", "max_pending", "max_event_bytes", "cancel_wait")


class Follower:
    """One reader of a run: where it begins, what it gets first, and how it takes over."""

    def __init__(
        self,
        relay: RelayLog,
        sender: Sender,
        tail: Tail,
        catch_up: Literal["events", "snapshot"],
        resumer: Resumer | AsyncResumer | None,
    ) -> None:
        if catch_up not in ("events", "snapshot"):
            raise ValueError(f"catch_up must be 'events' or 'snapshot', got {catch_up!r}")
        self.relay = relay
        self.key = tail.key
        self.tail = tail
        self._sender = sender
        self._resumer = resumer
        self._compacts = catch_up == "snapshot" and tail.position == 0
        self._start = tail.position
        self._lead = 0  # the events of the compacted state

    def cursor_after(self, events: int) -> str | None:
        """The cursor after so many events of the stream; None inside the compacted state."""
        if self._compacts or events < self._lead:
            return None
        return cursor_at(self._start + events - self._lead, self.tail.generation)

    def number_after(self, events: int) -> int | None:
        """The number of events of the run after so many of the stream; None inside the compacted state."""
        return None if self._compacts or events < self._lead else self._start + events - self._lead

    def first(self) -> bytes:
        """The compacted state of a late follower; nothing for any other."""
        if not self._compacts:
            return b""
        self._compacts = False
        events, self._start = caught_up(self.relay, self.key)
        self._lead = len(events)
        state = self.relay.state(self.key)
        self.tail.begin_at(self._start, 0 if state is None else state.generation)
        return b"".join(map(frame, events))

    def takes(self) -> Any:
        """The function that takes over; None without a resumer."""
        if self._resumer is None:
            return None
        how: Callable[..., Any] = take_async if is_async(self._resumer) else take
        return partial(how, self.relay, self._sender, self.key, cast("Any", self._resumer))

    @property
    def is_async(self) -> bool:
        """Whether its resumer belongs to an event loop."""
        return self._resumer is not None and is_async(self._resumer)


class FollowedBody:
    """The frames of a run, entry by entry."""

    request_id: str | None = None
    holds_connection = False

    def __init__(self, follower: Follower) -> None:
        if follower.is_async:
            raise TypeError("resumer must be a client with methods that are not asynchronous, as AssistantClient")
        self._follower = follower
        self._take = follower.takes()

    def read(self) -> bytes:
        if frames := self._follower.first():
            return frames
        entry = self._follower.tail.next_entry(self._take)
        return b"" if entry is None else entry.frames

    def saw_event(self) -> None:
        """Do nothing: the relay keeps the time limits."""

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        self._follower.tail.close()


class AsyncFollowedBody:
    """The same for event loops."""

    request_id: str | None = None
    holds_connection = False

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._take = _on_a_loop(follower)

    async def read(self) -> bytes:
        follower = self._follower
        frames = await anyio.to_thread.run_sync(follower.first) if follower.relay.is_remote else follower.first()
        if frames:
            return frames
        entry = await follower.tail.next_entry_async(self._take)
        return b"" if entry is None else entry.frames

    def saw_event(self) -> None:
        """Do nothing: the relay keeps the time limits."""

    async def finish(self) -> None:
        self.close_soon()

    async def aclose(self) -> None:
        self.close_soon()

    def close_soon(self) -> None:
        self._follower.tail.close()


def _on_a_loop(follower: Follower) -> Any:
    """The takeover as a coroutine function; the one of a synchronous client runs on a worker thread."""
    found = follower.takes()
    if found is None or follower.is_async:
        return found

    async def on_a_thread(generation: int) -> bool:
        return bool(await anyio.to_thread.run_sync(found, generation))

    return on_a_thread


def _checked(policies: dict[str, Any]) -> dict[str, Any]:
    for name in policies:
        if name not in _POLICIES:
            raise TypeError(f"a policy must be one of {', '.join(_POLICIES)}, got {name!r}")
    return policies


class FollowedStream(AssistantStream):
    """The stream of a run that another process publishes. `cancel()` asks the producer to cancel the run."""

    def __init__(self, follower: Follower, policies: dict[str, Any]) -> None:
        super().__init__(lambda: FollowedBody(follower), post_cancel=self._ask_to_cancel, **_checked(policies))
        self._follower = follower

    @property
    def cursor(self) -> str | None:
        """The place after the current event: `relay.follow(key, after=cursor)` goes on there.

        None inside the compacted state that `catch_up="snapshot"` begins with: such a follower begins anew.
        """
        return self._follower.cursor_after(self.log.shown[0] + 1)

    def number_after(self, events: int) -> int | None:
        """How many events of the run there are before event number `events` of this stream; None if it has no number.

        The events of the compacted state have none.
        """
        return self._follower.number_after(events)

    def _ask_to_cancel(self, _run_id: str, _thread_id: str) -> Run:
        self._follower.relay.send(self._follower.key, Command("cancel"))
        return cast("Run", self._arrived().run)


class FollowedAsyncStream(AsyncAssistantStream):
    """The same for asyncio and trio."""

    def __init__(self, follower: Follower, policies: dict[str, Any]) -> None:
        async def open() -> AsyncFollowedBody:
            return AsyncFollowedBody(follower)

        super().__init__(open, post_cancel=self._ask_to_cancel, **_checked(policies))
        self._follower = follower

    @property
    def cursor(self) -> str | None:
        """The place after the current event: `relay.follow_async(key, after=cursor)` goes on there.

        None inside the compacted state that `catch_up="snapshot"` begins with: such a follower begins anew.
        """
        return self._follower.cursor_after(self.log.shown[0] + 1)

    def number_after(self, events: int) -> int | None:
        """How many events of the run there are before event number `events` of this stream; None if it has no number.

        The events of the compacted state have none.
        """
        return self._follower.number_after(events)

    async def _ask_to_cancel(self, _run_id: str, _thread_id: str) -> Run:
        relay, key = self._follower.relay, self._follower.key
        if relay.is_remote:
            await anyio.to_thread.run_sync(relay.send, key, Command("cancel"))
        else:
            relay.send(key, Command("cancel"))
        return cast("Run", self._arrived().run)

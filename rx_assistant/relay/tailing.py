"""Following the log of a run: the entries as they are written, and the question whether the producer is alive.

    relay ──new entries──▶ Hub ──offer──▶ Tail ──▶ one follower
                            one per run    │
                            and process    └── reads the entries itself where it is behind

A relay listens once for each run, whatever the number of followers in the process. A Tail holds a few entries at most:
a slow follower falls behind and later reads from the relay at its own pace. Entries are numbered, so that a Tail sees
every gap: what the relay has dropped ends it with CursorExpiredError.

Several drivers may be needed (threads, event loops). `poll()` decides, and the drivers act and wait:

    an Entry   the next one
    None       the run has ended, and its last entry was given
    WAIT       there is nothing new
    LOAD       the tail is behind: read a page from the relay
    CHECK      nothing came for a while: ask for the state of the run
    TAKE       the producer is dead, and this follower may take over
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import anyio.to_thread

from rx_assistant.errors import CursorExpiredError, RelayConnectionError, StreamInterruptedError
from rx_assistant.hot import Sleepers
from rx_assistant.relay.entries import Entry, checked_key, cursor_at
from rx_assistant.schedulers import LoopWaker, current_event_loop

if TYPE_CHECKING:
    from rx_assistant.relay.entries import RelayState
    from rx_assistant.relay.log import RelayLog
    from rx_assistant.schedulers import EventLoop

Step: TypeAlias = Literal["wait", "load", "check", "take"]
WAIT: Final = "wait"
LOAD: Final = "load"
CHECK: Final = "check"
TAKE: Final = "take"

_PAGE: Final = 128  # entries that are read at a time
_QUEUED: Final = 64  # entries that wait for a follower at most
_ATTEMPTS: Final = 3  # takeovers that one follower tries


class Hubs:
    """The hubs of a relay, by key."""

    def __init__(self, relay: RelayLog) -> None:
        self._relay = relay
        self._hubs: dict[str, Hub] = {}
        self._lock = threading.Lock()

    def join(self, tail: Tail, latest: int) -> Hub:
        """The hub of the tail's run. A new one listens from event number `latest` on."""
        with self._lock:
            hub = self._hubs.get(tail.key)
            if hub is None:
                hub = self._hubs[tail.key] = Hub(self._relay, tail.key, latest)
            hub.tails[tail] = None
        return hub

    def leave(self, tail: Tail) -> None:
        """A tail needs nothing more. The last one stops the hub."""
        with self._lock:
            hub = self._hubs.get(tail.key)
            if hub is None:
                return
            hub.tails.pop(tail, None)
            if hub.tails:
                return
            del self._hubs[tail.key]
        hub.stop()

    def close(self) -> None:
        """End all tails."""
        with self._lock:
            tails = [tail for hub in self._hubs.values() for tail in tuple(hub.tails)]
        for tail in tails:
            tail.close()


class Hub:
    """What the tails of one run in one process share."""

    def __init__(self, relay: RelayLog, key: str, latest: int) -> None:
        self.latest = latest  # the number of events that are known to be in the log
        self.tails: dict[Tail, None] = {}
        self._relay = relay
        self._key = key
        self._state: RelayState | None = None
        self._asked = -1e9
        self.stop = relay.listen(key, latest, self._take)

    def state(self) -> RelayState | None:
        """The state of the run, as one of the tails has asked for it a short time ago."""
        now = time.monotonic()
        if now - self._asked > self._relay.lease / 8:
            self._state, self._asked = self._relay.state(self._key), now
        return self._state

    def forget(self) -> None:
        """Ask for the state again."""
        self._asked = -1e9

    def _take(self, entries: list[Entry]) -> None:
        self.latest = max(self.latest, entries[-1].end)
        if not entries[-1].frames:
            self.forget()
        for tail in tuple(self.tails):
            tail.offer(entries)


class Tail:
    """The entries of one run from a place on: iterate with `for` or `async for`, and `close()` it.

    Raises:
        StreamInterruptedError: the producer has died, and no other process has taken over.
        CursorExpiredError: the relay has dropped the entries after this place.
    """

    def __init__(
        self, relay: RelayLog, hubs: Hubs, key: str, position: int, patience: float | None = None, takes: bool = False
    ) -> None:
        self.key = checked_key(key)
        self.position = position  # the number of the next event to give
        self.generation = 0
        self._relay = relay
        self._hubs = hubs
        self._hub: Hub | None = None
        self._patience = relay.lease if patience is None else patience
        self._attempts = _ATTEMPTS if takes else 0
        self._next = position  # the number of the next event to queue
        self._queue: deque[Entry] = deque()
        self._lock = threading.Lock()
        self._sleepers = Sleepers()
        self._loop: EventLoop | None = None
        self._waker: LoopWaker | None = None
        self._stop_alarm: Callable[[], None] | None = None
        self._alarm_at = 0.0
        self._closed = False
        self._ended = False
        self._known = False  # whether the run was ever seen
        self._is_dead = False  # whether the producer was dead at the last look
        self._due = 0.0  # when to look at the state of the run
        self._idle_until = 0.0  # until then it is no use to read a page
        self._since: float | None = None  # since when the run is unknown, its producer dead or the relay out of reach

    def begin_at(self, position: int, generation: int) -> None:
        """Begin at another place; before the first entry was asked for."""
        self.position = self._next = position
        self.generation = generation

    # -- the hub's side ------------------------------------------------------------------------------------------

    def offer(self, entries: list[Entry]) -> None:
        """Take new entries if they continue what is queued, and there is room; wake the follower."""
        with self._lock:
            for entry in entries:
                if not entry.frames:
                    self._due = 0.0
                elif entry.start <= self._next < entry.end and len(self._queue) < _QUEUED:
                    self._queue.append(entry)
                    self._next = entry.end
        self._wake()

    def _wake(self) -> None:
        self._sleepers.wake()
        if self._waker is not None:
            self._waker.wake()

    def close(self) -> None:
        """End the iteration; from any thread."""
        self._closed = True
        self._hubs.leave(self)
        self._wake()
        if self._loop is not None:
            self._loop.call_soon(self._silence)

    def _set_alarm(self, loop: EventLoop) -> None:
        """Wake the task when `poll()` is due. One alarm serves many waits, so that a wait for an entry is cheap."""
        at = time.monotonic() + self.seconds
        if self._stop_alarm is not None and self._alarm_at > at + 0.001:
            self._silence()
        if self._stop_alarm is None:
            self._alarm_at = at
            self._stop_alarm = loop.call_later(self.seconds, self._alarm)

    def _alarm(self) -> None:
        self._stop_alarm = None
        self._wake()

    def _silence(self) -> None:
        stop, self._stop_alarm = self._stop_alarm, None
        if stop is not None:
            stop()

    # -- the decision --------------------------------------------------------------------------------------------

    def poll(self) -> Entry | Step | None:
        """What comes next; see the module's text."""
        if self._closed or self._ended:
            return None
        with self._lock:
            if self._queue:
                return self._given(self._queue.popleft())
        now = time.monotonic()
        if self._hub is not None and self._hub.latest > self._next and now >= self._idle_until:
            return LOAD
        return CHECK if self._hub is None or now >= self._due else WAIT

    def _given(self, entry: Entry) -> Entry:
        entry = entry.after(self.position)
        self.position = entry.end
        self.generation = entry.generation
        self._known, self._since = True, None
        self._due = 0.0 if self._is_dead else time.monotonic() + self._relay.lease / 2
        if entry.is_last:
            self._ended = True
            self._hubs.leave(self)
        return entry

    @property
    def seconds(self) -> float:
        """How long a WAIT may last."""
        now = time.monotonic()
        due = min(self._due, self._idle_until) if self._idle_until > now else self._due
        return max(due - now, 0.001)

    def act(self, step: Step) -> Step | None:
        """Do a LOAD or CHECK, which may wait for the relay. Returns TAKE if a takeover is to be tried."""
        try:
            if step == LOAD:
                self._load()
            elif step == CHECK:
                return self._check()
        except RelayConnectionError as error:
            self._suffer("the relay cannot be reached", 3 * self._relay.lease, error)
        return None

    def _load(self) -> None:
        page = self._relay.read(self.key, self._next, _PAGE)
        loaded = 0
        with self._lock:
            for entry in page:
                if not entry.frames or entry.end <= self._next:
                    continue
                if entry.start > self._next:
                    break
                self._queue.append(entry)
                self._next = entry.end
                loaded += 1
        if loaded:
            return
        missed = [entry for entry in page if entry.start > self._next]
        if missed and not self._queue:
            raise self._expired(missed)
        if not self._queue:  # the relay has lost the run, or is just getting it back
            self._idle_until = time.monotonic() + min(self._relay.lease / 8, 0.25)
            self._due = 0.0
            assert self._hub is not None
            self._hub.forget()

    def _expired(self, page: list[Entry]) -> CursorExpiredError:
        left = list(page)
        while page:
            page = self._relay.read(self.key, left[-1].end, _PAGE)
            left += page
        oldest = cursor_at(left[0].start, left[0].generation)
        return CursorExpiredError(
            f"run {self.key!r}: the relay no longer has the events from {self._next} to {left[0].start}: "
            f"follow after={oldest!r}, or with catch_up='snapshot'",
            oldest=oldest,
            remaining=b"".join([entry.frames for entry in left]),
        )

    def _check(self) -> Step | None:
        """Ask for the state of the run, and act on it."""
        if self._hub is None:
            state = self._relay.state(self.key)
            self._hub = self._hubs.join(self, self.position if state is None else state.count)
            if self._closed:
                self._hubs.leave(self)
        else:
            state = self._hub.state()
        lease = self._relay.lease
        if state is None:
            self._miss()
            return None
        self._known = True
        if state.status == "ended" and self.position > state.count:
            raise CursorExpiredError(f"run {self.key!r} has {state.count} events, got a cursor after {self.position}")
        if state.status == "ended" and self.position == state.count:  # the follower had the whole run
            self.position = self._next = state.count - 1
        self._note(state.count)
        if state.is_alive or state.status in ("paused", "ended"):
            self._since, self._is_dead = None, False
            self._due = time.monotonic() + lease / 2
            return None
        self._is_dead = True
        if self._next < state.count:  # first what the dead producer has written
            self._due = time.monotonic() + lease / 4
            return None
        if self._attempts:
            self._attempts -= 1
            self._due = time.monotonic() + lease / 4
            self._generation_of_dead = state.generation
            return TAKE
        self._suffer(f"its producer has stopped ({state.reason or 'no sign of life'})", lease)
        return None

    def _note(self, count: int) -> None:
        assert self._hub is not None
        if self._idle_until > time.monotonic():
            self._hub.latest = count  # the log was lost: what was known of it is no longer true
        self._hub.latest = max(self._hub.latest, count)

    def _miss(self) -> None:
        """The relay does not know the run: it was not published yet, or it was dropped or lost."""
        if not self._known and self.position and self._patience_is_over(self._patience):
            raise CursorExpiredError(f"run {self.key!r}: the relay no longer has any of its events")
        if self._known:
            self._suffer("the relay has lost it", self._relay.lease)
        else:
            self._suffer(f"no producer has begun it within {self._patience:g} s", self._patience)

    def _patience_is_over(self, limit: float) -> bool:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        self._due = max(min(now + self._relay.lease / 8, self._since + limit), now + 0.01)
        return now - self._since >= limit

    def _suffer(self, what: str, limit: float, cause: Exception | None = None) -> None:
        """Wait for a change for the better, for `limit` seconds at most."""
        if self._patience_is_over(limit):
            raise StreamInterruptedError(f"run {self.key!r} was interrupted: {what}") from cause

    def take_over(self, take: Callable[[int], bool]) -> None:
        """Try to become the producer, after the one that has died."""
        assert self._hub is not None
        take(self._generation_of_dead)
        self._hub.forget()

    _generation_of_dead = 0

    # -- the drivers ---------------------------------------------------------------------------------------------

    def next_entry(self, take: Callable[[int], bool] | None = None) -> Entry | None:
        """Wait for the next entry on this thread; None at the end. `take` takes over the run of a dead producer."""
        while True:
            step = self.poll()
            if step is None or isinstance(step, Entry):
                return step
            if step == WAIT:
                self._sleepers.sleep(lambda: self.poll_is_due, self.seconds)
            elif self.act(step) == TAKE and take is not None:
                self.take_over(take)

    @property
    def poll_is_due(self) -> bool:
        """Whether `poll()` would say something else than WAIT."""
        if self._closed or self._queue or self._due <= time.monotonic():
            return True
        return self._hub is not None and self._hub.latest > self._next and time.monotonic() >= self._idle_until

    async def next_entry_async(self, take: Any = None) -> Entry | None:
        """The same on an event loop; `take` may be a coroutine function."""
        if self._loop is None or self._waker is None:
            self._loop = current_event_loop()
            self._waker = LoopWaker(self._loop)
        while True:
            step = self.poll()
            if step is None:
                self._silence()
                return None
            if isinstance(step, Entry):
                return step
            if step == WAIT:
                self._set_alarm(self._loop)
                await self._waker.sleep(None)
                continue
            wanted = await self._run(self.act, step)
            if wanted == TAKE and take is not None:
                assert self._hub is not None
                await take(self._generation_of_dead)
                self._hub.forget()

    async def _run(self, act: Callable[..., Any], *arguments: Any) -> Any:
        if self._relay.is_remote:
            return await anyio.to_thread.run_sync(act, *arguments)
        return act(*arguments)

    def __iter__(self) -> Iterator[Entry]:
        try:
            while (entry := self.next_entry()) is not None:
                yield entry
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[Entry]:
        try:
            while (entry := await self.next_entry_async()) is not None:
                yield entry
        finally:
            self.close()

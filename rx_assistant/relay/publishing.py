"""Publishing: a stream's events → frames → batches in a relay, and the stream's ending → the ending of the run.

    stream ──event──▶ Publication ──batches──▶ Sender ──one round trip──▶ relay
                          ▲                                                 │
                          └────────────────── commands ◀────────────────────┘

A Publication never blocks its stream: it stores frames, and the one thread of the Sender writes the frames of all
publications. Every write names the number of its first event, so that writing again after a broken connection changes
nothing. A relay in memory is written to at once.

    claim ──▶ append … ──▶ seal       the stream has ended well, or with the server's `error` event
                      ├──▶ release    the run requires action (paused), or the stream broke off (interrupted)
                      └──▶ fenced     another producer has taken over; nothing more is written
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from reactivex import Observable, abc

from rx_assistant.errors import (
    EventTooLargeError,
    RelayConnectionError,
    RelayError,
    RelayFencedError,
    ServerErrorEvent,
    StreamOverflowError,
)
from rx_assistant.events import BY_NAME, DoneEvent, RunEvent, StreamEvent, frame
from rx_assistant.hot import Hooks, Scope, Sink, Sleepers, operator, start_thread
from rx_assistant.lifecycle import MESSAGE, RUN, STEP
from rx_assistant.relay.catching_up import caught_up
from rx_assistant.relay.entries import Command
from rx_assistant.relay.log import Write

if TYPE_CHECKING:
    from rx_assistant.relay.entries import RelayState
    from rx_assistant.relay.log import Outcome, RelayLog

OnCommand: TypeAlias = Callable[[Command], object]
"""A function that is called with each command of a follower, on a new thread."""

_log = logging.getLogger("rx_assistant")
_DONE: Final = frame(DoneEvent())
_REASON: Final = 1000  # characters of the error that has interrupted a run
_PAUSE: Final = 0.05  # seconds before the first new attempt to reach the relay; each later pause is twice as long
_URGENT: Final = frozenset(
    name
    for prefix, stops in (("run", RUN.stops), ("run.step", STEP.terminal), ("message", MESSAGE.terminal))
    for stop in stops
    if (name := f"thread.{prefix}.{stop}") in BY_NAME
)


class Publication:
    """One stream that is being published: an observer of it, and a disposable that stops publishing.

    `generation` is 0 until the relay has accepted the stream. `error` is the reason if publishing has failed.
    """

    def __init__(
        self, sender: Sender, key: str, source: Observable[Any] | None, on_command: OnCommand | None = None
    ) -> None:
        self.key = key
        self.generation = 0
        self.error: Exception | None = None
        self._sender = sender
        self._relay = sender.relay
        self._source = None if source is None else weakref.ref(source)
        self._keep: object = None  # keeps a stream alive that nothing else refers to
        self._on_command = on_command
        self._base: int | None = None  # the number of the stream's first event
        self._written = 0  # how many events of the stream are in the relay
        self._entries = 0  # since the state of the run was stored
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._last_run = ""
        self._ending: Write | None = None
        self._over = False
        self._done = Sleepers()
        self._subscription: abc.DisposableBase | None = None
        self._stop_listening: Callable[[], None] | None = None

    def begin(self, claimed: RelayState | None = None, keep: object = None) -> Publication:
        """Subscribe to the source. With `claimed`, the generation has begun already."""
        if claimed is not None:
            self._accepted(claimed)
        self._keep = keep
        self.join()
        source = None if self._source is None else self._source()
        if source is not None:
            self._subscription = source.subscribe(self.on_next, self.on_error, self.on_completed)
        return self

    def join(self) -> Publication:
        """Write the events that this observer gets."""
        self._sender.add(self)
        return self

    # -- the stream's side ---------------------------------------------------------------------------------------

    def on_next(self, event: StreamEvent) -> None:
        """Store the event's frame for the sender."""
        if self._over or self._ending is not None:
            return
        written = frame(event)
        if isinstance(event, RunEvent):
            self._last_run = event.event
        if len(written) > self._relay.max_event_bytes:
            self._give_up(EventTooLargeError(self._relay.max_event_bytes))
            return
        self._frames.append(written)
        self._size += len(written)
        if self._size > self._relay.max_pending:
            limit = self._relay.max_pending
            message = f"run {self.key!r}: {self._size} bytes wait for the relay, which cannot be reached; limit {limit}"
            self._fail(StreamOverflowError(message, capacity=limit, pending=self._size))
            return
        self._sender.wake(self, urgent=event.event in _URGENT or self._size >= self._relay.max_batch_bytes)

    def on_completed(self) -> None:
        """The stream has ended well: the run is over, or it is paused until its next response."""
        if self._last_run == "thread.run.requires_action":
            self._end(Write("release", ("paused", "")))
        else:
            self._end(Write("seal", (_DONE,)))

    def on_error(self, error: Exception) -> None:
        """The server has ended the run with an `error` event; or the stream has broken, so another may take over."""
        if isinstance(error, ServerErrorEvent) and error.event is not None:
            self._end(Write("seal", (frame(error.event),)))
        else:
            reason = f"{type(error).__name__}: {error}"[:_REASON]
            self._end(Write("release", ("interrupted", reason.encode("utf-8", "replace").decode())))

    def resume_at(self, last_run: str) -> None:
        """Note the run event that an earlier producer has published last."""
        self._last_run = self._last_run or last_run

    def dispose(self) -> None:
        """Stop publishing. Pending events are written; then another process may take over."""
        self._unsubscribe()
        self._end(Write("release", ("interrupted", "the producer has stopped publishing")))
        self._stop_commands()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the stream has ended and everything is written; False if that takes more than `timeout` seconds.

        Raises:
            RelayFencedError: another producer has taken over.
            RelayError: the run has ended already, or another producer publishes it.
            StreamOverflowError: the relay could not be reached, and more than `max_pending` bytes were waiting.
        """
        is_over = self._done.sleep(lambda: self._over, timeout)
        if self.error is not None:
            raise self.error
        return is_over

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be written."""
        return self._over

    def _end(self, ending: Write) -> None:
        if self._ending is None and not self._over:
            self._ending = ending
            self._sender.wake(self, urgent=True)

    def _give_up(self, error: Exception) -> None:
        """Stop because of an error of this stream. The relay gets the reason."""
        self.error = error
        self._unsubscribe()
        self.on_error(error)

    def _fail(self, error: Exception) -> None:
        """Stop at once, without writing the reason to the relay."""
        if self._over:
            return
        self.error = error
        _log.warning("run %r is no longer published: %s", self.key, error)
        self._unsubscribe()
        self._stop_commands()
        self._finish()

    def _finish(self) -> None:
        self._over = True
        self._keep = None
        self._frames.clear()
        self._sender.remove(self)
        if self._on_command is None or self._ending is None or self._ending.arguments[0] != "paused":
            self._stop_commands()
        self._done.wake()

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()

    # -- the sender's side ---------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Become the producer of the run, if the relay accepts it."""
        state = self._relay.claim(self.key)
        if state is None:
            self._fail(
                RelayError(f"run {self.key!r} must be new or paused, but it has ended or is being published", self.key)
            )
        else:
            self._accepted(state)

    def _accepted(self, state: RelayState) -> None:
        self.generation, self._base = state.generation, state.count
        self._listen()

    def next_write(self) -> Write | None:
        """The next write; None if nothing is pending."""
        if self._over or self._base is None:
            return None
        batch: list[bytes] = []
        size = 0
        for one in tuple(self._frames):
            if batch and size + len(one) > self._relay.max_batch_bytes:
                break
            batch.append(one)
            size += len(one)
        start = self._base + self._written
        if batch:
            return Write("append", (self.key, self.generation, start, batch))
        ending = self._ending
        if ending is None:
            return None
        place = (start,) if ending.operation == "seal" else ()
        return Write(ending.operation, (self.key, self.generation, *place, *ending.arguments))

    def written(self, write: Write, outcome: Outcome) -> None:
        """Process the outcome of a write."""
        if outcome in ("lost", "behind"):
            self._restore()
        elif outcome == "fenced" and write.operation != "release":
            self._fail(RelayFencedError(f"run {self.key!r}: another producer has taken over", self.key))
        elif outcome == "ended" and write.operation == "append":
            self._fail(RelayError(f"run {self.key!r} has ended already", self.key))
        elif write.operation == "append":
            for _ in write.arguments[3]:
                self._size -= len(self._frames.popleft())
                self._written += 1
            self._compact()
        elif write.operation != "beat":
            self._finish()

    @property
    def position(self) -> int:
        """The number of the first event that is not in the relay."""
        return (self._base or 0) + self._written

    def beat(self) -> Write | None:
        """A write that gives a sign of life; None before the relay has accepted the stream."""
        return Write("beat", (self.key, self.generation)) if self.generation and not self._over else None

    def _restore(self) -> None:
        """The relay has lost the run, or its last events: write them again, from the log of the stream."""
        assert self._base is not None
        state = self._relay.state(self.key)
        first = self._base if state is None else state.count
        lost = self._stored(first - self._base)
        if state is not None and state.generation == self.generation and lost is None:
            message = f"run {self.key!r}: the relay has lost events that the stream no longer has"
            self._fail(RelayError(message, self.key))
            return
        if state is None:
            first = self.position if lost is None else first
            state = self._relay.claim(self.key, taking=self.generation, base=first)
            if state is not None:
                self.generation = state.generation
                self._listen()
        if state is None or state.generation != self.generation:
            self._fail(RelayFencedError(f"run {self.key!r}: another producer has taken over", self.key))
            return
        if lost is None:
            self._base = first
        self._frames.extendleft(reversed(lost or ()))
        self._size += sum(map(len, lost or ()))
        self._written = first - self._base

    def _stored(self, first: int) -> list[bytes] | None:
        """The frames of the stream's events from `first` on that were written before; None if it has not kept them."""
        source = None if self._source is None else self._source()
        log = getattr(source, "log", None)
        if first < 0 or log is None or not log.keep or log.length < self._written:
            return None
        pairs = [log.peek(at) for at in range(first, self._written)]
        return [frame(kind(payload)) for kind, payload in pairs]

    def _compact(self) -> None:
        """Store the state of the run before the relay drops the first entries, for followers that come late."""
        self._entries += 1
        if self._entries < self._relay.max_entries // 2:
            return
        self._entries -= max(self._relay.max_entries // 4, 1)
        events, position = caught_up(self._relay, self.key)
        self._relay.store_snapshot(self.key, self.generation, position, b"".join(map(frame, events)))

    # -- commands ------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._stop_commands()
        self._stop_listening = self._relay.listen(self.key, None, self._take_commands)

    def _stop_commands(self) -> None:
        stop, self._stop_listening = self._stop_listening, None
        if stop is not None:
            stop()

    def _take_commands(self, commands: list[Any]) -> None:
        """Carry out commands, each on a new thread, if this is still the producer."""
        for number, command in commands:
            thread = threading.Thread(
                target=self._obey, args=(number, command), name="rx-assistant-command", daemon=True
            )
            start_thread(thread)

    def _obey(self, number: object, command: Command) -> None:
        try:
            state = self._relay.state(self.key)
            if state is None or state.generation != self.generation or not self._relay.accept(self.key, number):
                return
            source = None if self._source is None else self._source()
            cancel: Any = getattr(getattr(source, "origin", None), "cancel", None)
            if command.type == "cancel" and cancel is not None:
                cancel()
            elif self._on_command is not None:
                self._on_command(command)
        except Exception as error:
            _log.warning("run %r: the command %r failed: %s", self.key, command.type, error)


class Sender:
    """The thread that writes for all publications of a relay, and gives their signs of life, until the last ends."""

    def __init__(self, relay: RelayLog) -> None:
        self.relay = relay
        self._active: dict[Publication, None] = {}
        self._dirty: dict[Publication, None] = {}
        self._urgent = False
        self._running = False
        self._closing = False
        self._lock = threading.RLock()
        self._sleepers = Sleepers()
        self._next_beat = 0.0

    def add(self, publication: Publication) -> None:
        """Write for a publication from now on."""
        if self._closing:
            raise RuntimeError("the relay was closed: nothing can be published any more")
        with self._lock:
            self._active[publication] = None
            if not self._running:
                self._running = True
                self._next_beat = time.monotonic() + self.relay.lease / 3
                start_thread(threading.Thread(target=self._run, name="rx-assistant-relay-sender", daemon=True))
        self.wake(publication, urgent=True)

    def remove(self, publication: Publication) -> None:
        """A publication has ended."""
        self._active.pop(publication, None)
        self._dirty.pop(publication, None)
        if not self._active:
            self._sleepers.wake()

    def wake(self, publication: Publication, *, urgent: bool) -> None:
        """A publication has something to write: now if it is urgent, else within the flush interval."""
        if not self.relay.is_remote:
            self._write_now(publication)
            return
        is_news = publication not in self._dirty
        self._dirty[publication] = None
        if urgent:
            self._urgent = True
        if is_news or urgent:
            self._sleepers.wake()

    def close(self) -> None:
        """Write all pending events, and stop publishing every run."""
        self._closing = True
        publications = tuple(self._active)
        for publication in publications:
            publication.dispose()
        for publication in publications:
            publication._done.sleep(lambda one=publication: one.is_over, self.relay.lease)  # type: ignore[misc]

    def _write_now(self, publication: Publication) -> None:
        with self._lock:
            if not publication.generation and not publication.is_over:
                publication.claim()
            while (write := publication.next_write()) is not None:
                publication.written(write, cast("Outcome", write.do(self.relay)))

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.0
        while self._is_needed():
            wait = pause or max(self._next_beat - time.monotonic(), 0)
            self._sleepers.sleep(lambda: not self._active or bool(self._dirty and not pause), wait)  # noqa: B023
            if self._dirty and not pause:
                self._sleepers.sleep(lambda: self._urgent, self.relay.flush_interval)
            self._urgent = False
            try:
                self._round()
                pause = 0.0
            except RelayConnectionError as error:
                pause = min(max(2 * pause, _PAUSE), 1.0)
                _log.debug("the relay cannot be reached, next attempt in %g s: %s", pause, error)
            except Exception:
                _log.exception("the sender of a relay failed")
                pause = 1.0

    def _is_needed(self) -> bool:
        with self._lock:
            if self._active:
                return True
            self._running = False
            return False

    def _round(self) -> None:
        """Claim new runs, give the signs of life that are due, and write until nothing is pending."""
        left: dict[Publication, None] = {}
        for publication in tuple(self._dirty):  # taken out before their frames are looked at, so that none is missed
            self._dirty.pop(publication, None)
            left[publication] = None
        try:
            for publication in tuple(left):
                if not publication.generation and not publication.is_over:
                    self._apart(publication, publication.claim)
            if time.monotonic() >= self._next_beat:
                self._do([(one, beat) for one in tuple(self._active) if (beat := one.beat()) is not None])
                self._next_beat = time.monotonic() + self.relay.lease / 3
            while left:
                writes = [(one, write) for one in left if (write := one.next_write()) is not None]
                self._do(writes)
                left = {one: None for one, _ in writes}
        except BaseException:
            self._dirty.update(left)
            raise

    def _do(self, writes: list[tuple[Publication, Write]]) -> None:
        if not writes:
            return
        broken: Exception | None = None
        for (publication, write), outcome in zip(writes, self.relay.write([one for _, one in writes]), strict=True):
            if isinstance(outcome, RelayConnectionError):
                broken = outcome
            elif isinstance(outcome, Exception):
                publication._fail(outcome)
            else:
                self._apart(publication, partial(publication.written, write, outcome))
        if broken is not None:
            raise broken

    @staticmethod
    def _apart(publication: Publication, action: Callable[[], None]) -> None:
        """Do the work of one publication. An error ends only this publication, unless the relay cannot be reached."""
        try:
            action()
        except RelayConnectionError:
            raise
        except Exception as error:
            publication._fail(error)


def publishing(sender: Sender, key: str, on_command: OnCommand | None) -> Callable[[Observable[Any]], Observable[Any]]:
    """The operator that publishes the events on their way. Each subscription publishes; a run is published once."""

    def apply(source: Observable[Any]) -> Observable[Any]:
        def start(down: Sink[Any], scope: Scope[Any]) -> Hooks:
            publication = Publication(sender, key, source, on_command).join()

            def on_next(event: Any) -> None:
                publication.on_next(event)
                down.next(event)

            def on_error(error: Exception) -> None:
                publication.on_error(error)
                down.error(error)

            def on_completed() -> None:
                publication.on_completed()
                down.completed()

            return Hooks(on_next, on_error, on_completed, publication.dispose)

        return operator(start)(source)

    return apply

"""The hot log: an append-only list that is its own delivery queue.

Theory of operation

The log is the queue. A reader appends what it parsed, and items are delivered from the log itself, one after the
other, to every seat (a live subscriber). Three positions count items from the first one ever appended:

    0 ......... _pos ............ _wish ............ length
    delivered   in the log, and   in the log, not     end of the log
                wanted by someone  wanted yet

One drainer. Whoever appends, subscribes, disposes or raises the wish calls `drain()`. The delivery lock is only ever
try-acquired: the thread that gets it works until nothing is pending. A thread that does not get it may leave, because
its wish is state (`_wish`, an entry in `_inbox`, the ending) that the holder reads; and because a wish may be placed
between the holder's last look and its release, the holder looks again after releasing. So delivery is serial and
ordered, a callback that appends or subscribes cannot recurse, and the stack stays bounded (C10–C14).

Entries. Newcomers and timers' actions are callables in `_inbox`, run by the drainer between two items. A newcomer is
first given everything delivered so far and then takes a seat, so that it sees no gap and no duplicate (C20–C23).

Endings. Append and ending are decided under `_mutex`, under which no foreign code ever runs. Nothing is appended
after the ending; the ending is delivered after the last item. `cut()` drops what was not delivered yet.

Isolation. A callback that raises costs its own seat only. KeyboardInterrupt and its like are raised after every
seat has had the item.

Cursors read the same list at their own position and never wait for the delivery lock.

Trimming (`keep=False`): what every seat and cursor has passed is dropped in blocks of 256. A cursor that holds more
than `max_pending` bytes back is cut loose with a StreamOverflowError of its own.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from reactivex import abc

from rx_assistant.errors import StreamOverflowError
from rx_assistant.hot._subscriber import Subscriber

T = TypeVar("T")

NOTHING: Any = object()
FOREVER = 1 << 62
_BLOCK = 256
_logger = logging.getLogger("rx_assistant")


class HotLog(Generic[T]):
    """Append-only items with seats (pushed to) and cursors (pulled from); see the module's text.

    `keep=False` drops what everybody has passed. `on_idle` is called, outside all locks, whenever the number of seats,
    cursors and other holders falls to 0 before the ending.
    """

    def __init__(
        self, *, keep: bool = True, max_pending: int = 16 * 2**20, on_idle: Callable[[], None] | None = None
    ) -> None:
        self.keep = keep
        self.max_pending = max_pending
        self.on_idle = on_idle
        self.on_change: tuple[Callable[[], None], ...] = ()
        self.current: T | None = None  # the item last handed to anybody …
        self.at = -1  # … and its position
        self.emitting = -1  # the position that the drainer is handing out
        self.delivering: int | None = None  # the thread that drains
        self.watch: Callable[[T], None] | None = None  # sees each item before the seats do
        self.gate = FOREVER  # nothing beyond is delivered, whatever is wanted: async handlers are awaited in between
        self.alarm: Exception | None = None  # what a handler raised, for the next one who waits
        self._kinds: list[Callable[[Any], T]] = []
        self._payloads: list[Any] = []
        self._base = 0
        self._bytes = 0
        self._pos = 0
        self._wish = 0
        self._seats: tuple[Subscriber[T], ...] = ()
        self._inbox: deque[Callable[[], None]] = deque()
        self._ended = False
        self._error: Exception | None = None
        self.finished = False
        self._holders = 0
        self._cursors: weakref.WeakSet[Cursor[T]] = weakref.WeakSet()
        self._mutex = threading.RLock()  # re-entrant only because a collected cursor may leave at any allocation
        self._delivery = threading.Lock()

    # -- what the reader does ------------------------------------------------------------------------------------

    def append(self, kinds: list[Callable[[Any], T]], payloads: list[Any]) -> bool:
        """Append items in order; False, and nothing appended, after the ending. Delivers nothing by itself."""
        with self._mutex:
            if self._ended:
                return False
            self._kinds.extend(kinds)
            self._payloads.extend(payloads)
            if not self.keep:
                self._bytes += sum(map(len, payloads))
        if not self.keep:
            self._trim()
        for changed in self.on_change:
            changed()
        return True

    def push(self, item: T) -> None:
        """Append one ready-made item and deliver it to the seats: for logs that are fed by an operator."""
        with self._mutex:
            if self._ended:
                return
            self._kinds.append(_itself)
            self._payloads.append(item)
            self._wish = FOREVER
        self.drain()

    def end(self, error: Exception | None = None) -> bool:
        """End after the last item, well or with `error`; False if it had ended already."""
        with self._mutex:
            if self._ended:
                return False
            self._ended, self._error = True, error
        for changed in self.on_change:
            changed()
        return True

    def cut(self, error: Exception) -> bool:
        """End with `error` right after the item in delivery, dropping later ones; False if all was delivered.

        The ending still has to be delivered: `want(FOREVER)`.
        """
        with self._mutex:
            delivered = self._pos - self._base
            if self.finished or (self._ended and delivered == len(self._payloads)):
                return False
            del self._kinds[delivered:], self._payloads[delivered:]
            self._ended, self._error = True, error
        for changed in self.on_change:
            changed()
        return True

    # -- what is in it -------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """How many items were ever appended."""
        return self._base + len(self._payloads)

    @property
    def base(self) -> int:
        """The position of the first item that is still kept."""
        return self._base

    @property
    def position(self) -> int:
        """How many items have been delivered, the one in delivery included."""
        return self._pos

    @property
    def ended(self) -> bool:
        """Whether the ending is decided (it may still have to be delivered)."""
        return self._ended

    @property
    def failure(self) -> Exception | None:
        """The error it ended with, if it has."""
        return self._error

    @property
    def seats(self) -> int:
        """How many live subscribers there are."""
        return len(self._seats)

    def peek(self, position: int) -> tuple[Callable[[Any], T], Any] | None:
        """Give the pair `(kind, payload)` at `position`; None when it is not there yet, or no longer."""
        if self.keep:
            return (self._kinds[position], self._payloads[position]) if position < len(self._payloads) else None
        with self._mutex:
            index = position - self._base
            return (self._kinds[index], self._payloads[index]) if 0 <= index < len(self._payloads) else None

    # -- who reads it --------------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber[T]) -> abc.DisposableBase:
        """Seat a subscriber: everything kept so far first, then live. Gives what leaves the seat again."""
        seat = _Seat(self, subscriber)
        self.retain()
        self.enqueue(lambda: self._admit(subscriber))
        return seat

    def cursor(self, position: int = 0) -> Cursor[T]:
        """Give a private reader that starts at `position`, or at the first item kept if that is later."""
        cursor = Cursor(self, position)
        self.retain()
        return cursor

    def retain(self) -> None:
        """Count one more holder: a seat, cursor, handler or waiter."""
        with self._mutex:
            self._holders += 1

    def release(self) -> None:
        """Count one holder less, and call `on_idle` when it was the last before the ending (C25)."""
        with self._mutex:
            self._holders -= 1
            idle = self._holders == 0 and not self._ended
        if idle and self.on_idle is not None:
            self.on_idle()

    @property
    def holders(self) -> int:
        """How many seats, cursors, handlers and waiters there are."""
        return self._holders

    # -- delivery ------------------------------------------------------------------------------------------------

    def want(self, position: int) -> None:
        """Allow delivery of the items before `position`, and deliver what is there."""
        if position > self._wish:
            self._wish = position
        self.drain()

    def pause(self) -> None:
        """Withdraw all wishes: nothing beyond the item in delivery is delivered until someone wants it."""
        self._wish = self._pos

    def enqueue(self, entry: Callable[[], None]) -> None:
        """Run `entry` between two deliveries, on whichever thread delivers."""
        self._inbox.append(entry)
        self.drain()

    def raise_alarm(self, error: Exception) -> None:
        """Withdraw all wishes and keep `error` for the next one who waits: a handler raised it."""
        self.alarm = error
        self.pause()
        for changed in self.on_change:
            changed()

    def check(self) -> None:
        """Raise, once, what a handler raised."""
        if self.alarm is not None:
            with self._mutex:
                error, self.alarm = self.alarm, None
            if error is not None:
                raise error

    def drain(self) -> None:
        """Deliver what is pending, unless another thread, or a caller further up this stack, is doing so."""
        while self._pending():
            if not self._delivery.acquire(blocking=False):
                return
            self.delivering = threading.get_ident()
            try:
                self._work()
            except BaseException:  # an interrupt: whoever sleeps until this delivery is over must look again
                self._interrupted()
                raise
            finally:
                self.delivering = None
                self._delivery.release()
            # look again: a wish placed after the last look found the lock taken and left

    def _interrupted(self) -> None:
        self.delivering = None
        for changed in self.on_change:
            changed()

    def _pending(self) -> bool:
        if self._inbox:
            return True
        at = self._pos
        if at >= self._wish or at >= self.gate:
            return False
        return at < self.length or (self._ended and not self.finished)

    def _work(self) -> None:
        inbox, keep = self._inbox, self.keep
        while True:
            if inbox:
                self._run(inbox.popleft())
                continue
            at = self._pos
            if at >= self._wish or at >= self.gate:
                return
            pair = self._take(at)
            if pair is not None:
                seats = self._seats
                if seats or self.watch is not None:
                    kind, payload = pair
                    item = kind(payload)
                    if self.watch is not None:
                        self.watch(item)
                    self.current, self.at, self.emitting = item, at, at
                    self._deliver(seats, item)
                else:
                    self.current, self.at = None, at
                if not keep and at & (_BLOCK - 1) == 0:
                    self._trim()
            elif self._ended and not self.finished:
                self._finish()
            else:
                return

    def _run(self, entry: Callable[[], None]) -> None:
        try:
            entry()
        except Exception:
            _logger.exception("an action scheduled on a stream raised")

    def _take(self, at: int) -> tuple[Callable[[Any], T], Any] | None:
        with self._mutex:
            index = at - self._base
            if index >= len(self._payloads):
                return None
            self._pos = at + 1
            return self._kinds[index], self._payloads[index]

    def _deliver(self, seats: tuple[Subscriber[T], ...], item: T) -> None:
        interrupt: BaseException | None = None
        for seat in seats:
            try:
                seat.next(item)
            except Exception as error:
                seat.fail(error)
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _admit(self, subscriber: Subscriber[T]) -> None:
        """Give a newcomer what was delivered before it came, then its seat or the ending."""
        position = self._base if self.keep else self._pos
        while position < self._pos and subscriber.active:
            kind, payload = self._kinds[position], self._payloads[position]
            self.emitting = position
            self._deliver((subscriber,), kind(payload))
            position += 1
        if self.finished:
            _end(subscriber, self._error)
            return
        with self._mutex:  # whoever disposes it from now on finds it among the seats
            if subscriber.active:
                self._seats = (*self._seats, subscriber)

    def _leave(self, subscriber: Subscriber[T]) -> None:
        with self._mutex:
            self._seats = tuple(seat for seat in self._seats if seat is not subscriber)

    def _finish(self) -> None:
        self.finished = True
        with self._mutex:
            seats, self._seats = self._seats, ()
        for seat in seats:
            _end(seat, self._error)
        changed, self.on_change = self.on_change, ()
        for changed_now in changed:
            changed_now()
        self.on_idle = self.watch = None  # nothing points back to the stream any more: dropping it frees the log

    # -- trimming ------------------------------------------------------------------------------------------------

    def _trim(self) -> None:
        """Drop what everybody has passed; cut loose whoever holds too much back."""
        with self._mutex:
            low = self._pos - 1  # the item in delivery stays: substreams start there
            lagging = [cursor for cursor in self._cursors if not cursor.overflowed]
            if self._bytes > self.max_pending and lagging and min(c.position for c in lagging) < low:
                low_cursor = min(lagging, key=lambda cursor: cursor.position)
                low_cursor.overflow(self._bytes)
                lagging.remove(low_cursor)
            for cursor in lagging:
                low = min(low, cursor.position)
            drop = low - self._base
            if drop < _BLOCK and self._bytes <= self.max_pending:
                return
            if drop > 0:
                self._bytes -= sum(map(len, self._payloads[:drop]))
                del self._kinds[:drop], self._payloads[:drop]
                self._base = low

    def _register(self, cursor: Cursor[T]) -> None:
        with self._mutex:
            cursor.position = max(cursor.position, self._base)
            self._cursors.add(cursor)


class Cursor(Generic[T]):
    """A private position in a log. `take()` gives the next item, or NOTHING when it is not there yet."""

    __slots__ = ("__weakref__", "_error", "_open", "log", "position")

    def __init__(self, log: HotLog[T], position: int) -> None:
        self.log = log
        self.position = position
        self._error: StreamOverflowError | None = None
        self._open = True
        if not log.keep:
            log._register(self)

    @property
    def overflowed(self) -> bool:
        """Whether the log went on without this cursor."""
        return self._error is not None

    def overflow(self, pending: int) -> None:
        """Mark the cursor as too slow; its next `take()` raises."""
        capacity = self.log.max_pending
        self._error = StreamOverflowError(
            f"this reader fell {pending} bytes behind the stream; max_pending is {capacity} bytes",
            capacity=capacity,
            pending=pending,
        )

    def take(self) -> T:
        """Give the next item, after the seats have had it, unless they are having it right now on another thread."""
        log, position = self.log, self.position
        if self._error is not None:
            raise self._error
        if position >= log._wish:
            if position >= log.length and not log._ended:
                return cast("T", NOTHING)
            log.want(position + 1)
            log.check()
        pair = log.peek(position)
        if pair is None:
            return cast("T", NOTHING)
        self.position = position + 1
        if log.at == position and log.current is not None:
            return log.current
        item = pair[0](pair[1])
        log.current, log.at = item, position
        return item

    @property
    def at_end(self) -> bool:
        """Whether every item was taken and the log has ended."""
        return self.log._ended and self.position >= self.log.length

    def close(self) -> None:
        """Leave. Idempotent."""
        if self._open:
            self._open = False
            self.log._cursors.discard(self)
            self.log.release()

    def __del__(self) -> None:
        self.close()


class _Seat(abc.DisposableBase):
    """What leaves a seat again, once."""

    __slots__ = ("_log", "_subscriber")

    def __init__(self, log: HotLog[Any], subscriber: Subscriber[Any]) -> None:
        self._log: HotLog[Any] | None = log
        self._subscriber: Subscriber[Any] | None = subscriber

    def dispose(self) -> None:
        log, self._log = self._log, None
        subscriber, self._subscriber = self._subscriber, None
        if log is not None and subscriber is not None:
            log._leave(subscriber)
            log.release()


def _end(subscriber: Subscriber[Any], error: Exception | None) -> None:
    if error is None:
        subscriber.completed()
    else:
        subscriber.error(error)


def _itself(item: Any) -> Any:
    return item

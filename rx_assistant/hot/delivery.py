"""The hot log: a storage whose items are delivered to every subscriber, in order, by one thread at a time.

Theory of operation

                 append, end, cut                 take                    next, error, completed
    reader ─────────────────────────▶ Storage ──────────▶ the drainer ──────────────────────────▶ seat, seat, …
                                         │                    │  ▲
                                         │ peek               │  └── inbox: subscribe, dispose, actions of timers
                                         ▼                    ▼
                                       cursors              handlers: a gate, and an error that a waiter must raise

The storage is the queue. A reader appends the items that it parsed. They are delivered from the storage itself, one
after the other, to every seat (a live subscriber). Positions count items from the first one ever appended:

    0 ........ storage.position ........ wish ........ storage.length
    delivered                   wanted         stored, but not wanted yet

One drainer. `append()` delivers nothing. `want(position)` raises `wish`, up to which items may be delivered. Each
raised wish, subscription and disposal calls `drain()`. A thread only tries to take the delivery lock. The thread that
gets it, the drainer, works until nothing is pending. A thread that does not get it may continue, because its request is
state (`wish`, an entry in the inbox, the ending) that the drainer reads. A request may come between the drainer's last
look and its release of the lock, so the drainer looks again after the release. Therefore delivery is serial and
ordered, a callback that appends or subscribes does not recurse, and the stack stays bounded (C10–C14).

Interrupts. KeyboardInterrupt may come after any call in the main thread. A lock that is acquired by a call and released
in a `finally` can therefore stay locked: the call may have locked it without the result being stored. So the delivery
lock is a dictionary: `setdefault(0, token)` takes it in one step, and a `finally` releases it by subscripts alone,
which no interrupt can divide. Holders (below) are tokens too: a token may be released twice, or without `retain()`.

The inbox. Subscribing, disposing and the actions of timers are functions that the drainer runs between two items. A new
subscriber first gets everything that was delivered before, then it takes a seat. So it sees no gap and no duplicate
(C20–C23). Disposing appends to the inbox, and drains only if this thread does not hold the storage's mutex: the
garbage collector may drop a seat or cursor while the thread holds it.

Endings. The storage decides the ending, see `hot/state.py`. It is delivered after the last item, to each seat once.

Isolation. A callback that raises loses its own seat only. KeyboardInterrupt and SystemExit are raised after every seat
has had the item or the ending. A new subscriber whose replay was interrupted gets the rest of it later.

The lone loop, an optimisation. A loop that is the only reader takes its items with `take_alone()`, without a drain;
with a drain, `for event in stream` takes twice as long. The invariant: only the thread that holds the delivery lock
moves `position`, changes the seats and runs entries. So if this thread finds no seat, no entry, no `watch` and no gate
before the item, no other code has to run for this item, and taking it is delivering it. If an entry or a wish comes
meanwhile, the look after the release finds it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, cast

from reactivex import abc

from rx_assistant.hot.state import DELIVERED, ENDED, RELEASED, State
from rx_assistant.hot.storage import BLOCK, FOREVER, NOTHING, Kind, Storage
from rx_assistant.hot.subscriber import SUBSCRIBING, Subscriber
from rx_assistant.hot.threads import outside_collection

T = TypeVar("T")

_logger = logging.getLogger("rx_assistant")

_TAKING = threading.Lock()
"""The lock for taking the error of a handler. One lock serves all logs, because it is held shortly and rarely."""


class HandlerState:
    """The state of handlers in a log: the position at which delivery waits for them, and their error for a caller."""

    __slots__ = ("error", "gate", "is_inside")

    def __init__(self) -> None:
        self.gate = FOREVER
        """Nothing from this position on is delivered: async handlers are awaited first."""
        self.error: Exception | None = None
        """The exception that a handler raised, until a waiting caller takes it."""
        self.is_inside: Callable[[], bool] | None = None
        """Whether the caller runs inside an async handler."""

    def take_error(self) -> Exception | None:
        """Return the exception that a handler raised, once; None if there is none."""
        with _TAKING:
            error, self.error = self.error, None
        return error


class HotLog(Generic[T]):
    """Items that are pushed to seats and pulled by cursors; see the module's text.

    `keep=False` drops the items that every reader has passed. `on_idle` is called whenever the number of holders
    (seats, cursors, handlers and waiters) falls to 0 before the ending: between two items, without the mutex.
    """

    __slots__ = (
        "__weakref__",
        "_holders",
        "_inbox",
        "_listeners",
        "_lock",
        "_seats",
        "delivering",
        "drainer",
        "emitting",
        "handlers",
        "on_idle",
        "read_out",
        "shown",
        "storage",
        "watch",
        "wish",
    )

    def __init__(
        self, *, keep: bool = True, max_pending: int = 16 * 2**20, on_idle: Callable[[], None] | None = None
    ) -> None:
        self.storage: Storage[T] = Storage(keep=keep, max_pending=max_pending)
        self.handlers = HandlerState()
        self.on_idle = on_idle
        self.watch: Callable[[T], None] | None = None  # gets each item before the seats: it folds snapshots
        self.wish = 0  # items before this position may be delivered
        self.shown: tuple[int, T] = (-1, NOTHING)  # the item last given to any reader, and its position
        self.emitting = -1  # the position of the item that the drainer passes to the seats now
        self.delivering: int | None = None  # the ident of the thread that drains now
        self.drainer: threading.Thread | None = None  # a background thread that drains all items, if there is one
        self.read_out = False  # a loop has read to the end: closing then delivers the rest to the seats
        self._seats: tuple[Subscriber[T], ...] = ()
        self._inbox: deque[Callable[[], None]] = deque()
        self._holders: dict[object, None] = {}
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._lock: dict[int, object] = {}  # key 0: the token of the thread that delivers

    # -- what the storage holds ----------------------------------------------------------------------------------

    @property
    def keep(self) -> bool:
        """Whether every item stays."""
        return self.storage.keep

    @property
    def state(self) -> State:
        """The state of the log, see `hot/state.py`."""
        return self.storage.state

    @property
    def ended(self) -> bool:
        """Whether the ending is decided (it may still have to be delivered)."""
        return self.storage.state >= ENDED

    @property
    def delivered(self) -> bool:
        """Whether everything was delivered, the ending too."""
        return self.storage.state >= DELIVERED

    @property
    def released(self) -> bool:
        """Whether the thread that delivered the ending has also released the delivery lock."""
        return self.storage.state >= RELEASED

    @property
    def failure(self) -> Exception | None:
        """The error of the ending, if it has one."""
        return self.storage.failure

    @property
    def length(self) -> int:
        """How many items were ever appended."""
        return self.storage.length

    @property
    def base(self) -> int:
        """The position of the first item that is still stored."""
        return self.storage.base

    @property
    def position(self) -> int:
        """How many items have been delivered, the one in delivery included."""
        return self.storage.position

    def peek(self, position: int) -> tuple[Kind[T], Any] | None:
        """Return the pair `(kind, payload)` at `position`; None if it has not arrived yet, or was dropped."""
        return self.storage.peek(position)

    def item(self, position: int) -> T:
        """Return the item at `position`, or NOTHING. The item that was last given to a reader is the same object."""
        at, item = self.shown
        if at == position and item is not NOTHING:
            return item
        pair = self.storage.peek(position)
        return cast("T", NOTHING) if pair is None else pair[0](pair[1])

    # -- changes from the reader ---------------------------------------------------------------------------------

    def append(self, kinds: list[Kind[T]], payloads: list[Any]) -> bool:
        """Append items in order; False, and nothing appended, after the ending. Delivers nothing by itself."""
        storage = self.storage
        if not storage.append(kinds, payloads):
            return False
        if not storage.keep:
            storage.trim()
        self._notify()
        return True

    def push(self, payload: Any, kind: Kind[T] | None = None) -> None:
        """Append and deliver one item: `kind(payload)`, or `payload` itself without a kind. For logs of operators."""
        if self.storage.append([kind or _itself], [payload]):
            self._notify()
            self.want(FOREVER)

    def end(self, error: Exception | None = None) -> bool:
        """End after the last item, well or with `error`; False if the log has ended already."""
        ended = self.storage.end(error)
        if ended:
            self._notify()
        return ended

    def cut(self, error: Exception) -> bool:
        """End with `error` right after the item in delivery, and drop the rest; False if everything was delivered.

        The ending still has to be delivered: `want(FOREVER)`.
        """
        cut = self.storage.cut(error)
        if cut:
            self._notify()
        return cut

    # -- listeners -----------------------------------------------------------------------------------------------

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change of what is stored or delivered, until the ending was delivered."""
        with self.storage.mutex:
            self._listeners = (*self._listeners, changed)

    def unlisten(self, changed: Callable[[], None]) -> None:
        """Stop calling `changed`."""
        with self.storage.mutex:
            self._listeners = tuple([other for other in self._listeners if other != changed])
        self.drain()  # a holder may have left under the mutex

    def _notify(self) -> None:
        for changed in self._listeners:
            changed()

    # -- seats and holders ---------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber[T]) -> abc.DisposableBase:
        """Give a subscriber the stored items, then live ones. Returns the disposable that frees its seat."""
        seat = _Seat(self, subscriber)
        self.retain(seat.token)
        self.enqueue(partial(self._admit, subscriber, None))
        return seat

    def retain(self, token: object) -> None:
        """Count `token` as a holder: a seat, cursor, handler or waiter."""
        self._holders[token] = None

    def release(self, token: object, subscriber: Subscriber[T] | None = None) -> None:
        """Stop counting `token`, and free the subscriber's seat. Before the ending, the last one calls `on_idle` (C25).

        Works anywhere, and any number of times. It puts an entry into the inbox. If no thread is delivering, the caller
        becomes the drainer, and so it also delivers what is wanted.
        """
        self._inbox.append(partial(self._leave, token, subscriber))
        if not cast("Any", self.storage.mutex)._is_owned():  # else a finalizer called it: the next drain does it
            outside_collection(self.drain)

    def _leave(self, token: object, subscriber: Subscriber[T] | None) -> None:
        if subscriber is not None:
            self._seats = tuple([seat for seat in self._seats if seat is not subscriber])
        if token not in self._holders:
            return
        del self._holders[token]
        if not self._holders and not self.ended and self.on_idle is not None:
            self.on_idle()

    @property
    def seats(self) -> int:
        """How many live subscribers there are."""
        return len(self._seats)

    @property
    def holders(self) -> int:
        """How many seats, cursors, handlers and waiters there are."""
        return len(self._holders)

    # -- wishes --------------------------------------------------------------------------------------------------

    def want(self, position: int) -> None:
        """Allow delivery of the items before `position`, and deliver those that are stored."""
        if position > self.wish:
            with self.storage.mutex:
                if position > self.wish:
                    self.wish = position
        self.drain()

    def pause(self) -> None:
        """Stop delivery after the item in delivery, until a caller calls `want()`."""
        with self.storage.mutex:
            self.wish = self.storage.position

    def enqueue(self, entry: Callable[[], None]) -> None:
        """Run `entry` between two items, on the thread that delivers."""
        self._inbox.append(entry)
        self.drain()

    def defer(self, entry: Callable[[], None]) -> None:
        """Run `entry` between two deliveries, on the thread that delivers next. This call delivers nothing."""
        self._inbox.append(entry)
        self._notify()

    @property
    def has_entries(self) -> bool:
        """Whether `drain()` would run entries."""
        return bool(self._inbox) and self.delivering is None

    @property
    def is_behind(self) -> bool:
        """Whether `want(FOREVER)` would have an effect: deliver, or make the thread that delivers go on."""
        if self.wish < FOREVER:
            return True
        return self.delivering is None and (self._pending() or self.state == DELIVERED)

    @property
    def is_mine_to_drain(self) -> bool:
        """Whether the caller must drain when it wants an item, because no background thread drains all items."""
        return self.drainer is None or self.drainer is threading.current_thread()

    # -- errors of handlers --------------------------------------------------------------------------------------

    def handler_raised(self, error: Exception, *, pause: bool) -> None:
        """Store `error` for the next caller that waits. With `pause`, deliver no more until then."""
        self.handlers.error = error
        if pause:
            self.pause()
        self._notify()

    @property
    def would_raise(self) -> bool:
        """Whether `check()` would raise. Inside a delivery it does not: a callback would receive its own error."""
        handlers = self.handlers
        if handlers.error is None or self.delivering == threading.get_ident():
            return False
        return handlers.is_inside is None or not handlers.is_inside()

    def check(self) -> None:
        """Raise the exception that a handler raised, once. Each caller that waits calls this."""
        if self.handlers.error is not None and self.would_raise:
            error = self.handlers.take_error()
            if error is not None:
                raise error

    # -- delivery ------------------------------------------------------------------------------------------------

    def take_alone(self, position: int) -> T:
        """Deliver the item at `position` to its only reader, the caller; NOTHING if other code has to run for it.

        See the module's text, "The lone loop".
        """
        storage, handlers = self.storage, self.handlers
        if position >= storage.length or handlers.error is not None:
            return cast("T", NOTHING)
        token, lock = object(), self._lock
        try:
            if lock.setdefault(0, token) is not token:
                return cast("T", NOTHING)
            if self._seats or self._inbox or position >= handlers.gate or self.watch is not None or not storage.keep:
                return cast("T", NOTHING)
            pair = storage.take(position)
        finally:
            try:
                if lock[0] is token:
                    del lock[0]
            except KeyError:
                pass
        if pair is None:
            return cast("T", NOTHING)
        item = pair[0](pair[1])
        self.shown = (position, item)
        if self._inbox or position + 1 < self.wish:  # placed meanwhile, by a thread that found the lock taken
            self.drain()
        return item

    def drain(self) -> None:
        """Deliver what is pending, unless another thread, or a caller further up this stack, is delivering."""
        while self._pending():
            token, lock, interrupted, owner = object(), self._lock, True, SUBSCRIBING.owner
            try:
                if lock.setdefault(0, token) is not token:
                    interrupted = False
                    return
                self.delivering = threading.get_ident()
                if owner is not None:
                    SUBSCRIBING.owner = None
                self._deliver_pending()
                interrupted = False
            finally:
                try:
                    if lock[0] is token:
                        self.delivering = None
                        if owner is not None:
                            SUBSCRIBING.owner = owner
                        del lock[0]
                except KeyError:
                    pass
                if interrupted:
                    self._wake_waiters()
            # look again: a request that came after the last look found the lock taken
        if self.storage.state == DELIVERED and 0 not in self._lock:
            self._move_to_released()

    def _wake_waiters(self) -> None:
        """After an interrupt, let threads that sleep until this delivery is over look again."""
        self._notify()
        if self.delivered:
            self._move_to_released()

    def _pending(self) -> bool:
        if self._inbox:
            return True
        storage = self.storage
        at = storage.position
        if at >= self.wish or at >= self.handlers.gate:
            return False
        return at < storage.length or storage.state == ENDED

    def _deliver_pending(self) -> None:
        storage, inbox, handlers = self.storage, self._inbox, self.handlers
        while True:
            if inbox:
                self._run(inbox.popleft())
                continue
            at = storage.position
            if at >= self.wish or at >= handlers.gate:
                return
            pair = storage.take(at) if at < storage.length else None
            if pair is None:
                if storage.state != ENDED:
                    return
                if at >= storage.length:  # looked at again: an item may have come just before the ending
                    self._deliver_ending()
                continue
            if self._seats or self.watch is not None:
                item = pair[0](pair[1])
                if self.watch is not None:
                    self.watch(item)
                self.shown, self.emitting = (at, item), at
                self._deliver(self._seats, item)
            else:
                self.shown = (at, NOTHING)
            if at & (BLOCK - 1) == 0 and not storage.keep:
                storage.trim()

    def _run(self, entry: Callable[[], None]) -> None:
        try:
            entry()
        except Exception:
            _logger.exception("an action scheduled on a stream raised")

    def _deliver(self, seats: tuple[Subscriber[T], ...], item: T) -> None:
        interrupt: BaseException | None = None
        for seat in seats:
            try:
                try:
                    seat.next(item)
                except Exception as error:
                    seat.fail(error)
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _admit(self, subscriber: Subscriber[T], position: int | None) -> None:
        """Give a new subscriber the items that were delivered before it came, then a seat or the ending."""
        storage = self.storage
        read = storage.reader()  # a storage that drops items has nothing to replay
        at = position if position is not None else storage.base if storage.keep else storage.position
        while at < storage.position and subscriber.active and (pair := read(at)) is not None:
            self.emitting = at
            at += 1
            try:
                self._deliver((subscriber,), pair[0](pair[1]))
            except BaseException:
                self._inbox.appendleft(partial(self._admit, subscriber, at))
                raise
        if self.delivered:
            _end(subscriber, storage.failure)
        elif subscriber.active:
            self._seats = (*self._seats, subscriber)

    def _deliver_ending(self) -> None:
        interrupt: BaseException | None = None
        for seat in self._seats:  # after an interrupt the next drain repeats this loop: seats ignore a second ending
            try:
                _end(seat, self.storage.failure)
            except BaseException as error:
                interrupt = error
        self._seats = ()
        self.storage.move("deliver")
        if not self.storage.keep:
            self.storage.trim(least=1)
        self.on_idle = self.watch = self.handlers.is_inside = None  # no reference back: dropping a stream frees its log
        if interrupt is not None:
            raise interrupt

    def _move_to_released(self) -> None:
        """Notify the listeners for the last time; now a late subscriber is served on its own thread."""
        self.storage.move("release")
        with self.storage.mutex:
            listeners, self._listeners = self._listeners, ()
        for changed in listeners:
            changed()


class _Seat(abc.DisposableBase):
    """Frees a subscriber's seat, once."""

    __slots__ = ("_log", "_subscriber", "token")

    def __init__(self, log: HotLog[Any], subscriber: Subscriber[Any]) -> None:
        self.token = object()
        self._log: HotLog[Any] | None = log
        self._subscriber: Subscriber[Any] | None = subscriber

    def dispose(self) -> None:
        log, subscriber = self._log, self._subscriber
        if log is not None:  # two threads may both come here: a second release does nothing
            self._log = self._subscriber = None
            log.release(self.token, subscriber)


def _end(subscriber: Subscriber[Any], error: Exception | None) -> None:
    if error is None:
        subscriber.completed()
    else:
        subscriber.error(error)


def _itself(item: Any) -> Any:
    return item

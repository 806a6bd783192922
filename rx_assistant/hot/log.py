"""The hot log: an append-only list that is its own delivery queue. What it holds is in `_kept`.

Theory of operation

The log is the queue. A reader appends what it parsed, and items are delivered from the log itself, one after the
other, to every seat (a live subscriber). Three positions count items from the first one ever appended:

    0 ......... _pos ............ _wish ............ length
    delivered   in the log, and   in the log, not     end of the log
                wanted by someone  wanted yet

One drainer. Each append, subscription, disposal and raised wish calls `drain()`. Delivery is only ever
try-acquired: the thread that gets it works until nothing is pending. A thread that does not get it may leave, because
its wish is state (`_wish`, an entry in `_inbox`, the ending) that the holder reads; and because a wish may be placed
between the holder's last look and its release, the holder looks again after releasing. So delivery is serial and
ordered, a callback that appends or subscribes cannot recurse, and the stack stays bounded (C10–C14).

Interrupts. KeyboardInterrupt may come after any call in the main thread. A lock that is acquired by a call and released
in a `finally` can therefore stay locked: the call may have locked it without the result being stored. So delivery is
held by a token: `_turn.setdefault(0, token)` takes it in one step, and a `finally` gives it back by subscripts alone,
which no interrupt can divide. Holders are tokens too: giving one back twice, or without having taken it, does nothing.

Entries. Newcomers and timers' actions are callables in `_inbox`, run by the drainer between two items. A newcomer is
first given everything delivered so far and then takes a seat, so that it sees no gap and no duplicate (C20–C23).

Endings. Append and ending are decided under `_mutex`, under which no foreign code ever runs. Nothing is appended
after the ending; the ending is delivered after the last item. `cut()` drops what was not delivered yet.

Leaving. Seats and cursors may be left anywhere, even by the garbage collector while this very thread holds `_mutex`.
So leaving is an entry too: `release()` waits for no lock that its own thread may hold, and the drainer calls the
idle hook.

Isolation. A callback that raises costs its own seat only. KeyboardInterrupt and its like are raised after every
seat has had the item or the ending; a newcomer whose replay was interrupted gets the rest of it later.

Cursors read the same list at their own position and never wait for the delivery lock.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from reactivex import abc

from rx_assistant.hot.cursor import NOTHING, Cursor
from rx_assistant.hot.kept import BLOCK, Kept, weight
from rx_assistant.hot.making import MAKING
from rx_assistant.hot.state import DELIVERED, ENDED
from rx_assistant.hot.subscriber import Subscriber

T = TypeVar("T")

FOREVER = 1 << 62
_logger = logging.getLogger("rx_assistant")


class HotLog(Kept[T]):
    """Append-only items with seats (pushed to) and cursors (pulled from); see the module's text.

    `keep=False` drops what everybody has passed. `on_idle` is called, outside all locks, whenever the number of seats,
    cursors and other holders falls to 0 before the ending.
    """

    def __init__(
        self, *, keep: bool = True, max_pending: int = 16 * 2**20, on_idle: Callable[[], None] | None = None
    ) -> None:
        super().__init__(keep=keep, max_pending=max_pending)
        self.on_idle = on_idle
        self.emitting = -1  # the position that the drainer is handing out
        self.delivering: int | None = None  # the thread that drains
        self.drainer: threading.Thread | None = None  # has promised to drain whatever comes: others leave it to it
        self.watch: Callable[[T], None] | None = None  # sees each item before the seats do
        self.gate = FOREVER  # nothing beyond is delivered, whatever is wanted: async handlers are awaited in between
        self.alarm: Exception | None = None  # what a handler raised, for the next one who waits
        self.inside: Callable[[], bool] | None = None  # whether the caller is within a delivery that is not ours
        self._wish = 0
        self._seats: tuple[Subscriber[T], ...] = ()
        self._unheard: deque[Subscriber[T]] = deque()  # seats that have to hear the ending yet
        self._inbox: deque[Callable[[], None]] = deque()
        self._holders: dict[object, None] = {}
        self._turn: dict[int, object] = {}  # the token of the thread that delivers, under 0

    # -- what comes in -------------------------------------------------------------------------------------------

    def push(self, payload: Any, kind: Callable[[Any], T] | None = None) -> None:
        """Append one item, `kind(payload)` or a ready-made one, and deliver it: for logs that an operator fills."""
        with self._mutex:
            if self.state >= ENDED:
                return
            self._kinds.append(kind or _itself)
            self._payloads.append(payload)
            self._length += 1
            if not self.keep:
                self._bytes += weight([payload])
            self._wish = FOREVER
        self._tell()
        self.drain()

    def unlisten(self, changed: Callable[[], None]) -> None:
        """Call `changed` no more."""
        with self._mutex:
            self._listeners = tuple([kept for kept in self._listeners if kept != changed])
        self.drain()  # somebody may have left meanwhile

    # -- who reads it --------------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber[T]) -> abc.DisposableBase:
        """Seat a subscriber: everything kept so far first, then live. Gives what leaves the seat again."""
        seat = _Seat(self, subscriber)
        self.retain(seat.token)
        self.enqueue(partial(self._admit, subscriber, None))
        return seat

    def cursor(self, position: int = 0) -> Cursor[T]:
        """Give a private reader that starts at `position`, or at the first item kept if that is later."""
        return Cursor(self, position)

    def retain(self, token: object) -> None:
        """Count `token` as a holder: a seat, cursor, handler or waiter."""
        self._holders[token] = None

    def release(self, token: object, subscriber: Subscriber[T] | None = None) -> None:
        """Count `token` no more, and free the seat if it had one; the last before the ending calls `on_idle` (C25).

        Works anywhere, and any number of times: it only leaves word, and the drainer does it.
        """
        self._inbox.append(partial(self._leave, token, subscriber))
        if not cast("Any", self._mutex)._is_owned():  # else the collector runs under the mutex: the next drain does it
            self.drain()

    def _leave(self, token: object, subscriber: Subscriber[T] | None) -> None:
        if subscriber is not None:
            self._seats = tuple([seat for seat in self._seats if seat is not subscriber])
        if token not in self._holders:
            return
        del self._holders[token]
        if not self._holders and self.state < ENDED and self.on_idle is not None:
            self.on_idle()

    @property
    def seats(self) -> int:
        """How many live subscribers there are."""
        return len(self._seats)

    @property
    def holders(self) -> int:
        """How many seats, cursors, handlers and waiters there are."""
        return len(self._holders)

    # -- delivery ------------------------------------------------------------------------------------------------

    def want(self, position: int) -> None:
        """Allow delivery of the items before `position`, and deliver what is there."""
        if position > self._wish:
            with self._mutex:
                if position > self._wish:
                    self._wish = position
        self.drain()

    @property
    def is_behind(self) -> bool:
        """Whether `want(FOREVER)` would change something: deliver, or leave the wish to the thread that delivers."""
        if self._wish < FOREVER:
            return True
        return self.delivering is None and (self._pending() or self.state == DELIVERED)

    def pass_by(self, position: int) -> T:
        """Deliver the item at `position` and give it; NOTHING unless it is the next one and nobody else is to have it.

        This is what a loop over a stream without other readers does for every item, at a fraction of a drain's cost.
        """
        if position >= self._length or self.alarm is not None:
            return cast("T", NOTHING)
        token, turn = object(), self._turn
        try:  # only the thread that delivers changes seats and position
            if turn.setdefault(0, token) is not token:
                return cast("T", NOTHING)
            if self._seats or self._inbox or position >= self.gate or self.watch is not None or not self.keep:
                return cast("T", NOTHING)
            with self._mutex:
                if position != self._pos or position >= self._length:  # another loop has, or all of it was cut off
                    return cast("T", NOTHING)
                self._pos = position + 1
                if position >= self._wish:
                    self._wish = position + 1
        finally:
            try:
                if turn[0] is token:
                    del turn[0]
            except KeyError:
                pass
        item = self._kinds[position](self._payloads[position])
        self.shown = (position, item)
        if self._inbox or self._pos < self._wish:  # placed meanwhile, by who found the lock taken
            self.drain()
        return item

    def pause(self) -> None:
        """Withdraw all wishes: nothing beyond the item in delivery is delivered until someone wants it."""
        with self._mutex:
            self._wish = self._pos

    def enqueue(self, entry: Callable[[], None]) -> None:
        """Run `entry` between two deliveries, on whichever thread delivers."""
        self._inbox.append(entry)
        self.drain()

    def defer(self, entry: Callable[[], None]) -> None:
        """Run `entry` between two deliveries, on the thread that delivers next. This call delivers nothing."""
        self._inbox.append(entry)
        self._tell()

    @property
    def has_entries(self) -> bool:
        """Whether `drain()` would run entries."""
        return bool(self._inbox) and self.delivering is None

    def raise_alarm(self, error: Exception, *, pause: bool) -> None:
        """Keep `error` for the next one who waits: a handler raised it. With `pause`, deliver no more until then."""
        self.alarm = error
        if pause:
            self.pause()
        self._tell()

    @property
    def is_mine_to_drain(self) -> bool:
        """Whether the caller has to drain when it wants something: no other thread has promised to."""
        return self.drainer is None or self.drainer is threading.current_thread()

    @property
    def alarmed(self) -> bool:
        """Whether the caller, who waits, has to look at what a handler raised. Who waits inside a delivery has not:
        its own exception would be taken for another's."""
        if self.alarm is None or self.delivering == threading.get_ident():
            return False
        return self.inside is None or not self.inside()

    def check(self) -> None:
        """Raise, once, what a handler raised."""
        if self.alarmed:
            error = self.take_alarm()
            if error is not None:
                raise error

    def take_alarm(self) -> Exception | None:
        """Give, once, what a handler raised."""
        with self._mutex:
            error, self.alarm = self.alarm, None
        return error

    def drain(self) -> None:
        """Deliver what is pending, unless another thread, or a caller further up this stack, is doing so."""
        while self._pending():
            token, turn, interrupted = object(), self._turn, True
            loop, direct = MAKING.loop, MAKING.direct
            try:
                if turn.setdefault(0, token) is not token:
                    interrupted = False
                    return
                self.delivering = threading.get_ident()
                if direct or loop is not None:
                    MAKING.loop, MAKING.direct = None, False
                self._work()
                interrupted = False
            finally:
                try:
                    if turn[0] is token:
                        self.delivering = None
                        if direct or loop is not None:
                            MAKING.loop, MAKING.direct = loop, direct
                        del turn[0]
                except KeyError:
                    pass
                if interrupted:
                    self._tell_interrupted()
            # look again: a wish placed after the last look found the turn taken and left
        if self.state == DELIVERED and 0 not in self._turn:
            self._tell_end()  # after the last look: whoever subscribes once it is told is served on its own thread

    def _tell_interrupted(self) -> None:
        """Let threads that sleep until this delivery is over look again."""
        self._tell()
        if self.state >= DELIVERED:
            self._tell_end()

    def _pending(self) -> bool:
        if self._inbox:
            return True
        at = self._pos
        if at >= self._wish or at >= self.gate:
            return False
        return at < self._length or self.state == ENDED

    def _work(self) -> None:
        inbox, keep, mutex, kinds, payloads = self._inbox, self.keep, self._mutex, self._kinds, self._payloads
        while True:
            if inbox:
                self._run(inbox.popleft())
                continue
            at = self._pos
            if at >= self._wish or at >= self.gate:
                return
            if at >= self._length and self.state < ENDED:
                return
            with mutex:
                index = at - self._base
                if index < len(payloads):
                    kind, payload = kinds[index], payloads[index]
                    self._pos = at + 1
                else:
                    kind, payload = None, None
            if kind is not None:
                seats = self._seats
                if seats or self.watch is not None:
                    item = kind(payload)
                    if self.watch is not None:
                        self.watch(item)
                    self.shown, self.emitting = (at, item), at
                    self._deliver(seats, item)
                else:
                    self.shown = (at, NOTHING)
                if not keep and at & (BLOCK - 1) == 0:
                    self.trim()
            elif self.state == ENDED:
                self._finish()
            else:
                return

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
        """Give a newcomer what was delivered before it came, then its seat or the ending."""
        if position is None:
            position = self._base if self.keep else self._pos
        while position < self._pos and subscriber.active:
            kind, payload = self._kinds[position], self._payloads[position]
            self.emitting = position
            position += 1
            try:
                self._deliver((subscriber,), kind(payload))
            except BaseException:
                self._inbox.appendleft(partial(self._admit, subscriber, position))
                raise
        if self.state >= DELIVERED:
            _end(subscriber, self._error)
        elif subscriber.active:
            self._seats = (*self._seats, subscriber)

    def _finish(self) -> None:
        unheard, interrupt = self._unheard, None
        unheard.extend(self._seats)
        self._seats = ()
        while unheard:  # what an interrupt leaves here hears the ending in the next drain
            try:
                _end(unheard[0], self._error)
            except BaseException as error:
                interrupt = error
            del unheard[0]  # afterwards: a seat that hears it twice is deaf to the second
        self._move("deliver")  # only now: what waits until everything is delivered waits for the endings, too
        if not self.keep:
            self.trim(least=1)
        self.on_idle = self.watch = self.inside = None  # nothing points back: dropping the stream frees the log
        if interrupt is not None:
            raise interrupt

    def _tell_end(self) -> None:
        """Tell who listens that all is delivered, and that nobody delivers: a latecomer is served at once."""
        self._move("release")
        with self._mutex:
            listeners, self._listeners = self._listeners, ()
        for changed in listeners:
            changed()


class _Seat(abc.DisposableBase):
    """What leaves a seat again, once."""

    __slots__ = ("_held", "token")

    def __init__(self, log: HotLog[Any], subscriber: Subscriber[Any]) -> None:
        self.token = object()
        self._held = [(log, subscriber)]

    def dispose(self) -> None:
        try:
            log, subscriber = self._held.pop()
        except IndexError:  # once, whichever threads dispose it
            return
        log.release(self.token, subscriber)


def _end(subscriber: Subscriber[Any], error: Exception | None) -> None:
    if error is None:
        subscriber.completed()
    else:
        subscriber.error(error)


def _itself(item: Any) -> Any:
    return item

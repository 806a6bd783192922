"""Loops over streams: `for`, `async for`, `run()` and `await` as subscriptions that pull items.

Theory of operation

A loop subscribes to its stream with its own scheduler, by which `loop_for` recognises it. A root (a stream that owns a
log) gives such a subscription a private cursor, instead of the log's pushed items. So the same operators run a second
time, over the same log, at the pace of the loop, without an effect on other subscribers.

    root's log ──cursor──▶ the loop's own operators ──▶ items ──▶ `for`
                  ▲                  ▲
               advance()       timers, actions

One step runs one action or timer, or takes one item from one cursor and pushes it through the operators, which may add
results to `items`. When a step finds nothing to do, the loop waits in one of three ways:

    one cursor, no timer    The loop asks the root's driver to advance. The loop is the pump then, and its pace is the
                            backpressure.
    several cursors, or     The loop connects the drivers, and sleeps until a log changes or the timer is due.
    a timer
    no cursor               The loop connects the driver of its stream's origin, and sleeps: a `publish()` that was
                            connected elsewhere feeds it.

The iterators are classes, because a generator would end silently after one KeyboardInterrupt or cancellation. `for`
holds a small iterator instead of the loop. This avoids a reference cycle, so `break` leaves the stream at once.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

from reactivex import abc

from rx_assistant.hot.clock import StreamScheduler
from rx_assistant.hot.cursors import Cursor
from rx_assistant.hot.root import Root, Waker
from rx_assistant.hot.storage import NOTHING
from rx_assistant.hot.subscriber import SUBSCRIBING, Subscriber
from rx_assistant.hot.threads import Alarm, outside_collection

T = TypeVar("T")


class Source(Protocol):
    """The stream that a loop iterates."""

    feeder: Loop[Any] | None

    @property
    def origin(self) -> Root | None:
        """The root whose driver and scheduler serve the stream."""
        ...

    def link(self, down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase | None:
        """Connect an internal subscriber to upstream."""
        ...


def loop_for(scheduler: abc.SchedulerBase | None) -> Loop[Any] | None:
    """Return the loop that a subscription with this scheduler belongs to; None if that loop runs on another thread."""
    owner = scheduler.owner if isinstance(scheduler, StreamScheduler) else None
    if isinstance(owner, Loop):
        return owner if owner.thread == threading.get_ident() else None
    return SUBSCRIBING.owner if isinstance(SUBSCRIBING.owner, Loop) else None


def position_in(root: Root, loop: Loop[Any] | None) -> int:
    """Return the position of the item of `root` that is being passed on: by `loop`, or if it is None by the log."""
    position = None if loop is None else loop.position_of(root)
    return root.log.emitting if position is None else position


class _Pull(abc.DisposableBase):
    """A root's private cursor in a loop, and the observer that it feeds."""

    __slots__ = ("_loop", "cursor", "observer", "root")

    def __init__(self, loop: Loop[Any], root: Root, observer: Subscriber[Any], position: int) -> None:
        self._loop = loop
        self.root = root
        self.observer = observer
        self.cursor: Cursor[Any] = Cursor(root.log, position)

    def dispose(self) -> None:
        loop = self._loop
        if self in loop.pulls:
            loop.pulls = tuple(pull for pull in loop.pulls if pull is not self)
            loop.direct = None
        self.cursor.close()


class Loop(Generic[T]):
    """The base of both kinds of loop: the cursors, the timers and the results that wait."""

    def __init__(self, source: Source) -> None:
        self.pulls: tuple[_Pull, ...] = ()
        self.direct: _Pull | None = None  # set if the loop iterates a root directly: its items need no step
        self.items: deque[T] = deque()
        self.over = False
        self._source = source
        self._stepping: _Pull | None = None  # the pull whose item is being passed on
        self._starts: dict[int, int] = {}  # where the next cursor on a root starts, by the root's id()
        self._ready: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._error: Exception | None = None
        self.thread = threading.get_ident()
        self._foreign = False  # another thread has fed this loop
        self._resting = False
        self._asleep = False
        self._listening: list[Root] = []
        self._subscription: abc.DisposableBase | None = None

    # -- called by streams that are subscribed to for this loop ---------------------------------------------------

    def adopt(self, root: Root, observer: Subscriber[Any]) -> abc.DisposableBase:
        """Feed `observer` from a private cursor on `root`'s log."""
        start = 0 if root.log.keep else root.log.position
        pull = _Pull(self, root, observer, self._starts.pop(id(root), start))
        self.pulls = (*self.pulls, pull)
        self.direct = pull if cast("object", self._source) is root else None
        if self._listening:
            self._listen(root)
        self._stir()
        return pull

    def start_at(self, root: Root, position: int) -> None:
        """Make the next cursor on `root` start at `position`."""
        self._starts[id(root)] = position

    def position_of(self, root: Root) -> int | None:
        """Return the position of the item of `root` that this loop is passing on; None for another root's item."""
        pull = self._stepping
        return pull.cursor.position - 1 if pull is not None and pull.root is root else None

    # -- subscription --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        subscriber: Subscriber[T] = Subscriber(self._take_item, self._take_error, self._take_end)
        owner = SUBSCRIBING.owner
        try:
            SUBSCRIBING.owner = self
            subscriber.hold(self._source.link(subscriber, StreamScheduler(self._hand_over, self._call_later)))
        except Exception as error:
            subscriber.fail(error)
        finally:
            SUBSCRIBING.owner = owner
        self._subscription = subscriber

    def _take_item(self, item: T) -> None:
        self.items.append(item)
        self._stir()

    def _take_error(self, error: Exception) -> None:
        self._error = error
        self._take_end()

    def _take_end(self) -> None:
        self.over = True
        self._stir()

    def _hand_over(self, action: Callable[[], None]) -> None:
        self._ready.append(action)
        self._stir()

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        timer = (time.monotonic() + seconds, next(self._numbers), action)
        heapq.heappush(self._timers, timer)
        self._stir()

        def cancel() -> None:
            if timer in self._timers:
                self._timers.remove(timer)
                heapq.heapify(self._timers)

        return cancel

    def _stir(self) -> None:
        if threading.get_ident() != self.thread:
            self._foreign = True
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        raise NotImplementedError  # threads and tasks sleep in different ways

    # -- stepping ------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece of work: run an action or a timer, or pass on an item or an ending. False if there is none."""
        try:
            if self._ready:
                self._ready.popleft()()
                return True
            if self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
                return True
            for pull in self.pulls:
                if self._step_pull(pull):
                    return True
        finally:
            self._stepping = None
        return False

    def _step_pull(self, pull: _Pull) -> bool:
        observer, cursor = pull.observer, pull.cursor
        self._stepping = pull
        try:
            item = cursor.take()
        except Exception as error:
            if error is cursor.failure:
                observer.fail(error)
            else:  # a handler raised it: it is for the caller, and no operator may handle it
                self._take_error(error)
            return True
        if item is not NOTHING:
            try:
                observer.next(item)
            except Exception as error:
                observer.fail(error)
            return True
        if not cursor.at_end:
            return False
        cursor.log.read_out = True
        pull.dispose()
        failure = cursor.log.failure
        if failure is None:
            observer.completed()
        else:
            observer.error(failure)
        return True

    def _sole(self) -> _Pull | None:
        """The one cursor for which this loop may read the source; None if it waits for several things."""
        pulls = self.pulls
        if len(pulls) == 1 and not self._timers and not self._foreign and pulls[0].root.driver is not None:
            return pulls[0]
        for pull in pulls:  # inside a delivery of its pump no other thread can read
            if pull.root.log.delivering == self.thread and pull.root.driver is not None:
                return pull
        return None

    def _roots(self) -> list[Root]:
        """The roots that have to be read while this loop sleeps.

        Raises RuntimeError if this loop would sleep for ever, because the loop around it feeds its stream.
        """
        origin, feeder = self._source.origin, self._source.feeder
        if feeder is not None and not (feeder.over or self.pulls or self._timers or self._ready or self.over):
            raise RuntimeError(
                "a loop over a group or window must not run inside the loop that emitted it: it would wait for ever, "
                "because only the outer loop feeds it. Use flat_map, or an operator of rx_assistant, whose substreams "
                "can be iterated"
            )
        if self.pulls or origin is None:
            return [pull.root for pull in self.pulls]
        return [origin]

    def _listen(self, root: Root) -> None:
        if root not in self._listening:
            self._listening.append(root)
            root.log.listen(self._changed)

    def _has_something(self) -> bool:
        return bool(self.items or self._ready or self.over) or self.step()

    def _changed(self) -> None:
        if self._asleep:
            self._wake()

    def _seconds_left(self) -> float | None:
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else None

    def finish(self) -> Exception | None:
        """Close, and return the error to raise, once."""
        error, self._error = self._error, None
        self.close()
        return error

    def rest(self) -> None:
        """Stop counting as a reader. The positions stay. Idempotent."""
        self._resting = True
        for pull in self.pulls:
            pull.cursor.rest()

    def resume(self) -> None:
        """Count as a reader again after `rest()`."""
        if self._resting:
            self._resting = False
            for pull in self.pulls:
                pull.cursor.resume()

    def close(self) -> None:
        """Leave the stream: close the cursors and drop the timers. Idempotent."""
        self.over = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()
        for pull in self.pulls:
            pull.dispose()
        self._timers.clear()
        for root in self._listening:
            root.log.unlisten(self._changed)
        self._listening.clear()


# -- on a thread -------------------------------------------------------------------------------------------------------


class SyncLoop(Loop[T]):
    """A loop that waits on its thread."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._alarm = Alarm()
        self._open()

    def wait(self) -> None:
        """Return when another step may do something."""
        sole = self._sole()
        if sole is not None:
            sole.root.driver.advance(sole.cursor.position)
            return
        roots = self._roots()
        self._asleep = True
        try:
            for root in roots:
                self._listen(root)
                if root.driver is not None:
                    root.driver.connect()
            if not self._has_something():
                self._alarm.sleep(self._seconds_left())
        finally:
            self._asleep = False
        for root in roots:
            if root.driver is not None:
                root.driver.leave_if_cancelled()

    def _wake(self) -> None:
        self._alarm.wake()


class SyncItems(Generic[T]):
    """The iterator of `for item in stream`.

    After a KeyboardInterrupt in `next()`, this iterator no longer counts as a reader. A further `next()` counts again,
    and returns the next item. An item is lost if the interrupt came while it was handed over.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: SyncLoop[T]) -> None:
        self._loop = loop

    def __iter__(self) -> SyncItems[T]:
        return self

    def __next__(self) -> T:
        loop = self._loop
        items, direct = loop.items, loop.direct
        if direct is not None and not items:
            cursor = direct.cursor
            item: T = cursor.log.take_alone(cursor.position)
            if item is not NOTHING:
                cursor.position += 1
                return item
        loop.thread = threading.get_ident()
        try:
            loop.resume()
            while not items:
                if loop.over:
                    error = loop.finish()
                    if error is not None:
                        raise error
                    raise StopIteration
                if not loop.step():
                    loop.wait()
        except Exception:
            raise
        except BaseException:  # an interrupt: leave at once, because the traceback keeps this iterator for a while
            loop.rest()
            raise
        item = items[0]
        del items[0]  # not popleft(): after that call an interrupt would lose the item
        return item

    @property
    def exhausted(self) -> bool:
        """Whether the loop is over: the stream has ended, or the iterator was closed."""
        return self._loop.over and not self._loop.items

    def close(self) -> None:
        """End the loop; for `contextlib.closing`. Dropping the last reference ends it too."""
        self._loop.close()

    def __del__(self) -> None:
        if hasattr(self, "_loop"):  # else an interrupt came during __init__
            outside_collection(self._loop.close)


# -- in a task ---------------------------------------------------------------------------------------------------------


class AsyncLoop(Loop[T]):
    """A loop that waits in its task."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._waker: Waker | None = None
        self._open()

    async def serve(self) -> None:
        """Deliver the next item to the async handlers, before this loop passes it on."""
        for pull in self.pulls:
            driver = pull.root.driver
            if driver is not None and driver.gated:
                await driver.deliver(pull.cursor.position + 1)

    async def wait(self) -> None:
        """Return when another step may do something."""
        sole = self._sole()
        if sole is not None:
            await sole.root.driver.advance(sole.cursor.position)
            return
        waker = self._own_waker()
        self._asleep = True
        try:
            for root in self._roots():
                self._listen(root)
                if root.driver is not None:
                    await root.driver.connect()
            if not self._has_something():
                await waker.sleep(self._seconds_left())
        finally:
            self._asleep = False

    async def settle(self) -> None:
        """Return when a stream that has ended has released its connection."""
        origin = self._source.origin
        if origin is not None and origin.driver is not None:
            await origin.driver.settle()

    def _own_waker(self) -> Waker:
        if self._waker is None:
            origin = self._source.origin
            if origin is None or origin.driver is None:
                raise TypeError(
                    "`async for` needs a stream that is fed by an event loop, got one that is not: subscribe to it"
                )
            waker: Waker = origin.driver.waker()
            self._waker = waker
            return waker
        return self._waker

    def _wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()


class AsyncItems(Generic[T]):
    """The iterator of `async for item in stream`.

    After a cancelled `anext()`, this iterator no longer counts as a reader, so `on_idle` applies. The position stays: a
    further `anext()` counts again and returns the next item, and none is lost. So `wait_for(anext(items), …)` may be
    repeated after `connect()`. Without `connect()`, a task that is cancelled while it reads ends the stream for all.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: AsyncLoop[T]) -> None:
        self._loop = loop

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def __anext__(self) -> T:
        loop = self._loop
        items = loop.items
        loop.thread = threading.get_ident()
        try:
            loop.resume()
            while not items:
                if loop.over:
                    error = loop.finish()
                    await loop.settle()
                    if error is not None:
                        raise error
                    raise StopAsyncIteration
                await loop.serve()
                if not loop.step():
                    await loop.wait()
            return items.popleft()
        except Exception:
            raise
        except BaseException:  # cancelled: leave at once, because the traceback keeps this iterator for a while
            loop.rest()
            raise

    @property
    def exhausted(self) -> bool:
        """Whether the loop is over: the stream has ended, or the iterator was closed."""
        return self._loop.over and not self._loop.items

    async def aclose(self) -> None:
        """End the loop; for `contextlib.aclosing`. Dropping the last reference ends it too."""
        self._loop.close()

    def __del__(self) -> None:
        if hasattr(self, "_loop"):  # else an interrupt came during __init__
            outside_collection(self._loop.close)

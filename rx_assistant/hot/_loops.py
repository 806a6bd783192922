"""Loops over streams: `for`, `async for`, `run()` and `await` as private, pulling subscriptions.

Theory of operation

A loop subscribes to its stream with ROOT_LOOP set to itself. A root (a stream that owns a log) that is subscribed to
under a loop does not seat the observer in its log; it gives the loop a private cursor instead. So the same operators
run a second time, over the same log, at the pace of the loop, and nobody else notices.

One step takes one item from one cursor and pushes it through the loop's own operators, which may leave results in
`_items`. Where no cursor has an item, the loop waits: with one cursor and no timer it asks the root's driver to
advance (the loop is the pump then, and its pace is the backpressure); with several cursors, or when a time operator
has set a timer, it connects the drivers and sleeps until a log changes or the timer is due. Timers run in the loop.

The iterators are classes: a generator that met one KeyboardInterrupt or cancellation would end silently.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reactivex import abc

from rx_assistant.hot._clock import StreamScheduler
from rx_assistant.hot._log import NOTHING, Cursor
from rx_assistant.hot._subscriber import Subscriber

if TYPE_CHECKING:
    from rx_assistant.hot._stream import AsyncStream, Stream
    from rx_assistant.hot._types import Root, Waker

T = TypeVar("T")

ROOT_LOOP: ContextVar[Loop[Any] | None] = ContextVar("rx_assistant.loop", default=None)
"""The loop under which subscriptions are being made, if any."""


def position_in(root: Root) -> int:
    """Give the position of the item of `root` that is being handed out on this thread: by a loop, or by its log."""
    loop = ROOT_LOOP.get()
    position = None if loop is None else loop.position_of(root)
    return root.log.emitting if position is None else position


class _Pull(abc.DisposableBase):
    """A root's private cursor in a loop, and the observer that it feeds."""

    __slots__ = ("_loop", "cursor", "observer", "root")

    def __init__(self, loop: Loop[Any], root: Root, observer: Subscriber[Any], position: int) -> None:
        self._loop = loop
        self.root = root
        self.observer = observer
        self.cursor: Cursor[Any] = root.log.cursor(position)

    def dispose(self) -> None:
        if self in self._loop.pulls:
            self._loop.pulls = tuple(pull for pull in self._loop.pulls if pull is not self)
        self.cursor.close()


class Loop(Generic[T]):
    """What both kinds of loop share: the cursors, the timers and what came out."""

    def __init__(self) -> None:
        self.pulls: tuple[_Pull, ...] = ()
        self._starts: dict[int, int] = {}
        self._items: deque[T] = deque()
        self._ready: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._over = False
        self._error: Exception | None = None
        self._thread = threading.get_ident()
        self._foreign = False
        self._asleep = False
        self._listening: list[Root] = []
        self._subscription: abc.DisposableBase | None = None

    # -- what streams ask of the loop that they are subscribed under ---------------------------------------------

    def adopt(self, root: Root, observer: Subscriber[Any]) -> abc.DisposableBase:
        """Feed `observer` from a private cursor on `root`'s log."""
        pull = _Pull(self, root, observer, self._starts.pop(id(root), 0))
        self.pulls = (*self.pulls, pull)
        if self._listening:
            self._listen(root)
        return pull

    def start_at(self, root: Root, position: int) -> None:
        """Let the next cursor on `root` start at `position`."""
        self._starts[id(root)] = position

    def position_of(self, root: Root) -> int | None:
        """Give the position of the item of `root` that this loop took last; None without a cursor on it."""
        for pull in self.pulls:
            if pull.root is root:
                return pull.cursor.position - 1
        return None

    # -- subscription --------------------------------------------------------------------------------------------

    def _open(self, source: Stream[T] | AsyncStream[T]) -> None:
        scheduler = StreamScheduler(self._hand_over, self._call_later)
        subscriber: Subscriber[T] = Subscriber(self._take_item, self._take_error, self._take_end)
        token = ROOT_LOOP.set(self)
        try:
            subscriber.hold(source.link(subscriber, scheduler))
        finally:
            ROOT_LOOP.reset(token)
        self._subscription = subscriber

    def _take_item(self, item: T) -> None:
        self._items.append(item)
        self._stir()

    def _take_error(self, error: Exception) -> None:
        self._over, self._error = True, error
        self._stir()

    def _take_end(self) -> None:
        self._over = True
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
        if threading.get_ident() != self._thread:
            self._foreign = True
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        raise NotImplementedError  # the face knows how to wake its own kind of sleep

    # -- stepping ------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Do one piece of work that needs no waiting: an action, a timer, an item, an ending; False without one."""
        token = ROOT_LOOP.set(self)
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
            ROOT_LOOP.reset(token)
        return False

    def _step_pull(self, pull: _Pull) -> bool:
        observer, cursor = pull.observer, pull.cursor
        try:
            item = cursor.take()
            if item is not NOTHING:
                observer.next(item)
                return True
        except Exception as error:
            observer.fail(error)
            return True
        if not cursor.at_end:
            return False
        pull.dispose()
        failure = cursor.log.failure
        if failure is None:
            observer.completed()
        else:
            observer.error(failure)
        return True

    def _sole(self) -> _Pull | None:
        """The one cursor that this loop may wait for by pumping; None when there are several things to wait for."""
        pulls = self.pulls
        if len(pulls) == 1 and not self._timers and not self._foreign and pulls[0].root.driver is not None:
            return pulls[0]
        for pull in pulls:  # inside a delivery of its own pump nobody else can read on
            if pull.root.log.delivering == self._thread and pull.root.driver is not None:
                return pull
        return None

    def _listen(self, root: Root) -> None:
        if root not in self._listening:
            self._listening.append(root)
            root.log.on_change = (*root.log.on_change, self._changed)

    def _changed(self) -> None:
        if self._asleep:
            self._wake()

    def _seconds_left(self) -> float | None:
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else None

    def _finish(self) -> Exception | None:
        """Close, and give the error to raise, once."""
        error, self._error = self._error, None
        self.close()
        return error

    def close(self) -> None:
        """Leave the stream: cursors are released, timers dropped. Idempotent."""
        self._over = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()
        for pull in self.pulls:
            pull.dispose()
        self._timers.clear()
        for root in self._listening:
            root.log.on_change = tuple(f for f in root.log.on_change if f != self._changed)
        self._listening.clear()

    def __del__(self) -> None:
        self.close()


class SyncLoop(Loop[T]):
    """`for item in stream`."""

    def __init__(self, source: Stream[T]) -> None:
        super().__init__()
        self._event = threading.Event()
        self._open(source)

    def __iter__(self) -> SyncLoop[T]:
        return self

    def __next__(self) -> T:
        items = self._items
        self._thread = threading.get_ident()
        while not items:
            if self._over:
                error = self._finish()
                if error is not None:
                    raise error
                raise StopIteration
            if not self._step():
                self._wait()
        return items.popleft()

    def _wait(self) -> None:
        sole = self._sole()
        if sole is not None:
            sole.root.driver.advance(sole.cursor.position)
            return
        self._asleep = True
        try:
            for pull in self.pulls:
                self._listen(pull.root)
                if pull.root.driver is not None:
                    pull.root.driver.connect()
            if not (self._items or self._ready or self._over or self._step()):
                self._event.wait(self._seconds_left())
        finally:
            self._asleep = False
        self._event.clear()

    def _wake(self) -> None:
        self._event.set()


class AsyncLoop(Loop[T]):
    """`async for item in stream`."""

    def __init__(self, source: AsyncStream[T]) -> None:
        super().__init__()
        self._source = source
        self._waker: Waker | None = None
        self._open(source)

    def __aiter__(self) -> AsyncLoop[T]:
        return self

    async def __anext__(self) -> T:
        items = self._items
        self._thread = threading.get_ident()
        while not items:
            if self._over:
                error = self._finish()
                await self._settle()
                if error is not None:
                    raise error
                raise StopAsyncIteration
            for pull in self.pulls:
                driver = pull.root.driver
                if driver is not None and driver.gated:
                    await driver.deliver(pull.cursor.position + 1)
            if not self._step():
                await self._wait()
        return items.popleft()

    async def aclose(self) -> None:
        """Leave the stream; for `contextlib.aclosing`."""
        self.close()

    async def _wait(self) -> None:
        sole = self._sole()
        if sole is not None:
            await sole.root.driver.advance(sole.cursor.position)
            return
        waker = self._own_waker()
        self._asleep = True
        try:
            for pull in self.pulls:
                self._listen(pull.root)
                if pull.root.driver is not None:
                    await pull.root.driver.connect()
            if not (self._items or self._ready or self._over or self._step()):
                await waker.sleep(self._seconds_left())
        finally:
            self._asleep = False

    async def _settle(self) -> None:
        origin = self._source.origin
        if origin is not None and origin.driver is not None:
            await origin.driver.settle()

    def _own_waker(self) -> Waker:
        if self._waker is None:
            origin = self._source.origin
            if origin is None or origin.driver is None:
                raise TypeError("this stream is not fed by an event loop, so nothing can wake an `async for` on it")
            self._waker = origin.driver.waker()
        return self._waker

    def _wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()

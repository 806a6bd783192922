"""Loops over streams: `for`, `async for`, `run()` and `await` as private, pulling subscriptions.

Theory of operation

A loop subscribes to its stream with a scheduler of its own. A root (a stream that owns a log) that is subscribed to for
a loop does not seat the observer in its log; it gives the loop a private cursor instead. So the same operators run a
second time, over the same log, at the pace of the loop, and other subscribers do not notice. `loop_for` tells whether a
subscription is made for a loop.

One step takes one item from one cursor and pushes it through the loop's own operators, which may leave results in
`_items`. Where no cursor has an item, the loop waits: with one cursor and no timer it asks the root's driver to
advance (the loop is the pump then, and its pace is the backpressure); with several cursors, or when a time operator
has set a timer, it connects the drivers and sleeps until a log changes or the timer is due. Timers run in the loop.
Without any cursor (a `publish()` that was connected elsewhere feeds it) it connects the driver of its stream's origin.

The iterators are classes: a generator that met one KeyboardInterrupt or cancellation would end silently. What a `for`
holds is not the loop itself, which its own callbacks refer to: so that `break` leaves the stream at once.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from reactivex import abc

from rx_assistant.hot.clock import StreamScheduler
from rx_assistant.hot.cursor import NOTHING, Cursor
from rx_assistant.hot.making import MAKING
from rx_assistant.hot.subscriber import Subscriber

if TYPE_CHECKING:
    from rx_assistant.hot.stream import AsyncStream, Stream
    from rx_assistant.hot.types import Root

T = TypeVar("T")


def loop_for(scheduler: abc.SchedulerBase | None) -> Loop[Any] | None:
    """Give the loop that a subscription with this scheduler belongs to; None when it is a loop on another thread."""
    owner = scheduler.owner if isinstance(scheduler, StreamScheduler) else None
    if isinstance(owner, Loop):
        return owner if owner.thread == threading.get_ident() else None
    return MAKING.loop


def position_in(root: Root, loop: Loop[Any] | None) -> int:
    """Give the position of the item of `root` that `loop`, or else the root's log, is handing out."""
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
        loop = self._loop
        if self in loop.pulls:
            loop.pulls = tuple(pull for pull in loop.pulls if pull is not self)
            loop.direct = None
        self.cursor.close()


class Loop(Generic[T]):
    """What both kinds of loop share: the cursors, the timers and what came out."""

    def __init__(self, source: Stream[T] | AsyncStream[T]) -> None:
        self.pulls: tuple[_Pull, ...] = ()
        self.direct: _Pull | None = None  # the one pull of a loop over a root itself: its items need no step
        self.items: deque[T] = deque()
        self.over = False
        self._source = source
        self._stepping: _Pull | None = None
        self._starts: dict[int, int] = {}
        self._ready: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._error: Exception | None = None
        self.thread = threading.get_ident()
        self._foreign = False
        self._resting = False
        self._asleep = False
        self._listening: list[Root] = []
        self._subscription: abc.DisposableBase | None = None

    # -- what streams ask of the loop that they are subscribed under ---------------------------------------------

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
        """Let the next cursor on `root` start at `position`."""
        self._starts[id(root)] = position

    def position_of(self, root: Root) -> int | None:
        """Give the position of the item of `root` that this loop is handing on; None when it is none of `root`'s."""
        pull = self._stepping
        return pull.cursor.position - 1 if pull is not None and pull.root is root else None

    # -- subscription --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        subscriber: Subscriber[T] = Subscriber(self._take_item, self._take_error, self._take_end)
        outer = MAKING.loop
        try:
            MAKING.loop = self
            subscriber.hold(self._source.link(subscriber, StreamScheduler(self._hand_over, self._call_later)))
        except Exception as error:
            subscriber.fail(error)
        finally:
            MAKING.loop = outer
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
        raise NotImplementedError  # the face knows how to wake its own kind of sleep

    # -- stepping ------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece of work that needs no waiting: an action, a timer, an item, an ending; False without one."""
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
            if item is not NOTHING:
                observer.next(item)
                return True
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
        """The one cursor that this loop may wait for by pumping; None when there are several things to wait for."""
        pulls = self.pulls
        if len(pulls) == 1 and not self._timers and not self._foreign and pulls[0].root.driver is not None:
            return pulls[0]
        for pull in pulls:  # inside a delivery of its own pump nobody else can read on
            if pull.root.log.delivering == self.thread and pull.root.driver is not None:
                return pull
        return None

    def _roots(self) -> list[Root]:
        """The roots that have to be read while this loop sleeps.

        Raises RuntimeError when it would sleep for ever: what it waits for is fed by the loop around it.
        """
        origin, feeder = self._source.origin, self._source.feeder
        if feeder is not None and not (feeder.over or self.pulls or self._timers or self._ready or self.over):
            raise RuntimeError(
                "this group or window is fed by the loop that gave it, so a loop inside that one would wait for ever: "
                "use flat_map, or an operator of ours, whose substreams can be looped over"
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
        """Close, and give the error to raise, once."""
        error, self._error = self._error, None
        self.close()
        return error

    def rest(self) -> None:
        """Count no longer as a reader; the positions stay. Idempotent."""
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
        """Leave the stream: cursors are released, timers dropped. Idempotent."""
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

"""The frames of one UI loop: which subscriptions have waiting items, and when these are delivered, in order.

Theory of operation

All subscriptions on one host share one wake-up. A push, on any thread, lists its backlog as waiting and posts the
wake-up, unless one is pending. The wake-up drains on the UI thread if a frame has passed; else it sets a timer of the
UI loop for the rest of the frame. So the loop gets one call per frame, for any number of subscriptions, and nothing is
pending while nothing waits.

Each group of items gets a number from its host. Draining delivers the groups in the order of their numbers, also across
subscriptions. A barrier or an ending is urgent: it drains at once all groups up to its number, so it never overtakes
the text before it.

Draining takes at most 8 ms: an update that would probably end later waits for the next frame, urgent or not. A frame
lasts at least 1.5 times as long as its draining, so a slow widget gets fewer, larger items, and the UI loop can handle
other events. A text that would take longer than 8 ms in one update is delivered in parts (see `Portion`).

A source that has thousands of items at once does not let the UI thread wait for Python's lock (see `give_way`).
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from functools import partial
from typing import Protocol

from rx_assistant.gui._host import Action, TellsClosing, UiHost
from rx_assistant.operators._pacing import STRETCH

BUDGET = 0.008
"""Seconds that draining may take; it leaves the rest to the next frame."""

_TURN = 0.001  # seconds that a source may run while the UI thread has work to do
_PAUSE = 1e-4  # seconds in which another thread can wake up


class Waiting(Protocol):
    """A subscription that can wait for a frame."""

    interval: float
    due: float  # when its items may be delivered, by `time.monotonic()`, unless a group is urgent
    listed: bool  # whether the frames list it as waiting; only the frames write this

    @property
    def number(self) -> int | None:
        """The number of its first waiting group; None when nothing waits."""

    @property
    def expected(self) -> float:
        """The seconds that the next `hand_on()` will probably take; 0 if it is not known."""
        ...

    def hand_on(self) -> None:
        """Deliver the first group or a part of it, or the ending. Never raises an Exception."""


class Portion:
    """How many pieces of a text one update should show, computed from the duration of earlier updates.

    If a widget's updates take the same time for any size, it gets all pieces at once, because parts would take longer.
    """

    def __init__(self) -> None:
        self.most: int | None = 1024
        self._before: tuple[int, float] | None = None  # an update that took too long: its pieces, its seconds
        self._last = 1, 0.0  # the last update: its pieces, its seconds

    def expected(self, waiting: int) -> float:
        """The seconds that an update probably takes while so many pieces wait, from the last one; 0 before it."""
        pieces, seconds = self._last
        return seconds if self.most is None else seconds * min(waiting, self.most) / pieces

    def learn(self, pieces: int, seconds: float) -> None:
        """Record the duration of an update."""
        self._last = pieces, seconds
        if self.most is None:
            return
        if seconds <= BUDGET:
            if pieces == self.most and seconds < BUDGET / 2:
                self.most *= 2
        elif self._before is not None and pieces < self._before[0] and seconds > 0.75 * self._before[1]:
            self.most = None
        elif pieces > 1:
            self.most, self._before = max(pieces // 2, 1), (pieces, seconds)


class Frames:
    """The frames of one host."""

    def __init__(self, host: UiHost) -> None:
        self.numbers = itertools.count(1)
        self._host = weakref.ref(host)  # weak: the host keeps this object
        self._waiting: list[Waiting] = []
        self._urgent = 0  # all groups up to this number are delivered at once
        self._lagging = False  # the last draining ran out of time: now urgent groups wait too
        self._rest = 0.0  # when the next draining may begin, so that the UI loop handled other events
        self._gave_way = 0.0  # when a source has last paused for the UI thread
        self._posted = False
        self._timer: Action | None = None
        self._draining = False
        self._mutex = (
            threading.RLock()
        )  # reentrant: the garbage collector may free a widget here, which closes its host

    def wait(self, waiting: Waiting, urgent: int = 0) -> None:
        """List a waiting subscription, with the number up to which it is urgent; from any thread."""
        with self._mutex:
            if not waiting.listed:
                waiting.listed = True
                self._waiting.append(waiting)
            self._urgent = max(self._urgent, urgent)
            if self._posted or (self._timer is not None and (self._lagging or not urgent)):
                return
            self._posted = True
        self._call_soon(self._wake)

    def forget(self, waiting: Waiting) -> None:
        """Remove a disposed subscription; from any thread."""
        with self._mutex:
            self._waiting = [other for other in self._waiting if other is not waiting]
            idle = not self._waiting and self._timer is not None
        host = self._host()
        if idle and host is not None:
            self._disarm() if host.is_ui_thread() else host.call_soon(self._disarm_if_idle)

    def give_way(self) -> None:
        """Pause for a moment if items wait, so that the UI thread runs; from a source's thread, every few items.

        Python lets a thread run for 5 ms before another thread may. A source that has many items at once would make the
        UI thread wait that long whenever it returns from its toolkit, several times in one update.
        """
        now = time.monotonic()
        host = self._host()
        if now - self._gave_way < _TURN or not self._waiting or host is None or host.is_ui_thread():
            return
        time.sleep(_PAUSE)
        self._gave_way = time.monotonic()

    # -- on the UI thread ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._posted = False
        self._look()

    def _look(self) -> None:
        """Drain if it is time; else set a timer for it."""
        if self._draining:
            return  # a nested UI loop: the outer draining looks again
        while (due := self._due()) is not None:
            rest = due - time.monotonic()
            if rest > 0:
                self._arm(rest)
                return
            self._disarm()
            self._drain()

    def _due(self) -> float | None:
        """Return when the next draining is due; None when nothing waits."""
        with self._mutex:
            if not self._waiting:
                return None
            if self._urgent:
                return self._rest if self._lagging else 0.0
            return max(self._rest, min(waiting.due for waiting in self._waiting))

    def _drain(self) -> None:
        began = time.monotonic()
        with self._mutex:
            urgent, self._urgent = self._urgent, 0
            waiting = tuple(self._waiting)
            last = next(self.numbers)
        self._draining, self._lagging = True, False
        try:
            served = self._hand_on(waiting, urgent, began, last)
        finally:
            self._draining = False
            self._rest = began + STRETCH * (time.monotonic() - began)
            with self._mutex:
                self._unlist_idle()
        for one in served:
            one.due = max(began + one.interval, self._rest)

    def _hand_on(self, waiting: tuple[Waiting, ...], urgent: int, began: float, last: int) -> set[Waiting]:
        """Deliver due and urgent groups by their numbers, until none older than `last` is left or the time is up."""
        served: set[Waiting] = set()
        while True:
            first, least = None, last
            for one in waiting:
                number = one.number
                due = one.due <= began and one not in served
                if number is not None and number < least and (due or number <= urgent):
                    first, least = one, number
            if first is None:
                return served
            if time.monotonic() - began + (first.expected if served else 0) > BUDGET:
                self._lagging = True
                self._urgent = max(self._urgent, urgent)
                return served
            served.add(first)
            first.hand_on()

    def _unlist_idle(self) -> None:
        kept = []
        for one in self._waiting:
            if one.number is None:
                one.listed = False
            else:
                kept.append(one)
        self._waiting = kept

    def _arm(self, seconds: float) -> None:
        host = self._host()
        if self._timer is None and host is not None:
            self._timer = host.call_later(seconds, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self._look()

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer()

    def _disarm_if_idle(self) -> None:
        if not self._waiting:
            self._disarm()

    def _call_soon(self, action: Action) -> None:
        host = self._host()
        if host is not None:
            host.call_soon(action)


_frames: weakref.WeakKeyDictionary[UiHost, Frames] = weakref.WeakKeyDictionary()
_mutex = threading.RLock()  # reentrant: the garbage collector may free a host here, which closes it


def frames_of(host: UiHost) -> Frames:
    """Return the frames of a host, shared by all its subscriptions."""
    with _mutex:
        found = _frames.get(host)
        if found is not None:
            return found
        made = _frames[host] = Frames(host)
    if isinstance(host, TellsClosing):
        host.on_close(partial(_forget, weakref.ref(host)))
    return made


def _forget(host: weakref.ref[UiHost]) -> None:
    """Reset the frames of a host that opens again, because closing it dropped the pending wake-up."""
    closed = host()
    if closed is not None:
        with _mutex:
            _frames.pop(closed, None)

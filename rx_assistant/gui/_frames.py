"""The frames of one UI loop: who has something to hand on there, and when, in the order in which it came.

Theory of operation

All that is observed on one host shares one wake-up. Whoever pushes, on any thread, lists its backlog as waiting and
posts the wake-up, if none is on its way. The wake-up drains on the UI thread when a frame has passed; else it sets the
UI loop's own timer for the rest of the frame. So the loop gets one call for a frame, however many things are observed,
and nothing is pending while nothing waits.

Each group of items has a number of its host. A draining hands on the groups by their numbers, so that what came first
is shown first, also across subscriptions. A barrier or an ending is urgent: it drains at once everything up to its own
number, and so never overtakes the text that came before it.

A draining takes 8 ms at most, and the update that it is at; what is left waits for the next frame, urgent or not. A
frame is at least 1.5 times as long as the draining took, so that a slow widget gets fewer, larger items, and the loop
its turns. A text so long that one update of it would take longer than that is handed on in parts (see `Portion`).
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
"""Seconds after which a draining leaves what is left to the next frame."""


class Waiting(Protocol):
    """What can wait for a frame."""

    interval: float
    due: float  # when it may be handed on, by `time.monotonic()`, unless something is urgent
    listed: bool  # whether the frames know that it waits; theirs to write

    @property
    def number(self) -> int | None:
        """The number of what it has to hand on first; None when it has nothing."""

    def hand_on(self) -> None:
        """Hand on the first group or a part of it, or the ending. Never raises an Exception."""


class Portion:
    """How many pieces of a text one update should show: learnt from how long updates take.

    A widget whose updates take their time whatever their size gets all at once: then parts would only add up.
    """

    def __init__(self) -> None:
        self.most: int | None = 1024
        self._before: tuple[int, float] | None = None  # an update that took too long: its pieces, its seconds

    def learn(self, pieces: int, seconds: float) -> None:
        """Take note of an update."""
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
        self._host = weakref.ref(host)  # we are kept as long as the host is
        self._waiting: list[Waiting] = []
        self._urgent = 0  # everything up to this number goes out at once
        self._lagging = False  # the last draining left something behind: now not even that which is urgent
        self._rest = 0.0  # when the loop has had its turns after the last draining
        self._posted = False
        self._timer: Action | None = None
        self._draining = False
        self._mutex = threading.RLock()  # a widget that the garbage collector finds in here may close its host

    def wait(self, waiting: Waiting, urgent: int = 0) -> None:
        """List something that waits, with the number up to which it is urgent; from any thread."""
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
        """Wait no more for something that was disposed; from any thread."""
        with self._mutex:
            self._waiting = [other for other in self._waiting if other is not waiting]
            idle = not self._waiting and self._timer is not None
        host = self._host()
        if idle and host is not None:
            self._disarm() if host.is_ui_thread() else host.call_soon(self._disarm_if_idle)

    # -- on the UI thread ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._posted = False
        self._look()

    def _look(self) -> None:
        """Drain if it is time; else see to it that it will be."""
        if self._draining:
            return  # a loop inside the loop: whoever drains will look again
        while (due := self._due()) is not None:
            rest = due - time.monotonic()
            if rest > 0:
                self._arm(rest)
                return
            self._disarm()
            self._drain()

    def _due(self) -> float | None:
        """Give when the next draining is due; None when nothing waits."""
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
        """Hand on what is due or urgent, by numbers, until nothing older than `last` is left or the time is up."""
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
            if time.monotonic() - began > BUDGET:
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
_mutex = threading.RLock()  # the garbage collector may find a host in here, and close it


def frames_of(host: UiHost) -> Frames:
    """Give the frames of a host: the same for all that is observed there."""
    with _mutex:
        found = _frames.get(host)
        if found is not None:
            return found
        made = _frames[host] = Frames(host)
    if isinstance(host, TellsClosing):
        host.on_close(partial(_forget, weakref.ref(host)))
    return made


def _forget(host: weakref.ref[UiHost]) -> None:
    """Let a host that opens again begin anew: its closing has dropped the wake-up that was on its way."""
    closed = host()
    if closed is not None:
        with _mutex:
            _frames.pop(closed, None)

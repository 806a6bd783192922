"""Items of a stream, on any thread → larger items on the UI thread, one wake-up per frame.

Theory of operation

The reader's thread adds to a backlog (see operators/_pacing_backlog.py) and posts one wake-up, if none is on its way.
The wake-up drains on the UI thread when a frame has passed since the last draining, or when a barrier or the ending
hurries it; else it sets the UI loop's own timer for the rest of the frame. So the reader never waits, the loop gets
one call for a frame, and nothing is pending while nothing waits.

One draining hands on groups for at most 8 ms and the group that it is at; what is left waits for the next frame, which
is at least 1.5 times as long as the draining took. So a slow widget gets fewer, larger items, and the loop its turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from reactivex import Observable

from rx_assistant.gui._host import Action, TellsClosing, UiHost
from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.operators._joining import joined, may_join
from rx_assistant.operators._pacing import STRETCH
from rx_assistant.operators._pacing_backlog import Backlog, Handoff, Overflow

T = TypeVar("T")

FRAME = 1 / 60
"""Seconds between two updates of a widget: what screens show."""

BUDGET = 0.008
"""Seconds after which a draining leaves what is left to the next frame."""


def observe_on_ui(
    host: UiHost,
    interval: float = FRAME,
    *,
    adjacent: Callable[[T, T], bool] = may_join,
    join: Callable[[Sequence[T]], T] = joined,
    max_pending: int | None = None,
    overflow: Overflow = "error",
    on_drop: Callable[[T], object] | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Emit on the UI thread of `host`, joined to one group of neighbours per `interval` (seconds), and lose nothing.

        source, any thread        --abcdefg-h-i-|
        observe_on_ui(host)       --a--(bcdefg)--(hi)|

    The first item after idle, a barrier (another message, part or call, a required action) and the ending are handed
    over at once, everything else once a frame. The source never waits for a widget. An observer that raises gets its
    error on the UI thread and leaves the source alone. When the host closes, the subscription is disposed; a stream
    with `on_idle="close"` or `"cancel"` then closes its response.

    Args:
        host: The event loop, such as `TkHost(root)`, `QtHost(window)` or `TextualHost(app)`.
        interval: Seconds between two groups.
        adjacent: Whether two neighbours may be joined, asked on the source's thread; as in `operators.coalesce`.
        join: Gives one item for many, called on the UI thread.
        max_pending: How many groups may wait for the UI thread.
        overflow: `"error"` ends with StreamOverflowError after what waits; or `"drop_oldest"`, `"drop_newest"`.
        on_drop: Called on the source's thread with each item that is dropped.
    """
    if not interval > 0:
        raise ValueError(f"interval is a number of seconds, more than 0, not {interval!r}")

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        backlog = Backlog(adjacent, join, capacity=max_pending, overflow=overflow, on_drop=on_drop)
        observing = _Observing(down, backlog, host, interval)
        observing.begin()
        return observing.hooks

    return operator(start)


class _Observing(Handoff[T]):
    """One subscription on a host."""

    def __init__(self, down: Sink[T], backlog: Backlog[T], host: UiHost, interval: float) -> None:
        super().__init__(down, backlog)
        self._host = host
        self._interval = interval
        self._began = 0.0  # when the last draining began
        self._due = 0.0  # when its frame has passed
        self._lagging = False  # whether it left something: then not even a barrier hurries the next one
        self._urgent = False  # whether a barrier or the ending waits
        self._posted = False  # whether a wake-up is on its way to the UI thread
        self._timer: Action | None = None
        self._forget: Action | None = None
        self._mutex = threading.Lock()

    def begin(self) -> None:
        """Learn of the host's closing, if it tells."""
        if isinstance(self._host, TellsClosing):
            self._forget = self._host.on_close(self._down.dispose)

    def push(self, item: T) -> None:
        if self._host.closed:
            self._down.dispose()
        else:
            super().push(item)

    def dispose(self) -> None:
        super().dispose()
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()
        if self._timer is not None:
            self._disarm() if self._host.is_ui_thread() else self._host.call_soon(self._disarm)

    def _arrange(self) -> None:
        self._wake()

    def _hurry(self) -> None:
        self._urgent = True
        self._wake()

    def _wake(self) -> None:
        """Post one wake-up, unless one is on its way or the timer comes soon enough."""
        with self._mutex:
            if self._posted or (self._timer is not None and (self._lagging or not self._urgent)):
                return
            self._posted = True
        self._host.call_soon(self._woken)

    # -- on the UI thread ----------------------------------------------------------------------------------------

    def _woken(self) -> None:
        self._posted = False
        rest = self._due - time.monotonic()
        if rest <= 0 or (self._urgent and not self._lagging):
            self.drain()
        elif self._timer is None and self.backlog:
            self._timer = self._host.call_later(rest, self.drain)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer()

    def _is_tired(self) -> bool:
        return time.monotonic() - self._began > BUDGET

    def _deliver(self) -> None:
        self._disarm()
        self._urgent = False
        self._began = began = time.monotonic()
        try:
            super()._deliver()
        finally:
            self._due = began + max(self._interval, STRETCH * (time.monotonic() - began))
            self._lagging = len(self.backlog) > 0
            if self._lagging and not self.over:
                self._wake()

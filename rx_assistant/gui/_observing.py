"""Items of a stream, on any thread → larger items on the UI thread, once per frame. `_frames` decides when."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from reactivex import Observable

from rx_assistant.gui._frames import Frames, Portion, frames_of
from rx_assistant.gui._host import Action, TellsClosing, UiHost, require_host
from rx_assistant.hot import NOTHING, Hooks, Scope, Sink, operator
from rx_assistant.operators._joining import joined, may_join
from rx_assistant.operators._pacing_backlog import Backlog, Intake, Overflow

T = TypeVar("T")

FRAME = 1 / 60
"""Seconds between two updates of a widget: the usual frame rate of screens."""

_OFTEN = 64  # items after which a source looks whether the UI thread waits for it


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
    """Emit on the UI thread of `host`, at most one group of joined neighbours per `interval` (seconds), without loss.

        source, any thread        --abcdefg-h-i-|
        observe_on_ui(host)       --a--(bcdefg)--(hi)|

    The first item after idle, a barrier (another message, part or call, a required action) and the ending are
    delivered at once, everything else once per frame. The source never waits for a widget. Subscriptions on one host
    share its frames: a barrier or an ending of one never overtakes earlier items of another.

    An observer that raises gets its error on the UI thread; the source is not affected. When the host closes, the
    subscription is disposed; a stream with `on_idle="close"` or `"cancel"` then closes its response.

    Args:
        host: The event loop, such as `TkHost(root)`, `QtHost(window)` or `TextualHost(app)`.
        interval: Seconds between two groups.
        adjacent: Whether two neighbours may be joined; called on the source's thread, as in `operators.coalesce`.
        join: Returns one item for many; called on the UI thread.
        max_pending: How many groups may wait for the UI thread.
        overflow: `"error"` emits all waiting items, then a StreamOverflowError; or `"drop_oldest"`, `"drop_newest"`.
        on_drop: Called on the source's thread with each item that is dropped.

    Raises:
        TypeError: `host` is not a host. For a window, the message names the host to create for it.
        ValueError: `interval` is not above 0.
    """
    require_host(host)
    if not interval > 0:
        raise ValueError(f"interval must be a number of seconds above 0, got {interval!r}")

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        frames = frames_of(host)
        backlog = Backlog(
            adjacent, join, capacity=max_pending, overflow=overflow, on_drop=on_drop, numbering=frames.numbers
        )
        portion = Portion() if join is joined else None
        observing = _Observing(down, backlog, host, frames, interval, portion)
        observing.begin()
        return observing.hooks

    return operator(start)


class _Observing(Intake[T]):
    """One subscription on a host."""

    def __init__(
        self,
        down: Sink[T],
        backlog: Backlog[T],
        host: UiHost,
        frames: Frames,
        interval: float,
        portion: Portion | None,
    ) -> None:
        super().__init__(down, backlog)
        self.interval = interval
        self.due = 0.0
        self.listed = False
        self._pushed = 0
        self._host = host
        self._frames = frames
        self._portion = portion
        self._last: int | None = None  # the number of the ending
        self._forget: Action | None = None

    def begin(self) -> None:
        """Register for the closing of the host, if it reports it."""
        if isinstance(self._host, TellsClosing):
            self._forget = self._host.on_close(self._down.dispose)

    def push(self, item: T) -> None:
        if self._host.closed:
            self._down.dispose()
        else:
            super().push(item)
            self._pushed += 1
            if not self._pushed % _OFTEN:
                self._frames.give_way()

    def dispose(self) -> None:
        super().dispose()
        self._frames.forget(self)
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()

    @property
    def number(self) -> int | None:
        """The number of the first waiting group; None when nothing waits."""
        if self.over:
            return None
        first = self.backlog.first_number
        return self._last if first is None else first

    @property
    def expected(self) -> float:
        """The seconds that the next `hand_on()` will probably take."""
        return self._portion.expected(self.backlog.first_size) if self._portion else 0.0

    def hand_on(self) -> None:
        """Deliver the first group or a part of it, or the ending; on the UI thread."""
        try:
            item, pieces = self.backlog.take_some(self._portion.most if self._portion else None)
            if item is not NOTHING:
                began = time.monotonic()
                self._down.next(item)
                if self._portion is not None:
                    self._portion.learn(pieces, time.monotonic() - began)
                return
        except Exception as error:
            self._finish(error)
            return
        if self._ending is not None:
            self._finish(self._ending[0])

    def _end(self, error: Exception | None) -> None:
        if self._host.closed:
            self._down.dispose()
        else:
            super()._end(error)

    def _arrange(self) -> None:
        self._frames.wait(self)

    def _hurry(self) -> None:
        if self._ending is not None:
            self._last = next(self._frames.numbers)
        self._frames.wait(self, self._last or self.backlog.last_number or 0)

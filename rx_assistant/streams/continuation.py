"""The continuation of a stream whose response has ended because the run requires action.

A stream with a `Continuation` consists of several responses, one after the other. All of them fill one log. When a
response ends, the pump calls `begin(run)`. While the continuation is `busy`, the pump reads nothing, and waiting
threads and tasks sleep. Then it calls `open` again, which sends the request for the next response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rx_assistant.hot import FOREVER, HotLog, Subscriber, loop_for

if TYPE_CHECKING:
    from rx_assistant.events import Kind
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.types import Run

HandOver = Callable[[Callable[[], None]], None]
"""Runs an action serially with the stream's deliveries; from any thread."""


class Continuation(Protocol):
    """The work between two responses of one stream. Its own events are in `logs`, not among the stream's events."""

    logs: dict[str, HotLog[Any]]

    @property
    def busy(self) -> bool:
        """Whether the work still runs: the request for the next response cannot be sent yet."""
        ...

    def bind(
        self,
        log: HotLog[Any],
        *,
        changed: Callable[[], None],
        hand_over: HandOver,
        arrived: Callable[[], RunSnapshot],
    ) -> None:
        """Start to serve the stream with this log. Call `changed` when `busy` may have changed; from any thread."""

    def take(self, kinds: Sequence[Kind], payloads: Sequence[bytes]) -> None:
        """Receive the events when they arrive."""

    def begin(self, run: Run) -> None:
        """Begin the work: the response has ended, and the run requires action."""

    def join(self, seconds: float) -> None:
        """Wait for the end of the work, at most so many seconds. Called when the stream has ended."""

    async def stopped(self, seconds: float) -> None:
        """Like `join`, for event loops."""


class Main(Protocol):
    """A stream with a log beside its own."""

    @property
    def log(self) -> HotLog[Any]:
        """The log of its events."""
        ...

    def take_seat(self, log: HotLog[Any], down: Subscriber[Any]) -> abc.DisposableBase:
        """Connect a subscriber to `log`. It counts as a reader of the stream."""
        ...


class Side:
    """A second log of a stream, as a root for loops. It ends like the stream."""

    driver = None

    def __init__(self, stream: Main, log: HotLog[Any]) -> None:
        self.log = log
        self._stream = stream

    @property
    def scheduler(self) -> abc.SchedulerBase | None:
        """The scheduler of the stream."""
        scheduler: abc.SchedulerBase | None = cast("Any", self._stream).scheduler
        return scheduler

    def link(self, down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Connect a subscriber, which counts as a reader of the stream. A loop over this log also reads the stream."""
        loop = loop_for(scheduler)
        if loop is not None:
            ignored: Subscriber[Any] = Subscriber(None, _ignore)
            return CompositeDisposable(
                loop.adopt(cast("Any", self._stream), ignored), loop.adopt(cast("Any", self), down)
            )
        token = object()
        self._stream.log.retain(token)
        seat = self._stream.take_seat(self.log, down)
        return CompositeDisposable(seat, Disposable(lambda: self._stream.log.release(token)))


def _ignore(_error: Exception) -> None:
    """The side log ends with the same error."""


def end_with(main: HotLog[Any], side: HotLog[Any]) -> None:
    """End `side` when the ending of `main` was delivered."""

    def look() -> None:
        if main.delivered:
            side.end(main.failure)
            side.want(FOREVER)

    main.listen(look)
    look()

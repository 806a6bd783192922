"""What continues a stream when its response ends and the run requires action.

A stream with a `Continuation` is made of several responses, one after the other. All of them fill one log. When a
response ends, the pump calls `begin(run)`. While the continuation is `busy`, the pump reads nothing, and its waiting
threads and tasks sleep. Then it calls `open` again, which asks for the next response.
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
    """The work between two responses of one stream. What it emits is in `logs`, never among the stream's events."""

    logs: dict[str, HotLog[Any]]

    @property
    def busy(self) -> bool:
        """Whether the next response cannot be asked for yet."""
        ...

    def bind(
        self,
        log: HotLog[Any],
        *,
        changed: Callable[[], None],
        hand_over: HandOver,
        arrived: Callable[[], RunSnapshot],
    ) -> None:
        """Belong to the stream with that log. Call `changed` when `busy` may have changed; from any thread."""

    def take(self, kinds: Sequence[Kind], payloads: Sequence[bytes]) -> None:
        """Receive the events when they arrive."""

    def begin(self, run: Run) -> None:
        """The response has ended, and the run requires action."""

    def join(self, seconds: float) -> None:
        """Wait at most this long for the end of the work. The stream has ended."""

    async def stopped(self, seconds: float) -> None:
        """The same for event loops."""


class Main(Protocol):
    """A stream with a log beside its own."""

    @property
    def log(self) -> HotLog[Any]:
        """The log of its events."""
        ...

    def take_seat(self, log: HotLog[Any], down: Subscriber[Any]) -> abc.DisposableBase:
        """Seat a subscriber in `log`, which counts as a reader of the stream."""
        ...


class Side:
    """A log beside the log of a stream, as a root for loops. It ends like the stream."""

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
        """Seat a subscriber, which counts as a reader of the stream; a loop reads the stream meanwhile."""
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

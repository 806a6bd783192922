"""Events → substreams: one log for each message, content part, run step or tool call, filled by a Router.

Theory of operation

A Router folds the events of its kind, and passes each change on as a moment: "this event is a delta of that call".
Subscribers that are present get the event object itself, so it is parsed only once.

    source ── Router ──┬── outer observer     a substream, when its first moment comes
                       ├── log of part 0      moments, until its done
                       └── log of part 1      …

Subscribing. A subscriber of a substream reads its log: the stored moments at once, then live ones. So an observer that
subscribes inside the outer `on_next`, or long after, misses nothing.

Looping. In `for call in calls: for text in call.argument_deltas`, the outer loop's Router waits for the inner loop, so
it cannot feed it. The inner loop runs a separate Router for that one identity. It reads a private cursor, which starts
where the message or step first appeared (or where the substream did, if the log has dropped that position).

Disposing. The upstream subscription lives as long as the outer observer or a subscriber of a substream's log does. So
after `take(1)` the one emitted substream still gets its items. When no subscriber is left, the open logs are no longer
fed; a later subscriber gets a separate Router, like a loop.

Endings. A log ends with its moment `done`; else when its message or step is done, or when the stream ends: with
completion or with the stream's error, after all earlier moments.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rx_assistant.events import StreamEvent
from rx_assistant.hot import (
    FOREVER,
    AsyncStream,
    Birth,
    HotLog,
    Scope,
    Sink,
    Stream,
    Subscriber,
    SubstreamOperator,
    loop_for,
    operator,
    wrap,
)
from rx_assistant.operators._routing import Inlet, Kinds, Moment, Router, S, Turn
from rx_assistant.operators._select import Event
from rx_assistant.snapshots import MessageState, State, StepState

if TYPE_CHECKING:
    from rx_assistant.hot import Root

A = TypeVar("A")
Sync_co = TypeVar("Sync_co", covariant=True)
Async_co = TypeVar("Async_co", covariant=True)


class _Maker:
    """Creates a moment from its entry in the log. The log stores the event's bytes, not the event.

    While the moment is delivered, `live` is the event itself, for present subscribers; later ones get an equal event.
    """

    __slots__ = ("live",)

    def __init__(self) -> None:
        self.live: StreamEvent | None = None

    def __call__(self, kept: tuple[Turn, Any, int, int, Callable[[bytes], StreamEvent], bytes]) -> Moment[Any]:
        phase, state, position, version, kind, raw = kept
        live = self.live
        return Moment(phase, state, position, version, live if live is not None and live.raw is raw else kind(raw))


class _LogInlet:
    """An inlet that fills the log of a substream, and announces the substream."""

    __slots__ = ("_announce", "_maker", "log")

    def __init__(self, log: HotLog[Moment[Any]], announce: Callable[[], object]) -> None:
        self.log = log
        self._announce: Callable[[], object] | None = announce
        self._maker = _Maker()

    def announce(self) -> None:
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()

    def push(self, phase: Turn, state: Any, position: int, version: int, event: StreamEvent) -> None:
        maker = self._maker
        maker.live = event
        try:
            self.log.push((phase, state, position, version, type(event), event.raw), maker)
        finally:
            maker.live = None

    def end(self, error: Exception | None = None) -> None:
        self.log.end(error)
        self.log.want(FOREVER)


class _Relay:
    """An inlet that passes the moments to an observer directly."""

    __slots__ = ("_down",)

    def __init__(self, down: Sink[Moment[Any]]) -> None:
        self._down = down

    def announce(self) -> None:
        """Do nothing: the observer was created for this state."""

    def push(self, phase: Turn, state: Any, position: int, version: int, event: StreamEvent) -> None:
        self._down.next(Moment(phase, state, position, version, event))

    def end(self, error: Exception | None = None) -> None:
        if error is None:
            self._down.completed()
        else:
            self._down.error(error)


class Substream(Generic[S]):
    """The base of a substream: its state, and `link`, which connects a subscriber to its moments."""

    __slots__ = ("_birth", "_feed", "_parent", "log", "state")

    def __init__(self, feed: _Feed[S, Any], state: S, parent: Birth, birth: Birth) -> None:
        self.state = state
        self.log: HotLog[Moment[S]] = HotLog(keep=feed.keeps, on_idle=feed.release)
        self._feed = feed
        self._parent = parent
        self._birth = birth

    @property
    def origin(self) -> Root | None:
        """The root stream, whose driver and scheduler it uses."""
        return self._feed.source.origin

    def link(self, down: Subscriber[Moment[S]], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase | None:
        """Add a subscriber to the log. A loop, or a subscriber of a log without a Router, reads the source again."""
        loop, birth = loop_for(scheduler), self._birth
        if loop is None or loop is birth.loop or self.log.ended or self.origin is None:
            disposable = self._feed.seat(self.log, down)
            if disposable is not None:
                return disposable
        elif birth.root is not None:
            base = birth.root.log.base
            start = next((since.position for since in (self._parent, birth) if since.position >= base), None)
            if start is not None:
                loop.start_at(birth.root, start)
        return self._anew().link(down, scheduler)

    def _anew(self) -> Stream[Moment[S]] | AsyncStream[Moment[S]]:
        state, kinds = self.state, self._feed.kinds

        def start(down: Sink[Moment[S]], scope: Scope[Event]) -> Callable[[Event], object]:
            relay = _Relay(down)
            return Router(kinds, lambda other: relay if _is_same(other, state) else None).take

        return cast("Stream[Moment[S]] | AsyncStream[Moment[S]]", operator(start)(self._feed.source))


class Route(NamedTuple, Generic[S, A]):
    """An operator's plan: the events to read, the states that get substreams, and how to create these."""

    kinds: Kinds
    wants: Callable[[State], bool]
    make: Callable[[Substream[S]], A]


class _Feed(Generic[S, A]):
    """One outer subscription: a Router, the logs that it fills, and the upstream subscription."""

    def __init__(
        self,
        source: Stream[Event] | AsyncStream[Event],
        route: Route[S, A],
        down: Subscriber[A],
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self.source = source
        self.kinds = route.kinds
        self.keeps = source.origin is None or source.origin.log.keep
        self._route = route
        self._down = down
        self._scope = Scope(source, scheduler)
        self._births: dict[str, Birth] = {}
        self._router = Router(route.kinds, self._inlet_for)
        self._up: Subscriber[Event] = Subscriber(self._router.take, self._on_error, self._on_completed)
        self._lock = threading.Lock()
        self._outer_left = False
        self._all_left = False

    def open(self) -> abc.DisposableBase:
        """Subscribe upstream; returns a function to call when the outer observer leaves."""
        self._up.hold(self.source.link(self._up, self._scope.scheduler))
        return Disposable(self._leave)

    def seat(self, log: HotLog[Moment[S]], down: Subscriber[Moment[S]]) -> abc.DisposableBase | None:
        """Add a subscriber to a log; None if the log is incomplete and no Router fills it any more."""
        waiting = object()
        try:
            with self._lock:
                if self._all_left and not log.ended:
                    return None
                log.retain(waiting)
            return log.subscribe(down)
        finally:
            log.release(waiting)

    def release(self) -> None:
        """Dispose the upstream subscription if the last subscriber has just left."""
        with self._lock:
            if not self._outer_left or self._all_left or self._anyone_listens():
                return
            self._all_left = True
        self._up.dispose()

    def _leave(self) -> None:
        self._outer_left = True
        self.release()

    def _anyone_listens(self) -> bool:
        return any(inlet.log.holders for inlet in list(self._router.inlets.values()) if isinstance(inlet, _LogInlet))

    def _inlet_for(self, state: State) -> Inlet | None:
        birth = None
        if isinstance(state, MessageState | StepState):
            birth = self._births[state.id] = self._scope.birth()
        if self._outer_left or not self._route.wants(state):
            return None
        birth = birth or self._scope.birth()
        substream = Substream(self, cast("S", state), self._births.get(_identity(state)[0], birth), birth)
        return _LogInlet(substream.log, lambda: self._announce(substream))

    def _announce(self, substream: Substream[S]) -> None:
        try:
            self._down.next(self._route.make(substream))
        except Exception as error:  # ends the outer observer's subscription; subscribers of substreams continue
            self._down.fail(error)

    def _on_error(self, error: Exception) -> None:
        self._router.end(error)
        self._down.error(error)

    def _on_completed(self) -> None:
        self._router.end()
        self._down.completed()


def _identity(state: State) -> tuple[str, int]:
    """The id of the state's message or step, and its index in it."""
    return (state.id, -1) if isinstance(state, MessageState | StepState) else state.key


def _is_same(one: State, other: State) -> bool:
    return type(one) is type(other) and _identity(one) == _identity(other)


def substreams(
    kinds: Kinds,
    wants: Callable[[State], bool],
    make: Callable[[Substream[S]], Sync_co],
    make_async: Callable[[Substream[S]], Async_co],
) -> SubstreamOperator[Sync_co, Async_co]:
    """Return an operator that emits a stream object for each selected state, when the state first appears."""

    def lift(source: Observable[object]) -> Any:
        face: Any = wrap(source, like=source)
        is_async = isinstance(face, AsyncStream)
        route: Route[S, Any] = Route(kinds, wants, make_async if is_async else make)

        def link(down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
            return _Feed(face, route, down, scheduler).open()

        return (AsyncStream if is_async else Stream)(link, face.origin)

    return lift

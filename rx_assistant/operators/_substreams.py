"""Events → substreams: one log for each message, content part, run step or tool call, filled by a Router.

Theory of operation

A Router folds the events of its kinds, and pushes each change ("this event is a delta of that call") to the inlet of
the changed state. Present subscribers get the event object itself, so it is parsed only once.

    source ──▶ Router ──┬──▶ outer observer      a substream, before its first change
                        ├──▶ log of part 0 ──▶ subscribers of that substream
                        └──▶ log of part 1 ──▶ …

The state of one outer subscription:

          the outer observer disposes      no log has a subscriber
    OPEN ───────────────────────────▶ INNER ───────────────────────▶ DISPOSED

    OPEN        Substreams are emitted, and their logs are filled.
    INNER       No further substream is emitted. The existing logs are filled. So after `take(1)` the one emitted
                substream still gets its items.
    DISPOSED    The upstream subscription is disposed. A log that has not ended stays incomplete.

A log ends after the change `done` of its state, or of its message or step, at the latest when the stream ends. If the
stream fails, the log ends with the stream's error. All earlier changes come before the ending.

A subscriber of a substream reads its log, or the source once more:

    it belongs to                 the log has ended   OPEN or INNER    DISPOSED
    ───────────────────────────   ─────────────────   ──────────────   ──────────────
    no loop, or the loop that     log                 log              source again
    fills the log
    another loop                  log                 source again     source again

    log             The stored changes at once, then live ones. So an observer that subscribes inside the outer
                    `on_next`, or long after, misses nothing.
    source again    A Router of its own, for that one identity. In `for call in calls: for text in
                    call.argument_deltas`, the outer loop's Router waits for the inner loop, so it cannot feed it. The
                    inner loop reads a private cursor, which starts where the message or step first appeared, or where
                    the substream did if the log has dropped that position.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rx_assistant.events import StreamEvent
from rx_assistant.hot import (
    FOREVER,
    AsyncStream,
    HotLog,
    ReplayPoint,
    Scope,
    Sink,
    Stream,
    Subscriber,
    SubstreamOperator,
    loop_for,
    operator,
    wrap,
)
from rx_assistant.operators._routing import ChangePhase, Inlet, Kinds, Router, S, StateChange
from rx_assistant.operators._select import Event
from rx_assistant.snapshots import MessageState, State, StepState

if TYPE_CHECKING:
    from rx_assistant.hot import Root

A = TypeVar("A")
Sync_co = TypeVar("Sync_co", covariant=True)
Async_co = TypeVar("Async_co", covariant=True)


_Stored: TypeAlias = tuple[ChangePhase, Any, int, int, Callable[[bytes], StreamEvent], bytes]
"""The entry of a change in a log: phase, state, position, version, event class and bytes."""

OPEN: Final = "open"
INNER: Final = "inner"
DISPOSED: Final = "disposed"


class _ChangeBuilder:
    """Builds a change from its entry in the log. The log stores the event's bytes, not the event.

    During delivery, `live` is the event itself, for present subscribers. Late subscribers get an equal event.
    """

    __slots__ = ("live",)

    def __init__(self) -> None:
        self.live: StreamEvent | None = None

    def __call__(
        self, stored: tuple[ChangePhase, Any, int, int, Callable[[bytes], StreamEvent], bytes]
    ) -> StateChange[Any]:
        phase, state, position, version, kind, raw = stored
        live = self.live
        return StateChange(phase, state, position, version, live if live is not None and live.raw is raw else kind(raw))


class _LogInlet:
    """An inlet that fills the log of a substream, and announces the substream."""

    __slots__ = ("_announce", "_builder", "log")

    def __init__(self, log: HotLog[StateChange[Any]], announce: Callable[[], object]) -> None:
        self.log = log
        self._announce: Callable[[], object] | None = announce
        self._builder = _ChangeBuilder()

    def announce(self) -> None:
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()

    def push(self, phase: ChangePhase, state: Any, position: int, version: int, event: StreamEvent) -> None:
        builder = self._builder
        builder.live = event
        try:
            self.log.push((phase, state, position, version, type(event), event.raw), builder)
        finally:
            builder.live = None

    def end(self, error: Exception | None = None) -> None:
        self.log.end(error)
        self.log.want(FOREVER)


class _DirectInlet:
    """An inlet that passes the changes to an observer, without a log."""

    __slots__ = ("_down",)

    def __init__(self, down: Sink[StateChange[Any]]) -> None:
        self._down = down

    def announce(self) -> None:
        """Do nothing, because the observer was created for this state."""

    def push(self, phase: ChangePhase, state: Any, position: int, version: int, event: StreamEvent) -> None:
        self._down.next(StateChange(phase, state, position, version, event))

    def end(self, error: Exception | None = None) -> None:
        if error is None:
            self._down.completed()
        else:
            self._down.error(error)


class Substream(Generic[S]):
    """The source of one substream: its state, and `link`, which connects a subscriber to its changes."""

    __slots__ = ("_outer", "_parent_start", "_start", "log", "state")

    def __init__(self, outer: _OuterSubscription[S, Any], state: S, parent: ReplayPoint, start: ReplayPoint) -> None:
        self.state = state
        self.log: HotLog[StateChange[S]] = HotLog(keep=outer.keeps, on_idle=outer.release)
        self._outer = outer
        self._parent_start = parent
        self._start = start

    @property
    def origin(self) -> Root | None:
        """The root stream: its driver and scheduler serve the substream."""
        return self._outer.source.origin

    def link(self, down: Subscriber[StateChange[S]], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase | None:
        """Connect a subscriber to the log, or to the source again. See the table in the module's text."""
        loop, start = loop_for(scheduler), self._start
        if loop is None or loop is start.loop or self.log.ended or self.origin is None:
            disposable = self._outer.seat(self.log, down)
            if disposable is not None:
                return disposable
        elif start.root is not None:
            base = start.root.log.base
            stored = [point.position for point in (self._parent_start, start) if point.position >= base]
            if stored:
                loop.start_at(start.root, stored[0])
        return self._source_again().link(down, scheduler)

    def _source_again(self) -> Stream[StateChange[S]] | AsyncStream[StateChange[S]]:
        state, kinds = self.state, self._outer.kinds

        def start(down: Sink[StateChange[S]], scope: Scope[Event]) -> Callable[[Event], object]:
            inlet = _DirectInlet(down)
            return Router(kinds, lambda other: inlet if _is_same(other, state) else None).take

        return cast("Stream[StateChange[S]] | AsyncStream[StateChange[S]]", operator(start)(self._outer.source))


class Route(NamedTuple, Generic[S, A]):
    """The settings of an operator: the events to read, the states that get substreams, and how to create these."""

    kinds: Kinds
    wants: Callable[[State], bool]
    create: Callable[[Substream[S]], A]


class _OuterSubscription(Generic[S, A]):
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
        self._starts: dict[str, ReplayPoint] = {}  # where each message or step first appeared, by its id
        self._router = Router(route.kinds, self._inlet_for)
        self._up: Subscriber[Event] = Subscriber(self._router.take, self._on_error, self._on_completed)
        self._lock = threading.Lock()
        self._state: Literal["open", "inner", "disposed"] = OPEN

    def open(self) -> abc.DisposableBase:
        """Subscribe to the source. Returns the disposable for the outer observer."""
        self._up.hold(self.source.link(self._up, self._scope.scheduler))
        return Disposable(self._leave)

    def seat(self, log: HotLog[StateChange[S]], down: Subscriber[StateChange[S]]) -> abc.DisposableBase | None:
        """Connect a subscriber to a log. None if the log is incomplete and no Router fills it any more."""
        waiting = object()
        try:
            with self._lock:
                if self._state == DISPOSED and not log.ended:
                    return None
                log.retain(waiting)
            return log.subscribe(down)
        finally:
            log.release(waiting)

    def release(self) -> None:
        """Dispose the upstream subscription if no log has a subscriber any more."""
        with self._lock:
            if self._state != INNER or self._has_inner_subscribers():
                return
            self._state = DISPOSED
        self._up.dispose()

    def _leave(self) -> None:
        self._state = INNER
        self.release()

    def _has_inner_subscribers(self) -> bool:
        return any(inlet.log.holders for inlet in list(self._router.inlets.values()) if isinstance(inlet, _LogInlet))

    def _inlet_for(self, state: State) -> Inlet | None:
        start = None
        if isinstance(state, MessageState | StepState):
            start = self._starts[state.id] = self._scope.replay_point()
        if self._state != OPEN or not self._route.wants(state):
            return None
        start = start or self._scope.replay_point()
        substream = Substream(self, cast("S", state), self._starts.get(_identity(state)[0], start), start)
        return _LogInlet(substream.log, lambda: self._announce(substream))

    def _announce(self, substream: Substream[S]) -> None:
        try:
            self._down.next(self._route.create(substream))
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
    create: Callable[[Substream[S]], Sync_co],
    create_async: Callable[[Substream[S]], Async_co],
) -> SubstreamOperator[Sync_co, Async_co]:
    """Return an operator that emits a stream object for each selected state, when the state first appears."""

    def lift(source: Observable[object]) -> Any:
        face: Any = wrap(source, like=source)
        is_async = isinstance(face, AsyncStream)
        route: Route[S, Any] = Route(kinds, wants, create_async if is_async else create)

        def link(down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
            return _OuterSubscription(face, route, down, scheduler).open()

        return (AsyncStream if is_async else Stream)(link, face.origin)

    return lift

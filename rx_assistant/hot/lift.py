"""`operator()`: a function for one subscription → an operator, which is a function from stream to stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast, overload

from reactivex import Observable, abc

from rx_assistant.hot.loops import Loop, loop_for, position_in
from rx_assistant.hot.root import Root
from rx_assistant.hot.stream import AsyncStream, Face, Stream, face_of, origin_of
from rx_assistant.hot.subscriber import Guard, Sink, Subscriber

A = TypeVar("A")
B = TypeVar("B")
Sync_co = TypeVar("Sync_co", covariant=True)
Async_co = TypeVar("Async_co", covariant=True)


class SubstreamOperator(Protocol[Sync_co, Async_co]):
    """An operator that emits streams: AsyncStreams if its source is an AsyncStream, else Streams.

    The source is a stream of events. Its annotation is `object`, because in a `pipe` mypy chooses the overload before
    it knows the result of the operator before this one.
    """

    @overload
    def __call__(self, source: AsyncStream[object], /) -> AsyncStream[Async_co]: ...  # type: ignore[overload-overlap]  # any Observable but an AsyncStream gives the other
    @overload
    def __call__(self, source: Observable[object], /) -> Stream[Sync_co]: ...


class Hooks(NamedTuple):
    """The functions that an operator runs for the signals of its source. A None passes the signal on unchanged.

    `dispose` runs once, when the subscription is disposed or has ended downstream. The ending of the source only calls
    `error` or `completed`, which may still emit items.
    """

    next: Callable[[Any], object]
    error: Callable[[Exception], object] | None = None
    completed: Callable[[], object] | None = None
    dispose: Callable[[], object] | None = None


class Scope(Generic[A]):
    """The context of an operator's subscription: the source, the scheduler, and the origin of the current item."""

    __slots__ = ("loop", "scheduler", "source")

    def __init__(self, source: Observable[A], scheduler: abc.SchedulerBase | None) -> None:
        self.source = source
        self.scheduler = scheduler
        self.loop = loop_for(scheduler)

    def replay_point(self) -> ReplayPoint:
        """Return the position of the current item. A substream that starts with it can be replayed from there."""
        source = self.source
        is_root = isinstance(source, Face) and cast("object", source.origin) is source
        root = cast("Root", source) if is_root else None
        return ReplayPoint(self.loop, root, -1 if root is None else position_in(root, self.loop))


class ReplayPoint(NamedTuple):
    """The position of an item: the loop that passed it on, and if the source is a root, its position in the root."""

    loop: Loop[Any] | None
    root: Root | None
    position: int


Start = Callable[["Sink[B]", Scope[A]], "Callable[[A], object] | Hooks"]
"""Begins one subscription of an operator. Its state is created here, never in the factory."""


def operator(start: Start[B, A]) -> Callable[[Observable[A]], Observable[B]]:
    """Return an operator, made from a function for one subscription. It turns an AsyncStream into an AsyncStream, and
    any other Observable into a Stream.

    `start(down, scope)` is called at each subscription, and returns the function for the items of the source, or Hooks.
    """

    def lift(source: Observable[A]) -> Observable[B]:
        def link(down: Subscriber[B], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
            return _link_lifted(source, start, down, scheduler)

        return face_of(source)(link, origin_of(source))

    return lift


def _link_lifted(
    source: Observable[A], start: Start[B, A], down: Subscriber[B], scheduler: abc.SchedulerBase | None
) -> abc.DisposableBase:
    hooks = start(cast("Sink[B]", down), Scope(source, scheduler))
    if not isinstance(hooks, Hooks):
        hooks = Hooks(hooks)
    if hooks.error is not None:
        down.isolate()
    up: Subscriber[A] = _Link(hooks, down)
    if isinstance(source, Face):
        up.hold(source.link(up, scheduler))
    else:
        guard = Guard(up)
        up.hold(source.subscribe(guard.on_next, guard.on_error, guard.on_completed, scheduler=scheduler))
    return up


class _Link(Subscriber[A]):
    """An operator's subscription to its source, with the operator's cleanup."""

    __slots__ = ("_cleanup", "_down")

    def __init__(self, hooks: Hooks, down: Subscriber[Any]) -> None:
        super().__init__(hooks.next, hooks.error or down.error, hooks.completed or down.completed)
        self._cleanup = hooks.dispose
        self._down = down

    def _ending_raised(self, callback: str, error: Exception) -> None:
        self._down.error(error)  # an exception in an operator's hook ends its chain

    def dispose(self) -> None:
        cleanup, self._cleanup = self._cleanup, None
        super().dispose()
        if cleanup is not None:
            cleanup()

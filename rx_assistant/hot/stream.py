"""Stream and AsyncStream, the two faces of a stream: Observables that can be iterated, waited for and composed.

The operators of rx_assistant, `pipe` and the fluent methods keep the face: they turn a Stream into Streams, and an
AsyncStream into AsyncStreams. A plain Observable of reactivex has `__getitem__`, so a `for` over it would never end;
therefore no method returns one.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, closing
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from reactivex import Observable, Subject, abc
from reactivex.internal import SequenceContainsNoElementsError
from reactivex.operators import sequence_equal

from rx_assistant.hot.loops import AsyncItems, AsyncLoop, Loop, SyncItems, SyncLoop, loop_for
from rx_assistant.hot.root import Root
from rx_assistant.hot.subscriber import DIRECT, SUBSCRIBING, Guard, Subscriber, subscriber_of

if TYPE_CHECKING:
    from rx_assistant.hot.async_fluent import AsyncFluent
    from rx_assistant.hot.fluent import Fluent
else:
    Fluent = AsyncFluent = Observable

T_co = TypeVar("T_co", covariant=True)

_UNSAID: Any = object()
"""The default of `scheduler`, which marks a direct subscription: reactivex always passes a scheduler or None."""

Link = Callable[[Subscriber[Any], abc.SchedulerBase | None], abc.DisposableBase | None]
"""Connects a subscriber to upstream, and returns the disposable that disconnects it."""


class Face(Observable[T_co]):
    """The base of both faces, with `subscribe` and `pipe`. A root overrides `link` and `origin`."""

    feeder: Loop[Any] | None = None  # the loop that feeds this group or window of an operator of reactivex

    def __init__(self, link: Link | None = None, origin: Root | None = None) -> None:
        super().__init__()
        self._link = link
        self._origin = origin

    @property
    def origin(self) -> Root | None:
        """The root whose driver and scheduler serve this stream."""
        return self._origin

    def link(self, down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase | None:
        """Connect an internal subscriber to upstream, without the checks of the public `subscribe()`."""
        return None if self._link is None else self._link(down, scheduler)

    def subscribe(
        self,
        on_next: abc.ObserverBase[T_co] | Callable[[T_co], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        on_completed: Callable[[], object] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = _UNSAID,
    ) -> abc.DisposableBase:
        """Push every item to an observer, or to up to three functions; returns the subscription's disposable.

        Without `scheduler` the subscription waits until something reads the stream: a loop, a wait or `connect()`.
        With it, the subscription connects the stream, because operators of reactivex pass `scheduler` when they
        subscribe. The stream's option `on_subscribe` overrides both. The time operators between the stream and the
        observer use `scheduler`; by default their actions run serially with the stream's items.

        An observer that raises is detached, and its own `on_error` gets the exception; other subscribers are not
        affected (contract C5–C8). Without an `on_error`, errors are logged.

        Raises:
            TypeError: a callback is not callable, or has `async def` or `yield`, so that a call would run none of its
                code (C31).
        """
        subscriber = subscriber_of(on_next, on_error, on_completed)
        owner = SUBSCRIBING.owner
        try:
            if scheduler is _UNSAID:
                scheduler = None
                SUBSCRIBING.owner = owner or DIRECT
            subscriber.hold(self.link(subscriber, scheduler or self._scheduler()))
        except Exception as error:
            subscriber.fail(error)
        finally:
            SUBSCRIBING.owner = owner
        return subscriber

    def _scheduler(self) -> abc.SchedulerBase | None:
        return None if self.origin is None else self.origin.scheduler

    if not TYPE_CHECKING:  # the stubs of each face declare these

        def __add__(self, other):
            return wrap(super().__add__(other), like=self)

        __iadd__ = __add__

        def __getitem__(self, key):
            return wrap(super().__getitem__(key), like=self)

        def pipe(self, /, *operators):
            """Apply operators of rx_assistant and reactivex from left to right; returns a stream of the same kind.

            Raises TypeError for an argument that is not an operator, or whose parentheses are missing.
            """
            return _pipe(self, operators)

        # with a visible __getattr__, type checkers would accept misspelt attributes
        def __getattr__(self, name):
            # Attributes of the wrapped observable: `connect` of a ConnectableObservable, `key` of a group.
            wrapped = self.__dict__.get("_wrapped")
            if wrapped is None or name.startswith("__"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = getattr(wrapped, name)
            return _keeping_face(value, self) if inspect.ismethod(value) else value


def _keeping_face(method: Callable[..., Any], stream: Observable[Any]) -> Callable[..., Any]:
    """Return the bound method, with results that are streams of the same face."""

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        return wrap(method(*arguments, **options), like=stream)

    return call


def _fluent(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Observable[Any], *arguments: Any, **options: Any) -> Any:
        if method.__name__ == "sequence_equal":
            arguments = tuple([_plain(each) for each in arguments])
            options = {name: _plain(each) for name, each in options.items()}
        return wrap(method(self, *arguments, **options), like=self)

    return call


def _keep_faces() -> None:
    """Make each fluent method return a stream. Some of reactivex's fluent methods do not call `pipe`."""
    for name in dir(Observable):
        if not (name.startswith("_") or name in ("run", "to_future") or name in vars(Face)):
            method = getattr(Observable, name)
            if callable(method):
                setattr(Face, name, _fluent(method))


_keep_faces()


class Stream(Face[T_co], Fluent[T_co]):
    """An Observable that is also iterable: `for item in stream`, `stream.run()`.

    Each loop is a new subscription. The loop reads the source if no other reader does.
    """

    def __iter__(self) -> Iterator[T_co]:
        """Iterate from the first stored item, or with `replay="none"` from the next one; read at the loop's pace."""
        return SyncItems(SyncLoop(self))

    def __next__(self) -> T_co:
        raise TypeError(
            "next() must be given an iterator, got a stream: write `items = iter(stream)`, then `next(items)`"
        )

    def __aiter__(self) -> AsyncIterator[T_co]:
        raise TypeError("this is a synchronous stream: write `for item in stream`, without `async`")

    def __await__(self) -> Generator[Any, None, T_co]:
        raise TypeError("this is a synchronous stream: write `stream.run()` instead of `await stream`")

    def run(self, scheduler: abc.SchedulerBase | None = None) -> T_co:
        """Wait for the end on this thread, and return the last item. `scheduler` has no effect.

        Raises:
            SequenceContainsNoElementsError: there was no item.
            Exception: the stream's error, if it fails.
        """
        last: Any = _NONE
        items: SyncItems[T_co] = SyncItems(SyncLoop(self))
        with closing(items):  # leave the stream at once, even if a traceback keeps the iterator
            for item in items:
                last = item
        return cast("T_co", _only(last))


class AsyncStream(Face[T_co], AsyncFluent[T_co]):
    """An Observable that is also async iterable: `async for item in stream`, `await stream`.

    Each loop is a new subscription. The loop reads the source if no other reader does.
    """

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Iterate from the first stored item, or with `replay="none"` from the next one; read at the loop's pace."""
        return AsyncItems(AsyncLoop(self))

    def __anext__(self) -> Awaitable[T_co]:
        raise TypeError(
            "anext() must be given an iterator, got a stream: write `items = aiter(stream)`, then `await anext(items)`"
        )

    def __iter__(self) -> Iterator[T_co]:
        raise TypeError("this is an asynchronous stream: write `async for item in stream`")

    def run(self, scheduler: abc.SchedulerBase | None = None) -> T_co:
        """Raise TypeError: an asynchronous stream must be awaited."""
        raise TypeError("this is an asynchronous stream: write `await stream` instead of `stream.run()`")

    def __await__(self) -> Generator[Any, None, T_co]:
        """Wait for the end, and return the last item.

        Raises SequenceContainsNoElementsError if there was no item, and the stream's error if it fails.
        """
        return self._last().__await__()

    async def _last(self) -> T_co:
        last: Any = _NONE
        items: AsyncItems[T_co] = AsyncItems(AsyncLoop(self))
        async with aclosing(items):  # leave the stream at once, even if a traceback keeps the iterator
            async for item in items:
                last = item
        return cast("T_co", _only(last))


def wrap(source: Any, *, like: Observable[Any]) -> Any:
    """Wrap a plain Observable, or each of a list of them, in a stream with the face of `like`.

    Items that are plain Observables, such as groups or windows, are wrapped too. Other items stay unchanged.
    """
    if type(source) is list:
        return [wrap(one, like=like) for one in source]
    if isinstance(source, Face) or not isinstance(source, Observable):
        return source
    face, origin = face_of(like), origin_of(like)

    def link(down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        guard = _Wrapping(down, like, loop_for(scheduler))
        return source.subscribe(guard.on_next, guard.on_error, guard.on_completed, scheduler=scheduler)

    stream = face(link, origin)
    vars(stream)["_wrapped"] = source
    return stream


class _Wrapping(Guard[Any]):
    """A guard that wraps items that are plain Observables."""

    __slots__ = ("_like", "_loop")

    def __init__(self, down: Subscriber[Any], like: Observable[Any], loop: Loop[Any] | None) -> None:
        super().__init__(down)
        self._like = like
        self._loop = loop

    def on_next(self, item: Any) -> None:
        if isinstance(item, Observable) and not isinstance(item, (Face, Subject)):
            item = wrap(item, like=self._like)
            item.feeder = self._loop
        super().on_next(item)


def face_of(source: Observable[Any]) -> type[Stream[Any]] | type[AsyncStream[Any]]:
    """Return the face for streams derived from `source`: AsyncStream for an AsyncStream, else Stream."""
    return AsyncStream if isinstance(source, AsyncStream) else Stream


def origin_of(source: Observable[Any]) -> Root | None:
    """Return the root whose driver and scheduler serve streams derived from `source`."""
    return source.origin if isinstance(source, Face) else None


def _pipe(source: Any, operators: tuple[Callable[[Any], Any], ...]) -> Any:
    result = source
    for apply in operators:
        result = wrap(_applied(apply, result), like=source)
    return result


def _applied(apply: Any, source: Any) -> Any:
    """Apply one operator. Raises TypeError when it is not an operator, or its parentheses are missing."""
    if not callable(apply):
        raise TypeError(f"pipe() must be given operators, one after the other, got {apply!r}")
    if inspect.isfunction(apply) and not _takes_a_source(apply):
        raise _without_parentheses(apply)
    result = _not_iterating(apply)(source)
    if inspect.isfunction(result):  # `apply` returned an operator, so its parentheses were missing
        raise _without_parentheses(apply)
    return result


def _not_iterating(apply: Any) -> Any:
    """Return `sequence_equal(stream)` as an operator that subscribes to the stream.

    reactivex would take the stream for an iterable, because it has `__iter__`, and read all of it in `subscribe()`.
    """
    if getattr(apply, "__module__", None) != "reactivex.operators._sequenceequal":
        return apply
    arguments = inspect.getclosurevars(apply).nonlocals
    second = arguments.get("second_")
    iterated = getattr(second, "_subscribe", None)
    stream = inspect.getclosurevars(iterated).nonlocals.get("iterable") if inspect.isfunction(iterated) else None
    if not isinstance(stream, Face):
        return apply
    return sequence_equal(_plain(stream), arguments.get("comparer_"))


def _plain(stream: Any) -> Any:
    """Return an Observable with the stream's items that is not iterable. Other values are returned unchanged."""
    if not isinstance(stream, Face):
        return stream

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return stream.subscribe(observer, scheduler=scheduler)

    return Observable(subscribe)


def _takes_a_source(apply: FunctionType) -> bool:
    code = apply.__code__
    return code.co_argcount > 0 or bool(code.co_flags & inspect.CO_VARARGS)


def _without_parentheses(apply: Any) -> TypeError:
    name = getattr(apply, "__name__", "it")
    return TypeError(f"pipe() must be given operators, got {name}, which returns one: call it, as in pipe({name}())")


_NONE: Any = object()


def _only(last: object) -> object:
    if last is _NONE:
        raise SequenceContainsNoElementsError
    return last

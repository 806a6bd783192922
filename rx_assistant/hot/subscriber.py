"""One observer's subscription in a chain of operators. Its exceptions reach no other observer, and after its end it
ignores all signals.

The owner of a subscription. A root (a stream that owns a log) must find it out when something subscribes to it.
reactivex passes the scheduler of a subscription to every source, also to one that is subscribed to later, so a root
recognises a loop by its scheduler. An operator with a `scheduler` argument (`delay(1.0, scheduler=…)`) replaces that
scheduler. Therefore the loop, or the direct `subscribe()`, that is subscribing on this thread counts as well: it is
`SUBSCRIBING.owner`.

    the scheduler is   the owner is   the subscription …
    ────────────────   ────────────   ────────────────────────────────────────────────────────────────────────
    a loop's           anything       belongs to that loop, which reads the root with a private cursor
    another            a loop         belongs to that loop
    another            DIRECT         is direct: it waits until something reads the stream
    another            None           is foreign: an operator of reactivex made it, and it connects the stream
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from reactivex import abc

from rx_assistant.errors import StreamClosedError

T = TypeVar("T")

_log = logging.getLogger("rx_assistant")

DIRECT: Final = object()
"""The owner of a subscription that the program makes itself."""


class Subscribing(threading.local):
    """The owner of the subscription that is being made on this thread. None while a log delivers."""

    owner: object | None = None


SUBSCRIBING = Subscribing()


class Sink(Protocol[T]):
    """The downstream of an operator. Read `next` again for every item, because disposal replaces it."""

    next: Callable[[T], object]

    def error(self, error: Exception) -> None:
        """End with an error."""

    def completed(self) -> None:
        """End well."""

    def dispose(self) -> None:
        """End the subscription: the source is disposed, and downstream gets no further signal."""


def _ignore(_item: object) -> None:
    """Replaces a callback after the end of its subscription."""


class Subscriber(abc.DisposableBase, Generic[T]):
    """An observer and its subscription in one object; it is what `subscribe()` returns.

    `next` is the observer's own function, so that an item costs no further call. If it raises, its caller passes the
    exception to `fail()`: the log, or the guard after an operator of reactivex. Contract C1, C5, C7, C17–C19.
    """

    __slots__ = ("_on_completed", "_on_error", "_upstream", "active", "next")

    def __init__(
        self,
        on_next: Callable[[T], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        on_completed: Callable[[], object] | None = None,
    ) -> None:
        self.next: Callable[[T], object] = on_next or _ignore
        self._on_error = on_error
        self._on_completed = on_completed
        self._upstream: abc.DisposableBase | None = None
        self.active = True

    def hold(self, upstream: abc.DisposableBase | None) -> None:
        """Store the disposable of the source for `dispose()`. Dispose it at once if the subscription has ended."""
        self._upstream = upstream
        if not self.active:  # checked after storing it: either another thread's dispose() finds it, or this one
            self._let_go()

    def isolate(self) -> None:
        """Catch the exceptions of `next`, because an operator upstream would handle them like errors of its source."""
        on_next = self.next

        def guarded(item: T) -> None:
            try:
                on_next(item)
            except Exception as error:
                self.fail(error)

        if self.active:
            self.next = guarded

    def dispose(self) -> None:
        """Stop at once and drop every reference. Idempotent, from any thread."""
        self._let_go()

    def _let_go(self) -> None:
        self.active = False
        self.next = _ignore
        self._on_error = self._on_completed = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.dispose()

    def error(self, error: Exception) -> None:
        """End with `error`: call `on_error`, once. Without it the error is logged, unless it is StreamClosedError."""
        if not self.active:
            return
        callback = self._on_error
        self._let_go()
        try:
            if callback is not None:
                callback(error)
            elif not isinstance(error, StreamClosedError):
                _log.error("a subscriber without on_error: %s: %s", type(error).__name__, error, exc_info=error)
        except Exception as raised:
            self._ending_raised("on_error", raised)

    fail = error

    def completed(self) -> None:
        """Complete: call `on_completed`, once. Its exception is logged; other subscribers still get the ending (C4)."""
        if not self.active:
            return
        callback = self._on_completed
        self._let_go()
        if callback is None:
            return
        try:
            callback()
        except Exception as raised:
            self._ending_raised("on_completed", raised)

    def _ending_raised(self, callback: str, error: Exception) -> None:
        _log.error("a subscriber's %s raised", callback, exc_info=error)


class Guard(Generic[T]):
    """The observer after an operator of reactivex. The final subscriber's exceptions must not reach it (C5–C8)."""

    __slots__ = ("_down",)

    def __init__(self, down: Subscriber[T]) -> None:
        self._down = down

    def on_next(self, item: T) -> None:
        down = self._down
        try:
            down.next(item)
        except Exception as error:
            down.fail(error)

    def on_error(self, error: Exception) -> None:
        self._down.error(error)

    def on_completed(self) -> None:
        self._down.completed()


def subscriber_of(
    on_next: Any,
    on_error: Callable[[Exception], object] | None,
    on_completed: Callable[[], object] | None,
) -> Subscriber[Any]:
    """Return the subscriber for the arguments of the public `subscribe()`: an observer, or up to three callables.

    Raises TypeError for functions with `async def` or `yield`, whose code a call does not run (C31).
    """
    if on_next is not None and hasattr(on_next, "on_next"):
        observer = cast("abc.ObserverBase[Any]", on_next)
        on_next, on_error, on_completed = observer.on_next, observer.on_error, observer.on_completed
    for name, callback in (("on_next", on_next), ("on_error", on_error), ("on_completed", on_completed)):
        if callback is None:
            continue
        if not callable(callback):
            raise TypeError(f"{name} must be callable or an observer, got {type(callback).__name__}")
        kind = deferred(callback)
        if kind is not None:
            raise TypeError(
                f"{name} must be a plain function, got {kind}: a call runs none of its code. {_INSTEAD[kind]}"
            )
    return Subscriber(on_next, on_error, on_completed)


_LOOP = "Write a plain def; to yield the items, loop over the stream instead of subscribing"
_INSTEAD = {
    "a generator function": _LOOP,
    "an async generator function": _LOOP,
    "an async function": (
        "Write `async for`, attach an AsyncAssistantEventHandler, or start a task from a plain function"
    ),
}


_KINDS = (
    (inspect.iscoroutinefunction, "an async function"),
    (inspect.isasyncgenfunction, "an async generator function"),
    (inspect.isgeneratorfunction, "a generator function"),
)


def deferred(callback: object) -> str | None:
    """Return the kind of a function, such as "a generator function", if a call runs none of its code; else None.

    Partial functions and objects with `__call__` are unwrapped.
    """
    while isinstance(callback, functools.partial):
        callback = callback.func
    for candidate in (callback, getattr(callback, "__call__", None)):  # noqa: B004 - it may be a generator function
        for is_kind, name in _KINDS:
            if is_kind(candidate):
                return name
    return None

"""One observer's place in a chain: slotted, isolating, and deaf once it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

from reactivex import abc

from rx_assistant.errors import StreamClosedError
from rx_assistant.hot._callables import deferred

T = TypeVar("T")

_log = logging.getLogger("rx_assistant")


class Sink(Protocol[T]):
    """What an operator pushes into. Read `next` anew for every item: disposal replaces it."""

    next: Callable[[T], object]

    def error(self, error: Exception) -> None:
        """End with an error."""

    def completed(self) -> None:
        """End well."""

    def dispose(self) -> None:
        """Let go of both sides without a word: the source is left, and downstream hears nothing more."""


def _deaf(_item: object) -> None:
    """Take the place of a callback whose subscription is over."""


class Subscriber(abc.DisposableBase, Generic[T]):
    """An observer and its subscription in one object; it is what `subscribe()` returns.

    `next` is the observer's own callable, so that an item costs no call in between. An exception in it reaches
    `fail()` from whoever made the call: the log, or the guard below a stock operator. C1, C5, C7, C17–C19.
    """

    __slots__ = ("_on_completed", "_on_error", "_upstream", "active", "next")

    def __init__(
        self,
        on_next: Callable[[T], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        on_completed: Callable[[], object] | None = None,
    ) -> None:
        self.next: Callable[[T], object] = on_next or _deaf
        self._on_error = on_error
        self._on_completed = on_completed
        self._upstream: abc.DisposableBase | None = None
        self.active = True

    def hold(self, upstream: abc.DisposableBase | None) -> None:
        """Keep what `dispose()` has to dispose; at once, when it is already over."""
        self._upstream = upstream
        if not self.active:  # looked at afterwards: whoever disposes meanwhile finds it, or we do
            self._let_go()

    def isolate(self) -> None:
        """Keep to itself what `next` raises: an operator upstream would take it for an error of its source's."""
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
        self.next = _deaf
        self._on_error = self._on_completed = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.dispose()

    def error(self, error: Exception) -> None:
        """End with `error`: on_error once; without one it is logged, unless it only says that we closed."""
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
        """End well: on_completed once. What it raises is logged and costs nobody else the ending (C4)."""
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
    """An observer below stock operators: what the final subscriber raises must not unwind through them (C5–C8)."""

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
    """Give the subscriber for whatever the public `subscribe()` accepts: an observer, or up to three callables.

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
            raise TypeError(f"{name} is {kind}, and calling it runs none of its code. {_INSTEAD[kind]}")
    return Subscriber(on_next, on_error, on_completed)


_LOOP = "Write a plain def; to yield the items, loop over the stream instead of subscribing"
_INSTEAD = {
    "a generator function": _LOOP,
    "an async generator function": _LOOP,
    "an async function": (
        "Write `async for`, attach an AsyncAssistantEventHandler, or start a task from a plain function"
    ),
}

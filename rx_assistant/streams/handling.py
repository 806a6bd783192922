"""The protocols between a stream and its event handlers. The package `handlers` implements them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rx_assistant.events import StreamEvent

H_co = TypeVar("H_co", covariant=True)


class Binding(Protocol):
    """A handler bound to one stream: it turns each event into callbacks. An async one returns an awaitable."""

    is_async: bool

    def next(self, event: StreamEvent) -> Awaitable[None] | None:
        """Run the callbacks of one event, and raise what they raise."""

    def error(self, error: Exception) -> Awaitable[None] | None:
        """Run `on_timeout` for a timeout, `on_exception` unless the program closed the stream, and `on_end`."""

    def completed(self) -> Awaitable[None] | None:
        """Run `on_end`."""


class Handler(Protocol):
    """An event handler. A stream calls no other method of it than this one."""

    def __rx_bind__(self, stream: Any) -> Binding:
        """Bind the handler to `stream`. Raises RuntimeError if it is bound already, TypeError for a stream of the wrong
        kind."""
        ...


def bound(handler: object, stream: Any) -> Binding:
    """Bind a handler to `stream`. Raises TypeError for other objects, such as a class or a handler of the SDK."""
    if isinstance(handler, type):
        name = handler.__name__
        raise TypeError(f"an event handler must be an object, got the class {name}: write {name}()")
    if not hasattr(handler, "__rx_bind__"):
        kind = type(handler)
        raise TypeError(
            "an event handler must be derived from rx_assistant.AssistantEventHandler or "
            f"rx_assistant.AsyncAssistantEventHandler, got {kind.__module__}.{kind.__qualname__}"
        )
    return cast("Handler", handler).__rx_bind__(stream)

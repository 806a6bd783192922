"""What a stream and an event handler ask of each other. The callbacks themselves are made in `handlers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rx_assistant.events import StreamEvent

H_co = TypeVar("H_co", covariant=True)


class Binding(Protocol):
    """A handler bound to one stream: it turns each event into callbacks. An async one gives something to await."""

    is_async: bool

    def next(self, event: StreamEvent) -> Awaitable[None] | None:
        """Run the callbacks of one event; what they raise comes out."""

    def error(self, error: Exception) -> Awaitable[None] | None:
        """Run `on_timeout` where it fits, `on_exception` and `on_end`."""

    def completed(self) -> Awaitable[None] | None:
        """Run `on_end`."""


class Handler(Protocol):
    """An event handler. The only name that a stream calls on it is this one."""

    def __rx_bind__(self, stream: Any) -> Binding:
        """Bind to `stream`; RuntimeError when it is bound already, TypeError when it cannot serve such a stream."""
        ...


def bound(handler: object, stream: Any) -> Binding:
    """Bind a handler to `stream`; a TypeError says what is no handler, such as a class or one of the official SDK's."""
    if isinstance(handler, type):
        raise TypeError(f"an event handler is an object, not a class: write {handler.__name__}()")
    if not hasattr(handler, "__rx_bind__"):
        kind = type(handler)
        raise TypeError(
            f"{kind.__module__}.{kind.__qualname__} is no event handler: derive it from "
            "rx_assistant.AssistantEventHandler or rx_assistant.AsyncAssistantEventHandler"
        )
    return cast("Handler", handler).__rx_bind__(stream)

"""The attributes that a handler takes from its stream, as descriptors. Attributes of the user's classes come first."""

from __future__ import annotations

from typing import Any, TypeVar

from rx_assistant.handlers.binding import binding_of, is_bound

C = TypeVar("C", bound=type)

FROM_STREAM = (
    "cancel",
    "cancel_and_wait",
    "close",
    "connect",
    "get_final_messages",
    "get_final_run",
    "get_final_run_steps",
    "pending_calls",
    "pipe",
    "request_id",
    "snapshot",
    "subscribe",
    "text_deltas",
    "tool_events",
    "until_done",
)
"""Attributes of the stream that a handler has too. They raise NotAttachedError before the handler has a stream."""

FROM_BINDING = {
    "current_event": "event",
    "current_message_snapshot": "message",
    "current_run": "run",
    "current_run_step_snapshot": "step",
    "exception": "exception",
}
"""Attributes that a handler takes from its binding, with their names there. They are None before it has a stream."""


def with_stream_names(base: C) -> C:
    """Add the attributes of the stream and of the binding to a handler class."""
    for name in FROM_STREAM:
        setattr(base, name, _FromStream(base, name))
    for name, answer in FROM_BINDING.items():
        setattr(base, name, _FromBinding(base, name, answer))
    return base


class _Name:
    """An attribute that is easily overridden: by attributes of the instance and of subclasses, because it is not a data
    descriptor, and by classes after the handler class among the bases."""

    def __init__(self, base: type, name: str) -> None:
        self._base = base
        self._name = name

    def __get__(self, handler: Any, owner: type) -> Any:
        if handler is None:
            return self
        behind = owner.__mro__[owner.__mro__.index(self._base) + 1 :]
        if any(self._name in vars(other) for other in behind):
            return getattr(super(self._base, handler), self._name)
        return self._answer(handler)

    def _answer(self, handler: Any) -> Any:
        raise NotImplementedError


class _FromStream(_Name):
    def _answer(self, handler: Any) -> Any:
        return getattr(binding_of(handler).stream, self._name)


class _FromBinding(_Name):
    def __init__(self, base: type, name: str, answer: str) -> None:
        super().__init__(base, name)
        self._in_binding = answer

    def _answer(self, handler: Any) -> Any:
        return getattr(binding_of(handler), self._in_binding) if is_bound(handler) else None

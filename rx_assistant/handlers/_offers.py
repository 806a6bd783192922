"""What a handler offers of its stream, as descriptors that whatever the user's class defines takes precedence over."""

from __future__ import annotations

from typing import Any, TypeVar

from rx_assistant.handlers._binding import binding_of

C = TypeVar("C", bound=type)

_OFFERED = (
    "cancel",
    "close",
    "connect",
    "get_final_messages",
    "get_final_run",
    "get_final_run_steps",
    "pipe",
    "request_id",
    "snapshot",
    "subscribe",
    "text_deltas",
    "until_done",
)
_OWN = {
    "current_event": "event",
    "current_message_snapshot": "message",
    "current_run": "run",
    "current_run_step_snapshot": "step",
    "exception": "exception",
}


def offering(base: C) -> C:
    """Give a handler class the names of its stream, and of its own view of it."""
    for name in _OFFERED:
        setattr(base, name, _Offered(name))
    for name, answer in _OWN.items():
        setattr(base, name, _Own(answer))
    return base


class _Offered:
    """A name of the stream's that a handler passes on, unless the user's class or `__init__` defines it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, handler: Any, owner: type) -> Any:
        return self if handler is None else getattr(binding_of(handler, needed=True).stream, self._name)


class _Own:
    """A name that a handler's binding answers: its own view of the stream."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, handler: Any, owner: type) -> Any:
        if handler is None:
            return self
        binding = binding_of(handler, needed=False)
        return None if binding is None else getattr(binding, self._name)

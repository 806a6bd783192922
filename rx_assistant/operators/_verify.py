"""Events → the same events, as long as their order follows the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from reactivex import Observable

from rx_assistant.errors import ProtocolError
from rx_assistant.events import (
    MessageEvent,
    RunEvent,
    RunStepEvent,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    misnamed,
)
from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.lifecycle import Grammar, VerifyMode
from rx_assistant.operators._select import E, Event

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


def verify(mode: VerifyMode = "lenient") -> Callable[[Observable[E]], Observable[E]]:
    """Emit the same events, or a ProtocolError instead of the first event that is not allowed.

        source    run.created  message.delta
        verify()  run.created  X ProtocolError

    `"strict"` accepts the order of events from OpenAI's servers. `"lenient"` checks each run, step and message
    separately: it is created once, has no event after its last status, and so on. The recorded streams of all servers
    pass. Both modes also check the end: a stream that completes in the middle of a run is an error. A stream that
    fails keeps its error. An event with an unknown name passes. A delta under another event name is an error, because
    its name was corrupted on the way and its text would be missing.

    >>> stream.pipe(ax.verify()).run().event
    'thread.run.completed'

    Raises:
        ProtocolError: an event is not allowed; through on_error. The message names the event, the state and the
            expected events; `event` is the event.
        EventDecodeError: a payload is not a JSON object; through on_error.
        ValueError: `mode` is unknown; at once.
    """
    Grammar(mode)
    return in_order(lambda: _Assistants(Grammar(mode)))


class Order(Protocol[T_contra]):
    """The order of one protocol, for one stream. Both methods raise ProtocolError."""

    def take(self, event: T_contra, /) -> None:
        """Check the next event."""
        ...

    def finish(self) -> None:
        """Check that the stream may end here."""
        ...


def in_order(begin: Callable[[], Order[Any]]) -> Callable[[Observable[T]], Observable[T]]:
    """Emit the same events, or the ProtocolError of the Order that `begin` returns for each subscription."""

    def start(down: Sink[T], scope: Scope[T]) -> Hooks:
        order = begin()

        def on_event(event: T) -> None:
            order.take(event)
            down.next(event)

        def on_completed() -> None:
            try:
                order.finish()
            except ProtocolError as error:
                down.error(error)
            else:
                down.completed()

        return Hooks(on_event, completed=on_completed)

    return operator(start)


class _Assistants:
    """The grammar of the Assistants protocol, as an Order of events."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self.finish = grammar.finish

    def take(self, event: Event) -> None:
        try:
            _feed(self._grammar, event)
        except ProtocolError as error:
            error.event = event
            raise


def _feed(grammar: Grammar, event: Event) -> None:
    name = event.event
    if (word := misnamed(event)) is not None:
        raise ProtocolError(f"event {name!r}: the payload must match the event's name, got a {word!r}")
    if isinstance(event, ThreadMessageDelta):
        grammar.feed(name, id=event.message_id or None)
    elif isinstance(event, ThreadRunStepDelta):
        grammar.feed(name, id=event.step_id or None)
    elif isinstance(event, RunEvent):
        grammar.feed(name, id=_word(event.data.id), status=_word(event.data.status))
    elif isinstance(event, RunStepEvent | MessageEvent):
        data = event.data
        grammar.feed(name, id=_word(data.id), status=_word(data.status), run_id=_word(data.run_id))
    else:
        grammar.feed(name)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None

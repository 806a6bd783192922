"""Events → the same events, as long as they come in an order that the protocol knows."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable

from rx_assistant.errors import ProtocolError
from rx_assistant.events import (
    MessageEvent,
    RunEvent,
    RunStepEvent,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    UnknownEvent,
)
from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.lifecycle import Grammar, VerifyMode
from rx_assistant.operators._select import E, Event


def verify(mode: VerifyMode = "lenient") -> Callable[[Observable[E]], Observable[E]]:
    """Emit the same events, or a ProtocolError in the place of the first that should not be there.

        source    run.created  message.delta
        verify()  run.created  X ProtocolError

    `"strict"` is the order in which OpenAI's servers tell a run. `"lenient"` holds each run, step and message to its
    own life: created once, no further event after its last status, and so on; recorded streams of all servers pass.
    Both also judge the end, by on_completed: a stream that completes in the middle of a run is an error. A stream that
    fails keeps its own error. An event of an unknown name passes, unless its payload is a delta: then the name was
    garbled on the way, and text is missing.

    >>> stream.pipe(ax.verify()).run().event
    'thread.run.completed'

    Raises:
        ProtocolError: says what arrived, in which state, and what was expected, with the `event`; through on_error.
        EventDecodeError: a payload is not a JSON object; through on_error.
        ValueError: there is no such mode; at once.
    """
    Grammar(mode)

    def start(down: Sink[E], scope: Scope[E]) -> Hooks:
        grammar = Grammar(mode)

        def on_event(event: E) -> None:
            try:
                _feed(grammar, event)
            except ProtocolError as error:
                error.event = event
                raise
            down.next(event)

        def on_completed() -> None:
            try:
                grammar.finish()
            except ProtocolError as error:
                down.error(error)
            else:
                down.completed()

        return Hooks(on_event, completed=on_completed)

    return operator(start)


def _feed(grammar: Grammar, event: Event) -> None:
    name = event.event
    if isinstance(event, ThreadMessageDelta):
        grammar.feed(name, id=event.message_id or None)
    elif isinstance(event, ThreadRunStepDelta):
        grammar.feed(name, id=event.step_id or None)
    elif isinstance(event, RunEvent):
        grammar.feed(name, id=_word(event.data.id), status=_word(event.data.status))
    elif isinstance(event, RunStepEvent | MessageEvent):
        data = event.data
        grammar.feed(name, id=_word(data.id), status=_word(data.status), run_id=_word(data.run_id))
    elif isinstance(event, UnknownEvent) and event.misnamed is not None:
        raise ProtocolError(f"event {name!r}: the payload is a {event.misnamed!r}: expected an event of that name")
    else:
        grammar.feed(name)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None

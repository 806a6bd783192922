"""Events → the events of one class, or with names that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from reactivex import Observable

from rx_assistant.events import BY_NAME, StreamEvent, UnknownEvent
from rx_assistant.hot import Scope, Sink, operator

Event: TypeAlias = "StreamEvent[str, object]"
"""Any event. A plain `StreamEvent` contains Any, so type checkers would lose the result type of `pipe`."""

E = TypeVar("E", bound="Event")


def of_type(kind: type[E]) -> Callable[[Observable[Event]], Observable[E]]:
    """Emit the events of one class. Type checkers see items of this class.

        source                        run.created  message.delta  run.completed  |
        of_type(ThreadMessageDelta)                message.delta

    A base class such as `RunEvent` or `MessageEvent` matches all events with that whole object. `DoneEvent` and
    `ErrorEvent` end a stream, which never emits them.

    >>> from rx_assistant.events import ThreadMessageCompleted
    >>> for event in stream.pipe(ax.of_type(ThreadMessageCompleted)):
    ...     print(event.data.content[0].text.value)
    It is 12°C in Paris.

    Raises:
        TypeError: `kind` is not an event class; at once.
    """
    if not (isinstance(kind, type) and issubclass(kind, StreamEvent)):
        raise TypeError(f"kind must be an event class such as ThreadMessageDelta, got {kind!r}: for names use events()")

    def start(down: Sink[E], scope: Scope[Event]) -> Callable[[Event], object]:
        def on_event(event: Any) -> None:
            if isinstance(event, kind):
                down.next(event)

        return on_event

    return operator(start)


def events(pattern: str) -> Callable[[Observable[E]], Observable[E]]:
    """Emit the events whose name matches a pattern. `*` is one dotted segment, `**` any number of segments.

        source                   run.created  run.step.delta  message.delta  |
        events("thread.run.*")   run.created
        events("thread.run.**")  run.created  run.step.delta
        events("**.delta")                    run.step.delta  message.delta

    Unknown events are matched by their name on the wire.

    >>> [event.event for event in stream.pipe(ax.events("thread.message.*"))][:2]
    ['thread.message.created', 'thread.message.in_progress']

    Raises:
        TypeError: `pattern` is not a text; at once.
        ValueError: a segment is empty, or contains a star and other characters; at once.
    """
    fits = _compiled(pattern)
    kinds = frozenset(kind for name, kind in BY_NAME.items() if fits(name))

    def start(down: Sink[E], scope: Scope[E]) -> Callable[[E], object]:
        def on_event(event: E) -> None:
            kind = type(event)
            if kind in kinds or (kind is UnknownEvent and fits(event.event)):
                down.next(event)

        return on_event

    return operator(start)


def _compiled(pattern: str) -> Callable[[str], object]:
    """Return a function that tests whether a name matches."""
    if not isinstance(pattern, str):
        raise TypeError(
            f"pattern must be a text such as 'thread.run.*', got {pattern!r:.60}: for classes use of_type()"
        )
    segments = pattern.split(".")
    for segment in segments:
        if not segment or ("*" in segment and segment not in ("*", "**")):
            raise ValueError(f"each segment of the pattern {pattern!r} must be a word, '*' or '**', got {segment!r}")
    expression = "".join(_EXPRESSIONS.get(segment) or re.escape("." + segment) for segment in segments)
    fullmatch = re.compile(expression, re.DOTALL).fullmatch
    return lambda name: fullmatch("." + name)  # with this dot, every segment begins with one


_EXPRESSIONS = {"*": r"\.[^.]*", "**": r"(?:\.[^.]*)*"}

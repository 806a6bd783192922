"""A handler's binding to its stream: the callbacks to run, and the state for the handler's `current_…`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from rx_assistant.errors import APITimeoutError, StreamClosedError
from rx_assistant.handlers.callbacks import Callbacks, Invocation
from rx_assistant.handlers.checks import refuse_deferred
from rx_assistant.streams import message_around, step_around

if TYPE_CHECKING:
    from rx_assistant.events import StreamEvent
    from rx_assistant.types import Message, Run, RunStep

_KEY = "rx_assistant binding"  # not an identifier, so it cannot clash with an attribute of a user's class


class Binding:
    """A handler and its stream, for callbacks that are functions. Implements streams.Binding."""

    is_async = False

    def __init__(self, handler: object, base: type, stream: Any) -> None:
        self.stream = stream
        self.event: StreamEvent | None = None
        self.exception: Exception | None = None
        self._callbacks = Callbacks(handler, base)
        self._on = self._callbacks.on
        self._on_event = self._on.get("on_event")

    # -- context: that of the handler, whatever the stream's other readers do --------------------------------------

    @property
    def run(self) -> Run | None:
        """The run, from the last event that contained it."""
        return self._callbacks.fold.snapshot.run

    @property
    def message(self) -> Message | None:
        """The message that the current event belongs to."""
        return message_around(self.event, self._callbacks.fold.snapshot)

    @property
    def step(self) -> RunStep | None:
        """The run step that the current event belongs to."""
        return step_around(self.event, self._callbacks.fold.snapshot)

    # -- streams.Binding -----------------------------------------------------------------------------------------

    def next(self, event: StreamEvent) -> Awaitable[None] | None:
        """Run the callbacks of one event."""
        self.event = event
        if self._on_event is not None:
            _run([(self._on_event, (event,))])
        _run(self._callbacks.of(event))
        return None

    def error(self, error: Exception) -> Awaitable[None] | None:
        """Run `on_timeout` after a timeout, `on_exception` after an error, and `on_end` always."""
        try:
            _run(self._failure(error))
        finally:
            self.completed()
        return None

    def completed(self) -> Awaitable[None] | None:
        """Run `on_end`."""
        try:
            _run(self._end())
        except Exception as error:
            self.exception = self.exception or error
            raise
        return None

    # -- endings → invocations -----------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> Iterable[Invocation]:
        """The callbacks for a failure. If the program closed this stream, that is not a failure."""
        is_the_streams = error is self.stream.log.failure
        if is_the_streams and isinstance(error, StreamClosedError):
            return
        self.exception = error
        if is_the_streams and isinstance(error, APITimeoutError) and "on_timeout" in self._on:
            yield self._on["on_timeout"], ()
        if "on_exception" in self._on:
            yield self._on["on_exception"], (error,)

    def _end(self) -> Iterable[Invocation]:
        if "on_end" in self._on:
            yield self._on["on_end"], ()


class AsyncBinding(Binding):
    """A Binding whose callbacks may be coroutine functions. They are awaited, one after the other."""

    is_async = True

    async def next(self, event: StreamEvent) -> None:
        self.event = event
        if self._on_event is not None:
            await _awaited([(self._on_event, (event,))])
        await _awaited(self._callbacks.of(event))

    async def error(self, error: Exception) -> None:
        try:
            await _awaited(self._failure(error))
        finally:
            await self.completed()

    async def completed(self) -> None:
        try:
            await _awaited(self._end())
        except Exception as error:
            self.exception = self.exception or error
            raise


def _run(invocations: Iterable[Invocation]) -> None:
    for callback, arguments in invocations:
        result = callback(*arguments)
        if result is not None:
            refuse_deferred(callback, result)


async def _awaited(invocations: Iterable[Invocation]) -> None:
    for callback, arguments in invocations:
        result = callback(*arguments)
        if result is None:
            continue
        if inspect.isawaitable(result):
            await result
        else:
            refuse_deferred(callback, result)


class NotAttachedError(RuntimeError, AttributeError):
    """A handler's stream was used before the handler had one.

    It is an AttributeError too, so `hasattr` and inspection tools work.
    """

    def __init__(self, handler: object) -> None:
        super().__init__(
            f"this {type(handler).__name__} is not attached to a stream yet: pass it as event_handler=, "
            "or attach it with stream.attach(handler)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args), self.__dict__ or None


def _rebuilt(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    return kind.__new__(kind, *args)


def bind(handler: object, kind: type[Binding], base: type, stream: Any) -> Binding:
    """Bind a handler to a stream. Raises RuntimeError when it is bound already."""
    binding = kind(handler, base, stream)
    kept: object = vars(handler).setdefault(_KEY, binding)
    if kept is not binding:
        raise RuntimeError(
            f"this {type(handler).__name__} is bound to a stream already: create a new handler for each stream"
        )
    return binding


def binding_of(handler: object) -> Binding:
    """A handler's binding. Raises NotAttachedError when there is none yet."""
    binding: Binding | None = vars(handler).get(_KEY)
    if binding is None:
        raise NotAttachedError(handler)
    return binding


def is_bound(handler: object) -> bool:
    """Whether the handler has a stream."""
    return _KEY in vars(handler)

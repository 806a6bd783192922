"""A handler's binding to its stream: what the stream calls, and what the handler answers about itself."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from rx_assistant.errors import APITimeoutError, StreamClosedError
from rx_assistant.handlers._calls import Call, Calls
from rx_assistant.handlers._mistakes import refuse_deferred
from rx_assistant.streams import message_around, step_around

if TYPE_CHECKING:
    from rx_assistant.events import StreamEvent
    from rx_assistant.types import Message, Run, RunStep

_KEY = "rx_assistant binding"  # no identifier: no attribute of a user's class can be meant by it


class Binding:
    """A handler and its stream, for callbacks that are functions. It fulfils streams.Binding."""

    is_async = False

    def __init__(self, handler: object, base: type, stream: Any) -> None:
        self.stream = stream
        self.event: StreamEvent | None = None
        self.exception: Exception | None = None
        self._calls = Calls(handler, base)
        self._on = self._calls.on
        self._on_event = self._on.get("on_event")

    # -- context: the handler's own, whatever the stream's other readers do ----------------------------------------

    @property
    def run(self) -> Run | None:
        """The run, as the last event that told shows it."""
        return self._calls.snapshot.run

    @property
    def message(self) -> Message | None:
        """The message around the current event."""
        return message_around(self.event, self._calls.snapshot)

    @property
    def step(self) -> RunStep | None:
        """The run step around the current event."""
        return step_around(self.event, self._calls.snapshot)

    # -- streams.Binding -----------------------------------------------------------------------------------------

    def next(self, event: StreamEvent) -> Awaitable[None] | None:
        """Run the callbacks of one event."""
        self.event = event
        if self._on_event is not None:
            _run([(self._on_event, (event,))])
        _run(self._calls.of(event))
        return None

    def error(self, error: Exception) -> Awaitable[None] | None:
        """Run `on_timeout` where it fits, `on_exception`, and `on_end` in any case."""
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

    # -- endings → calls -----------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> Iterable[Call]:
        """The callbacks of a failure. That this stream was closed on purpose is none."""
        is_the_streams = error is self.stream.log.failure
        if is_the_streams and isinstance(error, StreamClosedError):
            return
        self.exception = error
        if is_the_streams and isinstance(error, APITimeoutError) and "on_timeout" in self._on:
            yield self._on["on_timeout"], ()
        if "on_exception" in self._on:
            yield self._on["on_exception"], (error,)

    def _end(self) -> Iterable[Call]:
        if "on_end" in self._on:
            yield self._on["on_end"], ()


class AsyncBinding(Binding):
    """The same with coroutines, awaited one after the other; a callback that is a plain function is called like one."""

    is_async = True

    async def next(self, event: StreamEvent) -> None:
        self.event = event
        if self._on_event is not None:
            await _awaited([(self._on_event, (event,))])
        await _awaited(self._calls.of(event))

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


def _run(calls: Iterable[Call]) -> None:
    for callback, arguments in calls:
        result = callback(*arguments)
        if result is not None:
            refuse_deferred(callback, result)


async def _awaited(calls: Iterable[Call]) -> None:
    for callback, arguments in calls:
        result = callback(*arguments)
        if result is None:
            continue
        if inspect.isawaitable(result):
            await result
        else:
            refuse_deferred(callback, result)


class NotAttachedError(RuntimeError, AttributeError):
    """A handler was asked for something of its stream's before it had one.

    An AttributeError too, so that `hasattr` and tools that look at objects are not taken by surprise.
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
    """Bind a handler to a stream; RuntimeError when it is bound already."""
    binding = kind(handler, base, stream)
    kept: object = vars(handler).setdefault(_KEY, binding)
    if kept is not binding:
        raise RuntimeError(
            f"this {type(handler).__name__} is bound to a stream already: a handler serves one stream, make a new one"
        )
    return binding


def binding_of(handler: object) -> Binding:
    """A handler's binding; NotAttachedError when it has none yet."""
    binding: Binding | None = vars(handler).get(_KEY)
    if binding is None:
        raise NotAttachedError(handler)
    return binding


def is_bound(handler: object) -> bool:
    """Whether the handler has a stream."""
    return _KEY in vars(handler)

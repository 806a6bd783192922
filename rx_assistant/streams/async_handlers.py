"""Async handlers of a stream. They are awaited event by event, and get each event after the sync subscribers.

While a handler is attached, the log's gate is one event ahead of the slowest handler: subscribers get at most one event
more than it. No cancel scope and no task group is open while a handler runs, except for the ending after a cancellation
or a close. A task that is cancelled while it awaits a handler ends the stream.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rx_assistant.hot import FOREVER

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.streams.async_home import Home
    from rx_assistant.streams.handling import Binding

_serving: ContextVar[tuple[_Service, ...]] = ContextVar("rx_assistant.serving", default=())
"""The calls of handlers that this task is part of. Such a task reads by itself, because else it would wait for itself.
A task that outlives the handler that began it waits like any other."""

Cancelled = Callable[[str], Awaitable[None]]
"""Ends the stream for all readers, with this reason."""

_log = logging.getLogger("rx_assistant")


class _Service:
    """One call of the handlers of a stream."""

    __slots__ = ("is_over", "of")

    def __init__(self, of: AsyncHandlers) -> None:
        self.of = id(of)  # no reference: a task keeps its context
        self.is_over = False


class _Attached:
    """An async handler, and how many events it has had."""

    __slots__ = ("binding", "position", "raises")

    def __init__(self, binding: Binding, raises: bool) -> None:
        self.binding = binding
        self.raises = raises
        self.position = 0


class AsyncHandlers:
    """The async handlers of one stream. `connected` is true once the stream's background task serves them."""

    def __init__(self, log: HotLog[Any], home: Home) -> None:
        self.connected = False
        self._log = log
        self._home = home
        self._attached: list[_Attached] = []
        self._busy = False

    def __bool__(self) -> bool:
        return bool(self._attached)

    def is_inside(self) -> bool:
        """Whether the caller runs inside one of these handlers."""
        return any(service.of == id(self) and not service.is_over for service in _serving.get())

    # -- coming and going ----------------------------------------------------------------------------------------

    def attach(self, binding: Binding, *, raises: bool) -> Callable[[], None]:
        """Add a handler: it gets every stored event, then each new one. Returns the function that removes it."""
        if not self._log.delivered:
            self._log.handlers.is_inside = self.is_inside
        attached = _Attached(binding, raises)
        attached.position = self._log.base if self._log.keep else self._log.position
        self._attached.append(attached)
        self._log.retain(attached)
        self.set_gate()
        return lambda: self._detach(attached)

    def _detach(self, attached: _Attached) -> None:
        if attached in self._attached:
            self._attached.remove(attached)
            self.set_gate()
            self._log.release(attached)
            self._log.drain()
            self._home.wake()

    def set_gate(self) -> None:
        """Allow delivery up to one event ahead of the slowest handler."""
        ended = self._log.ended
        positions = [a.position for a in self._attached if not (ended and a.position >= self._log.length)]
        self._log.handlers.gate = min(positions) + 1 if positions else FOREVER

    # -- serving -------------------------------------------------------------------------------------------------

    def is_behind(self, upto: int) -> bool:
        """Whether a handler lacks an event before `upto` that has arrived."""
        return bool(self._behind(upto))

    async def deliver(self, upto: int, cancelled: Cancelled, enough: Callable[[], bool] = lambda: False) -> None:
        """Deliver the events before position `upto`, and the ending if its position is below `upto`.

        Stops early when `enough()` is true.
        """
        while self._attached and not self.is_inside() and not enough():
            behind = self._behind(upto)
            if not behind:
                return
            if self._busy:
                await self._home.sleep(lambda: not self._busy)
                continue
            self._busy = True
            service = _Service(self)
            token = _serving.set((*_serving.get(), service))
            try:
                await self._serve(min(behind, key=lambda attached: attached.position), cancelled)
            finally:
                service.is_over = True
                _serving.reset(token)
                self._busy = False
                self._home.wake()

    def _behind(self, upto: int) -> list[_Attached]:
        """The handlers that lack an event before `upto` that has arrived. The ending counts as one event."""
        there = self._log.length + self._log.ended
        return [attached for attached in self._attached if attached.position < min(upto, there)]

    async def _serve(self, attached: _Attached, cancelled: Cancelled) -> None:
        """Deliver to one handler its next event, or the ending, after the sync subscribers have had it."""
        log, position = self._log, attached.position
        if log.peek(position) is None:
            await self._serve_ending(attached)
            return
        log.want(position + 1)
        event = log.item(position)
        if log.shown[0] <= position:
            log.shown = (position, event)  # later readers get the same object, parsed once
        attached.position += 1
        try:
            await _maybe(attached.binding.next(event))
        except Exception as error:
            await self._failed(attached, error)
        except BaseException:
            await self._cancel(cancelled)
            raise
        self.set_gate()

    async def _serve_ending(self, attached: _Attached) -> None:
        log = self._log
        attached.position = FOREVER
        self.set_gate()
        log.want(FOREVER)
        binding, failure = attached.binding, log.failure
        try:
            await _maybe(binding.completed() if failure is None else binding.error(failure))
        except Exception as error:
            if attached.raises:
                log.handler_raised(error, pause=not self.connected)
            else:
                _log.exception("a handler raised at the end of its stream")
        finally:
            self._detach(attached)

    async def _failed(self, attached: _Attached, error: Exception) -> None:
        self._detach(attached)
        try:
            await _maybe(attached.binding.error(error))
        except Exception:
            _log.exception("a handler raised while it handled an exception")
        finally:
            if attached.raises:
                self._log.handler_raised(error, pause=not self.connected)
            else:
                _log.error("an attached handler raised and was detached", exc_info=error)

    async def _cancel(self, cancelled: Cancelled) -> None:
        """End the stream, because the task that awaits a handler is cancelled. The other handlers get the ending."""
        self.set_gate()
        self._busy = False
        token = _serving.set(tuple(service for service in _serving.get() if service.of != id(self)))
        try:
            await cancelled("the task that was awaiting a handler of the stream was cancelled")
        finally:
            _serving.reset(token)


async def _maybe(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result

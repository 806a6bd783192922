"""One call of a function on an event loop: plain or async, a generator, or with an Observable as its result.

A synchronous function runs in a new thread, with its generator or Observable. Python cannot end a thread, so a
cancelled call is abandoned: `ToolContext.cancelled` becomes true, its generator is closed and its Observable is
disposed at the next item, and its result is dropped. The threads are daemons, so they do not keep a program alive.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import anyio
from reactivex import Observable

from rx_assistant.errors import ToolTimeoutError
from rx_assistant.hot import AsyncStream, Sleepers, deferred, start_thread
from rx_assistant.schedulers import LoopWaker, current_event_loop

if TYPE_CHECKING:
    from rx_assistant.tools.context import ToolContext


def is_async(function: Any) -> bool:
    """Whether the result of the function must be awaited or iterated on an event loop."""
    return (deferred(function) or "").startswith("an async")


async def run_call(call: Callable[[], Any], context: ToolContext, timeout: float | None) -> Any:
    """Call the function and return its value: its result, or the last item that it emits.

    Raises:
        ToolTimeoutError: it took longer than `timeout` seconds.
    """
    with anyio.move_on_after(timeout):
        if is_async(call):
            return await _value_of(call(), context)
        return await _value_of(await in_thread(lambda: _value_in_thread(call(), context)), context)
    context.give_up()
    raise ToolTimeoutError(f"the tool {context.name!r} did not finish within {timeout:g} seconds")


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a daemon thread. A cancelled caller does not wait for it."""
    waker = LoopWaker(current_event_loop())
    results: list[tuple[Any, BaseException | None]] = []

    def main() -> None:
        try:
            results.append((function(), None))
        except BaseException as error:
            results.append((None, error))
        waker.wake()

    target = contextvars.copy_context().run
    start_thread(threading.Thread(target=target, args=(main,), name="rx-assistant-tool", daemon=True))
    while not results:
        await waker.sleep(None)
    value, error = results.pop()
    if error is not None:
        raise error if isinstance(error, Exception) else RuntimeError(f"it raised {error!r}") from error
    return value


def _value_in_thread(value: Any, context: ToolContext) -> Any:
    """Exhaust an iterator or an Observable here, in the thread of its function. Awaitables are for the event loop."""
    if isinstance(value, Observable):
        return value if isinstance(value, AsyncStream) else Collector(context.report).wait(value, context)
    if not isinstance(value, Iterator) or inspect.isawaitable(value):
        return value
    last = None
    try:
        while not context.cancelled:
            last = next(value)
            context.report(last)
    except StopIteration as end:
        return last if end.value is None else end.value
    finally:
        close = getattr(value, "close", None)
        if close is not None:
            close()
    return None


async def _value_of(value: Any, context: ToolContext) -> Any:
    """Await, iterate or subscribe until the value is a plain one."""
    if isinstance(value, Observable):
        return await Collector(context.report).collect(value)
    if inspect.isawaitable(value):
        return await _value_of(await value, context)
    if hasattr(value, "__anext__"):
        return await _last_of(value, context)
    if isinstance(value, Iterator):
        return await in_thread(lambda: _value_in_thread(value, context))
    return value


async def _last_of(items: Any, context: ToolContext) -> Any:
    last = None
    try:
        async for item in items:
            last = item
            context.report(item)
    finally:
        if hasattr(items, "aclose"):
            with anyio.CancelScope(shield=True):
                await items.aclose()
    return last


class Collector:
    """Subscribes to an Observable, passes on its items, and keeps the last one."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self._take = take
        self._last: Any = None
        self._error: Exception | None = None
        self._is_over = False
        self._wake: Callable[[], None] = _nothing

    async def collect(self, source: Observable[Any], enough: Callable[[], bool] = lambda: False) -> Any:
        """Wait for the end or for the cancellation on an event loop; returns the last item."""
        waker = LoopWaker(current_event_loop())
        self._wake = waker.wake
        subscription = self._subscribe(source)
        try:
            while not (self._is_over or enough()):
                await waker.sleep(None)
        finally:
            subscription.dispose()
        return self._result()

    def wait(self, source: Observable[Any], context: ToolContext) -> Any:
        """The same on a thread, until the call is cancelled."""
        sleepers = Sleepers()
        self._wake = sleepers.wake
        context.when_given_up(sleepers.wake)
        subscription = self._subscribe(source)
        try:
            sleepers.sleep(lambda: self._is_over or context.cancelled)
        finally:
            subscription.dispose()
        return self._result()

    def _subscribe(self, source: Observable[Any]) -> Any:
        # with a scheduler, as reactivex does it, so that a stream of this library connects in the background
        return source.subscribe(self._on_next, self._on_error, self._on_completed, scheduler=None)

    def _on_next(self, item: Any) -> None:
        self._last = item
        try:
            self._take(item)
        except Exception as error:
            self._on_error(error)
        self._wake()

    def _on_error(self, error: Exception) -> None:
        self._error, self._is_over = error, True
        self._wake()

    def _on_completed(self) -> None:
        self._is_over = True
        self._wake()

    def _result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._last


def _nothing() -> None:
    """Do nothing: nothing sleeps yet."""

"""What the HTTP room needs of an event loop: which one is running, and how a wait in it is interrupted.

A wait that another task may end usually has a cancel scope around it. For the chunks of a stream that costs too much on
asyncio: there the one task that reads is cancelled, and its cancellation caught again, as `asyncio.timeout` does it. On
trio a scope is cheap, and there is no other way.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any, TypeAlias

import anyio

from rx_assistant.http.deadlines import Alarm, Left


def current_loop() -> Any:
    """A key for the event loop that is running: asyncio's loop, or trio's token."""
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            return trio.lowlevel.current_trio_token()
        except RuntimeError:
            pass
    return asyncio.get_running_loop()


def with_its_loop(close: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Call `close` when the running loop ends, or when what this gives is called, or collected; once.

    A loop that ends closes the asynchronous generators that were begun on it. So no connection outlives its loop.
    """

    async def until_closed() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await close()

    generator = until_closed()
    try:
        generator.asend(None).send(None)  # it runs to its `yield` without waiting for anything
    except StopIteration:
        pass
    return generator.aclose


class Interrupted(Exception):  # it never leaves this package
    """A wait was ended by another task, or by its limit."""


class AsyncioWaits:
    """Interrupts by cancelling the task that waits. One alarm for the whole stream."""

    __slots__ = ("_alarm", "_before", "_interrupted", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, left: Left) -> None:
        def call_later(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
            return loop.call_later(seconds, action).cancel

        self._alarm = Alarm(call_later, lambda: None if self._task is None else left(), self.interrupt)
        self._task: asyncio.Task[Any] | None = None
        self._before = 0
        self._interrupted = False

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task()
        self._before = 0 if task is None else task.cancelling()
        if not self._alarm.is_set:
            self._alarm.set()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        task, self._task = self._task, None
        if self._interrupted and error is not None and not isinstance(error, StopAsyncIteration):
            self._interrupted = False
            if task is not None and task.uncancel() <= self._before:  # the task was cancelled here, and nowhere else
                raise Interrupted from error

    def interrupt(self) -> None:
        """End the wait that is under way."""
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    def reconsider(self) -> None:
        """The limit may be nearer now: ask for it when the next wait begins."""
        self._alarm.stop()

    def stop(self) -> None:
        self._alarm.stop()


class ScopedWaits:
    """Interrupts by a cancel scope round each wait, with the limit as its deadline."""

    __slots__ = ("_left", "_scope")

    def __init__(self, left: Left) -> None:
        self._left = left
        self._scope: anyio.CancelScope | None = None

    def __enter__(self) -> None:
        scope = anyio.move_on_after(self._left())
        scope.__enter__()
        self._scope = scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope, self._scope = self._scope, None
        assert scope is not None
        scope.__exit__(kind, error, traceback)
        if scope.cancelled_caught:
            raise Interrupted from error

    def interrupt(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def reconsider(self) -> None:
        """Each wait asks anew."""

    def stop(self) -> None:
        """Nothing is set."""


Waits: TypeAlias = AsyncioWaits | ScopedWaits
"""A context for each wait of one stream, one at a time: `with` it, other tasks of the loop may interrupt the wait.

It raises Interrupted where the wait was interrupted, or met its limit.
"""


def waits(left: Left) -> Waits:
    """For the event loop that is running. `left` gives the seconds that are left to the present wait."""
    loop = current_loop()
    return AsyncioWaits(loop, left) if isinstance(loop, asyncio.AbstractEventLoop) else ScopedWaits(left)

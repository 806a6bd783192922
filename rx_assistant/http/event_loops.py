"""Which event loop is running, and how another task ends a wait on it.

Usually a cancel scope around the wait does this. On asyncio a scope for each chunk of a stream costs too much. There
the task that reads is cancelled, and its cancellation is caught again, as in `asyncio.timeout`. On trio a scope is
cheap.
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
    """The event loop that is running, as a key of a dictionary: asyncio's loop, or trio's token."""
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            return trio.lowlevel.current_trio_token()
        except RuntimeError:
            pass
    return asyncio.get_running_loop()


def with_its_loop(close: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return a function that calls `close`, and call `close` at the latest when the running loop ends.

    `close` is called once. A loop that ends closes the asynchronous generators that were begun on it, so a suspended
    generator calls `close` here. It also does so if it is garbage-collected.
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


class AsyncioSpan:
    """A `with` block that any task may end with `cancel()`. The block then ends without an exception.

    `cancel()` cancels the task in the block. The end of the block catches that cancellation, as in `asyncio.timeout`.
    """

    __slots__ = ("_before", "_is_delivered", "_is_ended", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._before = 0
        self._is_ended = False
        self._is_delivered = False

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task()
        if task is not None:
            self._before = task.cancelling()
            if self._is_ended:
                self._deliver()

    def cancel(self) -> None:
        """End the block; on the loop's thread only. A block that has not begun ends at its first wait."""
        if not self._is_ended:
            self._is_ended = True
            self._deliver()

    def _deliver(self) -> None:
        task = self._task
        if task is None:
            return
        # A task that cancels itself would only notice at its next wait, which may come after the block.
        if task is asyncio.current_task():
            asyncio.get_running_loop().call_soon(self._deliver)
        else:
            self._is_delivered = True
            task.cancel()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        task, self._task = self._task, None
        if task is None or not self._is_delivered:
            return False
        return task.uncancel() <= self._before and isinstance(error, asyncio.CancelledError)


Span: TypeAlias = AsyncioSpan | anyio.CancelScope


def span() -> Span:
    """A block that another task may end, for the running event loop. On asyncio a cancel scope costs far more."""
    return AsyncioSpan() if isinstance(current_loop(), asyncio.AbstractEventLoop) else anyio.CancelScope()


Next: TypeAlias = Callable[[], Awaitable[bytes]]
"""Waits for the next chunk of a body."""


class AsyncioWaits:
    """Ends a wait by cancelling the task that waits. One alarm serves the whole stream."""

    __slots__ = ("_alarm", "_before", "_interrupted", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, left: Left) -> None:
        self._alarm = Alarm(self._call_later, left, self.interrupt)
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._before = 0
        self._interrupted = False

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        return self._loop.call_later(seconds, action).cancel

    def around(self, wait: Next) -> Next:
        """The same waits: they end when their task is cancelled."""
        return wait

    def begin(self) -> None:
        """The calling task begins a wait."""
        self._task = task = asyncio.current_task(self._loop)
        self._before = 0 if task is None else task.cancelling()
        if not self._alarm.is_set:
            self._alarm.set()

    def interrupt(self) -> None:
        """End the current wait."""
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    def were_interrupted(self, error: BaseException) -> bool:
        """Whether `interrupt()` alone caused `error`, which ended a wait."""
        task, interrupted, self._interrupted = self._task, self._interrupted, False
        return interrupted and task is not None and task.uncancel() <= self._before

    def reconsider(self) -> None:
        """Ask for the time limit again when the next wait begins: it may be nearer now."""
        self._alarm.stop()

    def stop(self) -> None:
        """There are no more waits."""
        self._task = None
        self._alarm.stop()


class TimedWaits:
    """The waits of one asyncio task, one after the other, with a time limit. One alarm serves all of them.

    Each wait is a `with` block, which raises TimeoutError when its time is over. `left` returns the seconds that are
    left to the current wait.
    """

    __slots__ = ("_is_waiting", "_waits")

    def __init__(self, left: Callable[[], float]) -> None:
        self._is_waiting = False
        self._waits = AsyncioWaits(asyncio.get_running_loop(), lambda: left() if self._is_waiting else None)

    def __enter__(self) -> None:
        self._is_waiting = True
        self._waits.begin()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._is_waiting = False
        if isinstance(error, asyncio.CancelledError) and self._waits.were_interrupted(error):
            raise TimeoutError from None

    def reconsider(self) -> None:
        """Ask for the time limit again when the next wait begins: it may be nearer now."""
        self._waits.reconsider()

    def stop(self) -> None:
        """There are no more waits."""
        self._waits.stop()


class ScopedWaits:
    """Ends a wait through the cancel scope around it. The deadline of the scope is the time limit."""

    __slots__ = ("_left", "_scope")

    def __init__(self, left: Left) -> None:
        self._left = left
        self._scope: anyio.CancelScope | None = None

    def around(self, wait: Next) -> Next:
        """The same waits, each in a cancel scope."""

        async def scoped() -> bytes:
            with anyio.move_on_after(self._left()) as self._scope:
                return await wait()
            raise _Interrupted

        return scoped

    def begin(self) -> None:
        """Do nothing: each wait has a scope of its own."""

    def interrupt(self) -> None:
        """End the current wait."""
        if self._scope is not None:
            self._scope.cancel()

    def were_interrupted(self, error: BaseException) -> bool:
        """Whether `interrupt()` or the time limit caused `error`, which ended a wait."""
        return isinstance(error, _Interrupted)

    def reconsider(self) -> None:
        """Do nothing: each wait asks for its limit."""

    def stop(self) -> None:
        """Do nothing: no alarm is set."""


class _Interrupted(Exception):
    """A scope has ended its wait."""


Waits: TypeAlias = AsyncioWaits | ScopedWaits
"""The waits of one stream for its chunks, one after the other. Another task, or the time limit, may end a wait."""


def waits(left: Left) -> Waits:
    """The waits of a stream on the running event loop. `left` returns the seconds that are left to the current wait."""
    loop = current_loop()
    return AsyncioWaits(loop, left) if isinstance(loop, asyncio.AbstractEventLoop) else ScopedWaits(left)

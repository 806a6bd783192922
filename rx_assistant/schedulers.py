"""Event loops for streams: timers, wake-ups from other threads and `spawn()`, on asyncio and on trio.

Only this module and gui/ import trio. A stream belongs to the loop on which it was first used.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from reactivex import abc

from rx_assistant.hot import StreamScheduler

if TYPE_CHECKING:
    import trio

_log = logging.getLogger("rx_assistant")

Main = Callable[[], Coroutine[Any, Any, None]]


class Task(Protocol):
    """A task that `spawn()` started."""

    def cancel(self) -> None:
        """Cancel the task; on the loop's thread only."""

    async def wait(self) -> None:
        """Return when the task has ended, in any way."""


class EventLoop(Protocol):
    """The functions of an event loop that a stream uses."""

    def is_here(self) -> bool:
        """Whether this thread is running the loop."""
        ...

    def call_soon(self, action: Callable[[], object]) -> None:
        """Run `action` on the loop; from any thread. A closed loop drops it."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` on the loop, `seconds` from now; from any thread. Returns a function that cancels it."""
        ...

    def spawn(self, main: Main) -> Task:
        """Start a task outside the caller's cancel scopes; on the loop's thread only."""
        ...


def current_event_loop() -> EventLoop:
    """Return the event loop that is running on this thread. Raises RuntimeError when there is none."""
    trio_module = sys.modules.get("trio")
    if trio_module is not None and _trio_token(trio_module) is not None:
        return TrioLoop(trio_module)
    try:
        return AsyncioLoop(asyncio.get_running_loop())
    except RuntimeError:
        raise RuntimeError("an asynchronous stream must be used on a running event loop of asyncio or trio") from None


def loop_scheduler(loop: EventLoop) -> abc.SchedulerBase:
    """Return an Rx scheduler that runs its actions on `loop`, by a monotonic clock."""
    return StreamScheduler(loop.call_soon, loop.call_later)


class AsyncioLoop:
    """An asyncio event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def call_soon(self, action: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop is closed: nothing needs the action any more
            pass

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        if self.is_here():
            return self._loop.call_later(seconds, action).cancel
        return _later_from_outside(self, seconds, action)

    def spawn(self, main: Main) -> Task:
        task = asyncio.create_task(main())
        _spawned.add(task)
        task.add_done_callback(_spawned.discard)
        return _AsyncioTask(task)


_spawned: set[asyncio.Task[None]] = set()
"""The running tasks. asyncio holds only weak references to its tasks."""


class _AsyncioTask:
    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> None:
        self._task.cancel()

    async def wait(self) -> None:
        await asyncio.wait([self._task])


def _trio_token(module: Any) -> Any:
    """The token of the trio run on this thread, None outside of one. trio 0.28 has no `in_trio_run()`."""
    try:
        return module.lowlevel.current_trio_token()
    except RuntimeError:
        return None


class TrioLoop:
    """A trio run."""

    def __init__(self, module: Any) -> None:
        self._trio = module
        self._token: trio.lowlevel.TrioToken = module.lowlevel.current_trio_token()

    def is_here(self) -> bool:
        return _trio_token(self._trio) is self._token

    def call_soon(self, action: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(_logged, action)
        except self._trio.RunFinishedError:  # the run is over: nothing needs the action any more
            pass

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        if not self.is_here():
            return _later_from_outside(self, seconds, action)

        async def sleep() -> None:
            await anyio.sleep(seconds)
            action()

        task = self.spawn(sleep)
        return lambda: self.call_soon(task.cancel)

    def spawn(self, main: Main) -> Task:
        return _TrioTask(self._trio, main)


def _logged(action: Callable[[], object]) -> None:
    """Run the action, and log what it raises, as asyncio does: in trio it would end the whole run.

    When a run ends, trio calls the remaining actions after its last task, and they cannot start another one.
    """
    try:
        action()
    except Exception:
        _log.exception("an action on trio's event loop raised")


class _TrioTask:
    def __init__(self, module: Any, main: Main) -> None:
        self._scope: trio.CancelScope = module.CancelScope()
        self._done: trio.Event = module.Event()
        module.lowlevel.spawn_system_task(self._run, main)

    async def _run(self, main: Main) -> None:
        try:
            with self._scope:
                await main()
        finally:
            self._done.set()

    def cancel(self) -> None:
        self._scope.cancel()

    async def wait(self) -> None:
        await self._done.wait()


def _later_from_outside(loop: EventLoop, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """Set a timer from another thread. The timer is set and cancelled on the loop's thread."""
    cancels: list[Callable[[], None]] = []
    is_wanted = True

    def start() -> None:
        if is_wanted:
            cancels.append(loop.call_later(seconds, action))

    def cancel() -> None:
        nonlocal is_wanted
        is_wanted = False
        loop.call_soon(lambda: [stop() for stop in cancels])

    loop.call_soon(start)
    return cancel


class LoopWaker:
    """A flag that one task waits for and any thread may set."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._event = anyio.Event()

    def wake(self) -> None:
        """End the current sleep, or the next one."""
        if self._loop.is_here():
            self._event.set()
        else:
            self._loop.call_soon(self._set)

    def _set(self) -> None:
        self._event.set()

    async def sleep(self, seconds: float | None) -> None:
        """Return when woken, or after `seconds`; then clear the flag."""
        if seconds is None:  # a cancel scope would be half of the cost
            await self._event.wait()
        else:
            with anyio.move_on_after(seconds):
                await self._event.wait()
        self._event = anyio.Event()

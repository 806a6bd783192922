"""Where tools run: the event loop of an asynchronous stream, or one in a thread beside a synchronous stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import anyio

from rx_assistant.hot import Sleepers, start_thread
from rx_assistant.schedulers import EventLoop, Task, current_event_loop

Main = Callable[[], Coroutine[Any, Any, None]]


class Host(Protocol):
    """Runs tasks on an event loop."""

    def start(self) -> EventLoop:
        """The event loop. It is started if necessary."""
        ...

    def stop(self) -> None:
        """The tasks are being cancelled: the loop is not needed any more."""

    def join(self, seconds: float) -> None:
        """Wait until the loop has ended, if it ends with the tasks."""


class RunningLoop:
    """The event loop that is running when the first task starts."""

    def __init__(self) -> None:
        self._loop: EventLoop | None = None

    def start(self) -> EventLoop:
        if self._loop is None:
            self._loop = current_event_loop()
        return self._loop

    def stop(self) -> None:
        """Do nothing: the loop belongs to the program."""

    def join(self, seconds: float) -> None:
        """Do nothing: the loop belongs to the program."""


class LoopThread:
    """An event loop of asyncio in a daemon thread, from the first task until `stop()`."""

    def __init__(self) -> None:
        self._started: list[EventLoop] = []
        self._stopping: list[Callable[[], None]] = []
        self._sleepers = Sleepers()
        self._thread: threading.Thread | None = None
        self._over = False

    def start(self) -> EventLoop:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rx-assistant-tools", daemon=True)
            start_thread(self._thread)
        self._sleepers.sleep(lambda: bool(self._started) or self._over)
        if not self._started:
            raise RuntimeError("the event loop of the tools could not be started")
        return self._started[0]

    def stop(self) -> None:
        if self._started:
            self._started[0].call_soon(self._stopping[0])

    def join(self, seconds: float) -> None:
        if self._started and not self._started[0].is_here():
            self._sleepers.sleep(lambda: self._over, seconds)

    def _run(self) -> None:
        try:
            anyio.run(self._main)
        finally:
            self._over = True
            self._sleepers.wake()

    async def _main(self) -> None:
        stopped = anyio.Event()
        self._stopping.append(stopped.set)
        self._started.append(current_event_loop())
        self._sleepers.wake()
        await stopped.wait()


async def ended(tasks: list[Task]) -> None:
    """Return when these tasks have ended."""
    for task in tasks:
        await task.wait()

"""The server's own event loop:

`run` returns soon after its work is done, even if foreign code still runs. asyncio's runner waits for every task and
every worker thread. Here tasks get 1.5 seconds (`foreign.py`). Worker threads are daemons: neither the server's stop
nor the end of the process waits for them. A SystemExit from foreign code, or a stop of the loop by foreign code, does
not end the work.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from rx_assistant.local import foreign

P = ParamSpec("P")
T = TypeVar("T")

_MOST_IDLE = 8
_ENDING = 1.0  # seconds for a thread that is idle

_log = logging.getLogger("rx_assistant.local")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs the work on a new event loop."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Daemons())
    try:
        task = loop.create_task(work, name="rx_assistant.local")
        while not task.done():
            _go_on(loop, task)
    finally:
        try:
            _clear(loop)
        finally:
            loop.close()


def _go_on(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    try:
        loop.run_until_complete(task)
    except KeyboardInterrupt:
        if task.done() or threading.current_thread() is threading.main_thread():
            raise
        _log.exception("foreign code interrupted the event loop, which continues")
    except (SystemExit, RuntimeError):
        if task.done():
            raise
        _log.exception("foreign code tried to end the event loop, which continues")


def _clear(loop: asyncio.AbstractEventLoop) -> None:
    """End the tasks that are left on the loop."""
    try:
        tasks = asyncio.all_tasks(loop)
        if tasks:
            loop.run_until_complete(foreign.end(tasks))
        closing = loop.create_task(loop.shutdown_asyncgens())
        loop.run_until_complete(foreign.end_soon(closing))
    except (SystemExit, RuntimeError):
        _log.exception("foreign code disturbed the end of the event loop")


class _Daemons(ThreadPoolExecutor):
    """An executor of daemon threads. asyncio asks for a ThreadPoolExecutor.

    A call goes to a thread that is idle, or else to a new one: calls that never return delay no other call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._idle: deque[_Worker] = deque()
        self._is_over = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls the function on a thread."""
        future: Future[T] = Future()
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker()
            worker.start()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                self._rest(worker)
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                self._rest(worker)
                future.set_exception(error)
            else:
                self._rest(worker)  # first, so that a call after this one needs no new thread
                future.set_result(result)

        worker.calls.put(call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the idle threads now, and the others when their calls return."""
        self._is_over = True
        with suppress(IndexError):
            while True:
                worker = self._idle.pop()
                worker.calls.put(None)
                worker.join(_ENDING)

    def _rest(self, worker: _Worker) -> None:
        """Let the thread wait for another call. End one thread if too many wait, and this one after the shutdown."""
        self._idle.append(worker)
        if self._is_over:
            worker.calls.put(None)
        elif len(self._idle) > _MOST_IDLE:
            with suppress(IndexError):
                self._idle.popleft().calls.put(None)


class _Worker(threading.Thread):
    """One thread. It makes the calls in its queue until it finds None."""

    def __init__(self) -> None:
        super().__init__(name="rx_assistant.local worker", daemon=True)
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            call()
            del call  # it holds the result

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
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from rx_assistant.local import foreign

P = ParamSpec("P")
T = TypeVar("T")

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
    """An executor that starts a daemon thread for each call. asyncio asks for a ThreadPoolExecutor."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls the function on a new thread."""
        future: Future[T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=call, name="rx_assistant.local worker", daemon=True).start()
        return future

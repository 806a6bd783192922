"""Waiting for tasks that run foreign code.

Such code may swallow its cancellation, so every wait here has a limit. A task is cancelled twice. Then its coroutine is
closed, which raises GeneratorExit where the task waits. Code that swallows this too runs until the process ends, and
nothing waits for it.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

_PATIENCE = 0.5
_TRIES = 2

_log = logging.getLogger("rx_assistant.local")
_closed: WeakSet[asyncio.Task[Any]] = WeakSet()
_abandoned: WeakSet[asyncio.Task[Any]] = WeakSet()


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until they have ended, for at most 1.5 seconds."""
    left = {task for task in tasks if not task.done() and task not in _abandoned}
    for _ in range(_TRIES):
        left = await _cancelled(left)
    for task in left:
        _close(task)
    for task in await _cancelled(left):
        _log.warning("%s continues: its code swallows every attempt to stop it", task.get_name())
        _abandon(task)


async def end_soon(task: asyncio.Task[Any]) -> None:
    """Give the task half a second to end by itself, then do what `end` does."""
    await asyncio.wait({task}, timeout=_PATIENCE)
    await end([task])


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel the tasks once. Return the tasks that have not ended half a second later."""
    for task in tasks:
        task.cancel()
    return (await asyncio.wait(tasks, timeout=_PATIENCE))[1] if tasks else set()


def _close(task: asyncio.Task[Any]) -> None:
    _closed.add(task)
    coroutine = task.get_coro()
    try:
        if coroutine is not None:
            coroutine.close()
    except BaseException as error:
        _log.debug("%s did not let itself be closed: %r", task.get_name(), error)


def failure(task: asyncio.Task[Any]) -> BaseException | None:
    """The exception of a finished task. A task whose coroutine was closed by `end` has none."""
    error = None if task.cancelled() else task.exception()
    return None if task in _closed else error


def _abandon(task: asyncio.Task[Any]) -> None:
    """Ensure that no code waits for a task that does not end.

    `asyncio.run` would wait for a registered task. The coroutine must never be garbage-collected, even when the
    interpreter ends: this would raise GeneratorExit in code that swallows it, and might never return.
    """
    _abandoned.add(task)
    asyncio.tasks._unregister_task(task)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task.get_coro()))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # of CPython

"""Textual as a host: the event loop of its application, with Textual's own context for each action."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any

from rx_assistant.gui._host import Action, ClosingHost, closes, nothing

if TYPE_CHECKING:
    from textual.dom import DOMNode


class TextualHost(ClosingHost):
    """The event loop of a Textual application, as long as `owner` runs: the App, a Screen or a Widget.

    A screen that is popped or dismissed and a widget that is removed have ended; a screen below another one, a screen
    that was installed by name, and a tab that is not shown continue.

    Create it in a handler or a worker of the application, because only there the loop and the context are known.

    Raises:
        RuntimeError: No event loop is running here, or the owner does not run yet.
        TypeError: `owner` is not an App, a Screen or a Widget.
    """

    _task: asyncio.Task[Any] | None = None

    def __init__(self, owner: DOMNode) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        dom = sys.modules.get("textual.dom")
        if dom is None or not isinstance(owner, dom.DOMNode):
            raise TypeError(f"owner must be an App, a Screen or a Widget of Textual, got {type(owner).__name__}")
        if not owner.is_running:
            raise RuntimeError("a TextualHost must be created inside a handler of the application, such as on_mount")
        self._owner = owner
        self._context = contextvars.copy_context()
        self._closes = closes(self)
        if owner is owner.app:
            owner.call_later(self._end_with_the_current_task)  # what runs here may be the task of a screen or a worker
        else:
            self._end_with(owner.task)

    def __del__(self) -> None:
        if self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.remove_done_callback, self._closes)

    @property
    def closed(self) -> bool:
        """Whether the owner has ended."""
        return self._closed or not self._owner.is_running

    def call_soon(self, action: Action) -> None:
        """Run `action` on the application's loop, soon; from any thread. An ended application drops it."""
        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(self._run, action, context=self._context)
        except RuntimeError:  # the loop is closed
            self.close()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the application's loop, `seconds` from now; returns a function that cancels it."""
        if self._closed:
            return nothing
        return self._loop.call_later(seconds, self._run, action, context=self._context).cancel

    def _end_with_the_current_task(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._end_with(task)

    def _end_with(self, task: asyncio.Task[Any]) -> None:
        """Close with the task that runs the owner's handlers: it lives as long as its owner."""
        if not self._closed:
            self._task = task
            task.add_done_callback(self._closes)

    def _release(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.remove_done_callback(self._closes)

"""Textual as a host: the event loop of its application, with Textual's own context for each action."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from rx_assistant.gui._host import Action, ClosingHost, nothing

try:
    from textual.dom import DOMNode
    from textual.message_pump import MessagePump
except ImportError as error:
    raise ImportError("TextualHost needs Textual: pip install 'rx_assistant[textual]'") from error


class TextualHost(ClosingHost):
    """The event loop of a Textual application, as long as `owner` runs: the App, a Screen or a Widget.

    To be made by one of its handlers, such as `on_mount`, because only there the loop and the context are known.
    RuntimeError elsewhere.
    """

    def __init__(self, owner: DOMNode) -> None:
        super().__init__()
        self._owner: MessagePump = owner
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a TextualHost is made inside a handler of the application, such as on_mount")
        task.add_done_callback(self._task_done)  # the task that runs the owner's handlers lives as long as it does

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
        """Run `action` on the application's loop, `seconds` from now; gives what cancels it."""
        if self._closed:
            return nothing
        return self._loop.call_later(seconds, self._run, action, context=self._context).cancel

    def _task_done(self, _task: asyncio.Task[Any]) -> None:
        self.close()

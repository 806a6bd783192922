"""asyncio as a host: for toolkits that live on it, and for code that must run on one loop."""

from __future__ import annotations

import asyncio

from rx_assistant.gui._host import Action, ClosingHost, nothing


class AsyncioHost(ClosingHost):
    """The event loop that is running on this thread. RuntimeError when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    @property
    def closed(self) -> bool:
        """Whether the loop is closed, or `close()` was called."""
        return self._closed or self._loop.is_closed()

    def call_soon(self, action: Action) -> None:
        """Run `action` on the loop, soon; from any thread. A closed loop drops it."""
        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(self._run, action)
        except RuntimeError:  # the loop is closed
            self.close()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the loop, `seconds` from now; gives what cancels it."""
        return nothing if self.closed else self._loop.call_later(seconds, self._run, action).cancel

"""asyncio as a host: for toolkits that run on it, and for code that must run on one loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator

from rx_assistant.gui._host import Action, ClosingHost, nothing


class AsyncioHost(ClosingHost):
    """The event loop that is running on this thread. Raises RuntimeError when there is none.

    Closes when the loop is shut down, as `asyncio.run()` does at its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._end = _until_the_shutdown(weakref.ref(self))
        try:
            self._end.__anext__().send(None)  # runs to its yield; the loop knows the generator from now on
        except StopIteration:
            pass

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
        """Run `action` on the loop, `seconds` from now; returns a function that cancels it."""
        return nothing if self.closed else self._loop.call_later(seconds, self._run, action).cancel


async def _until_the_shutdown(host: weakref.ref[AsyncioHost]) -> AsyncGenerator[None, None]:
    """Close the host when the loop shuts down and closes its open generators. A task would be visible to the user."""
    try:
        yield
    finally:
        if (living := host()) is not None:
            living.close()

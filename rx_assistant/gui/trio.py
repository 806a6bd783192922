"""trio as a host: for code that must run on one trio run."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from rx_assistant.gui._host import Action, ClosingHost, nothing

if TYPE_CHECKING:
    import trio


class TrioHost(ClosingHost):
    """The trio run of this thread, until it ends. Raises RuntimeError when there is none."""

    _watching: trio.CancelScope | None = None

    def __init__(self) -> None:
        super().__init__()
        try:
            import trio
        except ImportError as error:
            raise ImportError("TrioHost needs trio: pip install trio") from error
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()
        self._watching = trio.CancelScope()
        found: weakref.ref[TrioHost] = weakref.ref(self)
        trio.lowlevel.spawn_system_task(_until_the_end, found, self._watching)

    def __del__(self) -> None:
        if self._watching is not None and not self._closed:
            try:
                self._token.run_sync_soon(self._watching.cancel)
            except self._trio.RunFinishedError:
                pass

    def call_soon(self, action: Action) -> None:
        """Run `action` in the run, soon; from any thread. A finished run drops it."""
        if self._closed:
            return
        try:
            self._token.run_sync_soon(self._run, action)
        except self._trio.RunFinishedError:
            self.close()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` in the run, `seconds` from now; returns a function that cancels it."""
        if self._closed:
            return nothing
        trio = self._trio
        scope = trio.CancelScope()

        async def sleep() -> None:
            with scope:
                await trio.sleep(seconds)
                self._run(action)

        trio.lowlevel.spawn_system_task(sleep)
        cancel: Action = scope.cancel
        return cancel

    def _release(self) -> None:
        if self._watching is not None:
            self._watching.cancel()


async def _until_the_end(host: weakref.ref[TrioHost], watching: trio.CancelScope) -> None:
    """Close the host when the run ends, without keeping it alive until then."""
    import trio

    try:
        with watching:
            await trio.sleep_forever()
    finally:
        if (living := host()) is not None:
            living.close()

"""trio as a host: for code that must run on one trio run."""

from __future__ import annotations

from rx_assistant.gui._host import Action, ClosingHost, nothing

try:
    import trio
except ImportError as error:
    raise ImportError("TrioHost needs trio: pip install trio") from error


class TrioHost(ClosingHost):
    """The trio run of this thread, until it ends. RuntimeError when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._token = trio.lowlevel.current_trio_token()
        trio.lowlevel.spawn_system_task(self._close_with_the_run)

    def call_soon(self, action: Action) -> None:
        """Run `action` in the run, soon; from any thread. A finished run drops it."""
        if self._closed:
            return
        try:
            self._token.run_sync_soon(self._run, action)
        except trio.RunFinishedError:
            self.close()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` in the run, `seconds` from now; gives what cancels it."""
        if self._closed:
            return nothing
        scope = trio.CancelScope()

        async def sleep() -> None:
            with scope:
                await trio.sleep(seconds)
                self._run(action)

        trio.lowlevel.spawn_system_task(sleep)
        return scope.cancel

    async def _close_with_the_run(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.close()

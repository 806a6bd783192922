"""trio as a host: for code that must run on one trio run."""

from __future__ import annotations

from rx_assistant.gui._host import Action, ClosingHost, run

try:
    import trio
except ImportError as error:
    raise ImportError("TrioHost needs trio: pip install trio") from error


class TrioHost(ClosingHost):
    """The trio run of this thread. RuntimeError when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._token = trio.lowlevel.current_trio_token()

    def call_soon(self, action: Action) -> None:
        """Run `action` in the run, soon; from any thread. A finished run drops it."""
        if self._closed:
            return
        try:
            self._token.run_sync_soon(run, action)
        except trio.RunFinishedError:
            self.close()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` in the run, `seconds` from now; gives what cancels it."""
        scope = trio.CancelScope()

        async def sleep() -> None:
            with scope:
                await trio.sleep(seconds)
                run(action)

        trio.lowlevel.spawn_system_task(sleep)
        return scope.cancel

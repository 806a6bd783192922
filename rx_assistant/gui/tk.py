"""Tk as a host. No call of Tk leaves the GUI thread: other threads write one byte into a pipe that Tk watches.

Where Tk cannot watch a pipe (Windows), the queue is looked into every 10 ms. A closed host lets go of its window,
because a Tcl interpreter that is collected on another thread aborts the process.
"""

from __future__ import annotations

import os

from rx_assistant.gui._host import Action, QueueHost, nothing, run

try:
    import tkinter
except ImportError as error:
    raise ImportError("TkHost needs tkinter, which no pip install brings: install your system's python3-tk") from error

_POLL = 10  # milliseconds


class TkHost(QueueHost):
    """The event loop of a Tk window, which closes with that window. To be made on the GUI thread.

    `window` is the root or any other widget; with its destruction the subscriptions end.
    """

    def __init__(self, window: tkinter.Misc) -> None:
        super().__init__()
        self._window: tkinter.Misc | None = window
        self._timers: set[str] = set()
        self._pipe: tuple[int, int] | None = None
        window.bind("<Destroy>", self._destroyed, add="+")
        if self._can_watch(window):
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            window.tk.createfilehandler(self._pipe[0], tkinter.READABLE, self._readable)
        else:
            self._poll()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; gives what cancels it. On the GUI thread only."""
        window = self._window
        if window is None:
            return nothing

        def due() -> None:
            self._timers.discard(timer)
            run(action)

        def cancel() -> None:
            if timer in self._timers:
                self._timers.discard(timer)
                window.after_cancel(timer)

        timer = window.after(max(round(seconds * 1000), 1), due)
        self._timers.add(timer)
        return cancel

    @staticmethod
    def _can_watch(window: tkinter.Misc) -> bool:
        return hasattr(window.tk, "createfilehandler")

    def _poke(self) -> None:
        if self._pipe is not None:
            os.write(self._pipe[1], b"!")

    def _readable(self, _file: object, _mask: int) -> None:
        if self._pipe is not None:
            os.read(self._pipe[0], 64)
            self._run_actions()

    def _poll(self) -> None:
        self.call_later(_POLL / 1000, self._poll)
        if self._actions:
            self._run_actions()

    def _destroyed(self, event: tkinter.Event[tkinter.Misc]) -> None:
        if event.widget is self._window:
            self.close()

    def _release(self) -> None:
        window, self._window = self._window, None
        pipe, self._pipe = self._pipe, None
        if window is None:
            return
        try:
            for timer in tuple(self._timers):
                window.after_cancel(timer)
            if pipe is not None:
                window.tk.deletefilehandler(pipe[0])
        finally:
            self._timers.clear()
            for end in pipe or ():
                os.close(end)

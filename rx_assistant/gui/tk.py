"""Tk as a host. No call of Tk leaves the GUI thread: other threads write one byte into a pipe that Tk watches.

Where Tk cannot watch a pipe (Windows), the queue is checked every 10 ms. A closed host drops its window,
because a Tcl interpreter that is collected on another thread aborts the process.

Tk keeps a `_Mailbox`, which holds what was installed and finds its host by a weak reference. The mailbox removes
itself when the window is destroyed or the host is closed. When the host is collected, on any thread, a byte in the pipe
makes the mailbox notice it on the GUI thread.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING

from rx_assistant.gui._host import Action, QueueHost, nothing, run

if TYPE_CHECKING:
    import tkinter

_POLL = 10  # milliseconds
_READABLE = 2  # tkinter.READABLE


class TkHost(QueueHost):
    """The event loop of a Tk window, which closes with that window. Create it on the GUI thread.

    `window` is the root or any other widget; with its destruction the subscriptions end. In a window that is only
    withdrawn or iconified they continue.

    Raises:
        TypeError: `window` is not a widget of tkinter.
    """

    _mailbox: _Mailbox | None = None

    def __init__(self, window: tkinter.Misc) -> None:
        super().__init__()
        toolkit = sys.modules.get("tkinter")
        if toolkit is None or not isinstance(window, toolkit.Misc):
            raise TypeError(f"window must be a widget of tkinter, got {type(window).__name__}: write TkHost(root)")
        self._window: tkinter.Misc | None = window
        self._timers: set[str] = set()
        self._mailbox = _Mailbox(window, self)

    def __del__(self) -> None:
        if self._mailbox is not None:
            self._mailbox.poke()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; returns its cancel function. On the GUI thread only."""
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

    def look(self) -> None:
        """Run the waiting actions."""
        self._run_actions()

    def _poke(self) -> None:
        if self._mailbox is not None:
            self._mailbox.poke()

    def _release(self) -> None:
        window, self._window = self._window, None
        mailbox, self._mailbox = self._mailbox, None
        if window is None or mailbox is None:
            return
        try:
            for timer in tuple(self._timers):
                window.after_cancel(timer)
        finally:
            self._timers.clear()
            mailbox.remove()


class _Mailbox:
    """The objects that Tk holds for a host: a watched pipe or a timer, and the binding for the window's destruction."""

    def __init__(self, window: tkinter.Misc, host: TkHost) -> None:
        self._window = window
        self._host = weakref.ref(host)
        self._binding = window.bind("<Destroy>", self._destroyed, add="+")
        self._timer: str | None = None
        self._pipe: tuple[int, int] | None = None
        if host._can_watch(window):
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            window.tk.createfilehandler(self._pipe[0], _READABLE, self._readable)
        else:
            self._poll()

    def poke(self) -> None:
        """Wake Tk. From any thread, as long as `remove()` has not been called."""
        if self._pipe is not None:
            os.write(self._pipe[1], b"!")

    def remove(self) -> None:
        """Remove everything that was installed. On the GUI thread."""
        pipe, self._pipe = self._pipe, None
        try:
            if pipe is not None:
                self._window.tk.deletefilehandler(pipe[0])
            if self._timer is not None:
                self._window.after_cancel(self._timer)
            if self._window.winfo_exists():
                self._unbind()
        finally:
            for end in pipe or ():
                os.close(end)

    def _unbind(self) -> None:
        """Remove only this binding: before Python 3.13, tkinter's `unbind` removes all bindings of a window."""
        call, name = self._window.tk.call, str(self._window)
        lines = str(call("bind", name, "<Destroy>")).splitlines()
        call("bind", name, "<Destroy>", "\n".join(line for line in lines if self._binding not in line))
        self._window.deletecommand(self._binding)

    def _readable(self, _file: object, _mask: int) -> None:
        if self._pipe is not None:
            os.read(self._pipe[0], 64)
            self._look()

    def _poll(self) -> None:
        self._timer = self._window.after(_POLL, self._poll)
        self._look()

    def _look(self) -> None:
        host = self._host()
        if host is None:
            self.remove()
        else:
            host.look()

    def _destroyed(self, event: tkinter.Event[tkinter.Misc]) -> None:
        if event.widget is not self._window:
            return
        host = self._host()
        if host is None:
            self.remove()
        else:
            host.close()

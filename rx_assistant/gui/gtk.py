"""GTK as a host, by PyGObject: GTK 3 and GTK 4 alike, since only GLib's main loop is used."""

from __future__ import annotations

from typing import Any

from rx_assistant.gui._host import Action, ClosingHost, nothing

try:
    from gi.repository import GLib, GObject  # type: ignore[import-not-found, unused-ignore]
except ImportError as error:
    raise ImportError("GtkHost needs PyGObject: pip install PyGObject") from error


class GtkHost(ClosingHost):
    """GLib's default main loop, as long as `owner` lives: a Gtk.Window, or a Gtk.Application until its shutdown.

    To be made on the GUI thread.
    """

    def __init__(self, owner: Any) -> None:
        super().__init__()
        signal = "destroy" if GObject.signal_lookup("destroy", owner) else "shutdown"
        owner.connect(signal, self._owner_gone)

    def call_soon(self, action: Action) -> None:
        """Run `action` on the GUI thread, soon; from any thread."""
        if not self._closed:
            GLib.idle_add(self._once, action, priority=GLib.PRIORITY_DEFAULT)

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; gives what cancels it. On the GUI thread only."""
        if self._closed:
            return nothing
        pending: list[int] = []

        def due() -> bool:
            pending.clear()
            return self._once(action)

        def cancel() -> None:
            while pending:
                GLib.source_remove(pending.pop())

        pending.append(GLib.timeout_add(max(round(seconds * 1000), 1), due))
        return cancel

    def _once(self, action: Action) -> bool:
        self._run(action)
        return False  # GLib.SOURCE_REMOVE

    def _owner_gone(self, *_: object) -> None:
        self.close()

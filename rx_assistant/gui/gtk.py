"""GTK as a host, by PyGObject: GTK 3 and GTK 4, because only GLib's main loop is used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from rx_assistant.gui._host import Action, ClosingHost, closes, nothing


class GtkHost(ClosingHost):
    """GLib's default main loop, as long as `owner` exists: a Gtk.Window, or a Gtk.Application until its shutdown.

    A window ends with its destruction, a dialog when it is hidden. Create the host on the GUI thread.

    Raises:
        TypeError: `owner` is not a window or an application of GTK.
    """

    _remove: Action = staticmethod(nothing)
    _glib: Any = None

    def __init__(self, owner: Any) -> None:
        super().__init__()
        gobject = sys.modules.get("gi.repository.GObject")
        if gobject is None or not isinstance(owner, gobject.GObject):
            raise TypeError(f"owner must be a window or an application of GTK, got {type(owner).__name__}")
        from gi.repository import GLib  # type: ignore[import-not-found, unused-ignore]  # not from PyPI

        self._glib = GLib
        names = [name for name in ("destroy", "shutdown") if gobject.signal_lookup(name, owner)]
        if not names:
            raise TypeError(f"owner must be a window or an application of GTK, got {type(owner).__name__}")
        if any(kind.__name__ == "Dialog" for kind in type(owner).__mro__):
            names.append("hide")
        close = closes(self)
        self._remove = partial(_disconnect, owner.weak_ref(), [owner.connect(name, close) for name in names])

    def __del__(self) -> None:
        if not self._closed and self._glib is not None:
            self._glib.idle_add(self._remove)

    def call_soon(self, action: Action) -> None:
        """Run `action` on the GUI thread, soon; from any thread."""
        if not self._closed:
            self._glib.idle_add(self._once, action, priority=self._glib.PRIORITY_DEFAULT)

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; returns its cancel function. On the GUI thread only."""
        if self._closed:
            return nothing
        pending: list[int] = []

        def due() -> bool:
            pending.clear()
            return self._once(action)

        def cancel() -> None:
            while pending:
                self._glib.source_remove(pending.pop())

        pending.append(self._glib.timeout_add(max(round(seconds * 1000), 1), due))
        return cancel

    def _once(self, action: Action) -> bool:
        self._run(action)
        return False  # GLib.SOURCE_REMOVE

    def _release(self) -> None:
        self._remove()


def _disconnect(owner: Callable[[], Any], handlers: list[int]) -> bool:
    living = owner()
    if living is not None:
        for handler in handlers:
            living.disconnect(handler)
    handlers.clear()
    return False  # GLib.SOURCE_REMOVE

"""Streams into windows: hosts for GUI event loops, and the operator that hands items over to them.

    host = TkHost(root)                                  # or QtHost(window), TextualHost(app), …
    stream.pipe(ax.text_deltas(), observe_on_ui(host)).subscribe(show)

Each host is imported, and its toolkit with it, when its name is first touched.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rx_assistant.gui._host import Action, ClosingHost, QueueHost, TellsClosing, UiHost
from rx_assistant.gui._observing import observe_on_ui
from rx_assistant.gui._printable import printable
from rx_assistant.gui._scheduling import UiScheduler

if TYPE_CHECKING:
    from rx_assistant.gui.asyncio import AsyncioHost
    from rx_assistant.gui.gtk import GtkHost
    from rx_assistant.gui.qt import QtHost
    from rx_assistant.gui.textual import TextualHost
    from rx_assistant.gui.tk import TkHost
    from rx_assistant.gui.trio import TrioHost
    from rx_assistant.gui.wx import WxHost

_TOOLKITS = {
    "GtkHost": ("gi",),
    "QtHost": ("PySide6", "PyQt6"),
    "TextualHost": ("textual",),
    "TkHost": ("tkinter",),
    "TrioHost": ("trio",),
    "WxHost": ("wx",),
}
_HOSTS = {
    "AsyncioHost": "asyncio",
    "GtkHost": "gtk",
    "QtHost": "qt",
    "TextualHost": "textual",
    "TkHost": "tk",
    "TrioHost": "trio",
    "WxHost": "wx",
}

__all__ = [
    "Action",
    "AsyncioHost",
    "ClosingHost",
    "GtkHost",
    "QtHost",
    "QueueHost",
    "TellsClosing",
    "TextualHost",
    "TkHost",
    "TrioHost",
    "UiHost",
    "UiScheduler",
    "WxHost",
    "observe_on_ui",
    "printable",
]


def __getattr__(name: str) -> object:
    if name in _HOSTS:
        return getattr(importlib.import_module(f"{__name__}.{_HOSTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names that can be touched: those whose toolkit is installed."""
    return [name for name in __all__ if name not in _TOOLKITS or any(map(find_spec, _TOOLKITS[name]))]

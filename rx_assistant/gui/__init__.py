"""Streams in GUIs: hosts for GUI event loops, and the operator that delivers items on them.

    host = TkHost(root)                                  # or QtHost(window), TextualHost(app), …
    stream.pipe(ax.text_deltas(), observe_on_ui(host)).subscribe(show)

Importing this module loads no toolkit: a host finds its toolkit through its window. `live(stream)` shows a stream in a
notebook.
"""

from __future__ import annotations

from rx_assistant.gui._host import Action, ClosingHost, QueueHost, TellsClosing, UiHost
from rx_assistant.gui._observing import observe_on_ui
from rx_assistant.gui._printable import printable
from rx_assistant.gui._scheduling import UiScheduler
from rx_assistant.gui.asyncio import AsyncioHost
from rx_assistant.gui.gtk import GtkHost
from rx_assistant.gui.notebook import live
from rx_assistant.gui.qt import QtHost
from rx_assistant.gui.textual import TextualHost
from rx_assistant.gui.tk import TkHost
from rx_assistant.gui.trio import TrioHost
from rx_assistant.gui.wx import WxHost

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
    "live",
    "observe_on_ui",
    "printable",
]

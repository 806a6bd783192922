"""wxPython as a host."""

from __future__ import annotations

import importlib
from typing import Any

from rx_assistant.gui._host import Action, ClosingHost, nothing

try:
    wx: Any = importlib.import_module("wx")  # there are no types to be had for it
except ImportError as error:
    raise ImportError("WxHost needs wxPython: pip install wxPython") from error


class WxHost(ClosingHost):
    """The event loop of a wxPython application, as long as `window` lives. To be made on the GUI thread."""

    def __init__(self, window: Any) -> None:
        super().__init__()
        self._id: int = window.GetId()
        window.Bind(wx.EVT_WINDOW_DESTROY, self._destroyed)

    def call_soon(self, action: Action) -> None:
        """Run `action` on the GUI thread, soon; from any thread. Without an application it is dropped."""
        if self._closed:
            return
        try:
            wx.CallAfter(self._run, action)
        except (AssertionError, RuntimeError):  # the application is gone
            pass

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; gives what cancels it. On the GUI thread only."""
        if self._closed:
            return nothing
        cancel: Action = wx.CallLater(max(round(seconds * 1000), 1), self._run, action).Stop
        return cancel

    def _destroyed(self, event: Any) -> None:
        event.Skip()
        if event.GetEventObject().GetId() == self._id:  # children tell too; the object is another one by now
            self.close()

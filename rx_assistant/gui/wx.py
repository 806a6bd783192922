"""wxPython as a host."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from rx_assistant.gui._host import Action, ClosingHost, nothing


class WxHost(ClosingHost):
    """The event loop of a wxPython application, as long as `window` exists. Create it on the GUI thread.

    A window ends with its destruction, a dialog when it is hidden, as `EndModal()` does; a frame that is only hidden or
    minimised continues.

    Raises:
        TypeError: `window` is not a window of wxPython.
    """

    _handlers: tuple[tuple[Any, Callable[[Any], None]], ...] = ()

    def __init__(self, window: Any) -> None:
        super().__init__()
        self._wx: Any = sys.modules.get("wx")
        if self._wx is None or not isinstance(window, self._wx.Window):
            raise TypeError(f"window must be a window of wxPython, got {type(window).__name__}")
        self._id: int = window.GetId()
        self._window = weakref.ref(window)
        self._handlers = ((self._wx.EVT_WINDOW_DESTROY, _handler(self, WxHost._destroyed)),)
        if isinstance(window, self._wx.Dialog):
            self._handlers += ((self._wx.EVT_SHOW, _handler(self, WxHost._shown)),)
        for kind, handler in self._handlers:
            window.Bind(kind, handler)

    def __del__(self) -> None:
        if self._handlers and not self._closed:
            try:
                self._wx.CallAfter(_unbind, self._window, self._handlers)
            except (AssertionError, RuntimeError):  # the application is gone
                pass

    def call_soon(self, action: Action) -> None:
        """Run `action` on the GUI thread, soon; from any thread. Without an application it is dropped."""
        if self._closed:
            return
        try:
            self._wx.CallAfter(self._run, action)
        except (AssertionError, RuntimeError):  # the application is gone
            pass

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; returns its cancel function. On the GUI thread only."""
        if self._closed:
            return nothing
        cancel: Action = self._wx.CallLater(max(round(seconds * 1000), 1), self._run, action).Stop
        return cancel

    def _destroyed(self, event: Any) -> None:
        if (
            event.GetEventObject().GetId() == self._id
        ):  # children send the event too; compare ids, because the Python object may differ
            self.close()

    def _shown(self, event: Any) -> None:
        if not event.IsShown() and event.GetEventObject().GetId() == self._id:
            self.close()


def _handler(host: WxHost, method: Callable[[WxHost, Any], None]) -> Callable[[Any], None]:
    """Return an event handler that passes each event on and does not keep the host alive."""
    found = weakref.ref(host)

    def handle(event: Any) -> None:
        event.Skip()
        if (living := found()) is not None:
            method(living, event)

    return handle


def _unbind(window: Callable[[], Any], handlers: tuple[tuple[Any, Callable[[Any], None]], ...]) -> None:
    living = window()
    if living:  # a window that was destroyed is false
        for kind, handler in handlers:
            living.Unbind(kind, handler=handler)

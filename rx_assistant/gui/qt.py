"""Qt as a host, by PySide6 or PyQt6, whichever the window comes from.

Other threads only post one event to the receiver, a QObject of this module; Qt allows nothing else from them. The
receiver also runs the timers. Items are not sent as signals: signals of some bindings lose items, or abort, when other
threads emit them. Signals from Qt go to a slot of the receiver, because the bindings have called other bound methods of
hosts that were already freed.

Ownership

    owner ──(the user's attribute)──► QtHost ──► receiver        the host has no reference to its owner
    owner ──(parent of, in C++)─────► receiver ┄┄weak┄┄► QtHost  the receiver dies with its owner

There is no cycle, so a window without references is freed at once, on its own thread, and not by the garbage
collector on any thread. The receiver is also the event filter of the owner, and Qt calls a filter while the owner is
being destroyed. It must then touch nothing that the garbage collector may have cleared: it finds its host by a weak
reference, which is cleared first, and has a default on its class for the time when its own attributes are gone.
A host that dies before its window takes its receiver with it (`__del__`, from any thread).
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from rx_assistant.gui._host import Action, QueueHost, nothing, run

BINDINGS = ("PySide6", "PyQt6")


class QtHost(QueueHost):
    """The event loop of a Qt application, as long as the user can see or restore `owner`: a widget, window or dialog.

    The subscriptions end when the owner, its window or a parent window is closed; when a dialog is hidden by
    `accept()`, `reject()`, Escape or `hide()`; when the owner is destroyed; and when the application quits. The
    subscriptions continue in a window that refuses its close event, is minimised or is hidden to the tray, and in a tab
    that is not shown. A window that is shown again accepts new subscriptions. With the application as `owner`, the host
    ends when it quits.

    Create it on the GUI thread.

    Raises:
        TypeError: `owner` is not a QObject of PySide6 or PyQt6.
        RuntimeError: This thread is not the owner's thread.
    """

    _receiver: Any = None

    def __init__(self, owner: Any) -> None:
        super().__init__()
        core = importlib.import_module(f"{_binding_of(owner)}.QtCore")
        if owner.thread() != core.QThread.currentThread():
            raise RuntimeError("a QtHost must be created on the GUI thread, the thread of its owner")
        self._core = core
        self._timers: dict[int, Action] = {}
        self._receiver = _receivers(core)(owner)  # as a child, so that Qt deletes it with its owner
        self._receiver.host = weakref.ref(self)
        self._watch()
        application = core.QCoreApplication.instance()
        for ended in (owner.destroyed, application.aboutToQuit, application.destroyed):
            ended.connect(self._receiver.end)

    def __del__(self) -> None:
        self._remove_receiver()

    def close(self) -> None:
        """Run no further actions, and end all subscriptions on this host. On the UI thread; idempotent."""
        super().close()
        self._remove_receiver()

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; returns its cancel function. On the GUI thread only."""
        receiver = self._receiver
        if self._closed or receiver is None:
            return nothing
        timer = receiver.startTimer(max(round(seconds * 1000), 1), self._core.Qt.TimerType.PreciseTimer)
        self._timers[timer] = action

        def cancel() -> None:
            if self._timers.pop(timer, None) is not None:
                receiver.killTimer(timer)

        return cancel

    def _poke(self) -> None:
        self._core.QCoreApplication.postEvent(self._receiver, self._core.QEvent(self._receiver.WAKE_UP))

    def _release(self) -> None:
        for timer in self._timers:
            self._receiver.killTimer(timer)
        self._timers.clear()

    def _remove_receiver(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            try:
                receiver.deleteLater()  # Qt allows this on any thread
            except RuntimeError:  # Qt deleted it together with its owner
                pass

    # -- what the receiver gets ----------------------------------------------------------------------------------

    def wake_up(self) -> None:
        """Run the waiting actions."""
        self._run_actions()

    def timer_due(self, timer: int) -> None:
        """Run the action of a timer, once."""
        action = self._timers.pop(timer, None)
        if action is not None:
            run(action)

    def window_event(self, window: Any, event: Any) -> None:
        """Check whether a window was opened or closed, after it has handled its event."""
        types, kind = self._core.QEvent.Type, event.type()
        if kind in (types.Close, types.Hide):
            self.call_soon(partial(self._close_if_gone, window, kind == types.Close))
        elif kind in (types.Show, types.ParentChange):
            self._watch()
            if self._closed:
                self._open_if_shown()

    # -- the owner and its windows -------------------------------------------------------------------------------

    def _windows(self) -> list[Any]:
        """Return the owner, and the windows whose closing ends it."""
        owner = self._receiver.parent() if self._receiver is not None else None
        if owner is None or not (owner.isWidgetType() or owner.isWindowType()):
            return []  # the application, whose filter would see every event of every widget; or an object like it
        found, above = [owner], owner.parentWidget() if owner.isWidgetType() else owner.transientParent()
        while above is not None:
            if above.isWindowType() or above.isWindow():
                found.append(above)
            above = above.parentWidget() if above.isWidgetType() else above.transientParent()
        return found

    def _watch(self) -> None:
        """Filter the events of the owner and its windows; they change when the owner gets a new parent."""
        for window in self._windows():
            window.installEventFilter(self._receiver)

    def _close_if_gone(self, window: Any, closing: bool) -> None:
        try:
            gone = window in self._windows() and not window.isVisible() and self._went_for_good(window, closing)
        except RuntimeError:  # the window was deleted; if the owner was too, its signal has closed the host
            return
        if gone:
            super().close()  # and keep the receiver: the window may be shown again

    def _went_for_good(self, window: Any, closing: bool) -> bool:
        qt = self._core.Qt
        if window.isWindowType():
            return closing or window.type() in self._dialogs()
        if not window.isWindow():
            return closing
        # An accepted close event destroys the native window; a refused one, hidden to the tray instead, keeps it.
        closed = closing and not window.testAttribute(qt.WidgetAttribute.WA_WState_Created)
        return closed or window.inherits("QDialog") or window.windowType() in self._dialogs()

    def _dialogs(self) -> tuple[Any, ...]:
        kinds = self._core.Qt.WindowType
        return (kinds.Dialog, kinds.Sheet, kinds.Popup)

    def _open_if_shown(self) -> None:
        windows = self._windows()
        if windows and windows[0].isVisible():
            with self._mutex:
                self._closed = False


def _binding_of(owner: object) -> str:
    for kind in type(owner).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in BINDINGS:
            return package
    raise TypeError(
        f"owner must be a window or application of PySide6 or PyQt6, got {type(owner).__name__}: "
        "pip install 'rx_assistant[qt]'"
    )


@cache
def _receivers(core: Any) -> Any:
    """Return the class of receivers: one for each binding, because bindings never free a class."""

    slot = core.Slot if hasattr(core, "Slot") else core.pyqtSlot

    class Receiver(core.QObject):  # type: ignore[misc]  # which binding it is, is known only now
        WAKE_UP = core.QEvent.Type(core.QEvent.registerEventType())
        host: Callable[[], QtHost | None] = staticmethod(nothing)

        def event(self, event: Any) -> bool:
            if event.type() != self.WAKE_UP:
                return bool(super().event(event))
            host = self.host()
            if host is not None:
                host.wake_up()
            return True

        def timerEvent(self, event: Any) -> None:
            self.killTimer(event.timerId())
            host = self.host()
            if host is not None:
                host.timer_due(event.timerId())

        def eventFilter(self, watched: Any, event: Any) -> bool:
            host = self.host()
            if host is not None:
                host.window_event(watched, event)
            return False

        @slot()  # type: ignore[untyped-decorator, unused-ignore]  # typed by one binding only
        def end(self) -> None:
            host = self.host()
            if host is not None:
                host.close()

    return Receiver

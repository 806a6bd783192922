"""Qt as a host, by PySide6 or PyQt6, whichever the window comes from.

Other threads post one event to an object of ours, which is the only thing of Qt's that they may do; timers are those
of that object. Nothing is a signal: signals of some bindings lose items, or abort, when emitted from other threads.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from rx_assistant.gui._host import Action, QueueHost, nothing, run

BINDINGS = ("PySide6", "PyQt6")


class QtHost(QueueHost):
    """The event loop of a Qt application, as long as `owner` lives: a window, or the application itself.

    A window that was closed ends the subscriptions, also when it is only hidden; so does the end of the application.
    To be made on the GUI thread.

    Raises:
        TypeError: `owner` is no QObject of PySide6 or PyQt6.
        RuntimeError: this is not the owner's thread.
    """

    def __init__(self, owner: Any) -> None:
        super().__init__()
        core = importlib.import_module(f"{_binding_of(owner)}.QtCore")
        if owner.thread() != core.QThread.currentThread():
            raise RuntimeError("a QtHost is made on the GUI thread, where its owner lives")
        self._core = core
        self._timers: dict[int, Action] = {}
        self._owner: Any = owner
        self._receiver: Any = _receivers(core)()
        self._receiver.host = self
        if not isinstance(owner, core.QCoreApplication):  # whose filter would see every event of every widget
            owner.installEventFilter(self._receiver)
        owner.destroyed.connect(self.close)
        core.QCoreApplication.instance().aboutToQuit.connect(self.close)

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the GUI thread, `seconds` from now; gives what cancels it. On the GUI thread only."""
        if self._closed:
            return nothing
        timer = self._receiver.startTimer(max(round(seconds * 1000), 1), self._core.Qt.TimerType.PreciseTimer)
        self._timers[timer] = action

        def cancel() -> None:
            if self._timers.pop(timer, None) is not None:
                self._receiver.killTimer(timer)

        return cancel

    def _poke(self) -> None:
        self._core.QCoreApplication.postEvent(self._receiver, self._core.QEvent(self._receiver.WAKE_UP))

    def _release(self) -> None:
        for timer in self._timers:
            self._receiver.killTimer(timer)
        self._timers.clear()
        self._owner = self._receiver.host = None
        self._receiver.deleteLater()

    # -- what the receiver is told -------------------------------------------------------------------------------

    def is_wake_up(self, event: Any) -> bool:
        """Run what waits, if the event is ours."""
        if event.type() != self._receiver.WAKE_UP:
            return False
        self._run_actions()
        return True

    def timer_due(self, timer: int) -> None:
        """Run the action of a timer, once."""
        action = self._timers.pop(timer, None)
        if action is not None:
            self._receiver.killTimer(timer)
            run(action)

    def owner_told(self, event: Any) -> None:
        """Look whether the window is still there, once it has handled the event that closes it."""
        if event.type() == self._core.QEvent.Type.Close:
            self.call_soon(self._close_if_hidden)

    def _close_if_hidden(self) -> None:
        if self._owner is not None and not self._owner.isVisible():
            self.close()


def _binding_of(owner: object) -> str:
    for kind in type(owner).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in BINDINGS:
            return package
    raise TypeError(
        f"a QtHost needs a window or application of PySide6 or PyQt6, not {type(owner).__name__}: "
        "pip install 'rx_assistant[qt]'"
    )


@cache
def _receivers(core: Any) -> Any:
    """Give the class of objects that hand their events to a host: one for each binding, which never forgets a class."""

    class Receiver(core.QObject):  # type: ignore[misc]  # which binding it is, is known only now
        WAKE_UP = core.QEvent.Type(core.QEvent.registerEventType())
        host: QtHost | None = None

        def event(self, event: Any) -> bool:
            return (self.host is not None and self.host.is_wake_up(event)) or bool(super().event(event))

        def timerEvent(self, event: Any) -> None:
            if self.host is not None:
                self.host.timer_due(event.timerId())

        def eventFilter(self, _watched: Any, event: Any) -> bool:
            if self.host is not None:
                self.host.owner_told(event)
            return False

    return Receiver

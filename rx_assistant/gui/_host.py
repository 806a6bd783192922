"""The interface of a GUI event loop, `UiHost`; and the base of all toolkits' hosts: closing, and a queue.

Network threads never touch a toolkit. They queue a callable on the host and continue; the host runs it on the thread
of its event loop, the only thread that may touch widgets.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol, runtime_checkable

Action = Callable[[], object]
"""A callable to run on the UI thread; its result is ignored."""

_log = logging.getLogger("rx_assistant")


@runtime_checkable
class UiHost(Protocol):
    """The event loop of a GUI. Implement it for a toolkit that has no host here."""

    def call_soon(self, action: Action) -> None:
        """Run `action` on the UI thread, soon. From any thread; never blocks, never raises; dropped once closed."""
        raise NotImplementedError

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the UI thread, `seconds` from now; returns its cancel function. On the UI thread only."""
        raise NotImplementedError

    def is_ui_thread(self) -> bool:
        """Whether this thread runs the event loop."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether the window or the event loop is gone, so that no action runs any more. From any thread."""
        raise NotImplementedError


@runtime_checkable
class TellsClosing(Protocol):
    """A host that reports its closing, so that subscriptions end then and not at their next item."""

    def on_close(self, action: Action) -> Action:
        """Call `action` when the host closes, or at once if it is closed; returns a function that removes it."""
        raise NotImplementedError


class ClosingHost:
    """The part of a host that tracks and reports its closing. Create it on the UI thread.

    The lock is reentrant: the garbage collector may free a widget inside
    `call_soon`, and the widget then closes its host.
    """

    def __init__(self) -> None:
        self._closed = False
        self._closing: list[Action] = []
        self._thread = threading.get_ident()
        self._mutex = threading.RLock()

    @property
    def closed(self) -> bool:
        """Whether the host is closed, so that no action runs any more."""
        return self._closed

    def is_ui_thread(self) -> bool:
        """Whether the host was created on this thread."""
        return threading.get_ident() == self._thread

    def on_close(self, action: Action) -> Action:
        """Call `action` when the host closes, or at once if it is closed; returns a function that removes it."""

        def forget() -> None:
            with self._mutex:
                if action in self._closing:
                    self._closing.remove(action)

        with self._mutex:
            if not self._closed:
                self._closing.append(action)
                return forget
        run(action)
        return nothing

    def close(self) -> None:
        """Run no further actions, and end all subscriptions on this host. On the UI thread; idempotent."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
        while (action := self._next_to_tell()) is not None:
            run(action)
        run(self._release)

    def _next_to_tell(self) -> Action | None:
        with self._mutex:
            return self._closing.pop() if self._closing else None

    def _run(self, action: Action) -> None:
        """Run an action for the event loop, unless the host was closed after the action was queued."""
        if not self._closed:
            run(action)

    def _release(self) -> None:
        """Release the host's resources of the toolkit."""


class QueueHost(ClosingHost):
    """A host with a separate queue of actions; the toolkit is only woken, once, to run them."""

    def __init__(self) -> None:
        super().__init__()
        self._actions: deque[Action] = deque()
        self._poked = False

    def call_soon(self, action: Action) -> None:
        """Run `action` on the UI thread, soon; from any thread. A closed host drops it."""
        with self._mutex:  # a closed host is not woken
            if not self._closed:
                self._actions.append(action)
                self._poke_once()

    def close(self) -> None:
        """Run no further actions, and end all subscriptions on this host. On the UI thread; idempotent."""
        super().close()
        self._actions.clear()

    def _poke_once(self) -> None:
        if self._poked:
            return
        self._poked = True
        try:
            self._poke()
        except Exception:  # the toolkit is shutting down: nothing needs the action any more
            self._actions.clear()
            self._poked = False

    def _poke(self) -> None:
        """Make the event loop call `_run_actions`. From any thread, without waiting."""
        raise NotImplementedError

    def _run_actions(self) -> None:
        """Run the actions that wait now. Later ones wake the loop again, so that it can handle other events between.

        An action may run a nested event loop, as modal dialogs do. The nested loop runs the actions after it.
        """
        with self._mutex:
            self._poked = False
            count = len(self._actions)
            if count > 1:
                self._poke_once()
        for _ in range(count):
            if self._closed or not self._actions:
                return
            run(self._actions.popleft())


def closes(host: ClosingHost) -> Callable[..., None]:
    """Return a callback that closes `host` and does not keep it alive, so that a toolkit may hold it for long."""
    found = weakref.ref(host)

    def close(*_: object) -> None:
        if (living := found()) is not None:
            living.close()

    return close


_HOSTS = {
    "PyQt6": "QtHost(window)",
    "PySide6": "QtHost(window)",
    "asyncio": "AsyncioHost()",
    "gi": "GtkHost(window)",
    "textual": "TextualHost(app)",
    "tkinter": "TkHost(root)",
    "trio": "TrioHost()",
    "uvloop": "AsyncioHost()",
    "wx": "WxHost(window)",
}


def require_host(host: object) -> None:
    """Raise a TypeError with the correct code, unless `host` is a host."""
    given = isinstance(host, UiHost)
    if isinstance(host, type):
        name = host.__name__
        got, right = f"the class {name}", f"{name}(…)" if given else None
    elif given:
        return
    else:
        packages = (kind.__module__.partition(".")[0] for kind in type(host).__mro__)
        got, right = type(host).__name__, next((_HOSTS[name] for name in packages if name in _HOSTS), None)
    advice = right or f"one of {', '.join(sorted(set(_HOSTS.values())))}"
    raise TypeError(f"host must be a host of rx_assistant.gui, got {got}: write {advice}")


def run(action: Action) -> None:
    """Run an action for an event loop, and log its exception."""
    try:
        action()
    except Exception:
        _log.exception("an action on the UI thread raised")


def nothing() -> None:
    """Do nothing: the action has already run, or the host is closed."""

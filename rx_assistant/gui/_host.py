"""What a GUI event loop has to offer: `UiHost`; and what the hosts of all toolkits share: closing, and a queue.

Network threads never touch a toolkit. They leave a callable with the host and go on; the host runs it on the thread
of its event loop, where alone widgets may be touched.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol, runtime_checkable

Action = Callable[[], object]
"""Something to do on the UI thread; what it returns is ignored."""

_log = logging.getLogger("rx_assistant")


@runtime_checkable
class UiHost(Protocol):
    """One event loop that widgets live on. Write your own for a toolkit that has none here."""

    def call_soon(self, action: Action) -> None:
        """Run `action` on the UI thread, soon. From any thread; never blocks, never raises; dropped once closed."""
        raise NotImplementedError

    def call_later(self, seconds: float, action: Action) -> Action:
        """Run `action` on the UI thread, `seconds` from now, and give what cancels it. On the UI thread only."""
        raise NotImplementedError

    def is_ui_thread(self) -> bool:
        """Whether this thread is the one that the event loop runs on."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether the window or the event loop is gone, so that nothing will be run any more. From any thread."""
        raise NotImplementedError


@runtime_checkable
class TellsClosing(Protocol):
    """A host that tells when it closes, so that subscriptions end then and not with their next item."""

    def on_close(self, action: Action) -> Action:
        """Call `action` when the host closes, or at once if it is closed; gives what forgets it."""
        raise NotImplementedError


class ClosingHost:
    """The part of a host that knows whether it is closed, and tells. To be made on the UI thread.

    The lock may be taken again by the thread that has it: a widget that the garbage collector finds inside of
    `call_soon` closes its host there.
    """

    def __init__(self) -> None:
        self._closed = False
        self._closing: list[Action] = []
        self._thread = threading.get_ident()
        self._mutex = threading.RLock()

    @property
    def closed(self) -> bool:
        """Whether nothing will be run any more."""
        return self._closed

    def is_ui_thread(self) -> bool:
        """Whether this thread is the one that the host was made on."""
        return threading.get_ident() == self._thread

    def on_close(self, action: Action) -> Action:
        """Call `action` when the host closes, or at once if it is closed; gives what forgets it."""

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
        """Run nothing any more and end the subscriptions that are observed here. On the UI thread; idempotent."""
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
        """Run an action for the event loop, unless the host has closed since it was left here."""
        if not self._closed:
            run(action)

    def _release(self) -> None:
        """Give back what the host has taken of its toolkit."""


class QueueHost(ClosingHost):
    """A host whose actions wait in a queue of our own; the toolkit is only poked, once, to look into it."""

    def __init__(self) -> None:
        super().__init__()
        self._actions: deque[Action] = deque()
        self._poked = False

    def call_soon(self, action: Action) -> None:
        """Run `action` on the UI thread, soon; from any thread. A closed host drops it."""
        with self._mutex:  # once it is closed, nobody pokes
            if not self._closed:
                self._actions.append(action)
                self._poke_once()

    def close(self) -> None:
        """Run nothing any more and end the subscriptions that are observed here. On the UI thread; idempotent."""
        super().close()
        self._actions.clear()

    def _poke_once(self) -> None:
        if self._poked:
            return
        self._poked = True
        try:
            self._poke()
        except Exception:  # the toolkit is being torn down: nobody is left to whom it could matter
            self._actions.clear()
            self._poked = False

    def _poke(self) -> None:
        """Let the event loop call `_run_actions`. From any thread, without waiting."""
        raise NotImplementedError

    def _run_actions(self) -> None:
        """Run what waits now; what comes meanwhile pokes anew, so that the event loop gets its turns.

        An action may run an event loop of its own, as modal dialogs do: that one runs what waits behind the action.
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
    """Give a callback that closes `host` and does not keep it alive: what a toolkit may hold for long."""
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
    """Raise a TypeError that says what to write, unless `host` is a host."""
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
    """Run an action for an event loop, which must not see what it raises."""
    try:
        action()
    except Exception:
        _log.exception("an action on the UI thread raised")


def nothing() -> None:
    """Cancel what is over."""

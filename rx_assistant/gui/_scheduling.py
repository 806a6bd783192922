"""An Rx scheduler on a GUI event loop, for time operators of reactivex: debounce a text field, blink, time out."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rx_assistant.gui._host import Action, UiHost, require_host
from rx_assistant.hot import StreamScheduler


class UiScheduler(StreamScheduler):
    """Runs actions on the UI thread of `host`, by a monotonic clock. Scheduling works from any thread.

    For streams use `observe_on_ui`: reactivex's `observe_on` costs one call of the event loop per item.
    """

    def __init__(self, host: UiHost) -> None:
        require_host(host)
        super().__init__(host.call_soon, _timers_of(host))


def _timers_of(host: UiHost) -> Callable[[float, Callable[[], None]], Callable[[], None]]:
    """Return `call_later` for any thread: the timer is set and cancelled on the UI thread."""

    def call_later(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        cancelled = threading.Event()
        cancels: list[Action] = []

        def start() -> None:
            if not cancelled.is_set():
                cancels.append(host.call_later(seconds, action))

        def stop() -> None:
            while cancels:
                cancels.pop()()

        def cancel() -> None:
            cancelled.set()
            stop() if host.is_ui_thread() else host.call_soon(stop)

        start() if host.is_ui_thread() else host.call_soon(start)
        return cancel

    return call_later

"""An observer that notes its signals and their threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from guard import GUARD
from reactivex import Observer


class Boom(Exception):
    """What a misbehaving observer raises."""


class Seen(Observer[Any]):
    """Notes each signal and its thread. `act` is called with each state."""

    def __init__(self, act: Callable[[Any], object] | None = None) -> None:
        super().__init__()
        self._act = act
        self.states: list[Any] = []
        self.endings: list[Any] = []
        self.threads: set[threading.Thread] = set()
        self.over = threading.Event()

    def on_next(self, value: Any) -> None:
        assert not self.endings
        self.threads.add(threading.current_thread())
        self.states.append(value)
        if self._act is not None:
            self._act(value)

    def on_error(self, error: Exception) -> None:
        self.endings.append(error)
        self.over.set()

    def on_completed(self) -> None:
        self.endings.append("completed")
        self.over.set()


def gone(threads: set[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(GUARD)
    return not any(thread.is_alive() for thread in threads)

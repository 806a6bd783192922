"""Every way to wait for a stream, and a handler that raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handlers_faces import Face, got
from handlers_wire import saying

TEXT = saying("Hel", "lo")
CUT = TEXT[:8]
WAITS: dict[str, Callable[[Any, Face], Any]] = {
    "until_done": lambda given, face: got(given.until_done()),
    "get_final_run": lambda given, face: got(given.get_final_run()),
    "get_final_messages": lambda given, face: got(given.get_final_messages()),
    "get_final_run_steps": lambda given, face: got(given.get_final_run_steps()),
    "for event": lambda given, face: looped(face, given),
    "for text": lambda given, face: looped(face, given.text_deltas),
    "for piped": lambda given, face: looped(face, given.pipe()),
}
"""Every way to wait for a stream."""


async def looped(face: Face, items: Any) -> list[Any]:
    """All items of a loop."""
    return [item async for item in face.each(items)]


class Raising:
    """Raises at the first text delta, and notes the callbacks after it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.told: list[Any] = []

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(delta.value)
        raise self.error

    async def on_timeout(self) -> None:
        self.told.append("timeout")

    async def on_exception(self, exception: Exception) -> None:
        self.told.append(exception)

    async def on_end(self) -> None:
        self.told.append("end")

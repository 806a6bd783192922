"""Asynchronous handlers of several tempers."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
from handlers_faces import FACES, AsyncFace
from handlers_wire import saying

from rx_assistant import AssistantEventHandler, AsyncAssistantEventHandler

TEXT = saying("Hel", "lo")
LOOPS = [face for face in FACES if isinstance(face, AsyncFace)]


class Slow(AsyncAssistantEventHandler):
    """Takes its time, and notices when it is not waited for."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.busy = 0
        self.overlapped = False

    async def _take(self, what: str) -> None:
        self.busy += 1
        self.overlapped |= self.busy > 1
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        self.busy -= 1
        self.told.append(what)

    async def on_event(self, event: Any) -> None:
        await self._take(event.event)

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        await self._take(snapshot.value)

    async def on_end(self) -> None:
        await self._take("end")


class Stuck(AsyncAssistantEventHandler):
    """Never comes back from its first text, unless it is cancelled."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.reached = anyio.Event()

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(delta.value)
        if self.reached.is_set():
            return
        self.reached.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.told.append("cancelled")

    async def on_exception(self, exception: Exception) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(exception)

    async def on_end(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append("end")


class Told(AsyncAssistantEventHandler):
    """Keeps how the stream ended, in its own time."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def on_exception(self, exception: Exception) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(exception)

    async def on_end(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append("end")


class ToldAtOnce(AssistantEventHandler):
    """The same in plain functions."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_exception(self, exception: Exception) -> None:
        self.told.append(exception)

    def on_end(self) -> None:
        self.told.append("end")


WAYS = {
    "until_done": lambda given: given.until_done(),
    "get_final_run": lambda given: given.get_final_run(),
    "async for": lambda given: read(given),
    "text_deltas": lambda given: read(given.text_deltas),
}


async def read(items: Any) -> None:
    async for _ in items:
        pass

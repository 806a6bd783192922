"""Which run goes next while many start or end at once.

At most `_SLOTS` runs work in one turn of the event loop, so that other requests are answered and other texts are sent
in between. A run needs a slot for its start, which ends with its first events, for what follows them, and for its end.
Starts come first, so the readers of many runs that are requested at once all get their first text early. But a run that
has started waits at most `_PATIENCE` seconds longer than a start that is requested at the same time, so it goes on even
if new starts never end.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import NamedTuple

_SLOTS = 8
_PATIENCE = 0.5


class _Waiting(NamedTuple):
    """A wait for a slot. The earlier one of two gets the slot."""

    due: float
    slot: asyncio.Future[None]


class Starts:
    """The slots. `async with` is for the start of a run: its task must be created in the block.

    A slot is free again when its user has waited for something else.
    """

    def __init__(self) -> None:
        self._free = _SLOTS
        self._starting: deque[_Waiting] = deque()
        self._started: deque[_Waiting] = deque()

    async def __aenter__(self) -> None:
        await self._slot(self._starting, 0.0)

    async def __aexit__(self, *_: object) -> None:
        # The loop calls the run's task before this, because it was created earlier.
        asyncio.get_running_loop().call_soon(self._release)

    async def give_way(self) -> None:
        """Wait until a run that has started may go on."""
        await self._slot(self._started, _PATIENCE)
        asyncio.get_running_loop().call_soon(self._release)

    async def _slot(self, queue: deque[_Waiting], patience: float) -> None:
        if self._free:
            self._free -= 1
            return
        slot = asyncio.get_running_loop().create_future()
        queue.append(_Waiting(time.monotonic() + patience, slot))
        try:
            await slot
        except BaseException:
            if not (slot.cancelled() or slot.cancel()):
                self._release()
            raise

    def _release(self) -> None:
        """Give the slot to the next run that still waits."""
        while queues := [queue for queue in (self._starting, self._started) if queue]:
            slot = min(queues, key=_due).popleft().slot
            if not slot.done():
                slot.set_result(None)
                return
        self._free += 1


def _due(queue: deque[_Waiting]) -> float:
    return queue[0].due

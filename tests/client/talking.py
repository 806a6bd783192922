"""Stories about conversations, written once with `await` and told on threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import sniffio
from faces import entered, left, listed
from guard import GUARD

from rx_assistant.local import RunContext
from rx_assistant.local.engine import Action, Gate, Text

FACES = ("sync", "asyncio", "trio")
LOOK = 0.002  # seconds

Story = Callable[[Any], Coroutine[Any, Any, None]]


async def text(stream: Any) -> str:
    """The whole answer."""
    await entered(stream)
    try:
        return "".join(await listed(stream.text_deltas))
    finally:
        await left(stream)


async def pause(seconds: float) -> None:
    """Let time pass."""
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        threading.Event().wait(seconds)
    else:
        await anyio.sleep(seconds)


async def until(claim: Callable[[], object]) -> None:
    """Return once the claim is true."""
    end = time.monotonic() + GUARD
    while not claim():
        assert time.monotonic() < end, f"never came true: {inspect.getsource(claim)}"
        await pause(LOOK)


class Slow:
    """Answers word by word without an end, unless the question says `short`; a cancelled run continues for a while.

    A question with `gate` in it waits for that gate.
    """

    def __init__(self, cancelling: float = 0.0) -> None:
        self.cancelling = cancelling

    async def run(self, context: RunContext) -> AsyncIterator[Action]:
        """One run."""
        question = context.question
        yield Text(f"Answer to {question}:")
        if "gate" in question:
            yield Gate("gate")
        try:
            word = 0
            while not ("short" in question or "gate" in question):
                await asyncio.sleep(0.002)
                yield Text(f" {word}")
                word += 1
        except asyncio.CancelledError:
            await asyncio.sleep(self.cancelling)
            raise

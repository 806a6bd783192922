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
from loopback import GUARD

from rx_assistant import AssistantClient, AsyncAssistantClient, Stream
from rx_assistant.local import RunContext
from rx_assistant.local.engine import Action, Gate, Text

FACES = ("sync", "asyncio", "trio")
LOOK = 0.002  # seconds

Story = Callable[[Any], Coroutine[Any, Any, None]]


def tell(face: str, base_url: str, story: Story, **settings: Any) -> None:
    """Run a story with a client of this face."""
    if face == "sync":
        with AssistantClient(base_url=base_url, **settings) as client:
            coroutine = story(client)
            try:
                coroutine.send(None)
            except StopIteration:
                return
            raise AssertionError("a story on threads has waited")

    async def main() -> None:
        async with AsyncAssistantClient(base_url=base_url, **settings) as client:
            with anyio.fail_after(2 * GUARD):
                await story(client)

    anyio.run(main, backend=face)


async def got(value: Any) -> Any:
    """The value, awaited where the face wants that."""
    return await value if inspect.isawaitable(value) else value


async def listed(value: Any) -> list[Any]:
    """The items of a list of the API, or of a stream."""
    if hasattr(value, "__aiter__") and not isinstance(value, Stream):
        return [item async for item in value]
    return list(value)


async def opened(manager: Any) -> Any:
    """What a block gives, entered."""
    return await manager.__aenter__() if _is_async(manager) else manager.__enter__()


async def left(manager: Any) -> None:
    """A block is left."""
    if _is_async(manager):
        await manager.__aexit__(None, None, None)
    else:
        manager.__exit__(None, None, None)


def _is_async(manager: Any) -> bool:
    """Whether it is for `async with`: a synchronous stream has the method too, to say what is right."""
    return inspect.iscoroutinefunction(getattr(manager, "__aenter__", None))


async def text(stream: Any) -> str:
    """The whole answer."""
    await opened(stream)
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
    """Answers word by word without an end, unless the question says `short`; a cancelled run goes on for a while.

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

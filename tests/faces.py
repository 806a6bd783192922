"""The three worlds of a stream: threads, asyncio and trio. One test is played in each.

Tests are written as coroutines. On the synchronous face nothing in them suspends, so they are driven to their end like
functions.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from guard import GUARD

from rx_assistant import AssistantClient, AsyncAssistantClient, AsyncStream


class Face:
    """What differs between the faces of the library, so that a test need not know."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def play(self, test: Coroutine[Any, Any, None]) -> None:
        """Run a test to its end."""
        raise NotImplementedError

    async def until(self, done: Callable[[], object]) -> None:
        """Return when what goes on elsewhere has come so far; fail after the guard."""
        raise NotImplementedError

    async def together(self, *scenarios: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        """What each scenario gave, or raised, when they are played side by side: in threads, or in tasks."""
        raise NotImplementedError

    def block(self, stream: Any) -> Block:
        """`with stream as …`, or `async with`."""
        return Block(stream)

    def each(self, items: Any) -> Each:
        """`for item in items`, or `async for`."""
        return Each(items)


class OnThreads(Face):
    def play(self, test: Coroutine[Any, Any, None]) -> None:
        driven(test)

    async def until(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + GUARD
        while not done():
            assert time.monotonic() < deadline, "nothing has happened"
            time.sleep(0.001)  # noqa: ASYNC251  # no event loop here

    async def together(self, *scenarios: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        with ThreadPoolExecutor(len(scenarios)) as pool:
            begun = [pool.submit(driven, scenario()) for scenario in scenarios]
        return [one.exception() or one.result() for one in begun]


class OnEventLoop(Face):
    def play(self, test: Coroutine[Any, Any, None]) -> None:
        async def main() -> None:
            await test

        anyio.run(main, backend=self.name)

    async def until(self, done: Callable[[], object]) -> None:
        with anyio.fail_after(GUARD):
            while not done():  # noqa: ASYNC110  # what is waited for knows of no event
                await anyio.sleep(0.0005)

    async def together(self, *scenarios: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        results: list[Any] = [None] * len(scenarios)

        async def play(place: int) -> None:
            try:
                results[place] = await scenarios[place]()
            except Exception as error:
                results[place] = error

        async with anyio.create_task_group() as tasks:
            for place in range(len(scenarios)):
                tasks.start_soon(play, place)
        return results


class Block:
    """A `with` block of either kind."""

    def __init__(self, manager: Any) -> None:
        # a synchronous stream has `__aenter__`, too, to say what is right
        self._is_async = inspect.iscoroutinefunction(getattr(manager, "__aenter__", None))
        self._manager = manager

    async def __aenter__(self) -> Any:
        return await self._manager.__aenter__() if self._is_async else self._manager.__enter__()

    async def __aexit__(self, *error: Any) -> Any:
        return await self._manager.__aexit__(*error) if self._is_async else self._manager.__exit__(*error)


class Each:
    """A loop of either kind."""

    def __init__(self, items: Any) -> None:
        try:
            self._later: AsyncIterator[Any] | None = aiter(items)
        except TypeError:
            self._later, self._now = None, iter(items)

    def __aiter__(self) -> Each:
        return self

    async def __anext__(self) -> Any:
        if self._later is not None:
            return await anext(self._later)
        try:
            return next(self._now)
        except StopIteration:
            raise StopAsyncIteration from None


async def got(value: Any) -> Any:
    """What a method gave, awaited where it is the asynchronous face's."""
    return await value if inspect.isawaitable(value) else value


async def first(items: Any) -> Any:
    """The first item of a loop, which is left."""
    return await anext(Each(items))


async def last(items: Any) -> Any:
    """The last item, from `await items` or `items.run()`."""
    return await items if isinstance(items, AsyncStream) else items.run()


async def listed(items: Any) -> list[Any]:
    """All items of a loop."""
    return [item async for item in Each(items)]


async def entered(manager: Any) -> Any:
    """What a block gives, entered."""
    return await Block(manager).__aenter__()


async def left(manager: Any) -> None:
    """A block is left."""
    await Block(manager).__aexit__(None, None, None)


def with_client(face: str, base_url: str, story: Callable[[Any], Any], **settings: Any) -> Any:
    """Run a story with a client of the face "sync", "asyncio" or "trio"; return its result, awaited if it can be."""
    if face == "sync":
        with AssistantClient(base_url=base_url, **settings) as client:
            return driven(got(story(client)))

    async def main() -> Any:
        async with AsyncAssistantClient(base_url=base_url, **settings) as client:
            with anyio.fail_after(2 * GUARD):
                return await got(story(client))

    return anyio.run(main, backend=face)


def driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("something suspended on the synchronous face")


def played(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test of a coroutine function: it is played on the face that it takes as `face`."""

    @functools.wraps(scenario)
    def test(face: Face, **fixtures: Any) -> None:
        face.play(scenario(face=face, **fixtures))

    vars(test)["__signature__"] = inspect.signature(scenario)
    del vars(test)["__wrapped__"]
    return test


def on_faces(faces: Sequence[Face]) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Play a test on each of these faces."""

    def decorate(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        marked: Callable[..., None] = pytest.mark.parametrize("face", faces, ids=repr)(played(scenario))
        return marked

    return decorate

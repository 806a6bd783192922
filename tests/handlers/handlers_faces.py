"""The three worlds that a handler lives in: threads, asyncio and trio. One scenario is played in each.

Scenarios and callbacks are written as coroutines. On the synchronous face nothing in them suspends, so they are driven
to their end like functions.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from guard import GUARD
from handlers_wire import saying

from rx_assistant import AssistantEventHandler, AsyncAssistantEventHandler, AsyncStream
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream

CALLBACKS = tuple(name for name in vars(AssistantEventHandler) if name.startswith("on_"))


class Script:
    """A body that gives its chunks one read at a time; an exception in their place is raised.

    An awaitable-returning callable in place of a chunk is called, and nothing is read: a test's way to step in.
    """

    request_id = "req_1"

    def __init__(self, *chunks: Any) -> None:
        self.chunks = list(chunks)
        self.opened = 0
        self.refuse: Exception | None = None
        self.reads = 0
        self.closed = False
        self.finished = False

    def saw_event(self) -> None:
        """Nothing to learn."""

    def close_soon(self) -> None:
        self.closed = True

    def _open(self) -> None:
        self.opened += 1
        if self.refuse is not None:
            raise self.refuse

    def _next(self) -> Any:
        self.reads += 1
        item = self.chunks.pop(0) if self.chunks and not self.closed else b""
        if isinstance(item, BaseException):
            raise item
        return item


class SyncScript(Script):
    def open(self) -> SyncScript:
        self._open()
        return self

    def read(self) -> bytes:
        item = self._next()
        if callable(item):
            driven(got(item()))
            return self.read()
        return item

    def finish(self) -> None:
        self.finished = True

    def close(self) -> None:
        self.closed = True


class AsyncScript(Script):
    async def open(self) -> AsyncScript:
        await anyio.lowlevel.checkpoint()
        self._open()
        return self

    async def read(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        item = self._next()
        if callable(item):
            await got(item())
            return await self.read()
        return item

    async def finish(self) -> None:
        self.finished = True

    async def aclose(self) -> None:
        self.closed = True


class Face:
    """What differs between the faces of the library, so that a scenario need not know."""

    base: type
    plain: type
    handled: type
    script: type[Script]

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def play(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a scenario to its end."""
        raise NotImplementedError

    def handler(self, kind: type) -> type:
        """A handler class with the callbacks of `kind`, which are coroutines there."""
        raise NotImplementedError

    async def until(self, done: Callable[[], bool]) -> None:
        """Return when what goes on elsewhere has come so far; fail after five seconds."""
        raise NotImplementedError

    async def together(self, *scenarios: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        """What each scenario gave, or raised, when they are played side by side: in threads, or in tasks."""
        raise NotImplementedError

    def stream(self, *chunks: Any, handler: Any = None, **options: Any) -> Any:
        """A stream over these chunks; with a handler as `event_handler=` makes it. `script` is its body."""
        script: Any = self.script(*chunks)
        made = self.plain(script.open, **options)
        if handler is not None:
            made = self.handled(script.open, handler=handler, **options)
        made.script = script
        return made

    def block(self, stream: Any) -> Block:
        """`with stream as …`, or `async with`."""
        return Block(stream)

    def each(self, items: Any) -> Each:
        """`for item in items`, or `async for`."""
        return Each(items)

    async def ran(self, handler: Any, *chunks: Any) -> Any:
        """The handler, after it has been `event_handler=` of a stream to its end."""
        async with self.block(self.stream(*chunks, handler=handler)) as given:
            await got(given.until_done())
        return handler


class SyncFace(Face):
    base = AssistantEventHandler
    plain = AssistantStream
    handled = HandledStream
    script = SyncScript

    def play(self, scenario: Coroutine[Any, Any, None]) -> None:
        driven(scenario)

    def handler(self, kind: type) -> type:
        plain = {name: _function(getattr(kind, name)) for name in CALLBACKS if hasattr(kind, name)}
        return type(kind.__name__, (kind, AssistantEventHandler), plain)

    async def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + GUARD
        while not done():
            assert time.monotonic() < deadline, "nothing has happened"
            time.sleep(0.001)  # noqa: ASYNC251  # no event loop here

    async def together(self, *scenarios: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        with ThreadPoolExecutor(len(scenarios)) as pool:
            begun = [pool.submit(driven, scenario()) for scenario in scenarios]
        return [one.exception() or one.result() for one in begun]


class AsyncFace(Face):
    base = AsyncAssistantEventHandler
    plain = AsyncAssistantStream
    handled = HandledAsyncStream
    script = AsyncScript

    def play(self, scenario: Coroutine[Any, Any, None]) -> None:
        async def main() -> None:
            await scenario

        anyio.run(main, backend=self.name)

    def handler(self, kind: type) -> type:
        return type(kind.__name__, (kind, AsyncAssistantEventHandler), {})

    async def until(self, done: Callable[[], bool]) -> None:
        with anyio.fail_after(GUARD):
            while not done():
                await anyio.lowlevel.checkpoint()

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

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aenter__(self) -> Any:
        if isinstance(self._stream, AsyncStream):
            return await self._stream.__aenter__()
        return self._stream.__enter__()

    async def __aexit__(self, *error: Any) -> Any:
        if isinstance(self._stream, AsyncStream):
            return await self._stream.__aexit__(*error)
        return self._stream.__exit__(*error)


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


def driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("something suspended on the synchronous face")


def _function(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def call(*arguments: Any) -> Any:
        return driven(callback(*arguments))

    return call


FACES: tuple[Face, ...] = (SyncFace("threads"), AsyncFace("asyncio"), AsyncFace("trio"))


def on_every_face(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a scenario that takes `face`: it is played on threads, on asyncio and on trio."""

    @functools.wraps(scenario)
    def test(face: Face, **fixtures: Any) -> None:
        face.play(scenario(face=face, **fixtures))

    vars(test)["__signature__"] = inspect.signature(scenario)
    del vars(test)["__wrapped__"]
    marked: Callable[..., None] = pytest.mark.parametrize("face", FACES, ids=repr)(test)
    return marked


def recorder(face: Face, *, names: Iterable[str] = CALLBACKS, show: Callable[..., Any] | None = None) -> Any:
    """A handler that keeps what was called, in `calls`: names, or what `show(handler, name, *arguments)` gives."""

    def recording(name: str) -> Callable[..., Any]:
        async def callback(self: Any, *arguments: Any) -> None:
            self.calls.append(name if show is None else show(self, name, *arguments))

        return callback

    kind = type("Recorder", (), {name: recording(name) for name in names})
    made = face.handler(kind)()
    made.calls = []
    return made


# -- a stream, ways to wait for it, and handlers -----------------------------------------------------------------------

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

"""The faces that a handler lives on, with streams and handlers for each. Callbacks are written as coroutines, too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
import faces
from faces import driven, got, listed
from handlers_wire import saying

from rx_assistant import AssistantEventHandler, AsyncAssistantEventHandler
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


class Face(faces.Face):
    """A face with its streams and handlers."""

    base: type
    plain: type
    handled: type
    script: type[Script]

    def handler(self, kind: type) -> type:
        """A handler class with the callbacks of `kind`, which are coroutines there."""
        raise NotImplementedError

    def stream(self, *chunks: Any, handler: Any = None, **options: Any) -> Any:
        """A stream over these chunks; with a handler as `event_handler=` makes it. `script` is its body."""
        script: Any = self.script(*chunks)
        made = self.plain(script.open, **options)
        if handler is not None:
            made = self.handled(script.open, handler=handler, **options)
        made.script = script
        return made

    async def ran(self, handler: Any, *chunks: Any) -> Any:
        """The handler, after it has been `event_handler=` of a stream to its end."""
        async with self.block(self.stream(*chunks, handler=handler)) as given:
            await got(given.until_done())
        return handler


class SyncFace(faces.OnThreads, Face):
    base = AssistantEventHandler
    plain = AssistantStream
    handled = HandledStream
    script = SyncScript

    def handler(self, kind: type) -> type:
        plain = {name: _function(getattr(kind, name)) for name in CALLBACKS if hasattr(kind, name)}
        return type(kind.__name__, (kind, AssistantEventHandler), plain)


class AsyncFace(faces.OnEventLoop, Face):
    base = AsyncAssistantEventHandler
    plain = AsyncAssistantStream
    handled = HandledAsyncStream
    script = AsyncScript

    def handler(self, kind: type) -> type:
        return type(kind.__name__, (kind, AsyncAssistantEventHandler), {})


def _function(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def call(*arguments: Any) -> Any:
        return driven(callback(*arguments))

    return call


FACES: tuple[Face, ...] = (SyncFace("threads"), AsyncFace("asyncio"), AsyncFace("trio"))
on_every_face = faces.on_faces(FACES)


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
    "for event": lambda given, face: listed(given),
    "for text": lambda given, face: listed(given.text_deltas),
    "for piped": lambda given, face: listed(given.pipe()),
}
"""Every way to wait for a stream."""


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

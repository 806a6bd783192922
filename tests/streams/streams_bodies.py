"""Bodies that a test feeds by hand, the frames to feed them with, and streams that read from them."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
from faces import Face, OnEventLoop, OnThreads, on_faces
from guard import GUARD

from rx_assistant.events import BY_NAME, StreamEvent, frame
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

DONE = b"event: done\ndata: [DONE]\n\n"


def event(name: str, payload: Any) -> bytes:
    """The frame of an event."""
    return frame(BY_NAME[name](json.dumps(payload).encode()))


def run(status: str) -> bytes:
    """The frame that says that the run is now `status`."""
    name = "created" if status == "queued" else status
    payload = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": status}
    return event(f"thread.run.{name}", payload)


def message(name: str, value: str | None = None) -> bytes:
    """The frame of a whole message."""
    content = [] if value is None else [{"type": "text", "text": {"value": value, "annotations": []}}]
    status = "in_progress" if name == "created" else name
    payload = {"id": "msg_1", "object": "thread.message", "status": status, "role": "assistant", "content": content}
    return event(f"thread.message.{name}", payload)


def delta(value: str) -> bytes:
    """The frame of a piece of text."""
    content = [{"index": 0, "type": "text", "text": {"value": value}}]
    payload = {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": content}}
    return event("thread.message.delta", payload)


def error(**payload: Any) -> bytes:
    """The frame of an error event."""
    return event("error", payload)


def answer(*texts: str) -> list[bytes]:
    """The frames of a run that answers in `texts`, one frame a chunk."""
    return [
        run("queued"),
        run("in_progress"),
        message("created"),
        *map(delta, texts),
        message("completed", "".join(texts)),
        run("completed"),
        DONE,
    ]


def names(events: Iterable[StreamEvent]) -> list[str]:
    """The events' names, short."""
    return [event.event.removeprefix("thread.") for event in events]


class FedBody:
    """A body that gives what a test feeds it, and waits when there is nothing."""

    request_id: str | None = "req_1"
    holds_connection = False

    def __init__(self, *chunks: bytes, over: bool = False) -> None:
        self._chunks: deque[bytes | Exception] = deque(chunks)
        if over:
            self._chunks.append(b"")
        self._changed = threading.Condition()
        self.reads = 0
        self.readers: set[int] = set()
        self.waiting = threading.Event()  # a reader waits in read()
        self.seen = 0
        self.endings: list[str] = []

    def feed(self, *chunks: bytes | Exception) -> None:
        """Give chunks to the reader; `b""` is the end, an exception is raised."""
        with self._changed:
            self._chunks.extend(chunks)
            self._changed.notify_all()

    def read(self) -> bytes:
        self.reads += 1
        self.readers.add(threading.get_ident())
        with self._changed:
            if not (self._chunks or self.endings):
                self.waiting.set()
            assert self._changed.wait_for(lambda: self._chunks or self.endings, GUARD), "nothing to read"
            self.waiting.clear()
            return _give(self._chunks.popleft() if self._chunks and not self.endings else b"")

    def saw_event(self) -> None:
        self.seen += 1

    def finish(self) -> None:
        self._end("finish")

    def close(self) -> None:
        self._end("close")

    def _end(self, how: str) -> None:
        with self._changed:
            self.endings.append(how)
            self._changed.notify_all()


class AsyncFedBody:
    """A FedBody for an event loop; `feed` on the loop's thread."""

    request_id: str | None = "req_1"
    holds_connection = False

    def __init__(self, *chunks: bytes, over: bool = False) -> None:
        self._chunks: deque[bytes | Exception] = deque(chunks)
        if over:
            self._chunks.append(b"")
        self._changed: anyio.Event | None = None
        self.reads = 0
        self.reading = 0
        self.seen = 0
        self.endings: list[str] = []

    def feed(self, *chunks: bytes | Exception) -> None:
        """Give chunks to the reader; `b""` is the end, an exception is raised."""
        self._chunks.extend(chunks)
        self._wake()

    async def read(self) -> bytes:
        self.reads += 1
        self.reading += 1
        try:
            while not (self._chunks or self.endings):
                self._changed = anyio.Event()
                with anyio.fail_after(GUARD):
                    await self._changed.wait()
        finally:
            self.reading -= 1
        return _give(self._chunks.popleft() if self._chunks and not self.endings else b"")

    def saw_event(self) -> None:
        self.seen += 1

    async def finish(self) -> None:
        self._end("finish")

    async def aclose(self) -> None:
        self._end("close")

    def close_soon(self) -> None:
        """Nothing that could be done from here."""

    def _end(self, how: str) -> None:
        self.endings.append(how)
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()


def _give(chunk: bytes | Exception) -> bytes:
    if isinstance(chunk, Exception):
        raise chunk
    return chunk


def sync_stream(body: Any, **options: Any) -> AssistantStream:
    """A stream over a body, which nothing ends after a cancel: leaving does not wait for it."""
    options.setdefault("cancel_wait", 0)
    return AssistantStream(lambda: body, **options)


def async_stream(body: Any, **options: Any) -> AsyncAssistantStream:
    """An asynchronous stream over a body, which nothing ends after a cancel: leaving does not wait for it."""
    options.setdefault("cancel_wait", 0)

    async def open() -> Any:
        return body

    return AsyncAssistantStream(open, **options)


def elsewhere(action: Callable[[], object]) -> threading.Thread:
    """Run `action` on another thread."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


class CancelServer:
    """Where cancels are posted to. It answers with what the run has become."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str]] = []
        self.refusal: Exception | None = None

    def post(self, run_id: str, thread_id: str) -> str:
        self.posts.append((run_id, thread_id))
        if self.refusal is not None:
            raise self.refusal
        return "cancelling"

    async def post_async(self, run_id: str, thread_id: str) -> str:
        await anyio.lowlevel.checkpoint()
        return self.post(run_id, thread_id)


def joined(*threads: threading.Thread) -> None:
    """Wait for threads that end at once."""
    for thread in threads:
        thread.join(GUARD)
        assert not thread.is_alive(), "it hangs"


def until(done: Callable[[], Any]) -> None:
    """Return when what happens on another thread has happened."""
    deadline = time.monotonic() + GUARD
    while not done():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.0005)


async def until_async(done: Callable[[], Any]) -> None:
    """Return when something in another task or thread has happened."""
    with anyio.fail_after(GUARD):
        while not done():  # noqa: ASYNC110  # what is waited for knows of no event
            await anyio.sleep(0.0005)


# -- the faces of a stream ---------------------------------------------------------------------------------------------


class StreamFace(Face):
    """A face with the bodies and streams of it."""

    body: Any
    """The class of a body."""

    def opened(self, open: Callable[[], Any], **options: Any) -> Any:
        """A stream over the body that `open` gives. Functions among the options suit both faces."""
        raise NotImplementedError

    def over(self, body: Any, **options: Any) -> Any:
        """A stream over a body."""
        return self.opened(lambda: body, **options)


class Threads(OnThreads, StreamFace):
    body = FedBody

    def opened(self, open: Callable[[], Any], **options: Any) -> AssistantStream:
        return AssistantStream(open, **{"cancel_wait": 0, **options})


class EventLoop(OnEventLoop, StreamFace):
    body = AsyncFedBody

    def opened(self, open: Callable[[], Any], **options: Any) -> AsyncAssistantStream:
        options = {"cancel_wait": 0, **options}
        return AsyncAssistantStream(_later(open), **{name: _later(option) for name, option in options.items()})


def _later(option: Any) -> Any:
    """A function becomes a coroutine function."""
    if not callable(option):
        return option

    async def call(*arguments: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return option(*arguments)

    return call


FACES: tuple[StreamFace, ...] = (Threads("threads"), EventLoop("asyncio"), EventLoop("trio"))
on_every_face = on_faces(FACES)

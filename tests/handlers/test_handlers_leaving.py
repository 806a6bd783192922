"""Leaving a block: handlers get the ending first, on every face, even if a callback is slow."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from guard import GUARD
from handlers_faces import CUT, TEXT, AsyncFace, Face, got, on_every_face

from rx_assistant import AssistantEventHandler
from rx_assistant.errors import StreamTruncatedError
from rx_assistant.streams import HandledStream

SLOW = 0.1  # seconds; long enough that a block which does not wait is left before


class Ending:
    """A handler that is slow to hear of the end; `told` is what it has heard out."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(delta.value)

    async def on_exception(self, exception: Exception) -> None:
        await self.pause()
        self.told.append(type(exception))

    async def on_end(self) -> None:
        await self.pause()
        self.told.append("end")

    async def pause(self) -> None:
        await anyio.sleep(SLOW)


class SlowThread(AssistantEventHandler):
    """The same for threads, where nothing can be awaited."""

    def __init__(self, seconds: float = SLOW) -> None:
        self.told: list[Any] = []
        self.seconds = seconds
        self.slow_deltas = False
        self.began = threading.Event()

    def pause(self) -> None:
        self.began.set()
        threading.Event().wait(self.seconds)

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        if self.slow_deltas:
            self.pause()
        self.told.append(delta.value)

    def on_exception(self, exception: Exception) -> None:
        self.pause()
        self.told.append(type(exception))

    def on_end(self) -> None:
        self.pause()
        self.told.append("end")


def slow(face: Face) -> Any:
    return face.handler(Ending)() if isinstance(face, AsyncFace) else SlowThread()


@on_every_face
@pytest.mark.parametrize("of", ["events", "texts"])
@pytest.mark.parametrize("connect", [True, False], ids=["connected", ""])
@pytest.mark.parametrize("joined", [True, False], ids=["in one chunk", "in many"])
async def test_after_a_loop_to_the_end_the_block_waits_for_on_end(
    face: Face, of: str, connect: bool, joined: bool
) -> None:
    handler = slow(face)
    chunks = [b"".join(TEXT)] if joined else TEXT
    async with face.block(face.stream(*chunks, handler=handler)) as given:
        if connect:
            await got(given.connect())
        async for _ in face.each(given if of == "events" else given.text_deltas):
            pass
    assert handler.told == ["Hel", "lo", "end"]
    assert handler.exception is None


@on_every_face
@pytest.mark.parametrize("connect", [True, False], ids=["connected", ""])
async def test_a_broken_stream_is_reported_before_its_error_leaves_the_block(face: Face, connect: bool) -> None:
    handler = slow(face)
    with pytest.raises(StreamTruncatedError):
        async with face.block(face.stream(b"".join(CUT), handler=handler)) as given:
            if connect:
                await got(given.connect())
            async for _ in face.each(given):
                pass
    assert handler.told[-2:] == [StreamTruncatedError, "end"]


@on_every_face
@pytest.mark.parametrize("connect", [True, False], ids=["connected", ""])
async def test_a_loop_that_was_left_early_cuts_the_stream_and_calls_on_end(face: Face, connect: bool) -> None:
    handler = slow(face)
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        if connect:
            await got(given.connect())
        async for _ in face.each(given):
            break
    assert handler.told[-1] == "end"
    assert handler.exception is None


@on_every_face
async def test_an_attached_handler_is_waited_for_as_well(face: Face) -> None:
    first, second = slow(face), slow(face)
    stream = face.stream(*TEXT, handler=first)
    stream.attach(second)
    async with face.block(stream) as given:
        await got(given.connect())
        async for _ in face.each(given):
            pass
    assert first.told == second.told == ["Hel", "lo", "end"]


def test_a_slow_handler_on_the_thread_that_reads_gets_all_of_a_stream_that_was_read_to_its_end() -> None:
    handler = SlowThread(0.02)
    handler.slow_deltas = True
    with HandledStream(AsBody(b"".join(TEXT)), handler=handler) as given:
        given.connect()
        for _ in given:
            pass
    assert handler.told == ["Hel", "lo", "end"]


def test_a_callback_that_hangs_does_not_keep_a_block_that_is_left_early() -> None:
    release = threading.Event()

    class Hanging(AssistantEventHandler):
        def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            inside.set()
            release.wait(GUARD)

    inside = threading.Event()
    with HandledStream(AsBody(b"".join(TEXT)), handler=Hanging()) as given:
        given.connect()
        assert inside.wait(GUARD)
    assert not release.is_set()
    release.set()


@pytest.mark.anyio
async def test_cancelling_a_task_that_waits_for_on_end_ends_the_wait(anyio_backend: str) -> None:
    class Forever(Ending):
        async def pause(self) -> None:
            begun.set()
            await anyio.sleep_forever()

    begun = anyio.Event()
    face = AsyncFace(anyio_backend)
    handler = face.handler(Forever)()

    async def read() -> None:
        async with face.stream(*TEXT, handler=handler) as given:
            await given.connect()
            async for _ in given:
                pass

    with anyio.fail_after(GUARD):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await begun.wait()
            tasks.cancel_scope.cancel()
    assert handler.told == ["Hel", "lo"]


class AsBody:
    """Opens a body of one chunk."""

    request_id = None

    def __init__(self, data: bytes) -> None:
        self._chunks = [data]

    def __call__(self) -> AsBody:
        return self

    def read(self) -> bytes:
        return self._chunks.pop() if self._chunks else b""

    def saw_event(self) -> None:
        """No time limits."""

    def finish(self) -> None:
        """Nothing to give back."""

    close = finish

"""`next(stream)` and `anext(stream)`: one cursor of the stream's own, beside all loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
import reactivex as rx
from faces import listed
from reactivex import operators as ops
from streams_bodies import (
    AsyncFedBody,
    FedBody,
    StreamFace,
    answer,
    async_stream,
    elsewhere,
    joined,
    on_every_face,
    sync_stream,
    until,
    until_async,
)

from rx_assistant import AssistantEventHandler, AsyncAssistantEventHandler, AsyncStream, operators as ax
from rx_assistant.errors import StreamClosedError
from rx_assistant.streams import HandledAsyncStream, HandledStream

TEXTS = ("a", "b")


async def following(items: Any, *default: Any) -> Any:
    """`next(items)`, or `await anext(items)`."""
    if not isinstance(items, AsyncStream):
        try:
            return next(items, *default)
        except StopIteration:
            raise StopAsyncIteration from None
    return await anext(items, *default)


@on_every_face
async def test_next_gives_one_event_after_the_other_and_loops_start_at_the_beginning(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        assert [(await following(stream)).event for _ in range(2)] == ["thread.run.created", "thread.run.in_progress"]
        assert [await following(stream.text_deltas) for _ in range(2)] == ["a", "b"]
        assert (await following(stream)).event == "thread.message.created"
        assert len(await listed(stream)) == 7
        assert await listed(stream.text_deltas) == ["a", "b"]
        assert await following(stream.text_deltas, None) is None
        rest = []
        while (event := await following(stream, None)) is not None:
            rest.append(event.event)
        assert (rest[0], len(rest)) == ("thread.message.delta", 4)
        with pytest.raises(StopAsyncIteration):
            await following(stream)


def test_text_deltas_is_one_object_as_long_as_something_holds_it() -> None:
    stream = sync_stream(FedBody(*answer(*TEXTS)))
    texts = stream.text_deltas
    assert stream.text_deltas is texts
    assert type(texts.pipe(ops.map(str))).__name__ == "Stream"


@on_every_face
async def test_next_of_a_closed_stream_raises_once_and_then_stops(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        await following(stream)
    with pytest.raises(StreamClosedError):
        await following(stream)
    assert await following(stream, None) is None


def test_a_handler_has_next_too() -> None:
    body = FedBody(*answer(*TEXTS))
    with HandledStream(lambda: body, handler=AssistantEventHandler()) as handler:
        assert next(handler).event == "thread.run.created"
        assert next(handler).event == "thread.run.in_progress"
        assert next(handler.text_deltas) == "a"


@pytest.mark.parametrize("kind", [AssistantEventHandler, AsyncAssistantEventHandler])
async def test_a_handler_of_an_async_stream_has_anext(anyio_backend: str, kind: Callable[[], Any]) -> None:
    async def open() -> Any:
        return AsyncFedBody(*answer(*TEXTS))

    async with HandledAsyncStream(open, handler=kind()) as handler:
        assert (await anext(handler)).event == "thread.run.created"
        assert (await anext(handler, None)).event == "thread.run.in_progress"


def test_next_of_any_other_stream_names_iter() -> None:
    stream = sync_stream(FedBody(*answer(*TEXTS)))
    with pytest.raises(TypeError, match=r"iter\(stream\)"):
        next(stream.pipe(ax.text_deltas()))
    with pytest.raises(TypeError, match=r"aiter\(stream\)"):
        anext(async_stream(AsyncFedBody()).pipe(ax.text_deltas()))


# -- sequence_equal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fluent", [False, True])
def test_sequence_equal_subscribes_to_a_stream_instead_of_looping_over_it(fluent: bool) -> None:
    first, second = FedBody(), FedBody()
    one, other = sync_stream(first), sync_stream(second)
    result: list[bool] = []
    texts = one.text_deltas
    equal: Any = texts.sequence_equal if fluent else lambda stream: texts.pipe(ops.sequence_equal(stream))
    equal(other.text_deltas).subscribe(result.append)
    assert (first.reads, second.reads) == (0, 0)
    for body, stream in ((first, one), (second, other)):
        body.feed(*answer(*TEXTS))
        stream.until_done()
    assert result == [True]


@pytest.mark.parametrize(("texts", "expected"), [(TEXTS, True), (("a", "c"), False)])
def test_sequence_equal_of_two_streams_can_be_waited_for(texts: tuple[str, ...], expected: bool) -> None:
    one, other = sync_stream(FedBody(*answer(*TEXTS))), sync_stream(FedBody(*answer(*texts)))
    results: list[Any] = []
    joined(elsewhere(lambda: results.append(one.text_deltas.pipe(ops.sequence_equal(other.text_deltas)).run())))
    joined(elsewhere(lambda: results.append(rx.of(*TEXTS).pipe(ops.sequence_equal(other.text_deltas)).run())))
    assert results == [expected, expected]
    assert one.text_deltas.pipe(ops.sequence_equal(TEXTS)).run() is True


async def test_sequence_equal_of_async_streams_can_be_awaited(anyio_backend: str) -> None:
    one, other = async_stream(AsyncFedBody(*answer(*TEXTS))), async_stream(AsyncFedBody(*answer(*TEXTS)))
    assert await one.text_deltas.pipe(ops.sequence_equal(other.text_deltas)) is True
    assert await one.text_deltas.sequence_equal(one.text_deltas) is True


# -- interrupted and cancelled loops -----------------------------------------------------------------------------------


async def test_a_cancelled_loop_leaves_at_once(anyio_backend: str) -> None:

    body = AsyncFedBody(*answer(*TEXTS)[:2])
    async with async_stream(body, on_idle="close") as stream:
        await stream.connect()
        held: list[BaseException] = []  # as a web framework keeps the exception of a client that has gone

        async def read() -> None:
            try:
                async for _ in stream:
                    pass
            except BaseException as error:
                held.append(error)
                raise

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.sleep(0.01)
            assert stream.log.holders == 1
            tasks.cancel_scope.cancel()
        assert stream.log.holders == 0
        assert held
        await until_async(lambda: body.endings)
    assert body.endings == ["close"]


async def test_a_timeout_around_anext_loses_nothing_and_the_iterator_comes_back(anyio_backend: str) -> None:

    body = AsyncFedBody(*answer(*TEXTS)[:2])
    async with async_stream(body) as stream:
        await stream.connect()
        items = aiter(stream)
        got = [(await anext(items)).event for _ in range(2)]
        for _ in range(3):
            with anyio.move_on_after(0.01):
                await anext(items)
            assert stream.log.holders == 0
        body.feed(*answer(*TEXTS)[2:])
        async for event in items:
            got.append(event.event)
            assert stream.log.holders == 1
        assert got == [event.event async for event in stream]
        assert len(got) == 7


def test_an_interrupted_next_leaves_at_once_and_comes_back() -> None:
    class Interrupting(FedBody):
        def read(self) -> bytes:
            if self.reads == 1:
                self.reads += 1
                raise KeyboardInterrupt
            return super().read()

    stream = sync_stream(Interrupting(*answer(*TEXTS)))
    items = iter(stream)
    next(items)
    with pytest.raises(KeyboardInterrupt) as held:
        next(items)
    assert stream.log.holders == 0
    assert len(list(items)) == 6
    assert held
    until(lambda: stream.log.delivered)

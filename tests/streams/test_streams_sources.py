"""Streams without a client: recordings of every shape, events of others, responses that someone else has opened."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
import trio
from cases import in_one_test
from loopback import Loopback, Received, Wire
from reference import RECORDINGS
from streams_bodies import GUARD, answer, delta, elsewhere, joined, names, run, until
from trio.testing import MockClock

from rx_assistant import from_events, from_response, replay, replay_async
from rx_assistant.errors import (
    EventTooLargeError,
    NotAnEventStreamError,
    ServerErrorEvent,
    StreamClosedError,
    StreamTruncatedError,
)
from rx_assistant.events import BY_NAME, StreamEvent
from rx_assistant.sse import ServerSentEvent
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

TEXTS = ("a", "b")
WHOLE = b"".join(answer(*TEXTS))


def pieces(size: int = 10) -> Iterator[bytes]:
    for start in range(0, len(WHOLE), size):
        yield WHOLE[start : start + size]


async def async_pieces(size: int = 10) -> AsyncIterator[bytes]:
    for piece in pieces(size):
        await anyio.lowlevel.checkpoint()
        yield piece


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.sse"
    path.write_bytes(WHOLE)
    return path


SHAPES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "name": str,
    "bytes": lambda path: WHOLE,
    "bytearray": lambda path: bytearray(WHOLE),
    "memoryview": lambda path: memoryview(WHOLE),
    "list": lambda path: [*pieces()],
    "list of views": lambda path: [memoryview(piece) for piece in pieces()],
    "generator": lambda path: pieces(),
    "with empty chunks": lambda path: [b"", WHOLE[:50], b"", b"", WHOLE[50:], b""],
    "open file": lambda path: io.BytesIO(WHOLE),
}


# -- replay ------------------------------------------------------------------------------------------------------------


@in_one_test("size", [None, 1, 64])
@in_one_test("shape", SHAPES)
def test_a_recording_of_any_shape_is_a_stream(shape: str, size: int | None, path: Path) -> None:
    with replay(SHAPES[shape](path), chunk_size=size) as stream:
        assert isinstance(stream, AssistantStream)
        assert list(stream.text_deltas) == [*TEXTS]
        assert list(stream.text_deltas) == [*TEXTS]
        assert stream.get_final_run().status == "completed"
        assert stream.request_id is None


@pytest.mark.anyio
@in_one_test("size", [None, 1, 64])
@in_one_test("shape", [*SHAPES, "async generator"])
async def test_a_recording_of_any_shape_is_an_async_stream(
    shape: str, size: int | None, path: Path, anyio_backend: str
) -> None:
    source = async_pieces() if shape == "async generator" else SHAPES[shape](path)
    async with replay_async(source, chunk_size=size) as stream:
        assert isinstance(stream, AsyncAssistantStream)
        assert [text async for text in stream.text_deltas] == [*TEXTS]
        assert [text async for text in stream.text_deltas] == [*TEXTS]
        assert (await stream.get_final_run()).status == "completed"


def test_a_stream_shows_its_run_how_much_has_come_and_its_state() -> None:
    stream = replay(WHOLE, chunk_size=1)
    assert repr(stream) == "AssistantStream(run=None, events=0, not sent)"
    next(iter(stream))
    assert stream.current_run is not None
    run_id = stream.current_run.id
    assert repr(stream) == f"AssistantStream(run={run_id!r}, events=1, open)"
    stream.until_done()
    assert repr(stream) == f"AssistantStream(run={run_id!r}, events={len(answer(*TEXTS)) - 1}, ended)"
    broken = replay(b"")
    with pytest.raises(StreamTruncatedError):
        broken.until_done()
    assert repr(broken) == "AssistantStream(run=None, events=0, ended by StreamTruncatedError)"


def test_a_chunk_size_bounds_the_chunks() -> None:
    with replay(WHOLE, chunk_size=16) as stream:
        reads = 0
        body = stream.driver._state.body
        assert body is not None
        pull = body.read

        def read() -> bytes:
            nonlocal reads
            reads += 1
            chunk = pull()
            assert len(chunk) <= 16
            return chunk

        body.read = read  # type: ignore[method-assign]
        stream.until_done()
        assert reads >= len(WHOLE) // 16


@pytest.mark.parametrize("wrong", [{"chunk_size": 0}, {"chunk_size": -1}, {"events_per_second": 0}])
def test_impossible_paces_are_refused_at_the_call(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replay(WHOLE, **wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replay_async(WHOLE, **wrong)


def test_a_file_that_is_not_there_is_an_error_of_the_block_or_of_the_first_reader(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replay(tmp_path / "no.sse"):
        raise AssertionError("the block must not be entered")
    with pytest.raises(FileNotFoundError):
        list(replay(tmp_path / "no.sse"))


@pytest.mark.anyio
async def test_a_file_that_is_not_there_is_an_error_of_the_async_block(tmp_path: Path, anyio_backend: str) -> None:
    with pytest.raises(FileNotFoundError):
        async with replay_async(tmp_path / "no.sse"):
            raise AssertionError("the block must not be entered")


def test_a_cut_recording_is_truncated() -> None:
    with replay(WHOLE[:-200]) as stream, pytest.raises(StreamTruncatedError):
        stream.until_done()


def test_chunks_that_are_no_bytes_are_a_type_error_of_whoever_reads() -> None:
    with replay([run("queued"), "text"]) as stream:  # type: ignore[list-item]
        events = iter(stream)
        assert names([next(events)]) == ["run.created"]
        with pytest.raises(TypeError, match="must be bytes, got str"):
            next(events)


@pytest.mark.anyio
async def test_async_chunks_that_are_no_bytes_are_a_type_error_of_whoever_reads(anyio_backend: str) -> None:
    async def source() -> AsyncIterator[Any]:
        yield run("queued")
        yield "text"

    async with replay_async(source()) as stream:
        with pytest.raises(TypeError, match="must be bytes, got str"):
            await stream.until_done()


def test_a_source_that_fails_breaks_the_stream_with_its_cause() -> None:
    def source() -> Iterator[bytes]:
        yield run("queued")
        raise ZeroDivisionError

    with replay(source()) as stream, pytest.raises(StreamTruncatedError) as raised:
        stream.until_done()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.anyio
async def test_an_async_source_that_fails_breaks_the_stream_with_its_cause(anyio_backend: str) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield run("queued")
        raise ZeroDivisionError

    async with replay_async(source()) as stream:
        with pytest.raises(StreamTruncatedError) as raised:
            await stream.until_done()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("source", [WHOLE, [*pieces(7)]], ids=["bytes", "pieces"])
def test_with_a_pace_one_event_comes_at_a_time(source: Any) -> None:
    times: list[float] = []
    with replay(source, events_per_second=200) as stream:
        stream.subscribe(lambda _: times.append(time.monotonic()))
        stream.until_done()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) == len(answer(*TEXTS)) - 2
    assert min(gaps) >= 0.0045
    assert sum(gaps) < GUARD


@pytest.mark.anyio
@pytest.mark.parametrize("shape", ["bytes", "list", "async generator"])
async def test_with_a_pace_one_event_comes_at_a_time_on_an_event_loop(shape: str, anyio_backend: str) -> None:
    source = async_pieces(7) if shape == "async generator" else SHAPES[shape](Path())
    times: list[float] = []
    async with replay_async(source, events_per_second=200) as stream:
        stream.subscribe(lambda _: times.append(time.monotonic()))
        await stream.until_done()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) == len(answer(*TEXTS)) - 2
    assert min(gaps) >= 0.0045
    assert sum(gaps) < GUARD


@pytest.mark.parametrize("size", [1, 7, len(WHOLE)])
@pytest.mark.parametrize("shape", ["list", "async generator"])
def test_the_pace_is_exact_however_the_source_is_cut(shape: str, size: int) -> None:
    times: list[float] = []

    async def main() -> None:
        source = async_pieces(size) if shape == "async generator" else [*pieces(size)]
        async with replay_async(source, events_per_second=0.1) as stream:
            stream.subscribe(lambda _: times.append(trio.current_time()))
            await stream.until_done()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(times) == len(answer(*TEXTS)) - 1  # `done` is no event
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([10.0] * (len(times) - 1))


@pytest.mark.parametrize("shape", ["list", "async generator"])
def test_with_a_pace_what_has_no_blank_line_is_read_for_the_ending(shape: str) -> None:
    async def later() -> Any:
        for each in frames:
            yield each

    async def main() -> None:
        async with replay_async(frames if shape == "list" else later(), events_per_second=0.1) as stream:
            await stream.until_done()
            assert stream.log.length == 2

    frames = [run("queued"), run("in_progress"), b"event: done\ndata: [DONE]"]
    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_pace_does_not_hurry_a_source_that_is_slower() -> None:
    times: list[float] = []

    async def slowly() -> Any:
        for each in answer(*TEXTS):
            await trio.sleep(25)
            yield each

    async def main() -> None:
        async with replay_async(slowly(), events_per_second=0.1) as stream:
            stream.subscribe(lambda _: times.append(trio.current_time()))
            await stream.until_done()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(times) == len(answer(*TEXTS)) - 1  # `done` is no event
    assert min(later - earlier for earlier, later in pairwise(times)) >= 25


def test_closing_does_not_wait_for_the_pace() -> None:
    stream = replay(WHOLE, events_per_second=0.01)
    first = threading.Event()
    stream.subscribe(lambda _: first.set(), lambda _: None)
    waiter = elsewhere(lambda: swallow(stream))
    assert first.wait(GUARD)
    stream.close()
    joined(waiter)


def swallow(stream: Any) -> None:
    try:
        stream.until_done()
    except StreamClosedError:
        pass


@pytest.mark.anyio
async def test_closing_an_async_stream_does_not_wait_for_the_pace(anyio_backend: str) -> None:
    with anyio.fail_after(GUARD):
        async with replay_async(WHOLE, events_per_second=0.01) as stream:
            await stream.connect()
            await anext(aiter(stream))


@pytest.mark.parametrize("policy", ["all", "none"])
def test_what_late_subscribers_get_is_a_policy_of_the_replay(policy: Any) -> None:
    with replay(WHOLE, replay=policy) as stream:
        stream.until_done()
        late: list[Any] = []
        stream.text_deltas.subscribe(late.append)
        assert late == ([*TEXTS] if policy == "all" else [])


@in_one_test("recording", RECORDINGS, ids=lambda path: path.stem)
def test_every_recording_plays_to_its_end(recording: Path) -> None:
    got: list[StreamEvent] = []
    with replay(recording, chunk_size=1000) as stream:
        stream.subscribe(got.append, lambda _: None)
        try:
            stream.until_done()
        except Exception as error:
            assert error is stream.log.failure  # noqa: PT017
    assert len(got) > 0
    with replay(recording) as stream:
        again: list[StreamEvent] = []
        stream.subscribe(again.append, lambda _: None)
        stream.connect()
        until(lambda: stream.log.delivered)
    assert again == got


# -- from_events -------------------------------------------------------------------------------------------------------


class Data:
    """What the official SDK's events carry: a pydantic model, as far as we use it."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self._payload = payload

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return self._payload


RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "completed"}

ITEMS: dict[str, Any] = {
    "ours": BY_NAME["thread.run.completed"](b'{"id": "run_1", "thread_id": "thread_1", "status": "completed"}'),
    "server-sent": ServerSentEvent(event="thread.run.completed", data='{"id": "run_1", "status": "completed"}'),
    "dict": {"event": "thread.run.completed", "data": RUN},
    "dict with text": {"event": "thread.run.completed", "data": '{"id": "run_1", "status": "completed"}'},
    "the SDK's": SimpleNamespace(event="thread.run.completed", data=Data(RUN)),
}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_events_of_any_shape_make_a_stream(item: Any) -> None:
    with from_events([item]) as stream:
        assert names(stream) == ["run.completed"]
        assert stream.get_final_run().id == "run_1"


def test_the_real_sdks_events_make_a_stream() -> None:
    from openai.types.beta.assistant_stream_event import ThreadMessageDelta, ThreadRunCompleted
    from openai.types.beta.threads import MessageDeltaEvent, Run

    started = MessageDeltaEvent.model_validate(
        {
            "id": "msg_1",
            "object": "thread.message.delta",
            "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "Hi"}}]},
        }
    )
    ended = Run.model_construct(id="run_1", thread_id="thread_1", status="completed", object="thread.run")
    events = [
        ThreadMessageDelta(event="thread.message.delta", data=started),
        ThreadRunCompleted(event="thread.run.completed", data=ended),
    ]
    with from_events(events) as stream:
        assert list(stream.text_deltas) == ["Hi"]
        assert stream.get_final_run().status == "completed"


@pytest.mark.anyio
async def test_async_events_make_an_async_stream(anyio_backend: str) -> None:
    closed = False

    async def source() -> AsyncIterator[Any]:
        nonlocal closed
        try:
            for item in ITEMS.values():
                await anyio.lowlevel.checkpoint()
                yield item
        finally:
            closed = True

    async with from_events(source()) as stream:
        assert isinstance(stream, AsyncAssistantStream)
        assert names([event async for event in stream]) == ["run.completed"] * 5
    assert closed


def test_what_is_no_event_is_a_type_error_where_it_is_read() -> None:
    with from_events([ITEMS["ours"], 7]) as stream:
        events = iter(stream)
        next(events)
        with pytest.raises(TypeError, match=r"got 7$"):
            next(events)
    with pytest.raises(TypeError, match="got int"):
        from_events(7)  # type: ignore[call-overload]


def test_closing_the_stream_closes_the_source_of_events() -> None:
    closed: list[None] = []

    def source() -> Iterator[Any]:
        try:
            yield ITEMS["ours"]
            yield ITEMS["ours"]
        finally:
            closed.append(None)

    with from_events(source()) as stream:
        next(iter(stream))
        assert closed == []
    assert closed == [None]


@pytest.mark.anyio
@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
async def test_closing_the_stream_closes_the_async_source_of_events(anyio_backend: str, connected: bool) -> None:
    closed: list[None] = []

    async def source() -> AsyncIterator[Any]:
        try:
            yield ITEMS["ours"]
            await anyio.sleep_forever()
        finally:
            closed.append(None)

    events = source()
    async with aclosing(events), from_events(events) as stream:
        if connected:
            await stream.connect()
        await anext(aiter(stream))
    assert closed == [None]


SSE = {"content-type": "text/event-stream"}
MIDDLE = {"event": "thread.run.in_progress", "data": {"id": "run_1", "thread_id": "thread_1", "status": "in_progress"}}


def test_an_exhausted_source_of_events_is_a_good_end() -> None:
    for events in ([], [MIDDLE], iter([MIDDLE]), [MIDDLE, BY_NAME["done"](b"[DONE]"), MIDDLE]):
        with from_events(events) as stream:
            assert len(list(stream)) <= 1
            assert stream.log.failure is None


@pytest.mark.anyio
async def test_an_exhausted_async_source_of_events_is_a_good_end(anyio_backend: str) -> None:
    async def source() -> AsyncIterator[Any]:
        yield MIDDLE

    async with from_events(source()) as stream:
        assert len([event async for event in stream]) == 1
        await stream.until_done()


def test_an_error_in_a_source_of_events_is_the_ending() -> None:
    from openai.types.beta.assistant_stream_event import ErrorEvent
    from openai.types.shared import ErrorObject

    theirs = ErrorEvent(event="error", data=ErrorObject(code=None, message="boom", param=None, type="server_error"))
    for item in (theirs, BY_NAME["error"](b'{"error":"boom"}'), {"event": "error", "data": {"detail": "boom"}}):
        with from_events([MIDDLE, item, MIDDLE]) as stream, pytest.raises(ServerErrorEvent, match="boom"):
            assert len(list(stream)) == 1


def test_none_is_no_event_and_no_ending() -> None:
    with from_events([MIDDLE, None]) as stream, pytest.raises(TypeError, match=r"got None$"):
        stream.until_done()


def test_recordings_and_responses_take_a_limit_for_their_events(tmp_path: Path) -> None:
    body = b"".join(answer("x" * 5000))
    (tmp_path / "run.sse").write_bytes(body)
    for source in (body, tmp_path / "run.sse"):
        with replay(source, max_event_bytes=3000) as stream, pytest.raises(EventTooLargeError, match="3000"):
            stream.until_done()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=iter([body]), headers=SSE))
    with (
        httpx.Client(transport=transport) as client,
        client.stream("GET", "http://x/") as response,
        from_response(response, max_event_bytes=3000) as stream,
        pytest.raises(EventTooLargeError, match="3000"),
    ):
        stream.until_done()


@pytest.mark.anyio
async def test_async_recordings_and_responses_take_it_too(anyio_backend: str) -> None:
    body = b"".join(answer("x" * 5000))
    async with replay_async(body, max_event_bytes=3000) as stream:
        with pytest.raises(EventTooLargeError, match="3000"):
            await stream.until_done()

    async def content() -> AsyncIterator[bytes]:
        yield body

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content(), headers=SSE))
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("GET", "http://x/") as response,
        from_response(response, max_event_bytes=3000) as stream,
    ):
        with pytest.raises(EventTooLargeError, match="3000"):
            await stream.until_done()


def test_a_source_of_events_that_fails_breaks_the_stream_with_its_cause() -> None:
    def source() -> Iterator[Any]:
        yield {"event": "thread.run.queued", "data": {"id": "run_1", "status": "queued"}}
        raise ZeroDivisionError

    with from_events(source()) as stream, pytest.raises(StreamTruncatedError) as raised:
        stream.until_done()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


# -- from_response -----------------------------------------------------------------------------------------------------


async def respond(request: Received, wire: Wire) -> None:
    if request.path.endswith("/html"):
        await wire.reply(200, b"<html>hello</html>", {"content-type": "text/html"})
        return
    await wire.events()
    for frame in answer(*TEXTS):
        await wire.chunk(frame)
    if request.path.endswith("/long"):
        await wire.peer_gone()
    else:
        await wire.end()


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(respond) as server:
        yield server


@pytest.mark.parametrize("path", ["/runs", "/long"])
def test_an_open_response_makes_a_stream_and_is_closed_with_it(server: Loopback, path: str) -> None:
    with httpx.Client(base_url=server.url) as client:
        response = client.send(client.build_request("POST", path), stream=True)
        with from_response(response) as stream:
            assert isinstance(stream, AssistantStream)
            assert list(stream.text_deltas) == [*TEXTS]
            assert stream.request_id == "req_test"
        assert response.is_closed
        early = client.send(client.build_request("POST", "/long"), stream=True)
        with from_response(early) as stream:
            next(iter(stream))
        assert early.is_closed
        server.wait_for(lambda: server.open_connections == 0)
    reused = server.requests[0].connection == server.requests[1].connection
    assert reused == (path == "/runs")  # a body that was read to its end gives its connection back


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/runs", "/long"])
async def test_an_open_async_response_makes_an_async_stream_and_is_closed_with_it(
    server: Loopback, path: str, anyio_backend: str
) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        response = await client.send(client.build_request("POST", path), stream=True)
        async with from_response(response) as stream:
            assert isinstance(stream, AsyncAssistantStream)
            assert [text async for text in stream.text_deltas] == [*TEXTS]
            assert stream.request_id == "req_test"
        assert response.is_closed
        early = await client.send(client.build_request("POST", "/long"), stream=True)
        async with from_response(early) as stream:
            await anext(aiter(stream))
        assert early.is_closed


def test_a_response_that_is_no_event_stream_says_what_came(server: Loopback) -> None:
    with httpx.Client(base_url=server.url) as client:
        response = client.send(client.build_request("POST", "/html"), stream=True)
        with pytest.raises(NotAnEventStreamError) as raised, from_response(response) as stream:
            stream.until_done()
        assert raised.value.head == b"<html>hello</html>"


def test_what_is_no_open_response_is_refused(server: Loopback) -> None:
    with httpx.Client(base_url=server.url) as client:
        read = client.post("/runs")
    with pytest.raises(ValueError, match="a body that was not read or closed"):
        from_response(read)
    with pytest.raises(TypeError, match="got dict"):
        from_response({})


def test_a_generator_of_texts_is_read_no_faster_than_it_is_looped_over() -> None:
    given: list[bytes] = []

    def source() -> Iterator[bytes]:
        for frame in answer("a", "b", "c"):
            given.append(frame)
            yield frame

    with replay(source()) as stream:
        for _ in stream.text_deltas:
            break
        assert len(given) == 4
        assert given[-1] == delta("a")

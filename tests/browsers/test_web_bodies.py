"""Bodies on threads and in tasks: resuming, heartbeats, slow and leaving readers."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

import anyio
import anyio.to_thread
import pytest
from browsers.web_servers import blocks_with_ids, frames, until
from reactivex.subject import Subject
from reference import RECORDINGS

import rx_assistant
from rx_assistant import AssistantStream, operators as ax
from rx_assistant.events import StreamEvent
from rx_assistant.relay import MemoryRelay
from rx_assistant.web import AsyncEventStream, EventStream

if not RECORDINGS:
    pytest.skip("the reference data is not beside this checkout", allow_module_level=True)
RECORDING = next(path for path in RECORDINGS if path.read_bytes().count(b"thread.run.step.delta") > 30)
PROTOCOLS = ["assistants", "ag_ui", "ui_message"]
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def events() -> list[StreamEvent]:
    return list(rx_assistant.replay(RECORDING))


def publish(relay: MemoryRelay) -> None:
    stream = rx_assistant.replay(RECORDING)
    publication = relay.publish(stream, "run")
    stream.until_done()
    assert publication.wait(60)


@every_protocol
def test_every_cursor_continues_with_the_next_block(protocol: str) -> None:
    stream = rx_assistant.replay(RECORDING)
    whole = blocks_with_ids(b"".join(EventStream(stream, protocol=protocol)))
    assert len({cursor for cursor, _ in whole}) == len(whole) > 20
    for index, (cursor, _) in enumerate(whole[:-1]):
        rest = EventStream(stream, protocol=protocol, after=cursor)
        assert blocks_with_ids(b"".join(rest)) == whole[index + 1 :]
    last = EventStream(stream, protocol=protocol, after=whole[-1][0])
    assert (last.status, b"".join(last)) == (204, b"")


@every_protocol
@pytest.mark.anyio
async def test_both_faces_send_the_same_bytes(protocol: str) -> None:
    expected = b"".join(EventStream(rx_assistant.replay(RECORDING), protocol=protocol))
    for stream in (rx_assistant.replay(RECORDING), rx_assistant.replay_async(RECORDING, chunk_size=1000)):
        found = b"".join([chunk async for chunk in AsyncEventStream(stream, protocol=protocol)])
        assert found == expected


@every_protocol
def test_another_process_continues_where_the_first_one_broke(protocol: str) -> None:
    with MemoryRelay() as relay:
        publish(relay)
        source = lambda after: relay.follow("run", after)  # noqa: E731
        whole = blocks_with_ids(b"".join(EventStream(source, protocol=protocol)))
        assert whole == blocks_with_ids(b"".join(EventStream(rx_assistant.replay(RECORDING), protocol=protocol)))
        for index in (0, len(whole) // 2, len(whole) - 2):
            rest = EventStream(source, protocol=protocol, after=whole[index][0])
            assert blocks_with_ids(b"".join(rest)) == whole[index + 1 :]


def test_the_cursor_of_a_followed_stream_is_a_cursor_of_the_browser_too() -> None:
    with MemoryRelay() as relay:
        publish(relay)
        followed = relay.follow("run")
        for _ in range(5):
            next(followed)
        rest = frames(b"".join(EventStream(relay.follow("run"), after=followed.cursor)))
        assert len(rest) == len(events()) - 5 + 1
        followed.close()


def test_a_late_browser_may_begin_with_the_state() -> None:
    with MemoryRelay() as relay:
        publish(relay)
        source = lambda after: relay.follow("run", after, catch_up="snapshot")  # noqa: E731
        body = b"".join(EventStream(source))
        assert len(frames(body)) < len(events())
        found = rx_assistant.replay(body)
        assert found.get_final_run() == rx_assistant.replay(RECORDING).get_final_run()


@pytest.mark.parametrize("after", ["x", "-1", "1:x", "5-", "٣", "1" * 100, "9" * 60, "1 "])
def test_text_that_is_not_a_cursor_is_refused(after: str) -> None:
    body = EventStream(rx_assistant.replay(RECORDING), after=after)
    assert body.status == 400
    assert b"Last-Event-ID" in b"".join(body)


def test_events_that_are_gone_are_410() -> None:
    stream = rx_assistant.replay(RECORDING, replay="none")
    stream.until_done()
    assert stream.log.base > 0
    assert EventStream(stream, after="1").status == 410
    assert EventStream(stream, after=str(len(events()) + 1)).status == 410
    assert EventStream(stream, after=str(stream.log.length)).status == 200


def test_streams_of_operators_have_no_cursors() -> None:
    stream = rx_assistant.replay(RECORDING)
    body = b"".join(EventStream(stream.pipe(ax.events("thread.message.**"))))
    assert b"\nid: " not in body
    assert [each.event for each in frames(body)][-1] == "done"
    assert EventStream(stream.pipe(ax.coalesce()), after="3").status == 400


@pytest.mark.anyio
async def test_asynchronous_streams_of_operators_too() -> None:
    stream = rx_assistant.replay_async(RECORDING)
    body = b"".join([chunk async for chunk in AsyncEventStream(stream.pipe(ax.coalesce()))])
    assert rx_assistant.replay(body).get_final_run() == rx_assistant.replay(RECORDING).get_final_run()


class Fed:
    """A synchronous source that waits for what the test puts."""

    def __init__(self) -> None:
        self.items: queue.Queue[StreamEvent | None] = queue.Queue()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[StreamEvent]:
        while (item := self.items.get()) is not None:
            yield item

    def close(self) -> None:
        self.closed.set()
        self.items.put(None)


def test_silence_is_broken_by_comments() -> None:
    source = Fed()
    stream = rx_assistant.from_events(source)
    with closing(iter(EventStream(stream, heartbeat=0.01, retry=1.5))) as chunks:
        assert next(chunks) == b"retry: 1500\n\n"
        assert next(chunks) == b":\n\n"
        source.items.put(events()[0])
        assert next(chunk for chunk in chunks if chunk != b":\n\n").endswith(b"id: 1\n\n")
        assert next(chunks) == b":\n\n"
    stream.close()


@pytest.mark.anyio
async def test_silence_in_a_task_is_broken_by_comments() -> None:
    async def silent() -> AsyncIterator[StreamEvent]:
        await anyio.sleep_forever()
        yield events()[0]

    stream = rx_assistant.from_events(silent())
    async with aclosing(aiter(AsyncEventStream(stream, heartbeat=0.01))) as chunks:  # type: ignore[type-var]
        assert await anext(chunks) == b"retry: 2000\n\n"
        assert await anext(chunks) == b":\n\n"
    await stream.close()


def test_the_last_browser_that_leaves_closes_the_stream() -> None:
    source = Fed()
    relay = MemoryRelay()
    stream = relay.follow("nothing yet", on_idle="close", patience=60)
    first, second = iter(EventStream(stream, heartbeat=0.01)), iter(EventStream(stream, heartbeat=0.01))
    for chunks in (first, second):
        assert [next(chunks), next(chunks)][1] == b":\n\n"
    first.close()  # type: ignore[attr-defined]
    assert not stream.log.ended
    second.close()  # type: ignore[attr-defined]
    assert until(lambda: stream.log.ended)
    relay.close()
    source.close()


def test_a_browser_that_leaves_leaves_no_follower_behind() -> None:
    with MemoryRelay() as relay:
        stream = relay.follow("run", patience=60)
        chunks = iter(EventStream(lambda _after: stream, heartbeat=0.01))
        assert [next(chunks), next(chunks)][1] == b":\n\n"
        chunks.close()  # type: ignore[attr-defined]
        assert until(lambda: stream.log.ended)


@pytest.mark.anyio
async def test_a_browser_that_leaves_leaves_no_asynchronous_follower_behind() -> None:
    with MemoryRelay() as relay:
        stream = relay.follow_async("run", patience=60)
        async with aclosing(aiter(AsyncEventStream(lambda _after: stream, heartbeat=0.01))) as chunks:  # type: ignore[type-var]
            assert [await anext(chunks), await anext(chunks)][1] == b":\n\n"
        assert await anyio.to_thread.run_sync(until, lambda: stream.log.ended)


@pytest.mark.anyio
async def test_a_cancelled_reader_leaves_and_the_others_go_on() -> None:
    first, *others = events()
    send, receive = anyio.create_memory_object_stream[StreamEvent](len(others) + 1)
    stream = rx_assistant.from_events(receive)

    async def browser(*, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        async with aclosing(aiter(AsyncEventStream(stream))) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                if b"id: 1" in chunk:
                    task_status.started()

    async with anyio.create_task_group() as tasks:
        send.send_nowait(first)
        await tasks.start(browser)
        tasks.cancel_scope.cancel()
    assert stream.log.holders == 0
    for event in others:
        send.send_nowait(event)
    send.close()
    body = b"".join([chunk async for chunk in AsyncEventStream(stream)])
    assert len(frames(body)) == len(events()) + 1


@pytest.mark.parametrize("derived", [False, True], ids=["stream", "operator"])
def test_a_reader_that_is_too_slow_gets_the_reason(derived: bool) -> None:
    source = Fed()
    stream = rx_assistant.from_events(source, replay="none")
    stream.log.storage.max_pending = 1000
    body = EventStream(stream.pipe(ax.verify()) if derived else stream)
    with closing(iter(body)) as chunks:
        assert next(chunks) == b"retry: 2000\n\n"
        source.items.put(events()[0])
        assert b"thread.run.created" in next(chunks)
        if derived:
            body._reading._log.storage.max_pending = 1000  # type: ignore[union-attr]
        for event in [*events()[1:], None]:
            source.items.put(event)
        stream.until_done()
        *_, last = frames(b"".join(chunks))
    assert last.event == "error"
    assert json.loads(last.data)["type"] == "StreamOverflowError"
    assert last.id == ""  # no cursor: it reconnects, and continues after the last event that it has


def test_a_browser_goes_on_after_the_producer_has_died() -> None:
    first, *others = events()
    with MemoryRelay(lease=0.2) as relay:
        feed: Subject[StreamEvent] = Subject()
        producer = relay.publish(feed, "run")
        source = lambda after: relay.follow("run", after)  # noqa: E731
        feed.on_next(first)
        producer.dispose()
        *_, last = frames(b"".join(EventStream(source)))
        assert (json.loads(last.data)["type"], last.id) == ("StreamInterruptedError", "1")
        relay.publish(feed, "run")
        for event in others:
            feed.on_next(event)
        feed.on_completed()
        rest = frames(b"".join(EventStream(source, after=last.id)))
    assert [each.event for each in rest] == [*(event.event for event in others), "done"]


def test_an_asynchronous_stream_on_a_thread_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="AsyncEventStream"):
        EventStream(rx_assistant.replay_async(RECORDING))  # type: ignore[arg-type]


def test_one_request_for_any_number_of_browsers() -> None:
    opened = 0

    def source() -> Iterator[StreamEvent]:
        nonlocal opened
        opened += 1
        yield from events()

    stream: AssistantStream = rx_assistant.from_events(source())
    bodies = [b"".join(EventStream(stream)) for _ in range(5)]
    assert (len(set(bodies)), opened) == (1, 1)

"""What happens when the last reader has left, and cancelling: `on_idle`, `idle_grace`, `cancel()`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from faces import first, got, listed
from streams_bodies import (
    DONE,
    GUARD,
    AsyncFedBody,
    CancelServer,
    FedBody,
    StreamFace,
    answer,
    async_stream,
    elsewhere,
    joined,
    on_every_face,
    run,
    sync_stream,
    until,
    until_async,
)

from rx_assistant.errors import APIConnectionError, StreamClosedError, StreamTruncatedError

TEXTS = ("a", "b")
GRACE = 0.3  # seconds; a loaded machine may stop a thread for a tenth of one


@pytest.fixture
def server() -> CancelServer:
    return CancelServer()


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rx-assistant-timers"]


# -- on_idle -----------------------------------------------------------------------------------------------------------


def test_detach_leaves_the_stream_open_for_whoever_comes_back() -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="detach") as stream:
        for _ in stream.text_deltas:
            break
        stream.subscribe(lambda _: None).dispose()
        assert not stream.log.ended
        assert list(stream.text_deltas) == [*TEXTS]


LEAVING: dict[str, Callable[[Any], Any]] = {
    "dispose": lambda stream: stream.subscribe(lambda _: None).dispose(),
    "dispose a chain": lambda stream: stream.text_deltas.map(str).subscribe(lambda _: None).dispose(),
    "break": first,
    "take": lambda stream: listed(stream.take(2)),
    "dispose elsewhere": lambda stream: joined(elsewhere(stream.subscribe(lambda _: None).dispose)),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@on_every_face
async def test_close_closes_the_response_when_the_last_one_leaves(
    face: StreamFace, leave: Callable[[Any], Any]
) -> None:
    """[C26]"""
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body, on_idle="close")) as stream:
        staying = stream.subscribe(lambda _: None)
        await got(leave(stream))
        assert body.endings == []
        staying.dispose()
        await face.until(lambda: body.endings)
        assert body.endings == ["close"]
        assert isinstance(stream.log.failure, StreamClosedError)


def test_closing_the_last_iterator_closes_the_response_at_once() -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="close") as stream:
        iter(stream).close()  # type: ignore[attr-defined]
        assert body.endings == ["close"]


def test_one_who_waits_is_a_reader_too() -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    with sync_stream(body, on_idle="close") as stream:
        subscription = stream.subscribe(lambda _: None)
        waiter = elsewhere(stream.until_done)
        assert body.waiting.wait(GUARD)
        subscription.dispose()
        assert body.endings == []
        body.feed(*answer(*TEXTS)[4:])
        joined(waiter)


def test_an_interrupted_waiter_has_left() -> None:
    class Interrupted(FedBody):
        def read(self) -> bytes:
            raise KeyboardInterrupt

    body = Interrupted()
    with sync_stream(body, on_idle="close") as stream:
        with pytest.raises(KeyboardInterrupt):
            stream.until_done()
        assert body.endings == ["close"]


def test_a_reader_that_is_thrown_out_has_left() -> None:
    def fail(_: object) -> None:
        raise ValueError

    body = FedBody()
    with sync_stream(body, on_idle="close") as stream:
        stream.subscribe(fail, lambda _: None)
        stream.connect()
        body.feed(run("queued"))
        until(lambda: body.endings == ["close"])


def test_a_grace_is_kept_and_a_reader_who_comes_back_keeps_the_stream() -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="close", idle_grace=GRACE) as stream:
        stream.subscribe(lambda _: None).dispose()
        assert body.endings == []
        back = stream.subscribe(lambda _: None)
        until(lambda: not timers())  # the grace is over
        assert body.endings == []
        assert not stream.log.ended
        left = time.monotonic()
        back.dispose()
        until(lambda: body.endings)
        assert time.monotonic() - left >= GRACE * 0.9


def test_the_grace_begins_anew_each_time_that_the_last_one_leaves() -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="close", idle_grace=60) as stream:
        for _ in range(3):
            stream.subscribe(lambda _: None).dispose()
        until(lambda: len(timers()) == 1)
        assert body.endings == []
        stream.until_done()
        until(lambda: not timers())  # the end leaves no timer behind
    assert body.endings == ["finish"]


def test_closing_leaves_no_timer_behind() -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), on_idle="cancel", idle_grace=60) as stream:
        stream.subscribe(lambda _: None).dispose()
        until(lambda: len(timers()) == 1)
    until(lambda: not timers())


def test_idleness_after_the_end_does_nothing(server: CancelServer) -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="cancel", idle_grace=0, post_cancel=server.post) as stream:
        list(stream)
        stream.subscribe(lambda _: None).dispose()
    assert server.posts == []
    assert body.endings == ["finish"]


@pytest.mark.parametrize("grace", [0, GRACE])
@on_every_face
async def test_cancel_posts_the_cancel_once_then_closes(face: StreamFace, server: CancelServer, grace: float) -> None:
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body, on_idle="cancel", idle_grace=grace, post_cancel=server.post)) as stream:
        await first(stream.text_deltas)
        await face.until(lambda: body.endings)
    assert server.posts == [("run_1", "thread_1")]
    assert body.endings == ["close"]


@on_every_face
async def test_cancel_waits_for_the_runs_id(face: StreamFace, server: CancelServer) -> None:
    body = face.body()
    async with face.block(face.over(body, on_idle="cancel", idle_grace=0, post_cancel=server.post)) as stream:
        await got(stream.connect())
        stream.subscribe(lambda _: None).dispose()
        await face.until(lambda: body.reads)
        assert server.posts == []
        body.feed(run("queued"))
        await face.until(lambda: body.endings)
    assert server.posts == [("run_1", "thread_1")]


@on_every_face
async def test_a_reader_who_comes_back_within_the_grace_keeps_the_run_alive(
    face: StreamFace, server: CancelServer
) -> None:
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body, on_idle="cancel", idle_grace=GRACE, post_cancel=server.post)) as stream:
        await first(stream.text_deltas)
        with_time_to_think = stream.subscribe(lambda _: None)
        over = time.monotonic() + 1.5 * GRACE
        await face.until(lambda: time.monotonic() > over)
        assert (server.posts, body.endings) == ([], [])
        assert await listed(stream.text_deltas) == [*TEXTS]
        with_time_to_think.dispose()
    assert server.posts == []


@on_every_face
async def test_a_cancel_that_fails_is_logged_and_the_stream_is_closed(
    face: StreamFace, server: CancelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusal = APIConnectionError("no route")
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body, on_idle="cancel", idle_grace=0, post_cancel=server.post)) as stream:
        await first(stream)
        await face.until(lambda: body.endings)
    assert "no route" in caplog.text


@pytest.mark.parametrize("policy", ["close", "cancel"])
@on_every_face
async def test_leaving_before_the_first_step_sends_no_request(
    face: StreamFace, server: CancelServer, policy: Any
) -> None:
    """[C29]"""
    body = face.body(*answer(*TEXTS))
    stream = face.over(body, on_idle=policy, idle_grace=0, post_cancel=server.post)
    stream.subscribe(lambda _: None, lambda _: None).dispose()
    await face.until(lambda: stream.log.delivered)
    assert isinstance(stream.log.failure, StreamClosedError)
    assert (body.reads, body.endings, server.posts) == (0, [], [])


def test_policies_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="on_idle must be"):
        sync_stream(FedBody(), on_idle="forget")
    with pytest.raises(ValueError, match="replay must be"):
        async_stream(AsyncFedBody(), replay="some")


# -- cancel() ----------------------------------------------------------------------------------------------------------


def test_cancel_gives_the_servers_answer_posts_once_and_keeps_streaming(server: CancelServer) -> None:
    body = FedBody(run("queued"))
    with sync_stream(body, post_cancel=server.post) as stream:
        got: list[str] = []
        stream.subscribe(lambda event: got.append(event.event))
        answers: list[Any] = []
        threads = [elsewhere(lambda: answers.append(stream.cancel())) for _ in range(3)]
        joined(*threads)
        assert answers == ["cancelling"] * 3
        assert stream.cancel() == "cancelling"
        body.feed(run("cancelling"), run("cancelled"), DONE)
        assert stream.get_final_run().status == "cancelled"
    assert server.posts == [("run_1", "thread_1")]
    assert got[-1] == "thread.run.cancelled"


def test_cancel_inside_a_callback_waits_for_nothing_but_the_server(server: CancelServer) -> None:
    answers: list[Any] = []
    body = FedBody(run("queued"), run("cancelled"), DONE)
    with sync_stream(body, post_cancel=server.post) as stream:
        stream.take(1).subscribe(lambda _: answers.append(stream.cancel()))
        stream.until_done()
    assert answers == ["cancelling"]


def test_two_that_cancel_before_the_id_is_known_do_not_lock_each_other_out(server: CancelServer) -> None:
    body = FedBody()
    answers: list[Any] = []
    with sync_stream(body, post_cancel=server.post) as stream:
        stream.connect()
        stream.subscribe(lambda event: answers.append(stream.cancel()) if event.event == "thread.run.created" else None)
        waiter = elsewhere(lambda: answers.append(stream.cancel()))
        assert body.waiting.wait(GUARD)
        body.feed(run("queued"))
        joined(waiter)
        until(lambda: len(answers) == 2)
    assert answers == ["cancelling"] * 2
    assert len(server.posts) == 1


@on_every_face
async def test_after_the_end_cancel_posts_nothing_and_gives_the_run(face: StreamFace, server: CancelServer) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)), post_cancel=server.post)) as stream:
        await got(stream.until_done())
        assert (await got(stream.cancel())).status == "completed"
    assert server.posts == []


@on_every_face
async def test_after_a_break_cancel_posts_nothing_and_raises_it(face: StreamFace, server: CancelServer) -> None:
    async with face.block(face.over(face.body(run("queued"), over=True), post_cancel=server.post)) as stream:
        with pytest.raises(StreamTruncatedError):
            await got(stream.until_done())
        with pytest.raises(StreamTruncatedError):
            await got(stream.cancel())
    assert server.posts == []


@on_every_face
async def test_a_recording_cannot_be_cancelled(face: StreamFace) -> None:
    async with face.block(face.over(face.body(run("queued")))) as stream:
        with pytest.raises(RuntimeError, match="no server"):
            await got(stream.cancel())


# -- asynchronous streams ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_async_stream_is_closed_when_the_last_one_leaves_on_another_thread(anyio_backend: str) -> None:
    """[C26]"""
    body = AsyncFedBody()
    async with async_stream(body, on_idle="close") as stream:
        subscription = stream.subscribe(lambda _: None)
        await stream.connect()
        await until_async(lambda: body.reading)
        await anyio.to_thread.run_sync(subscription.dispose)
        await until_async(lambda: body.endings and not body.reading)
    assert body.endings == ["close"]


@pytest.mark.anyio
async def test_an_async_stream_keeps_its_grace_and_posts_the_cancel_once(
    anyio_backend: str, server: CancelServer
) -> None:
    body = AsyncFedBody(*answer(*TEXTS))
    stream = async_stream(body, on_idle="cancel", idle_grace=GRACE, post_cancel=server.post_async)
    async with stream:
        async for _ in stream:
            break
        back = stream.subscribe(lambda _: None)
        await anyio.sleep(2 * GRACE)
        assert (server.posts, body.endings) == ([], [])
        await anyio.to_thread.run_sync(back.dispose)
        await until_async(lambda: body.endings)
    assert server.posts == [("run_1", "thread_1")]
    assert body.endings == ["close"]


@pytest.mark.anyio
async def test_cancelling_an_async_stream_is_under_way_at_once_and_may_be_awaited(
    anyio_backend: str, server: CancelServer
) -> None:
    body = AsyncFedBody(run("queued"))
    async with async_stream(body, post_cancel=server.post_async) as stream:
        await anext(aiter(stream))
        pending = stream.cancel()
        await until_async(lambda: server.posts)
        assert stream.cancel() is pending
        assert await pending == "cancelling"
        body.feed(run("cancelled"), DONE)
        assert (await stream.get_final_run()).status == "cancelled"
    assert server.posts == [("run_1", "thread_1")]


@pytest.mark.anyio
async def test_an_async_stream_may_be_cancelled_from_another_thread(anyio_backend: str, server: CancelServer) -> None:
    body = AsyncFedBody(run("queued"))
    async with async_stream(body, post_cancel=server.post_async) as stream:
        await stream.connect()
        assert await anyio.to_thread.run_sync(lambda: stream.cancel().result(GUARD)) == "cancelling"
    assert server.posts == [("run_1", "thread_1")]


@pytest.mark.anyio
async def test_cancelling_an_async_stream_waits_for_the_runs_id(anyio_backend: str, server: CancelServer) -> None:
    body = AsyncFedBody()
    async with async_stream(body, post_cancel=server.post_async) as stream:
        pending = stream.cancel()
        await until_async(lambda: body.reading)
        assert server.posts == []
        body.feed(run("queued"))
        assert await pending == "cancelling"

"""What happens when the last reader has left, and cancelling: `on_idle`, `idle_grace`, `cancel()`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from streams_bodies import (
    DONE,
    GUARD,
    AsyncFedBody,
    CancelServer,
    FedBody,
    answer,
    async_stream,
    elsewhere,
    joined,
    run,
    sync_stream,
    until,
    until_async,
)

from rx_assistant.errors import APIConnectionError, StreamClosedError, StreamTruncatedError
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

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


LEAVING: dict[str, Callable[[AssistantStream], object]] = {
    "dispose": lambda stream: stream.subscribe(lambda _: None).dispose(),
    "dispose a chain": lambda stream: stream.text_deltas.map(str).subscribe(lambda _: None).dispose(),
    "break": lambda stream: next(iter(stream)),
    "close an iterator": lambda stream: iter(stream).close(),  # type: ignore[attr-defined]
    "take": lambda stream: list(stream.take(2)),
    "dispose elsewhere": lambda stream: joined(elsewhere(stream.subscribe(lambda _: None).dispose)),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
def test_close_closes_the_response_when_the_last_one_leaves(leave: Callable[[AssistantStream], object]) -> None:
    """[C26]"""
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="close") as stream:
        staying = stream.subscribe(lambda _: None)
        leave(stream)
        assert body.endings == []
        staying.dispose()
        assert body.endings == ["close"]
        assert isinstance(stream.log.failure, StreamClosedError)


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
def test_cancel_posts_the_cancel_once_then_closes(server: CancelServer, grace: float) -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="cancel", idle_grace=grace, post_cancel=server.post) as stream:
        for _ in stream.text_deltas:
            break
        until(lambda: body.endings)
    assert server.posts == [("run_1", "thread_1")]
    assert body.endings == ["close"]


def test_cancel_waits_for_the_runs_id(server: CancelServer) -> None:
    body = FedBody()
    with sync_stream(body, on_idle="cancel", idle_grace=0, post_cancel=server.post) as stream:
        stream.connect()
        stream.subscribe(lambda _: None).dispose()
        assert body.waiting.wait(GUARD)
        assert server.posts == []
        body.feed(run("queued"))
        until(lambda: body.endings)
    assert server.posts == [("run_1", "thread_1")]


def test_a_reader_who_comes_back_within_the_grace_keeps_the_run_alive(server: CancelServer) -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="cancel", idle_grace=GRACE, post_cancel=server.post) as stream:
        for _ in stream.text_deltas:
            break
        with_time_to_think = stream.subscribe(lambda _: None)
        until(lambda: not timers())
        assert list(stream.text_deltas) == [*TEXTS]
        with_time_to_think.dispose()
    assert server.posts == []


def test_a_cancel_that_fails_is_logged_and_the_stream_is_closed(
    server: CancelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusal = APIConnectionError("no route")
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="cancel", idle_grace=0, post_cancel=server.post) as stream:
        next(iter(stream))
        until(lambda: body.endings)
    assert "no route" in caplog.text


@pytest.mark.parametrize("policy", ["close", "cancel"])
def test_leaving_before_the_first_step_sends_no_request(server: CancelServer, policy: Any) -> None:
    """[C29]"""

    opened: list[None] = []

    def open() -> FedBody:
        opened.append(None)
        return FedBody(*answer(*TEXTS))

    stream = AssistantStream(open, on_idle=policy, idle_grace=0, post_cancel=server.post)
    stream.subscribe(lambda _: None, lambda _: None).dispose()
    until(lambda: stream.log.delivered)
    assert isinstance(stream.log.failure, StreamClosedError)
    assert (opened, server.posts) == ([], [])


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


def test_after_the_end_cancel_posts_nothing_and_gives_the_run(server: CancelServer) -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), post_cancel=server.post) as stream:
        stream.until_done()
        assert stream.cancel().status == "completed"
    assert server.posts == []


def test_after_a_break_cancel_posts_nothing_and_raises_it(server: CancelServer) -> None:
    with sync_stream(FedBody(run("queued"), over=True), post_cancel=server.post) as stream:
        with pytest.raises(StreamTruncatedError):
            stream.until_done()
        with pytest.raises(StreamTruncatedError):
            stream.cancel()
    assert server.posts == []


def test_a_recording_cannot_be_cancelled() -> None:
    with sync_stream(FedBody(run("queued"))) as stream, pytest.raises(RuntimeError, match="no server"):
        stream.cancel()


# -- asynchronous streams ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_async_stream_is_closed_when_the_last_one_leaves(anyio_backend: str) -> None:
    """[C26]"""
    body = AsyncFedBody(*answer(*TEXTS))
    async with async_stream(body, on_idle="close") as stream:
        async for _ in stream:
            break
        await until_async(lambda: body.endings)
    assert body.endings == ["close"]


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
async def test_leaving_an_async_stream_before_the_first_step_sends_no_request(
    anyio_backend: str, server: CancelServer
) -> None:
    """[C29]"""
    opened: list[None] = []

    async def open() -> Any:
        opened.append(None)
        return AsyncFedBody(*answer(*TEXTS))

    stream = AsyncAssistantStream(open, on_idle="cancel", idle_grace=0, post_cancel=server.post_async)
    stream.subscribe(lambda _: None, lambda _: None).dispose()
    await until_async(lambda: stream.log.delivered)
    assert isinstance(stream.log.failure, StreamClosedError)
    assert (opened, server.posts) == ([], [])


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


@pytest.mark.anyio
async def test_an_async_stream_that_has_ended_posts_no_cancel(anyio_backend: str, server: CancelServer) -> None:
    async with async_stream(AsyncFedBody(*answer(*TEXTS)), post_cancel=server.post_async) as stream:
        await stream.until_done()
        assert (await stream.cancel()).status == "completed"
    assert server.posts == []


@pytest.mark.anyio
async def test_an_async_recording_cannot_be_cancelled(anyio_backend: str) -> None:
    async with async_stream(AsyncFedBody(run("queued"))) as stream:
        with pytest.raises(RuntimeError, match="no server"):
            await stream.cancel()

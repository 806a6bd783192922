"""Leaving the block early with `on_idle="cancel"`: a run without readers is cancelled on the server."""

from __future__ import annotations

import anyio
import pytest
from faces import first, got
from streams_bodies import AsyncFedBody, CancelServer, StreamFace, answer, async_stream, on_every_face, run

from rx_assistant.errors import APIConnectionError, StreamClosedError

TEXTS = ("a", "b")
THE_RUN = [("run_1", "thread_1")]


@pytest.fixture
def server() -> CancelServer:
    return CancelServer()


@on_every_face
async def test_leaving_early_cancels_the_run_without_waiting_for_the_grace(
    face: StreamFace, server: CancelServer
) -> None:
    body = face.body(*answer(*TEXTS)[:4])
    async with face.block(face.over(body, on_idle="cancel", idle_grace=60, post_cancel=server.post)) as stream:
        await first(stream)
    assert server.posts == THE_RUN
    assert body.endings == ["close"]
    assert isinstance(stream.log.failure, StreamClosedError)


@on_every_face
async def test_so_does_an_exception_that_leaves_the_block_and_it_is_the_one_that_comes_out(
    face: StreamFace, server: CancelServer
) -> None:
    stream = face.over(face.body(*answer(*TEXTS)), on_idle="cancel", post_cancel=server.post)
    with pytest.raises(KeyboardInterrupt):
        async with face.block(stream):
            await first(stream)
            raise KeyboardInterrupt
    assert server.posts == THE_RUN


@pytest.mark.parametrize("on_idle", ["detach", "close"])
@on_every_face
async def test_other_policies_leave_the_run_alone(face: StreamFace, server: CancelServer, on_idle: str) -> None:
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body, on_idle=on_idle, post_cancel=server.post)) as stream:
        await first(stream)
    assert server.posts == []


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete", "requires_action"])
@on_every_face
async def test_a_run_that_needs_nothing_more_is_not_cancelled(
    face: StreamFace, server: CancelServer, status: str
) -> None:
    body = face.body(run("queued"), run(status))
    async with face.block(face.over(body, on_idle="cancel", post_cancel=server.post)) as stream:
        async for event in face.each(stream):
            if event.event == f"thread.run.{status}":
                break
    assert server.posts == []


@on_every_face
async def test_what_was_cancelled_or_closed_by_hand_is_not_cancelled_again(
    face: StreamFace, server: CancelServer
) -> None:
    for done in ("cancel", "close"):
        body = face.body(*answer(*TEXTS))
        async with face.block(face.over(body, on_idle="cancel", post_cancel=server.post)) as stream:
            await first(stream)
            await got(getattr(stream, done)())
    assert server.posts == THE_RUN


@on_every_face
async def test_a_cancel_that_fails_while_leaving_is_logged(
    face: StreamFace, server: CancelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusal = APIConnectionError("no route")
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body, on_idle="cancel", post_cancel=server.post)) as stream:
        await first(stream)
    assert "no route" in caplog.text
    assert body.endings == ["close"]


@on_every_face
async def test_a_recording_is_left_like_any_other_stream(face: StreamFace, caplog: pytest.LogCaptureFixture) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)), on_idle="cancel")) as stream:
        await first(stream)
    assert caplog.text == ""


@pytest.mark.anyio
async def test_the_cancellation_of_the_task_that_reads_cancels_the_run(
    anyio_backend: str, server: CancelServer
) -> None:
    body = AsyncFedBody(run("queued"))
    with anyio.CancelScope() as scope:
        async with async_stream(body, on_idle="cancel", post_cancel=server.post_async) as stream:
            async for _ in stream:
                scope.cancel()
    assert scope.cancelled_caught
    assert server.posts == THE_RUN

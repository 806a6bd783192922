"""Leaving the block early with `on_idle="cancel"`: a run without readers is cancelled on the server."""

from __future__ import annotations

import anyio
import pytest
from streams_bodies import AsyncFedBody, CancelServer, FedBody, answer, async_stream, run, sync_stream

from rx_assistant.errors import APIConnectionError, StreamClosedError

TEXTS = ("a", "b")
THE_RUN = [("run_1", "thread_1")]


@pytest.fixture
def server() -> CancelServer:
    return CancelServer()


def test_leaving_early_cancels_the_run_without_waiting_for_the_grace(server: CancelServer) -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    with sync_stream(body, on_idle="cancel", idle_grace=60, post_cancel=server.post) as stream:
        next(iter(stream))
    assert server.posts == THE_RUN
    assert body.endings == ["close"]
    assert isinstance(stream.log.failure, StreamClosedError)


def test_so_does_an_exception_that_leaves_the_block_and_it_is_the_one_that_comes_out(server: CancelServer) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        sync_stream(FedBody(*answer(*TEXTS)), on_idle="cancel", post_cancel=server.post) as stream,
    ):
        next(iter(stream))
        raise KeyboardInterrupt
    assert server.posts == THE_RUN


@pytest.mark.parametrize("on_idle", ["detach", "close"])
def test_other_policies_leave_the_run_alone(server: CancelServer, on_idle: str) -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), on_idle=on_idle, post_cancel=server.post) as stream:
        next(iter(stream))
    assert server.posts == []


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete", "requires_action"])
def test_a_run_that_needs_nothing_more_is_not_cancelled(server: CancelServer, status: str) -> None:
    with sync_stream(FedBody(run("queued"), run(status)), on_idle="cancel", post_cancel=server.post) as stream:
        for event in stream:
            if event.event == f"thread.run.{status}":
                break
    assert server.posts == []


def test_what_was_cancelled_or_closed_by_hand_is_not_cancelled_again(server: CancelServer) -> None:
    for done in ("cancel", "close"):
        with sync_stream(FedBody(*answer(*TEXTS)), on_idle="cancel", post_cancel=server.post) as stream:
            next(iter(stream))
            getattr(stream, done)()
    assert server.posts == THE_RUN


def test_a_cancel_that_fails_while_leaving_is_logged(server: CancelServer, caplog: pytest.LogCaptureFixture) -> None:
    server.refusal = APIConnectionError("no route")
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body, on_idle="cancel", post_cancel=server.post) as stream:
        next(iter(stream))
    assert "no route" in caplog.text
    assert body.endings == ["close"]


def test_a_recording_is_left_like_any_other_stream(caplog: pytest.LogCaptureFixture) -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), on_idle="cancel") as stream:
        next(iter(stream))
    assert caplog.text == ""


@pytest.mark.anyio
async def test_leaving_an_async_stream_early_cancels_the_run(anyio_backend: str, server: CancelServer) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    async with async_stream(body, on_idle="cancel", idle_grace=60, post_cancel=server.post_async) as stream:
        async for _ in stream:
            break
    assert server.posts == THE_RUN
    assert body.endings == ["close"]


@pytest.mark.anyio
async def test_so_does_the_cancellation_of_the_task_that_reads(anyio_backend: str, server: CancelServer) -> None:
    body = AsyncFedBody(run("queued"))
    with anyio.CancelScope() as scope:
        async with async_stream(body, on_idle="cancel", post_cancel=server.post_async) as stream:
            async for _ in stream:
                scope.cancel()
    assert scope.cancelled_caught
    assert server.posts == THE_RUN


@pytest.mark.anyio
async def test_an_async_run_that_needs_nothing_more_is_not_cancelled(anyio_backend: str, server: CancelServer) -> None:
    for status in ("completed", "requires_action"):
        body = AsyncFedBody(run("queued"), run(status))
        async with async_stream(body, on_idle="cancel", post_cancel=server.post_async) as stream:
            async for event in stream:
                if event.event == f"thread.run.{status}":
                    break
    assert server.posts == []


@pytest.mark.anyio
async def test_an_async_cancel_that_fails_while_leaving_is_logged(
    anyio_backend: str, server: CancelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusal = APIConnectionError("no route")
    async with async_stream(AsyncFedBody(*answer(*TEXTS)), on_idle="cancel", post_cancel=server.post_async) as stream:
        async for _ in stream:
            break
    assert "no route" in caplog.text

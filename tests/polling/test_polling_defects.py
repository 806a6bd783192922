"""The SDK's defects 21 and 22, over the same server: ours is right, and the SDK, unmodified, is still wrong."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from guard import attempts
from loopback import Loopback, Received, Wire
from polling_faces import Answers, on

from rx_assistant.errors import BadRequestError, PollTimeoutError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    openai = pytest.importorskip("openai", minversion="3.52.0", reason="the SDK is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

BATCH = {"id": "vsfb_1", "object": "vector_store.file_batch", "vector_store_id": "vs_1"}


def ours(server: Loopback, call: Callable[[Any], Any]) -> Any:
    return on("sync", server.url, call, max_retries=0)


def theirs(server: Loopback, call: Callable[[Any], Any]) -> Any:
    with openai.OpenAI(api_key="none", base_url=server.url, max_retries=0) as client:
        return call(client)


def batch(status: str, in_progress: int, done: int = 0) -> dict[str, Any]:
    counts = {"in_progress": in_progress, "completed": done, "failed": 0, "cancelled": 0, "total": in_progress + done}
    return {"status": status, "file_counts": counts}


def poll_run(client: Any, **options: Any) -> Any:
    return client.beta.threads.runs.poll("run_1", thread_id="thread_1", **options)


def poll_batch(client: Any) -> Any:
    return client.vector_stores.file_batches.poll("vsfb_1", vector_store_id="vs_1", poll_interval_ms=1)


def header(milliseconds: str) -> dict[str, str]:
    return {"openai-poll-after-ms": milliseconds}


class TestDefect21:
    """The header interval is read once; garbage in it is a ValueError; an unknown status polls for ever."""

    def answers(self) -> Answers:
        """Asks for a pause of a minute at its second reply, and is done at its fifth."""
        later = [("in_progress", header("60000"))] * 3
        return Answers([("queued", header("1")), *later, ("completed", header("1"))])

    def test_a_later_header_counts(self) -> None:
        for attempt in attempts():
            with attempt as limit, Loopback(self.answers()) as server:
                with pytest.raises(PollTimeoutError):
                    ours(server, lambda client, limit=limit: poll_run(client, max_wait_seconds=limit))
                assert len(server.requests) == 2
        with Loopback(self.answers()) as server:
            assert theirs(server, poll_run).status == "completed"
        assert len(server.requests) == 5  # a minute's pause, three times, in no time

    @pytest.mark.parametrize("garbage", ["soon", "-5"])
    def test_garbage_is_no_error(self, garbage: str) -> None:
        with Loopback(Answers([("queued", header(garbage))])) as server, pytest.raises(PollTimeoutError):
            ours(server, lambda client: poll_run(client, max_wait_seconds=0.1))
        with Loopback(Answers([("queued", header(garbage)), "completed"])) as server, pytest.raises(ValueError):
            theirs(server, poll_run)

    def test_there_is_a_deadline(self) -> None:
        with Loopback(Answers(["pondering"])) as server, pytest.raises(PollTimeoutError):
            ours(server, lambda client: poll_run(client, poll_interval_ms=1, max_wait_seconds=0.05))
        poll = openai.resources.beta.threads.runs.Runs.poll
        assert "max_wait_seconds" not in inspect.signature(poll).parameters


class TestDefect22:
    """A batch is left early, or never; an upload's error comes late, and orphans continue."""

    def test_a_batch_whose_counts_are_still_0_is_not_finished(self) -> None:
        states = [batch("in_progress", 0), batch("in_progress", 2), batch("completed", 0, 2)]
        with Loopback(Answers(states, **BATCH)) as server:
            assert ours(server, poll_batch).status == "completed"
        with Loopback(Answers(states, **BATCH)) as server:
            assert theirs(server, poll_batch).status == "in_progress"

    def test_a_cancelled_batch_with_a_file_in_progress_is_finished(self) -> None:
        states = [*[batch("cancelled", 1)] * 6, batch("cancelled", 0)]
        with Loopback(Answers(states, **BATCH)) as server:
            assert ours(server, poll_batch).status == "cancelled"
        assert len(server.requests) == 1
        with Loopback(Answers(states, **BATCH)) as server:
            theirs(server, poll_batch)
        assert len(server.requests) == 7  # only because the file was no longer in progress in the end

    def test_an_error_stops_the_uploads_that_have_not_begun(self) -> None:
        async def refuse_the_first(request: Received, wire: Wire) -> None:
            if b'filename="0"' in request.body:
                await wire.json({"error": {"message": "refused"}}, 400)
            else:
                await asyncio.sleep(0.05)
                await wire.json({"id": "file-1", "object": "file"})

        def upload(client: Any) -> None:
            files = [(str(number), b"x") for number in range(12)]
            client.vector_stores.file_batches.upload_and_poll("vs_1", files=files, max_concurrency=2)

        with Loopback(refuse_the_first) as server, pytest.raises(BadRequestError):
            ours(server, upload)
        assert len(server.requests) < 12
        with Loopback(refuse_the_first) as server, pytest.raises(openai.BadRequestError):
            theirs(server, upload)
        assert len(server.requests) == 12

"""Leaving with `on_idle="cancel"`, and `cancel_and_wait()`: the run is over afterwards, so its thread is free."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from faces import first, got
from guard import GUARD
from streams_bodies import (
    DONE,
    FACES,
    AsyncFedBody,
    FedBody,
    StreamFace,
    answer,
    delta,
    elsewhere,
    joined,
    on_every_face,
    run,
)

from rx_assistant.errors import APIConnectionError, BadRequestError, PollTimeoutError, StreamClosedError
from rx_assistant.streams import async_stream as async_face, sync_stream as sync_face

TEXTS = ("a", "b")


class Service:
    """A server that needs a while to cancel: `ends` says how a cancelled run comes to its end."""

    def __init__(self, body: Any, ends: str = "in the stream", looks: int = 2) -> None:
        self.posts: list[str] = []
        self.looks = 0
        self.refusal: Exception | None = None
        self._body = body
        self._ends = ends
        self._looks_needed = looks

    def post(self, run_id: str, thread_id: str) -> Any:
        self.posts.append(run_id)
        if self._ends == "in the stream":
            self._body.feed(run("cancelling"), run("cancelled"), DONE)
        if self.refusal is not None:
            raise self.refusal
        return SimpleNamespace(status="cancelling")

    def fetch(self, run_id: str, thread_id: str) -> Any:
        self.looks += 1
        return SimpleNamespace(status="cancelled" if self.looks >= self._looks_needed else "cancelling")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sync_face, async_face):
        monkeypatch.setattr(module, "POLL_PAUSE", 0.001)


def cancelled(face: StreamFace, body: Any, service: Service, **options: Any) -> Any:
    """A stream whose runs are cancelled and fetched at a service."""
    given = {"cancel_wait": GUARD, **options}
    return face.over(body, post_cancel=service.post, fetch_run=service.fetch, **given)


def refused() -> BadRequestError:
    response = httpx.Response(400, request=httpx.Request("POST", "http://test/cancel"))
    return BadRequestError("Cannot cancel run with status 'cancelling'.", response=response, body=None)


# -- leaving the block -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
@on_every_face
async def test_leaving_reads_on_until_the_cancelled_run_is_over(face: StreamFace, connected: bool) -> None:
    body = face.body(*answer(*TEXTS)[:4])
    service = Service(body)
    async with face.block(cancelled(face, body, service, on_idle="cancel")) as stream:
        if connected:
            await got(stream.connect())
        await first(stream.text_deltas)
    assert service.posts == ["run_1"]
    assert body.endings == ["finish"]


@on_every_face
async def test_subscribers_get_nothing_more_while_the_block_is_left(face: StreamFace) -> None:
    body, told = face.body(*answer(*TEXTS)[:4]), list[Any]()
    async with face.block(cancelled(face, body, Service(body), on_idle="cancel")) as stream:
        stream.text_deltas.subscribe(told.append, told.append)
        await first(stream.text_deltas)
    assert told[0] == "a"
    assert [type(error) for error in told[1:]] == [StreamClosedError]


@on_every_face
async def test_cancel_wait_limits_the_wait_for_a_run_that_does_not_end(face: StreamFace) -> None:
    body = face.body(*answer(*TEXTS)[:4])
    service = Service(body, ends="never", looks=10**9)
    async with face.block(cancelled(face, body, service, on_idle="cancel", cancel_wait=0.01)) as stream:
        await first(stream)
    assert service.posts == ["run_1"]
    assert body.endings == ["close"]
    with pytest.raises(ValueError, match="cancel_wait must be"):
        cancelled(face, body, service, cancel_wait=-1)


async def test_a_cancelled_task_leaves_after_the_run_is_over_by_polling_it(anyio_backend: str) -> None:
    face = next(face for face in FACES if face.name == anyio_backend)
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    service = Service(body, ends="when asked", looks=3)
    with anyio.CancelScope() as scope:
        async with cancelled(face, body, service, on_idle="cancel") as stream:
            async for event in stream:
                if event.event == "thread.message.delta":
                    scope.cancel()
    assert service.posts == ["run_1"]
    assert service.looks == 3


# -- cancel_and_wait ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, GUARD])
@pytest.mark.parametrize("refuses", [False, True])
@on_every_face
async def test_cancel_and_wait_gives_the_run_when_it_is_over(
    face: StreamFace, timeout: float | None, refuses: bool
) -> None:
    body = face.body(*answer(*TEXTS)[:4])
    service = Service(body)
    service.refusal = refused() if refuses else None
    async with face.block(cancelled(face, body, service)) as stream:
        await first(stream)
        for _ in range(2):
            assert (await got(stream.cancel_and_wait(timeout))).status == "cancelled"
    assert service.posts == ["run_1"]


@pytest.mark.parametrize(
    ("frames", "before"),
    [(answer(*TEXTS)[:4], "close"), ([run("queued"), run("requires_action"), DONE], "until_done")],
    ids=["closed", "requires_action"],
)
@on_every_face
async def test_after_the_stream_has_ended_the_run_is_polled(face: StreamFace, frames: list[bytes], before: str) -> None:
    body = face.body(*frames, over=True)
    service = Service(body, ends="when asked", looks=3)
    async with face.block(cancelled(face, body, service)) as stream:
        await first(stream)
        await got(getattr(stream, before)())
        assert (await got(stream.cancel_and_wait())).status == "cancelled"
    assert service.posts == ["run_1"]
    assert service.looks == 3


@on_every_face
async def test_a_run_that_is_over_already_is_given_without_a_request(face: StreamFace) -> None:
    body = face.body(*answer(*TEXTS))
    service = Service(body)
    async with face.block(cancelled(face, body, service)) as stream:
        assert (await got(stream.get_final_run())).status == "completed"
        assert (await got(stream.cancel_and_wait())).status == "completed"
    assert (service.posts, service.looks) == ([], 0)


@on_every_face
async def test_a_run_that_is_not_over_in_time_is_a_timeout_with_its_last_state(face: StreamFace) -> None:
    body = face.body(*answer(*TEXTS)[:4])
    service = Service(body, ends="never", looks=10**9)
    async with face.block(cancelled(face, body, service)) as stream:
        await first(stream.text_deltas)
        with pytest.raises(PollTimeoutError) as caught:
            await got(stream.cancel_and_wait(0.01))
        assert caught.value.last.status == "in_progress"
        assert isinstance(caught.value, TimeoutError)
    await face.until(lambda: not [each for each in threading.enumerate() if each.name == "rx-assistant-cancel"])


def test_inside_a_callback_it_reads_on_where_it_is() -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    statuses: list[str] = []
    with cancelled(FACES[0], body, Service(body)) as stream:
        stream.text_deltas.subscribe(lambda _: statuses.append(stream.cancel_and_wait(GUARD).status))
        joined(elsewhere(stream.until_done))
    assert statuses == ["cancelled"]


def test_inside_a_callback_the_time_is_limited_too() -> None:
    class Endless(FedBody):
        def read(self) -> bytes:
            self.feed(delta("more"))
            return super().read()

    body = Endless(*answer(*TEXTS)[:4])
    errors: list[PollTimeoutError] = []

    def wait(_: str) -> None:
        try:
            stream.cancel_and_wait(0.01)
        except PollTimeoutError as error:
            errors.append(error)
            stream.close()

    with cancelled(FACES[0], body, Service(body, ends="never", looks=10**9)) as stream:
        stream.text_deltas.subscribe(wait, lambda _: None)
        with pytest.raises(StreamClosedError):
            stream.until_done()
    assert [error.last.status for error in errors] == ["in_progress"]


@pytest.mark.parametrize("ask", ["cancel", "cancel_and_wait"])
@on_every_face
async def test_a_cancel_that_failed_is_posted_again(face: StreamFace, ask: str) -> None:
    body = face.body(*answer(*TEXTS)[:4])
    service = Service(body)
    service.refusal = APIConnectionError("the network was down")
    async with face.block(cancelled(face, body, service)) as stream:
        await first(stream)
        with pytest.raises(APIConnectionError):
            await got(getattr(stream, ask)())
        service.refusal = None
        assert (await got(getattr(stream, ask)())).status in ("cancelling", "cancelled")
    assert len(service.posts) == 2


@on_every_face
async def test_a_recording_has_no_run_to_cancel(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        await first(stream)
        with pytest.raises(RuntimeError, match="did not come from a client"):
            await got(stream.cancel_and_wait())

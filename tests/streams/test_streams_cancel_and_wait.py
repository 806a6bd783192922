"""Leaving with `on_idle="cancel"`, and `cancel_and_wait()`: the run is over afterwards, so its thread is free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from streams_bodies import DONE, AsyncFedBody, FedBody, answer, async_stream, elsewhere, joined, run, sync_stream, until

from rx_assistant.errors import BadRequestError, PollTimeoutError, StreamClosedError
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

    async def post_async(self, run_id: str, thread_id: str) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.post(run_id, thread_id)

    async def fetch_async(self, run_id: str, thread_id: str) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.fetch(run_id, thread_id)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sync_face, async_face):
        monkeypatch.setattr(module, "POLL_PAUSE", 0.001)


def synchronous(body: Any, service: Service, **options: Any) -> Any:
    return sync_stream(body, post_cancel=service.post, fetch_run=service.fetch, **{"cancel_wait": 5, **options})


def asynchronous(body: Any, service: Service, **options: Any) -> Any:
    given = {"cancel_wait": 5, **options}
    return async_stream(body, post_cancel=service.post_async, fetch_run=service.fetch_async, **given)


def refused() -> BadRequestError:
    response = httpx.Response(400, request=httpx.Request("POST", "http://test/cancel"))
    return BadRequestError("Cannot cancel run with status 'cancelling'.", response=response, body=None)


# -- leaving the block -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
def test_leaving_reads_on_until_the_cancelled_run_is_over(connected: bool) -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    service = Service(body)
    with synchronous(body, service, on_idle="cancel") as stream:
        if connected:
            stream.connect()
        for _ in stream.text_deltas:
            break
    assert service.posts == ["run_1"]
    assert body.endings == ["finish"]


async def test_leaving_an_async_block_reads_on_until_the_cancelled_run_is_over(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    service = Service(body)
    async with asynchronous(body, service, on_idle="cancel") as stream:
        async for _ in stream.text_deltas:
            break
    assert service.posts == ["run_1"]
    assert body.endings == ["finish"]


def test_subscribers_get_nothing_more_while_the_block_is_left() -> None:
    body, got = FedBody(*answer(*TEXTS)[:4]), list[Any]()
    with synchronous(body, Service(body), on_idle="cancel") as stream:
        stream.text_deltas.subscribe(got.append, got.append)
        next(iter(stream.text_deltas))
    assert got[0] == "a"
    assert [type(error) for error in got[1:]] == [StreamClosedError]


def test_cancel_wait_limits_the_wait_for_a_run_that_does_not_end() -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    service = Service(body, ends="never", looks=10**9)
    with synchronous(body, service, on_idle="cancel", cancel_wait=0.01) as stream:
        next(iter(stream))
    assert service.posts == ["run_1"]
    assert body.endings == ["close"]
    with pytest.raises(ValueError, match="cancel_wait must be"):
        synchronous(body, service, cancel_wait=-1)


async def test_cancel_wait_limits_the_wait_of_an_async_block_too(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    service = Service(body, ends="never", looks=10**9)
    async with asynchronous(body, service, on_idle="cancel", cancel_wait=0.01) as stream:
        async for _ in stream:
            break
    assert service.posts == ["run_1"]
    assert body.endings == ["close"]


async def test_a_cancelled_task_leaves_after_the_run_is_over_by_polling_it(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    service = Service(body, ends="when asked", looks=3)
    with anyio.move_on_after(0.05):
        async with asynchronous(body, service, on_idle="cancel") as stream:
            async for _ in stream:
                pass
    assert service.posts == ["run_1"]
    assert service.looks == 3


# -- cancel_and_wait ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 5])
@pytest.mark.parametrize("refuses", [False, True])
def test_cancel_and_wait_gives_the_run_when_it_is_over(timeout: float | None, refuses: bool) -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    service = Service(body)
    service.refusal = refused() if refuses else None
    with synchronous(body, service) as stream:
        next(stream)
        assert stream.cancel_and_wait(timeout).status == "cancelled"
        assert stream.cancel_and_wait(timeout).status == "cancelled"
    assert service.posts == ["run_1"]


@pytest.mark.parametrize("timeout", [None, 5])
async def test_cancel_and_wait_of_an_async_stream_gives_the_run_when_it_is_over(
    anyio_backend: str, timeout: float | None
) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    service = Service(body)
    async with asynchronous(body, service) as stream:
        await anext(stream)
        assert (await stream.cancel_and_wait(timeout)).status == "cancelled"
        assert (await stream.cancel_and_wait(timeout)).status == "cancelled"
    assert service.posts == ["run_1"]


def _close(stream: Any) -> None:
    stream.close()


def _read(stream: Any) -> None:
    stream.until_done()


@pytest.mark.parametrize(
    ("frames", "before"),
    [(answer(*TEXTS)[:4], _close), ([run("queued"), run("requires_action"), DONE], _read)],
    ids=["closed", "requires_action"],
)
def test_after_the_stream_has_ended_the_run_is_polled(frames: list[bytes], before: Callable[[Any], None]) -> None:
    body = FedBody(*frames, over=True)
    service = Service(body, ends="when asked", looks=3)
    with synchronous(body, service) as stream:
        next(stream)
        before(stream)
        assert stream.cancel_and_wait().status == "cancelled"
    assert service.posts == ["run_1"]
    assert service.looks == 3


def test_a_run_that_is_over_already_is_given_without_a_request() -> None:
    body = FedBody(*answer(*TEXTS))
    service = Service(body)
    with synchronous(body, service) as stream:
        assert stream.get_final_run().status == "completed"
        assert stream.cancel_and_wait().status == "completed"
    assert (service.posts, service.looks) == ([], 0)


def test_a_run_that_is_not_over_in_time_is_a_timeout_with_its_last_state() -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    service = Service(body, ends="never", looks=10**9)
    with synchronous(body, service) as stream:
        next(stream.text_deltas)
        with pytest.raises(PollTimeoutError) as caught:
            stream.cancel_and_wait(0.01)
        assert caught.value.last.status == "in_progress"
        assert isinstance(caught.value, TimeoutError)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "rx-assistant-cancel"])


async def test_an_async_run_that_is_not_over_in_time_is_a_timeout(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    service = Service(body, ends="never", looks=10**9)
    async with asynchronous(body, service) as stream:
        await anext(stream)
        with pytest.raises(PollTimeoutError):
            await stream.cancel_and_wait(0.01)


def test_inside_a_callback_it_reads_on_where_it_is() -> None:
    body = FedBody(*answer(*TEXTS)[:4])
    service = Service(body)
    statuses: list[str] = []
    with synchronous(body, service) as stream:
        stream.text_deltas.subscribe(lambda _: statuses.append(stream.cancel_and_wait(5).status))
        joined(elsewhere(stream.until_done))
    assert statuses == ["cancelled"]


def test_a_recording_has_no_run_to_cancel() -> None:
    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        next(stream)
        with pytest.raises(RuntimeError, match="did not come from a client"):
            stream.cancel_and_wait()

"""Every fault in the table, on threads, asyncio and trio: the right events, then the right ending, and nothing left."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import httpx
import httpx2
import pytest
from covering import covering, name_of
from fault_server import BODY, FAULTS, TERMINAL, Fault, sends
from http_clients import environment
from loopback import GUARD, Loopback, Received, Wire, client_tls, ended, untrusted_tls

import rx_assistant
from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.http import async_body, body, retries
from rx_assistant.http.timeouts import Timeout


class Outcome(NamedTuple):
    """What came of one stream."""

    events: int
    error: Exception | None


def on_threads(url: str, fault: Fault, library: str = "httpx") -> Outcome:
    seen = 0
    with ExitStack() as stack:
        http = None
        if library == "own":
            stack.enter_context(environment())
        else:
            http = stack.enter_context(SYNC[library](verify=client_tls(), timeout=None))
        client = stack.enter_context(AssistantClient(base_url=url, http_client=http, **fault.options))
        try:
            with client.threads.runs.stream("thread_1", assistant_id="a", **fault.stream) as stream:
                for _ in stream:
                    seen += 1
        except Exception as error:
            return Outcome(seen, error)
    return Outcome(seen, None)


async def in_a_task(url: str, fault: Fault, library: str) -> Outcome:
    seen = 0
    async with AsyncExitStack() as stack:
        http = None
        if library == "own":
            stack.enter_context(environment())
        else:
            http = await stack.enter_async_context(ASYNC[library]())
        client = await stack.enter_async_context(AsyncAssistantClient(base_url=url, http_client=http, **fault.options))
        try:
            async with client.threads.runs.stream("thread_1", assistant_id="a", **fault.stream) as stream:
                async for _ in stream:
                    seen += 1
        except Exception as error:
            return Outcome(seen, error)
    return Outcome(seen, None)


def on_backend(backend: str, library: str) -> Callable[[str, Fault], Outcome]:
    def run(url: str, fault: Fault) -> Outcome:
        async def main() -> Outcome:
            outcome = await in_a_task(url, fault, library)
            if backend == "asyncio":
                assert asyncio.all_tasks() == {asyncio.current_task()}
            return outcome

        return anyio.run(main, backend=backend)

    return run


SYNC: dict[str, Any] = {"httpx": httpx.Client, "httpx2": httpx2.Client}
ASYNC: dict[str, Callable[[], Any]] = {
    "httpx": lambda: httpx.AsyncClient(verify=client_tls(), timeout=None),
    "httpx2": lambda: httpx2.AsyncClient(verify=client_tls(), timeout=None),
    "aiohttp": lambda: rx_assistant.aiohttp_client(verify=client_tls()),
}
FACES: dict[str, Callable[[str, Fault], Outcome]] = {
    **{f"threads, {library}": partial(on_threads, library=library) for library in ("own", "httpx", "httpx2")},
    **{f"asyncio, {library}": on_backend("asyncio", library) for library in ("own", "httpx", "httpx2", "aiohttp")},
    **{f"trio, {library}": on_backend("trio", library) for library in ("own", "httpx", "httpx2")},
}
"""Each face over its own clients, over those of httpx and httpx2 and, where it works, of aiohttp."""

CASES = covering(
    tuple(FAULTS),
    ("threads", "asyncio", "trio"),
    ("own", "httpx", "httpx2", "aiohttp"),
    allowed=lambda _, face, library: f"{face}, {library}" in FACES,
)
"""Each fault meets every face and every library, but not each of their combinations."""


@pytest.fixture(autouse=True)
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST", 0.001)
    monkeypatch.setattr(body, "FINISH_SECONDS", 0.05)
    monkeypatch.setattr(async_body, "FINISH_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = {*threading.enumerate()}
    yield
    deadline = time.monotonic() + GUARD
    for thread in {*threading.enumerate()} - before:
        if not thread.name.startswith(("AnyIO worker", "Trio thread")):  # they wait for work, for everybody
            assert ended(thread, max(0.0, deadline - time.monotonic())), thread
    gc.collect()


def check(fault: Fault, outcome: Outcome, server: Loopback) -> None:
    if fault.error is None:
        assert outcome.error is None, repr(outcome.error)
    else:
        assert type(outcome.error) is fault.error, repr(outcome.error)
    assert outcome.events == fault.events
    server.wait_for(lambda: server.open_connections == 0)
    assert len(server.requests) == fault.requests
    assert len({request.headers["idempotency-key"] for request in server.requests}) <= 1


def test_the_table_is_long_enough() -> None:
    assert len(FAULTS) >= 60


READS_AHEAD = {"a chunk size that is none", "content-length shorter than the body"}
"""aiohttp parses what arrives with the head before it hands the head out: then there is no event before its error."""


@pytest.mark.parametrize(("name", "face", "library"), CASES, ids=map(name_of, CASES))
def test_each_fault_has_its_outcome(name: str, face: str, library: str) -> None:
    fault = FAULTS[name]
    with Loopback(fault.script) as server:
        started = time.monotonic()
        outcome = FACES[f"{face}, {library}"](server.url, fault)
        assert time.monotonic() - started < GUARD
        if library == "aiohttp" and name in READS_AHEAD and not isinstance(outcome.error, errors.StreamError):
            fault = replace(fault, error=errors.APIConnectionError, events=0)
        check(fault, outcome, server)


@pytest.mark.parametrize("face", FACES)
def test_a_refused_connection_and_a_wrong_certificate(face: str) -> None:
    fault = Fault(sends(BODY), options={"max_retries": 0})
    outcome = FACES[face]("http://127.0.0.1:1/v1", fault)
    assert type(outcome.error) is errors.APIConnectionError
    with Loopback(fault.script, tls=untrusted_tls()) as server:
        outcome = FACES[face](server.url, fault)
        assert type(outcome.error) is errors.APIConnectionError
        assert server.requests == []


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", ["reset after 6 events", "error event, flat", "silence between events beyond read"])
def test_an_error_carries_what_arrived_before_it(name: str, face: str) -> None:
    fault = FAULTS[name]
    with Loopback(fault.script) as server:
        error = FACES[face](server.url, fault).error
    assert isinstance(error, errors.RxAssistantError)
    assert error.request_id == "req_test"
    assert error.snapshot is not None
    assert error.snapshot.messages[0].content[0].text.value == "Grüß "
    assert error.snapshot.status == "in_progress"


@pytest.mark.parametrize("face", FACES)
def test_transport_errors_are_causes_and_never_come_out_themselves(face: str) -> None:
    with Loopback(FAULTS["reset after 3 events"].script) as server:
        error = FACES[face](server.url, FAULTS["reset after 3 events"]).error
    causes = []
    while error is not None:
        causes.append(type(error).__module__.partition(".")[0])
        error = error.__cause__  # type: ignore[assignment]
    assert causes[:2] == ["rx_assistant", "rx_assistant"]
    assert {"httpx", "httpx2", "aiohttp"} & set(causes)


class TestWhereTheOfficialSDKFails:
    """The numbers are those of the list of its proven defects."""

    def test_17_html_with_status_200_is_no_empty_success(self) -> None:
        outcome = on_threads_of(FAULTS["HTML with status 200"])
        assert isinstance(outcome.error, errors.NotAnEventStreamError)
        assert outcome.error.head.startswith(b"<html>")
        assert outcome.error.content_type == "text/html"

    def test_17_a_broken_stream_gives_no_stale_run(self) -> None:
        with (
            Loopback(FAULTS["reset after 6 events"].script) as server,
            AssistantClient(base_url=server.url) as client,
            client.threads.runs.stream("t", assistant_id="a") as stream,
        ):
            for _ in range(2):
                with pytest.raises(errors.StreamTruncatedError):
                    stream.get_final_run()

    def test_20_a_cancelled_task_ends_the_stream_with_its_own_error(self) -> None:
        async def main(url: str) -> None:
            async with AsyncAssistantClient(base_url=url) as client:
                seen: list[Exception] = []
                async with client.threads.runs.stream("t", assistant_id="a") as stream:
                    stream.subscribe(on_error=seen.append)
                    with anyio.move_on_after(0.05) as scope:
                        await stream.until_done()
                assert scope.cancelled_caught
                assert [type(error) for error in seen] == [errors.StreamCancelledError]

        with Loopback(FAULTS["silence between events beyond read"].script) as server:
            for backend in ("asyncio", "trio"):
                anyio.run(main, server.url, backend=backend)

    def test_23_each_try_carries_the_same_idempotency_key(self) -> None:
        with Loopback(FAULTS["429 with no word on when, then well"].script) as server:
            assert on_threads(server.url, FAULTS["429 with no word on when, then well"]).error is None
        first, second = server.requests
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]

    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    def test_24_five_streams_one_after_another_use_one_connection(self, library: Any) -> None:
        with Loopback(sends(BODY)) as server, library.Client() as http:
            client = AssistantClient(base_url=server.url, http_client=http)
            for _ in range(5):
                with client.threads.runs.stream("t", assistant_id="a") as stream:
                    assert sum(1 for _ in stream) == TERMINAL
            assert server.opened == 1

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_24_five_asynchronous_ones_too(self, backend: str) -> None:
        async def main(url: str) -> None:
            async with AsyncAssistantClient(base_url=url) as client:
                for _ in range(5):
                    async with client.threads.runs.stream("t", assistant_id="a") as stream:
                        await stream.until_done()

        with Loopback(sends(BODY)) as server:
            anyio.run(main, server.url, backend=backend)
            assert server.opened == 1


def on_threads_of(fault: Fault) -> Outcome:
    with Loopback(fault.script) as server:
        return on_threads(server.url, fault)


def test_a_timeout_of_one_call_is_its_own() -> None:
    with (
        Loopback(FAULTS["silence between events beyond read"].script) as server,
        AssistantClient(base_url=server.url) as client,
        client.threads.runs.stream("t", assistant_id="a", timeout=Timeout(idle=0.05)) as stream,
        pytest.raises(errors.IdleTimeoutError),
    ):
        stream.until_done()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("blank", [b"\n", b" ", b"\r\n", b": still there\n\n"])
def test_what_comes_without_end_before_the_first_event_has_a_limit(blank: bytes, face: str) -> None:
    async def script(request: Received, wire: Wire) -> None:
        await wire.events()
        for _ in range(100):
            await wire.chunk(blank * 1000)
        await wire.peer_gone()

    fault = Fault(script, errors.EventTooLargeError, 0, options={"max_retries": 0}, stream={"max_event_bytes": 65536})
    with Loopback(fault.script) as server:
        check(fault, FACES[face](server.url, fault), server)

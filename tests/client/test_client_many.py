"""Many streams at once from one process, each with a random fault or none: every outcome is accounted for.

RX_ASSISTANT_STREAMS=1000 makes it a thousand; the suite is content with fewer.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from fault_server import BODY, FAULTS, TERMINAL, sends
from loopback import Loopback, Received, Wire, ended

from rx_assistant import aiohttp_client, errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.http import async_body, body, retries
from rx_assistant.http.timeouts import Timeout

COUNT = int(os.environ.get("RX_ASSISTANT_STREAMS", "240"))
LIMITS = Timeout(connect=30, read=30)
"""A crowd is slow: silence must be distinguished from queueing by a wide margin."""

TIMED = {name for name, fault in FAULTS.items() if "timeout" in fault.options or fault.stream}
POISON = {"content-length shorter than the body"}
"""The next call on the connection reads what is left over there, so its outcome cannot be predicted."""

AIOHTTP = {"a chunk size that is none"}
"""aiohttp reads ahead: whether events come before this error depends on what arrives together."""
CHOICE = sorted(FAULTS.keys() - TIMED - POISON)


@pytest.fixture(autouse=True)
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST", 0.001)
    monkeypatch.setattr(body, "FINISH_SECONDS", 0.05)
    monkeypatch.setattr(async_body, "FINISH_SECONDS", 0.05)


async def by_name(request: Received, wire: Wire) -> None:
    """Each request says in a header which fault it wants; every second one wants none."""
    name = request.headers["x-fault"]
    await (sends(BODY) if name == "none" else FAULTS[name].script)(request, wire)


def chosen(count: int, leave_out: Set[str] = frozenset()) -> list[str]:
    dice, choice = random.Random(count), [name for name in CHOICE if name not in leave_out]
    return [dice.choice(choice) if dice.random() < 0.5 else "none" for _ in range(count)]


def expected(name: str) -> tuple[int, type[Exception] | None]:
    return (TERMINAL, None) if name == "none" else (FAULTS[name].events, FAULTS[name].error)


def check(names: list[str], outcomes: list[tuple[int, type[Exception] | None]], server: Loopback) -> None:
    wrong = [(name, got) for name, got in zip(names, outcomes, strict=True) if got != expected(name)]
    assert not wrong, wrong[:5]
    assert Counter(kind for _, kind in outcomes)[None] > len(names) / 2
    assert len({errors.StreamTruncatedError, errors.APIConnectionError} & {kind for _, kind in outcomes}) == 2
    keys = Counter(request.headers["idempotency-key"] for request in server.requests)
    assert len(keys) == len(names)
    server.wait_for(lambda: server.open_connections == 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio", "aiohttp"])
def test_many_streams_in_one_event_loop(backend: str) -> None:
    """Over aiohttp 1 100 at once: more than its own limits of 100 connections, or httpx's, would let through."""
    count = max(COUNT, 1100) if backend == "aiohttp" else COUNT
    names = chosen(count, leave_out=AIOHTTP if backend == "aiohttp" else set())
    outcomes: list[tuple[int, type[Exception] | None]] = [(-1, None)] * count

    async def one(client: AsyncAssistantClient, index: int, start: anyio.Event) -> None:
        seen = 0
        await start.wait()
        kind = None
        try:
            headers = {"X-Fault": names[index]}
            async with client.threads.runs.stream("t", assistant_id="a", extra_headers=headers) as stream:
                async for _ in stream:
                    seen += 1
        except errors.RxAssistantError as error:
            kind = type(error)
        outcomes[index] = seen, kind

    async def main(url: str) -> None:
        given = {"http_client": aiohttp_client()} if backend == "aiohttp" else {}
        async with AsyncAssistantClient(base_url=url, timeout=LIMITS, **given) as client:
            start = anyio.Event()
            async with anyio.create_task_group() as tasks:
                for index in range(count):
                    tasks.start_soon(one, client, index, start)
                start.set()

    with Loopback(by_name) as server:
        anyio.run(main, server.url, backend="trio" if backend == "trio" else "asyncio")
        check(names, outcomes, server)


def test_many_streams_on_threads() -> None:
    names = chosen(COUNT)

    def one(name: str) -> tuple[int, type[Exception] | None]:
        seen, kind = 0, None
        try:
            with client.threads.runs.stream("t", assistant_id="a", extra_headers={"X-Fault": name}) as stream:
                for _ in stream:
                    seen += 1
        except errors.RxAssistantError as error:
            kind = type(error)
        return seen, kind

    with Loopback(by_name) as server:
        before = {*threading.enumerate()}
        with AssistantClient(base_url=server.url, timeout=LIMITS) as client, ThreadPoolExecutor(len(names)) as pool:
            outcomes = [*pool.map(one, names)]
        check(names, outcomes, server)
        for thread in {*threading.enumerate()} - before:
            assert ended(thread), thread  # one that watched for time limits stops when nothing is left to watch


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = {*threading.enumerate()}
    yield
    left = [thread for thread in {*threading.enumerate()} - before if thread.name.startswith("rx_assistant")]
    for thread in left:
        assert ended(thread)

"""One cycle of `create_and_poll`, beside a bare httpx GET whose reply is validated: processor time over loopback."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from benchmarks._measure import ROUNDS, Row, at_most
from benchmarks._processes import server
from rx_assistant import AssistantClient, AsyncAssistantClient
from rx_assistant.types import Run

CYCLES = 100
THREAD = f"poll-{CYCLES}"


def rows() -> list[Row]:
    """The rows of this table."""
    with server() as port:
        base_url = f"http://127.0.0.1:{port}/v1"
        return [threads(base_url), asyncio.run(event_loop(base_url))]


def threads(base_url: str) -> Row:
    """The synchronous client."""
    url = f"{base_url}/threads/{THREAD}/runs/run_1"
    with AssistantClient(base_url=base_url, api_key="none") as client, httpx.Client() as bare:

        def ours() -> None:
            client.threads.runs.create_and_poll(THREAD, assistant_id="a", poll_interval_ms=0)

        def other() -> None:
            for _ in range(CYCLES):
                Run.model_validate_json(bare.get(url).content)

        laps = [(_processor(ours), _processor(other)) for _ in range(ROUNDS + 1)]
    return _row("threads", laps)


async def event_loop(base_url: str) -> Row:
    """The asynchronous client."""
    url = f"{base_url}/threads/{THREAD}/runs/run_1"
    async with AsyncAssistantClient(base_url=base_url, api_key="none") as client, httpx.AsyncClient() as bare:

        async def ours() -> None:
            await client.threads.runs.create_and_poll(THREAD, assistant_id="a", poll_interval_ms=0)

        async def other() -> None:
            for _ in range(CYCLES):
                Run.model_validate_json((await bare.get(url)).content)

        laps = [(await _processor_async(ours), await _processor_async(other)) for _ in range(ROUNDS + 1)]
    return _row("asyncio", laps)


def _processor(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


async def _processor_async(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.process_time()
    await work()
    return time.process_time() - begun


def _row(face: str, laps: list[tuple[float, float]]) -> Row:
    own, other = (statistics.median(lap[place] for lap in laps[1:]) / CYCLES * 1e6 for place in (0, 1))
    name = "httpx GET + model_validate_json"
    return at_most(f"one cycle of create_and_poll, {face}, CPU", own, other, unit="µs", name=name, limit=1.6)

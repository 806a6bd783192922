"""Many runs at once on one process: none is lost, every stream ends, and each is the run's own."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

import rx_assistant.local
from local.conftest import order_faults, parsed

RUNS = 100


async def one(http: httpx.AsyncClient, assistant: str, number: int) -> tuple[str, list[str]]:
    """The text that one streamed run wrote, and what is wrong with the order of its events."""
    thread = {"messages": [{"role": "user", "content": f"I am number {number}."}]}
    body = {"assistant_id": assistant, "thread": thread, "stream": True}
    content = (await http.post("/threads/runs", json=body)).content
    deltas = [data["delta"]["content"][0]["text"]["value"] for name, data in parsed(content) if name.endswith("delta")]
    return "".join(deltas), order_faults(content, whole=True)


@pytest.mark.unjudged
def test_a_hundred_streams_at_once_all_end_with_their_own_text(server):
    async def all_at_once() -> list[tuple[str, list[str]]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=60) as http:
            assistant = (await http.post("/assistants", json={"model": "any"})).json()["id"]
            return await asyncio.gather(*(one(http, assistant, number) for number in range(RUNS)))

    for number, (text, faults) in enumerate(asyncio.run(all_at_once())):
        assert text.startswith(f"You said: I am number {number}.\n")
        assert faults == []


@pytest.mark.unjudged
def test_runs_that_nobody_watches_end_all_the_same():
    with (
        rx_assistant.local.serve(script={"runs": [{"turns": [[{"text": "a"}, {"gate": "go"}]]}]}) as server,
        httpx.Client(base_url=server.base_url, timeout=60) as http,
    ):
        assistant = http.post("/assistants", json={"model": "any"}).json()["id"]
        runs = [http.post("/threads/runs", json={"assistant_id": assistant}).json() for _ in range(RUNS)]
        server.release("go")
        for run in runs:
            path = f"/threads/{run['thread_id']}/runs/{run['id']}"
            while http.get(path).json()["status"] != "completed":
                time.sleep(0.005)

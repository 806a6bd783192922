"""Short streams with every ending, left in every way: nothing stays, and nothing raw comes out."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest
from fault_server import FAULTS
from loopback import Loopback
from short_streams import ENDINGS, FACES, play

from rx_assistant import AsyncAssistantClient, aiohttp_client


def test_there_are_twenty_one_endings() -> None:
    assert len(ENDINGS) == 21


@pytest.mark.parametrize("face", FACES)
def test_short_streams_leave_nothing(face: str) -> None:
    """`short_streams.py` plays thousands."""
    tally = play(face, streams=100, seed=7)
    assert tally.wrong == {}
    assert tally.grown() == []
    assert len(tally.endings) > 5


@pytest.mark.parametrize("name", ["error event, then reset", "reset after [DONE]"])
def test_over_aiohttp_a_reset_that_comes_late_is_not_logged(name: str) -> None:
    logged: list[object] = []

    async def one(client: AsyncAssistantClient) -> None:
        async with client.threads.runs.stream("thread_1", assistant_id="a") as stream:
            async for event in stream.text_deltas:
                if event:
                    break

    async def main(url: str) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        async with (
            AsyncAssistantClient(base_url=url, http_client=aiohttp_client()) as client,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(16):
                tasks.start_soon(one, client)
        gc.collect()
        await anyio.sleep(0.02)
        gc.collect()

    with Loopback(FAULTS[name].script) as server:
        anyio.run(main, server.url)
    assert logged == []

"""The connections to a model server: each call has its own, and the next calls use them again."""

from __future__ import annotations

import asyncio

import httpcore
import pytest
from guard import GUARD

from local.upstreams import says
from rx_assistant.errors import APIConnectionError
from rx_assistant.local.engines import calling
from rx_assistant.local.engines.calling import Calls


async def answers(calls: Calls, count: int) -> None:
    """As many answers at once, each read to its end. All requests are sent before the first answer is read."""
    replies = await asyncio.gather(*(calls.send("/chat/completions", {}) for _ in range(count)))

    async def read(reply: calling.Reply) -> None:
        async for _ in calls.payloads(reply, lambda: GUARD):
            pass

    await asyncio.gather(*map(read, replies))


def in_rounds(upstream, *rounds: int) -> None:
    """So many answers at once in each round."""

    async def use() -> None:
        calls = Calls(upstream.url, None, GUARD)
        for count in rounds:
            await answers(calls, count)
        await calls.aclose()
        with pytest.raises(APIConnectionError, match="closed"):
            await calls.send("/chat/completions", {})

    asyncio.run(use())
    upstream.server.wait_for(lambda: upstream.server.open_connections == 0)


def test_the_next_calls_use_the_same_connections(model) -> None:
    upstream = model(says("a"))
    in_rounds(upstream, 20, 20, 5)
    first, later = upstream.server.requests[:20], upstream.server.requests[20:]
    assert len({request.connection for request in first}) == 20
    assert {request.connection for request in later} == {request.connection for request in first}


def test_a_call_does_not_look_at_the_connections_of_other_calls(model, monkeypatch) -> None:
    looks: list[object] = []
    look = httpcore.AsyncHTTPConnection.has_expired
    monkeypatch.setattr(
        httpcore.AsyncHTTPConnection, "has_expired", lambda connection: looks.append(connection) or look(connection)
    )

    def looks_at(count: int) -> float:
        looks.clear()
        in_rounds(model(says("a")), count, count)
        return len(looks) / count

    assert 0 < looks_at(40) <= looks_at(4)


def test_connections_that_were_idle_for_long_are_closed_at_the_next_call(model, monkeypatch) -> None:
    upstream = model(says("a"))

    async def use() -> None:
        calls = Calls(upstream.url, None, GUARD)
        await answers(calls, 10)
        assert upstream.server.open_connections == 10
        monkeypatch.setattr(calling, "KEPT_SECONDS", -1.0)
        await answers(calls, 1)
        await asyncio.to_thread(upstream.server.wait_for, lambda: upstream.server.open_connections == 1)
        await calls.aclose()

    asyncio.run(use())


def test_few_connections_stay_idle(model, monkeypatch) -> None:
    monkeypatch.setattr(calling, "KEPT", 3)
    upstream = model(says("a"))

    async def use() -> None:
        calls = Calls(upstream.url, None, GUARD)
        await answers(calls, 10)
        await answers(calls, 1)
        await asyncio.to_thread(upstream.server.wait_for, lambda: upstream.server.open_connections == 4)
        await calls.aclose()

    asyncio.run(use())


@pytest.mark.parametrize("answer", [(400, {}), (200, {})], ids=["a refusal", "an answer"])
def test_a_call_that_is_cancelled_or_refused_gives_its_client_back(model, answer) -> None:
    upstream = model(answer)

    async def use() -> int:
        calls = Calls(upstream.url, None, GUARD)
        for _ in range(3):
            sending = asyncio.ensure_future(calls.send("/chat/completions", {}))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
            await calls.refusal(await calls.send("/chat/completions", {}))
        idle = len(calls._clients._idle)
        await calls.aclose()
        return idle

    assert asyncio.run(use()) == 1

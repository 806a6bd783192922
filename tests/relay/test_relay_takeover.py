"""A producer dies: one follower takes over with a client, and no follower loses or repeats anything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from relay_runs import GUARD, WAITING, Finished, finished_run, folded, until, written

import rx_assistant as rx
from rx_assistant import AsyncAssistantClient, RunSnapshot, operators as ax
from rx_assistant.errors import StreamInterruptedError
from rx_assistant.events import StreamEvent
from rx_assistant.relay import Relay

MakeRelay = Callable[..., Relay]


class Counting:
    """A client that counts how often a follower has asked it to continue."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.asked = 0

    def missing_events(self, run_id: str, thread_id: str, snapshot: RunSnapshot) -> Any:
        self.asked += 1
        return self.client.missing_events(run_id, thread_id, snapshot)


def check(events: list[StreamEvent], run: Finished) -> None:
    """The follower has the server's final state; all texts and calls were told once."""
    assert folded(events) == run.whole
    with rx.from_events(iter(events)) as stream:
        stream.pipe(ax.verify()).run()
    deltas = rx.from_events(iter(events)).pipe(ax.text_deltas())
    assert "".join(deltas) == run.whole.text


def interrupted(relay: Relay, run: Finished, count: int) -> None:
    """A producer that has told `count` events and then gave up."""
    generation = written(relay, "k", run.frames[:count])
    assert relay.release("k", generation, "interrupted", "killed") == "ok"


def test_exactly_one_of_many_followers_takes_over(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=GUARD)
    cut = len(run.events) // 2
    interrupted(relay, run, cut)
    others = [make_relay(lease=GUARD) for _ in range(2)]
    clients = [Counting(run.client) for _ in range(8)]

    def follow(number: int) -> list[StreamEvent]:
        with others[number % 2].follow("k", resumer=clients[number]) as stream:
            return list(stream)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(follow, range(8)))
    for events in found:
        assert events == found[0]
        assert events[:cut] == run.events[:cut]
        check(events, run)
    assert sum(client.asked for client in clients) == 1
    state = relay.state("k")
    assert state is not None
    assert (state.status, state.generation) == ("ended", 2)


def test_a_run_goes_on_wherever_its_producer_died(make_relay: MakeRelay, run: Finished) -> None:
    first = next(at for at, event in enumerate(run.events) if event.event == "thread.run.created") + 1
    for cut in Random(7).sample(range(first, len(run.events) + 1), 5):
        relay = make_relay(lease=GUARD)
        key = f"cut {cut}"
        generation = written(relay, key, run.frames[:cut])
        relay.release(key, generation, "interrupted")
        with relay.follow(key, resumer=run.client) as stream:
            events = list(stream)
        assert events[:cut] == run.events[:cut]
        check(events, run)


def test_a_producer_without_a_sign_of_life_is_replaced(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=1.0)
    written(relay, "k", run.frames[:9])
    with make_relay(lease=1.0).follow("k", resumer=run.client) as stream:
        check(list(stream), run)


@pytest.mark.anyio
async def test_an_asynchronous_client_takes_over(make_relay: MakeRelay, run: Finished, anyio_backend: str) -> None:
    relay = make_relay(lease=GUARD)
    interrupted(relay, run, 9)
    async with (
        AsyncAssistantClient(base_url=run.client.base_url) as client,
        make_relay(lease=GUARD).follow_async("k", resumer=client) as stream,
    ):
        check([event async for event in stream], run)


@pytest.mark.anyio
async def test_a_synchronous_client_takes_over_for_an_event_loop(
    make_relay: MakeRelay, run: Finished, anyio_backend: str
) -> None:
    interrupted(make_relay(lease=GUARD), run, 9)
    async with make_relay(lease=GUARD).follow_async("k", resumer=run.client) as stream:
        check([event async for event in stream], run)


def test_a_follower_that_came_late_and_compacted_can_take_over(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=GUARD)
    interrupted(relay, run, len(run.events) // 2)
    with make_relay(lease=GUARD).follow("k", catch_up="snapshot", resumer=run.client) as stream:
        check(list(stream), run)


def test_a_run_without_a_known_id_cannot_be_taken_over(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=0.5)
    state = relay.claim("k")
    assert state is not None
    relay.release("k", state.generation, "interrupted")
    with relay.follow("k", resumer=run.client) as stream, pytest.raises(StreamInterruptedError, match="named the run"):
        stream.until_done()


def test_a_resumer_that_cannot_reach_its_server_interrupts(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=0.5)
    interrupted(relay, run, 9)
    with (
        rx.AssistantClient(base_url="http://127.0.0.1:9/v1", max_retries=0) as client,
        relay.follow("k", resumer=client) as stream,
        pytest.raises(StreamInterruptedError) as caught,
    ):
        stream.until_done()
    assert caught.value.snapshot == folded(run.events[:9])


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_waits_for_outputs_is_paused_again_by_the_follower_that_takes_over(
    make_relay: MakeRelay, after: bool
) -> None:
    with finished_run(WAITING) as run, ThreadPoolExecutor() as pool:
        cut = next(at for at, event in enumerate(run.events) if event.event == "thread.run.requires_action")
        relay = make_relay(lease=GUARD)
        interrupted(relay, run, cut + 1 if after else cut - 2)
        stream = relay.follow("k", resumer=run.client)
        reading = pool.submit(lambda: list(stream))
        until(lambda: relay.state("k").status == "paused")  # type: ignore[union-attr]
        until(lambda: stream._arrived().status == "requires_action")
        assert not stream.log.ended, "the next response goes on"
        stream.close()
        with pytest.raises(rx.StreamClosedError):
            reading.result(GUARD)


def test_an_asynchronous_client_is_refused_by_a_synchronous_follower(make_relay: MakeRelay, run: Finished) -> None:
    client = AsyncAssistantClient(base_url=run.client.base_url)
    relay = make_relay()
    interrupted(relay, run, 9)
    with pytest.raises(TypeError, match="resumer must be a client"):
        relay.follow("k", resumer=client).until_done()  # type: ignore[arg-type]

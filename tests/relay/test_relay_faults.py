"""What breaks in production: a killed producer, a restarted Redis, lost connections, trimming, clocks that are set."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kill_rounds
import pytest
from relay_runs import GUARD, Finished, folded, until
from relay_servers import RedisServer, installed

import rx_assistant as rx
from rx_assistant.errors import CursorExpiredError, RelayConnectionError, RelayFencedError
from rx_assistant.events import BY_NAME, StreamEvent, ThreadMessageDelta, frame
from rx_assistant.relay import RedisRelay

pytestmark = pytest.mark.skipif(not installed(), reason="redis-server is not installed")

AOF = {"off": (), "on": ("--appendonly", "yes", "--appendfsync", "always")}


class Live:
    """A stream that goes on only as far as the test lets it."""

    def __init__(self, events: list[StreamEvent], **options: Any) -> None:
        self._events = events
        self._allowed = threading.Semaphore(0)
        self.stream = rx.from_events(self._source(), **options)

    def _source(self) -> Iterator[StreamEvent]:
        for event in self._events:
            assert self._allowed.acquire(timeout=GUARD)
            yield event

    def let(self, count: int) -> None:
        """Let so many events pass."""
        self._allowed.release(count)


@contextmanager
def followed(
    url: str, run: Finished, followers: int = 5, **options: Any
) -> Iterator[tuple[Live, Any, RedisRelay, list[Future[list[StreamEvent]]]]]:
    """A live run that several followers follow."""
    with (
        RedisRelay(url, lease=GUARD) as relay,
        RedisRelay(url, lease=GUARD) as other,
        ThreadPoolExecutor(followers) as pool,
    ):
        jobs = [pool.submit(lambda: list(other.follow("k", patience=GUARD))) for _ in range(followers)]
        live = Live(run.events, **options)
        publication = relay.publish(live.stream, "k")
        live.stream.connect()
        live.let(len(run.events) // 2)
        until(lambda: (state := other.state("k")) is not None and state.count == len(run.events) // 2)
        try:
            yield live, publication, other, jobs
        finally:
            live.let(len(run.events))


def test_producers_that_are_killed_are_replaced_and_nothing_is_lost_or_told_twice() -> None:
    with kill_rounds.rounds(seed=5, followers=4) as rounds:
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(rounds.play, range(5)))
        assert sum(count for what, count in rounds.seen.items() if what.startswith("generation")) == 5


@pytest.mark.parametrize("aof", AOF)
def test_a_redis_server_that_is_restarted_loses_nothing_of_a_live_run(aof: str, tmp_path: Path, run: Finished) -> None:
    with RedisServer(tmp_path, *AOF[aof]) as server:
        with followed(server.url, run) as (live, publication, _, jobs):
            server.restart()
            live.let(len(run.events))
            for job in jobs:
                assert job.result(GUARD) == run.events
            assert publication.wait(GUARD)
        with RedisRelay(server.url) as late:
            assert list(late.follow("k")) == run.events, "a late follower too"


def test_a_redis_server_that_is_down_while_the_run_ends(tmp_path: Path, run: Finished) -> None:
    with RedisServer(tmp_path) as server, followed(server.url, run) as (live, publication, _, jobs):
        server.kill()
        live.let(len(run.events))
        live.stream.until_done()
        server.start()
        assert publication.wait(GUARD)
        for job in jobs:
            assert job.result(GUARD) == run.events


def test_followers_of_a_stream_that_keeps_nothing_get_an_error_at_the_gap(tmp_path: Path, run: Finished) -> None:
    """A follower that had all events goes on. A late one gets an error, and can begin where the log does."""
    half = len(run.events) // 2
    with RedisServer(tmp_path) as server:
        with followed(server.url, run, replay="none") as (live, publication, other, jobs):
            tail = other.tail("k")
            until(lambda: tail.next_entry() is not None and tail.position == half)
            server.restart()
            live.let(len(run.events))
            assert publication.wait(GUARD)
            for job in jobs:
                error = job.exception(GUARD)  # if it had not read all events when the server died
                assert isinstance(error, CursorExpiredError) if error else job.result() == run.events
        with RedisRelay(server.url) as late, pytest.raises(CursorExpiredError) as caught:
            late.follow("k").until_done()
        assert caught.value.oldest is not None
        assert caught.value.oldest.startswith(f"{half}-")
        with RedisRelay(server.url) as late:
            assert list(late.follow("k", after=caught.value.oldest)) == run.events[half:]


def test_connections_that_are_reset_are_made_again(tmp_path: Path, run: Finished) -> None:
    with RedisServer(tmp_path) as server, followed(server.url, run) as (live, publication, _, jobs):
        with server.client() as client:
            for _ in range(len(run.events) // 4):
                client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
                live.let(2)
        live.let(len(run.events))
        for job in jobs:
            assert job.result(GUARD) == run.events
        assert publication.wait(GUARD)


def test_a_follower_that_is_slower_than_the_trimming_is_told(tmp_path: Path) -> None:
    events: list[StreamEvent]
    events = [BY_NAME["thread.run.created"](b'{"id":"run_1","thread_id":"thread_1","status":"queued"}')]
    events += [ThreadMessageDelta(b'{"id":"m","delta":{"content":[]},"n":%d}' % number) for number in range(2000)]
    events.append(BY_NAME["thread.run.completed"](b'{"id":"run_1","thread_id":"thread_1","status":"completed"}'))
    with (
        RedisServer(tmp_path) as server,
        RedisRelay(server.url, max_entries=100, max_batch_bytes=1) as relay,
        RedisRelay(server.url) as other,
    ):
        live = Live(events)
        publication = relay.publish(live.stream, "k")
        live.stream.connect()
        live.let(5)
        slow = other.tail("k", patience=GUARD)
        got = slow.next_entry()
        assert got is not None
        live.let(len(events))
        assert publication.wait(GUARD)
        frames = got.frames
        with pytest.raises(CursorExpiredError) as caught:
            while (entry := slow.next_entry()) is not None:
                assert entry.start == got.end, "no gap before the error"
                got, frames = entry, frames + entry.frames
        error = caught.value
        assert frames == b"".join(map(frame, events[: got.end]))
        assert error.oldest is not None
        oldest = int(error.oldest.split("-")[0])
        assert oldest > got.end
        assert error.remaining.startswith(frame(events[oldest]))
        late = other.follow("k", catch_up="snapshot")
        late.until_done()
        assert late.snapshot == folded(events)


def test_clocks_that_are_set_change_nothing(tmp_path: Path, run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    jump = [0.0]
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump[0])
    with RedisServer(tmp_path) as server, followed(server.url, run) as (live, publication, other, jobs):
        for seconds in (86_400.0, -86_400.0, 3600.0, 0.0):
            jump[0] = seconds
            live.let(3)
        live.let(len(run.events))
        for job in jobs:
            assert job.result(GUARD) == run.events
        assert publication.wait(GUARD)
        entries = other.read("k", 0, 1000)
        assert [entry.end for entry in entries] == sorted({entry.end for entry in entries})


def test_a_clock_of_redis_that_is_set_forward_costs_the_producer_its_lease_and_nobody_an_event(
    tmp_path: Path, run: Finished
) -> None:
    """The server's clock ends leases: the producer is alive, and is replaced and fenced all the same."""
    half = len(run.events) // 2
    with RedisServer(tmp_path) as server, followed(server.url, run) as (live, publication, other, jobs):
        with server.client() as client:
            [lease] = client.keys("*:lease")
            client.delete(lease)
        with other.follow("k", resumer=run.client) as stream:
            events = list(stream)
        assert events[:half] == run.events[:half]
        assert folded(events) == run.whole
        for job in jobs:
            assert job.result(GUARD) == events
        live.let(len(run.events))
        with pytest.raises(RelayFencedError):
            publication.wait(GUARD)


def test_two_connections_serve_any_number_of_followers(tmp_path: Path, run: Finished) -> None:
    with RedisServer(tmp_path) as server, followed(server.url, run, followers=60) as (live, publication, _, jobs):
        with server.client() as client:
            until(lambda: client.info("clients")["blocked_clients"] == 2)
            assert len(client.client_list()) == 4 + 1, "two relays, two connections each, and this one"
        live.let(len(run.events))
        for job in jobs:
            assert job.result(GUARD) == run.events
        assert publication.wait(GUARD)


def test_all_keys_of_a_run_have_one_hash_tag(tmp_path: Path, run: Finished) -> None:
    with RedisServer(tmp_path) as server, followed(server.url, run):
        with server.client() as client:
            keys = [key.decode() for key in client.keys("rx:*:k:*")]
        assert {key.split(":")[-1] for key in keys} == {"state", "lease", "log"}
        assert len({key.split("{")[1].split("}")[0] for key in keys}) == 1


def test_a_run_is_forgotten_after_its_time(tmp_path: Path, run: Finished) -> None:
    wait: Callable[[], bool]
    with RedisServer(tmp_path) as server, RedisRelay(server.url, ttl=0.2) as relay, server.client() as client:
        with rx.from_events(iter(run.events)) as stream:
            publication = relay.publish(stream, "k")
            stream.until_done()
            assert publication.wait(GUARD)
        wait = lambda: not client.keys("rx:*:k:*")  # noqa: E731
        until(wait)


def test_a_relay_that_is_closed_under_its_calls_says_so(tmp_path: Path) -> None:
    """redis-py raises AttributeError or ValueError for a connection that is closed between sending and reading."""

    def calls(relay: RedisRelay) -> Exception:
        while True:
            try:
                relay.state("k")
            except Exception as error:
                return error

    with RedisServer(tmp_path) as server, ThreadPoolExecutor(4) as pool:
        for _ in range(30):
            relay = RedisRelay(server.url)
            relay.state("k")
            jobs = [pool.submit(calls, relay) for _ in range(4)]
            relay.close()
            assert {type(job.result(GUARD)) for job in jobs} == {RelayConnectionError}

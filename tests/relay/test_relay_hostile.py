"""Odd keys and cursors, foreign values in Redis, addresses with passwords: each costs one run or call at most."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
import redis
from relay_runs import GUARD, Finished, until
from relay_servers import RedisServer

import rx_assistant as rx
from rx_assistant.errors import ConfigurationError, CursorExpiredError, RelayError
from rx_assistant.relay import Command, MemoryRelay, RedisRelay, Relay

MakeRelay = Callable[..., Relay]


def published(relay: Relay, key: str, events: Any) -> None:
    """Publish events from their first to their last."""
    with rx.from_events(iter(events)) as stream:
        publication = relay.publish(stream, key)
        stream.until_done()
        assert publication.wait(GUARD)


@pytest.mark.parametrize("key", ["", " ", "a:state", "{x}", "}{", "\0", "x\ny", "ü" * 10_000, "*", "\x1b[31m"])
def test_any_text_is_a_key(make_relay: MakeRelay, run: Finished, key: str) -> None:
    published(make_relay(), key, run.events)
    with make_relay().follow(key) as stream:
        assert list(stream) == run.events


@pytest.mark.parametrize(
    ("key", "error"), [(None, TypeError), (b"x", TypeError), (7, TypeError), ("\ud800", ValueError)]
)
def test_other_keys_are_refused_at_once(key: Any, error: type[Exception]) -> None:
    relay = MemoryRelay()
    for call in (
        relay.follow,
        relay.follow_async,
        relay.tail,
        lambda one: relay.publish(rx.from_events(iter([])), one),
    ):
        with pytest.raises(error, match="key"):
            call(key)


@pytest.mark.parametrize("number", [68, 2**64, 10**30])
def test_a_cursor_of_another_run_expires(make_relay: MakeRelay, run: Finished, number: int) -> None:
    published(make_relay(), "k", run.events)
    assert number > len(run.events) + 1  # `done` is counted, too
    with (
        make_relay().follow("k", f"{number}-1") as stream,
        pytest.raises(CursorExpiredError, match="got a cursor after"),
    ):
        list(stream)


def test_a_key_of_another_program_costs_one_run_only(redis_server: RedisServer, run: Finished) -> None:
    with RedisRelay(redis_server.url, prefix="foreign") as relay, redis.Redis(port=redis_server.port) as client:
        client.set(relay._name("taken", "state"), "a word")
        stream = rx.from_events(iter(run.events))
        publication = relay.publish(stream, "taken")
        with pytest.raises(RelayError, match="another program uses a key"):
            publication.wait(GUARD)
        published(relay, "free", run.events)
        with relay.follow("taken") as followed, pytest.raises(RelayError, match="another program"):
            list(followed)


def test_an_error_of_one_run_leaves_the_others_alone(
    redis_server: RedisServer, run: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisRelay(redis_server.url, prefix="apart") as relay:
        claim = relay.claim

        def refuse(key: str, **options: Any) -> Any:
            if key == "bad":
                raise KeyError("unexpected")
            return claim(key, **options)

        monkeypatch.setattr(relay, "claim", refuse)
        bad = relay.publish(rx.from_events(iter(run.events)), "bad")
        published(relay, "good", run.events)
        with pytest.raises(KeyError):
            bad.wait(GUARD)


def test_an_error_with_half_a_surrogate_pair_interrupts_one_run(redis_server: RedisServer, run: Finished) -> None:
    with RedisRelay(redis_server.url, prefix="half") as relay:
        broken = reactivex.throw(OSError("half \ud83d of it, " * 100))
        publication = relay.publish(broken, "k")
        published(relay, "other", run.events)
        assert publication.wait(GUARD)
        state = relay.state("k")
        assert state is not None
        assert state.status == "interrupted"
        assert state.reason.startswith("OSError: half ? of it")
        assert len(state.reason) <= 1000


def test_commands_that_cannot_be_read_are_passed_over(
    redis_server: RedisServer, run: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Command] = []
    with (
        RedisRelay(redis_server.url, prefix="odd") as relay,
        redis.Redis(port=redis_server.port) as client,
        rx.from_events(iter(run.events[:5])) as stream,
    ):
        relay.publish(stream, "k", on_command=got.append)
        until(lambda: relay.state("k") is not None)
        for fields in ({"x": "y"}, {"c": "{"}, {"c": json.dumps([1])}, {"c": b"\xff"}):
            client.xadd(relay._name("k", "commands"), fields)  # type: ignore[arg-type]
        relay.send("k", Command("say", "half \ud83d"))
        until(lambda: got)
    assert got == [Command("say", "half \ud83d")]
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3/cret@localhost:6379",
        "redis://user:s3cret@localhost:abc",
        "redis://user:s3cret@localhost:70000",
        "redis://user:s3cret@[::1",
        "http://user:s3cret@localhost",
        "redis://user:s3cret@localhost/0?socket_timeout=s3cret",
        "s3cret",
        "",
    ],
)
def test_an_address_that_is_refused_keeps_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="url must be") as caught:
        RedisRelay(url)
    told = "".join(traceback.format_exception(caught.value, chain=True)).replace(f'"{url}"', "")
    assert "s3" not in str(caught.value)
    assert "'s3'" not in told
    assert caught.value.__suppress_context__


def test_an_address_that_cannot_be_reached_keeps_its_password() -> None:
    with RedisRelay("redis://user:s3cret@127.0.0.1:1/0") as relay, pytest.raises(RelayError) as caught:
        relay.state("k")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)) + repr(relay)

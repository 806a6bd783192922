"""Ctrl-C at any bytecode leaves no lock taken: no thread hangs, and the next stream is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from faces import got
from guard import GUARD
from streams_bodies import FACES, FedBody, StreamFace, answer, elsewhere, joined, sync_stream

from rx_assistant.errors import StreamTruncatedError
from rx_assistant.hot import FOREVER, HotLog, Sleepers, Subscriber, Timers, start_thread
from rx_assistant.streams.feed import Feed

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")


@posix
@pytest.mark.parametrize("seed", [1, 2])
def test_random_interrupts_hang_nothing(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.interrupts", "--recorded", "--interrupts", "300", "--seed", str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "300 interrupts" in done.stdout


class Stop(BaseException):
    """What sys.exit() and Ctrl-C are to a callback."""


@pytest.mark.parametrize("face", FACES, ids=repr)
def test_an_interrupt_in_a_callback_comes_out_before_the_next_event(face: StreamFace) -> None:
    frames = answer("a", "b", "c")
    seen: list[str] = []

    def look(event: Any) -> None:
        seen.append(event.event)
        if len(seen) == 3:
            raise Stop

    async def scenario() -> None:
        async with face.block(face.over(face.body(b"".join(frames)))) as stream:
            stream.subscribe(look)
            with pytest.raises(Stop):
                await got(stream.until_done())
            assert len(seen) == 3
            await got(stream.until_done())
        assert len(seen) == len(frames) - 1

    face.play(scenario())


def test_an_interrupt_that_costs_events_is_an_error_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Feed, kinds: Any, payloads: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    stream = sync_stream(FedBody(*answer("a"), over=True))
    items = iter(stream)
    next(items)
    monkeypatch.setattr(Feed, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    with pytest.raises(StreamTruncatedError, match="an interrupt"):
        list(items)
    assert stream.log.length == 1


class Interrupting(dict[int, object]):
    """The lock of a delivery or a pump, interrupted after it was taken and before the call's result is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = True

    def setdefault(self, key: int, token: object = None, /) -> object:
        holder = super().setdefault(key, token)
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return holder


@pytest.mark.parametrize("act", ["push", "take_alone"])
def test_an_interrupt_right_after_the_delivery_lock_was_taken_gives_it_back(act: str) -> None:
    log: HotLog[int] = HotLog()
    got: list[int] = []
    if act == "push":
        log.subscribe(Subscriber(got.append))
    log._lock = Interrupting()
    if act == "push":
        with pytest.raises(KeyboardInterrupt):
            log.push(1)
        log.push(2)
        assert got == [1, 2]
    else:
        log.append([int], [1])
        with pytest.raises(KeyboardInterrupt):
            log.take_alone(0)
        assert log.take_alone(0) == 1


def test_a_seat_that_an_interrupt_kept_from_the_ending_gets_it_in_the_next_drain() -> None:
    log: HotLog[int] = HotLog()
    heard: list[str] = []

    class Interrupted(tuple[Any, ...]):
        passes = count(1)

        def __iter__(self) -> Iterator[Any]:
            served = next(self.passes)
            yield from self[:served]
            if served < len(self):
                raise KeyboardInterrupt

    for name in ("one", "two", "three"):
        log.subscribe(Subscriber(on_completed=partial(heard.append, name)))
    log._seats = Interrupted(log._seats)
    log.end()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            log.want(FOREVER)
    log.drain()
    assert heard == ["one", "two", "three"]
    assert log.released


def test_an_interrupt_right_after_the_turn_to_read_was_taken_gives_it_back() -> None:
    stream = sync_stream(FedBody(*answer("a")))
    stream.driver._state.turn = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        stream.until_done()
    joined(elsewhere(stream.until_done))
    assert list(stream.text_deltas) == ["a"]


def test_an_interrupt_while_a_connection_is_given_back_is_made_up_for_by_the_next_close() -> None:
    class Interrupted(FedBody):
        interrupted = False

        def close(self) -> None:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            super().close()

    body = Interrupted(*answer("a")[:3])
    stream = sync_stream(body)
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        stream.close()
    assert body.endings == []
    stream.close()
    assert body.endings == ["close"]


def test_giving_a_holder_back_twice_or_without_having_it_counts_once() -> None:
    idle: list[None] = []
    log: HotLog[int] = HotLog(on_idle=lambda: idle.append(None))
    one, other = object(), object()
    log.release(one)
    assert (log.holders, idle) == (0, [])
    log.retain(one)
    log.retain(one)
    log.retain(other)
    log.release(one)
    log.release(one)
    assert (log.holders, idle) == (1, [])
    log.release(other)
    assert (log.holders, idle) == (0, [None])


def test_a_lost_wake_up_delays_a_sleeper_but_does_not_leave_it_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rx_assistant.hot.threads.HEARTBEAT", 0.01)
    sleepers, told = Sleepers(), threading.Event()
    thread = elsewhere(lambda: sleepers.sleep(told.is_set))
    told.set()  # and no wake()
    joined(thread)


def test_a_thread_that_cannot_be_started_twice_still_does_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    class Exhausted(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    start_thread(Exhausted(target=done.set))
    assert done.wait(GUARD)


def test_timers_go_on_after_an_interrupt_while_one_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, fired = Timers(), threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("rx_assistant.hot.clock.start_thread", interrupted)
    with pytest.raises(KeyboardInterrupt):
        timers.call_later(0.0, lambda: None)
    timers.call_later(0.0, fired.set)
    assert fired.wait(GUARD)

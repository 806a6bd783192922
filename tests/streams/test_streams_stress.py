"""Readers that come, go, wait and break off at random, on threads and in tasks: everybody gets what is theirs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from streams_bodies import GUARD, AsyncFedBody, FedBody, answer, async_stream, sync_stream, until

from rx_assistant.errors import StreamClosedError, StreamError

TEXTS = [f"{number} " for number in range(40)]


def is_gapless(got: list[Any]) -> bool:
    """Texts from the first one on, and at most one ending."""
    endings = [item for item in got if not isinstance(item, str) or item == "completed"]
    texts = got[: len(got) - len(endings)]
    return texts == TEXTS[: len(texts)] and len(endings) <= 1 and (endings != ["completed"] or texts == TEXTS)


class Play:
    """One stream and what its readers got."""

    def __init__(self, stream: Any, seed: int) -> None:
        self.stream = stream
        self.chance = random.Random(seed)
        self.got: list[list[Any]] = []

    def subscribe(self) -> Any:
        got: list[Any] = []
        self.got.append(got)
        return self.stream.text_deltas.subscribe(got.append, got.append, lambda: got.append("completed"))

    def subscribe_and_leave(self) -> None:
        subscription = self.subscribe()
        for _ in range(self.chance.randrange(3)):
            self.subscribe()
        subscription.dispose()

    def subscribe_inside(self) -> None:
        self.stream.take(1).subscribe(lambda _: self.subscribe(), lambda _: None)


def loop(play: Play) -> None:
    got: list[Any] = []
    play.got.append(got)
    stop = play.chance.choice((5, 1000))
    for text in play.stream.text_deltas:
        got.append(text)
        if len(got) == stop:
            return


def loop_inside_a_callback(play: Play) -> None:
    got: list[Any] = []
    play.got.append(got)

    def act(_: Any) -> None:
        with suppress(StreamError):
            got.extend(play.stream.text_deltas)

    play.stream.take(1).subscribe(act, lambda _: None)


ACTS: list[Callable[[Play], Any]] = [
    Play.subscribe,
    Play.subscribe_and_leave,
    Play.subscribe_inside,
    loop,
    loop,
    loop_inside_a_callback,
    lambda play: play.stream.until_done(),
    lambda play: play.stream.get_final_messages(),
    lambda play: play.stream.connect(),
    lambda play: play.stream.snapshot,
]


def perform(act: Callable[[Play], Any], play: Play, start: threading.Barrier, errors: list[Exception]) -> None:
    start.wait(GUARD)
    try:
        act(play)
    except Exception as error:
        errors.append(error)


@pytest.mark.parametrize("closing", [False, True], ids=["to the end", "closed on the way"])
def test_threads_that_do_what_they_like_all_come_to_an_end(closing: bool) -> None:
    for seed in range(40):
        chance = random.Random(seed)
        body = FedBody(*cut(b"".join(answer(*TEXTS)), chance))
        stream = sync_stream(body)
        play = Play(stream, seed)
        acts = [chance.choice(ACTS) for _ in range(8)] + ([lambda play: play.stream.close()] if closing else [])
        chance.shuffle(acts)
        errors: list[Exception] = []
        start = threading.Barrier(len(acts))
        threads = [threading.Thread(target=perform, args=(act, play, start, errors), daemon=True) for act in acts]
        with suppress(StreamClosedError), stream:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(GUARD)
                assert not thread.is_alive(), f"it hangs, seed {seed}"
            if not closing:
                stream.until_done()
        assert all(map(is_gapless, play.got)), seed
        assert all(isinstance(error, StreamClosedError) for error in errors)
        assert closing or errors == []
        until(lambda stream=stream: stream.log.delivered)  # a thread that was in a callback continues after close()
        assert len(body.endings) <= 1


def cut(whole: bytes, chance: random.Random) -> list[bytes]:
    chunks = []
    while whole:
        size = chance.choice((1, 50, 200, 1000))
        chunks.append(whole[:size])
        whole = whole[size:]
    return chunks


class Handling:
    """An async handler that takes its time."""

    is_async = True

    def __init__(self, play: Play) -> None:
        self._chance = play.chance
        self.told = 0
        self.ended = 0

    def __rx_bind__(self, stream: Any) -> Handling:
        return self

    async def next(self, event: Any) -> None:
        self.told += 1
        if self._chance.random() < 0.2:
            await anyio.lowlevel.checkpoint()

    async def error(self, error: Exception) -> None:
        self.ended += 1

    async def completed(self) -> None:
        self.ended += 1


async def loop_async(play: Play) -> None:
    got: list[Any] = []
    play.got.append(got)
    stop = play.chance.choice((5, 1000))
    async for text in play.stream.text_deltas:
        got.append(text)
        if play.chance.random() < 0.2:
            await anyio.lowlevel.checkpoint()
        if len(got) == stop:
            return


async def wait_async(play: Play) -> None:
    await play.stream.until_done()


async def wait_a_little(play: Play) -> None:
    await play.stream.connect()
    with anyio.move_on_after(0.001):
        await play.stream.until_done()


async def subscribe_async(play: Play) -> None:
    play.subscribe_and_leave()
    play.subscribe_inside()


async def subscribe_on_a_thread(play: Play) -> None:
    await anyio.to_thread.run_sync(play.subscribe)


async def attach(play: Play) -> None:
    play.stream.attach(Handling(play))


async def attach_for_a_while(play: Play) -> None:
    attached = play.stream.attach(Handling(play))
    await anyio.lowlevel.checkpoint()
    attached.dispose()


async def close(play: Play) -> None:
    await anyio.lowlevel.checkpoint()
    await play.stream.close()


ASYNC_ACTS = [loop_async, loop_async, wait_async, wait_a_little, subscribe_async, subscribe_on_a_thread, attach]
ASYNC_ACTS += [attach_for_a_while]


async def perform_async(act: Any, play: Play, errors: list[Exception]) -> None:
    try:
        await act(play)
    except Exception as error:
        errors.append(error)


@pytest.mark.anyio
@pytest.mark.parametrize("closing", [False, True], ids=["to the end", "closed on the way"])
async def test_tasks_that_do_what_they_like_all_come_to_an_end(closing: bool, anyio_backend: str) -> None:
    for seed in range(40):
        chance = random.Random(seed)
        body = AsyncFedBody(*cut(b"".join(answer(*TEXTS)), chance))
        stream = async_stream(body)
        play = Play(stream, seed)
        acts = [chance.choice(ASYNC_ACTS) for _ in range(8)] + ([close] if closing else [])
        chance.shuffle(acts)
        errors: list[Exception] = []
        with anyio.fail_after(GUARD):
            async with stream, anyio.create_task_group() as tasks:
                if wait_a_little in acts and not closing:
                    await stream.connect()  # before any read, so that cancelling affects no reader
                for act in acts:
                    tasks.start_soon(perform_async, act, play, errors)
            if not closing:
                assert errors == []
        assert all(map(is_gapless, play.got)), seed
        assert all(isinstance(error, StreamError) for error in errors)
        assert stream.log.ended
        assert body.reading == 0
        assert len(body.endings) <= 1

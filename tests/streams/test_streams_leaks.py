"""Nothing leaks (law L9, contract C35): no thread, task, timer, file or memory outlives its stream."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from reactivex import operators as ops
from streams_bodies import (
    DONE,
    AsyncFedBody,
    FedBody,
    answer,
    async_stream,
    error,
    run,
    sync_stream,
    until,
    until_async,
)

from rx_assistant import operators as ax, replay, replay_async
from rx_assistant.errors import StreamError
from rx_assistant.hot import SUBSCRIBING

TEXTS = ("a", "b")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Memory is freed by reference counts alone, or not at all."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rx-assistant")]


# -- memory ------------------------------------------------------------------------------------------------------------


def wait(stream: Any) -> None:
    stream.until_done()


def loop(stream: Any) -> None:
    for _ in stream.text_deltas:
        pass


def loop_and_leave(stream: Any) -> None:
    for _ in stream.text_deltas.map(str):
        break


def loop_with_timers(stream: Any) -> None:
    assert list(stream.text_deltas.timeout(5.0)) == [*TEXTS]


def loop_over_substreams(stream: Any) -> None:
    assert [[*text] for text in stream.pipe(ax.texts())] == [[*TEXTS]]


def subscribe_to_everything(stream: Any) -> None:
    for operator in (ax.text_deltas(), ax.texts(), ax.snapshots(), ax.messages(), ops.group_by(str)):
        stream.pipe(operator).subscribe(lambda _: None, lambda _: None)
    stream.text_deltas.timeout(5.0).subscribe(lambda _: None, lambda _: None)
    stream.until_done()


def look_around(stream: Any) -> None:
    for _ in stream:
        _ = stream.current_event, stream.snapshot, stream.current_message_snapshot, stream.current_run
    stream.get_final_run()


def connect(stream: Any) -> None:
    stream.connect()
    until(lambda: stream.log.delivered)
    until(lambda: not ours())


USES = [
    wait,
    loop,
    loop_and_leave,
    loop_with_timers,
    loop_over_substreams,
    subscribe_to_everything,
    look_around,
    connect,
]


@pytest.mark.parametrize("policy", ["all", "none"])
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
@pytest.mark.usefixtures("no_collector")
def test_a_stream_that_is_over_is_freed_when_it_is_dropped(use: Callable[[Any], None], policy: Any) -> None:
    stream = sync_stream(FedBody(*answer(*TEXTS)), replay=policy, on_idle="cancel", idle_grace=60)
    with stream:
        use(stream)
    until(lambda: not ours())
    references = [weakref.ref(stream), weakref.ref(stream.log), weakref.ref(stream.driver)]
    del stream
    assert [reference() for reference in references] == [None] * 3


BREAKS = {
    "cut": [*answer(*TEXTS)[:5], b""],
    "error": [*answer(*TEXTS)[:5], error(message="Sorry.")],
    "too large": [*answer(*TEXTS)[:5], b"data: " + b"x" * 5000],
    "closed": [*answer(*TEXTS)[:5]],
}


def break_a_stream(name: str, errors: list[Any]) -> weakref.ref[Any]:
    """Let a stream end badly; return a function that says whether its log is still there."""
    with sync_stream(FedBody(*BREAKS[name]), max_event_bytes=3000) as stream:
        stream.subscribe(lambda _: None, errors.append)
        stream.connect()
        if name == "closed":
            until(lambda: stream.log.position == 5)
            stream.close()
        until(lambda: errors)
    until(lambda: not ours())
    return weakref.ref(stream.log)


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.usefixtures("no_collector")
def test_a_stream_that_broke_is_freed_when_it_is_dropped_also_while_its_error_is_kept(name: str) -> None:
    errors: list[Any] = []
    assert break_a_stream(name, errors)() is None
    assert len(errors) == 1
    assert errors[0].snapshot.messages[0].content[0].text.value == "ab"


@pytest.mark.usefixtures("no_collector")
def test_a_stream_that_was_never_used_is_freed_when_it_was_closed() -> None:
    stream = sync_stream(FedBody())
    stream.close()
    reference = weakref.ref(stream.log)
    del stream
    assert reference() is None


@pytest.mark.usefixtures("no_collector")
def test_an_event_that_is_kept_keeps_nothing_else() -> None:
    stream = replay(b"".join(answer(*TEXTS)))
    events = list(stream)
    snapshot = stream.snapshot
    reference = weakref.ref(stream.log)
    del stream
    assert reference() is None
    assert len(events) == 7
    assert snapshot.messages[0].content[0].text.value == "ab"  # type: ignore[union-attr]


async def wait_async(stream: Any) -> None:
    await stream.until_done()


async def loop_async(stream: Any) -> None:
    assert [text async for text in stream.text_deltas] == [*TEXTS]


async def loop_and_leave_async(stream: Any) -> None:
    async for _ in stream.text_deltas.map(str):
        break


async def loop_with_timers_async(stream: Any) -> None:
    assert [text async for text in stream.text_deltas.timeout(5.0)] == [*TEXTS]


async def subscribe_async(stream: Any) -> None:
    stream.text_deltas.timeout(5.0).subscribe(lambda _: None, lambda _: None)
    stream.pipe(ax.texts()).subscribe(lambda _: None, lambda _: None)
    await stream.get_final_run()


async def connect_async(stream: Any) -> None:
    await stream.connect()
    await until_async(lambda: stream.log.delivered)


ASYNC_USES = [wait_async, loop_async, loop_and_leave_async, loop_with_timers_async, subscribe_async, connect_async]


@pytest.mark.anyio
@pytest.mark.parametrize("use", ASYNC_USES, ids=lambda use: use.__name__)
@pytest.mark.usefixtures("no_collector")
async def test_an_async_stream_that_is_over_is_freed_when_it_is_dropped(
    use: Callable[[Any], Awaitable[None]], anyio_backend: str
) -> None:
    stream = async_stream(AsyncFedBody(*answer(*TEXTS)), on_idle="cancel", idle_grace=60)
    async with stream:
        await use(stream)
    reference = weakref.ref(stream.log)
    del stream
    for _ in range(10):  # what the event loop itself still holds, it lets go
        await anyio.lowlevel.checkpoint()
    await until_async(lambda: reference() is None)


# -- threads, tasks and files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True])
def test_no_thread_outlives_its_stream(broken: bool) -> None:
    body = FedBody(*answer(*TEXTS)[: 4 if broken else None])
    with sync_stream(body, on_idle="cancel", idle_grace=60) as stream:
        stream.connect()
        stream.text_deltas.delay(0.001).timeout(60).subscribe(lambda _: None, lambda _: None)
        stream.subscribe(lambda _: None).dispose()
        until(lambda: stream.log.position >= 4)
    until(lambda: not ours())
    assert body.endings


def tasks_alive() -> int:
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["well", "cut", "left", "closed", "closed elsewhere", "cancelled", "idle"])
@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
async def test_no_task_outlives_its_stream(ending: str, connected: bool, anyio_backend: str) -> None:
    before = tasks_alive()
    chunks = {"well": answer(*TEXTS), "cut": [*answer(*TEXTS)[:4], b""]}.get(ending, answer(*TEXTS)[:4])
    body = AsyncFedBody(*chunks)
    with anyio.CancelScope() as scope:
        async with async_stream(body, on_idle="close" if ending == "idle" else "detach", idle_grace=0.001) as stream:
            stream.text_deltas.delay(0.001).timeout(60).subscribe(lambda _: None, lambda _: None).dispose()
            subscription = stream.text_deltas.delay(60).subscribe(lambda _: None, lambda _: None)
            if connected:
                await stream.connect()
                await until_async(lambda: stream.log.position >= 4)
            elif ending in ("well", "cut"):
                with suppress(StreamError):
                    await stream.until_done()
            else:
                await anext(aiter(stream.text_deltas))
            if ending == "closed":
                await stream.close()
            elif ending == "closed elsewhere":
                await anyio.to_thread.run_sync(stream.close)
            elif ending == "cancelled":
                scope.cancel()
                await anyio.sleep_forever()
            subscription.dispose()
            if ending == "idle":
                await until_async(lambda: stream.log.delivered)
    await until_async(lambda: tasks_alive() <= before)
    assert len(body.endings) == 1
    assert body.reading == 0


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_file_outlives_its_replay(tmp_path: Path) -> None:
    path = tmp_path / "run.sse"
    path.write_bytes(b"".join(answer(*TEXTS)))
    before = open_files()
    with replay(path) as stream:
        assert open_files() == before + 1
        stream.until_done()
        assert open_files() == before
    with replay(path, chunk_size=10) as stream:
        next(iter(stream))
    assert open_files() == before
    without_block = replay(path)
    without_block.until_done()
    assert open_files() == before


@pytest.mark.anyio
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
async def test_no_file_outlives_its_async_replay(tmp_path: Path, anyio_backend: str) -> None:
    path = tmp_path / "run.sse"
    path.write_bytes(b"".join(answer(*TEXTS)))
    before = open_files()
    async with replay_async(path, chunk_size=10) as stream:
        await anext(aiter(stream))
        assert open_files() == before + 1
    assert open_files() == before
    async with replay_async(path) as stream:
        await stream.until_done()
        assert open_files() == before


def test_a_loop_leaves_no_trace_on_its_thread() -> None:
    with sync_stream(FedBody(run("queued"), run("completed"), DONE)) as stream:
        for _ in stream:
            assert SUBSCRIBING.owner is None
        with suppress(ZeroDivisionError):
            for _ in stream.map(lambda _: 1 // 0):
                pass
        assert SUBSCRIBING.owner is None

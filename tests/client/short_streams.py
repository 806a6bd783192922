"""Thousands of short streams with every ending and every way of leaving them, on each face; nothing may be left.

    python tests/client/short_streams.py [streams per face] [seed]

The server is a process of its own, so that descriptors, threads and memory are the client's. After a warm-up it prints
them for each fifth of the streams. A stream read to its end must end as `fault_server.FAULTS` says; any way of leaving
may end with an error of the package, and with no other. The suite plays a few; 5 000 per face take minutes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import anyio  # noqa: E402
import psutil  # noqa: E402
import trio  # noqa: E402
from fault_server import FAULTS, FRAMES, Fault, stalls  # noqa: E402
from loopback import Loopback, Received, Wire  # noqa: E402

import rx_assistant  # noqa: E402
from rx_assistant import AssistantClient, AssistantEventHandler, AsyncAssistantClient, operators as ax  # noqa: E402
from rx_assistant.errors import APIConnectionError, IdleTimeoutError, RxAssistantError  # noqa: E402
from rx_assistant.http.timeouts import Timeout  # noqa: E402
from rx_assistant.streams import AssistantStream, AsyncAssistantStream  # noqa: E402

BRIEF = 0.5
"""Seconds of patience with a silent server."""

ENDINGS: dict[str, Fault] = {
    name: FAULTS[name]
    for name in (
        "chunks of 7 bytes",
        "gzip",
        "no length at all",
        "no [DONE] after the end of the run",
        "no [DONE] after requires_action",
        "[DONE] without its blank line",
        "rubbish after [DONE]",
        "reset after [DONE]",
        "a run that fails",
        "error event, nested",
        "error event, then reset",
        "reset after 4 events",
        "hung up inside event 7",
        "a chunk size that is none",
        "gzip that is cut",
        "an event that is too large",
        "HTML with status 200",
        "429 with retry-after-ms, then well",
        "500 with JSON",
        "reset before the head",
    )
}
SILENT = {
    "silence between events": Fault(
        stalls(b"".join(FRAMES[:6])),
        IdleTimeoutError,
        6,
        options={"max_retries": 0, "timeout": Timeout(idle=BRIEF)},
    )
}
ENDINGS |= SILENT
"""The twenty-one endings. The silent one is where leaving early matters most, so every third stream has it."""


class Oops(Exception):
    """What a user's own code raises."""


def oops(_: object) -> None:
    raise Oops


class Handler(AssistantEventHandler):
    """One that reads texts."""

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        """Look at both."""
        assert snapshot.value.endswith(delta.value)


# -- the server ------------------------------------------------------------------------------------------------------


async def answer(request: Received, wire: Wire) -> None:
    """The ending that the request names as its assistant."""
    await ENDINGS[request.json["assistant_id"]].script(request, wire)


def serve() -> None:
    """Serve until the standard input ends; each line asks how many connections are open."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of clients that have left
    with Loopback(answer) as server:
        print(server.url, flush=True)
        for _ in sys.stdin:
            server.requests.clear()
            print(server.open_connections, flush=True)


class Server:
    """The server in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.url = process.stdout.readline().strip().replace("localhost", "127.0.0.1")  # resolving takes threads

    def connections(self) -> int:
        """How many are open now."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def closed(self, seconds: float = 10.0) -> int:
        """Wait until none is open; gives how many still are."""
        until = time.monotonic() + seconds
        while (count := self.connections()) and time.monotonic() < until:
            time.sleep(0.02)
        return count


@contextmanager
def a_server() -> Iterator[Server]:
    """Start it, and end it."""
    command = [sys.executable, str(Path(__file__)), "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


# -- ways of leaving, on threads -------------------------------------------------------------------------------------


def read(open: Callable[[], AssistantStream]) -> int:
    with open() as stream:
        return sum(1 for _ in stream)


def wait(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        stream.until_done()


def texts(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        for _ in stream.text_deltas:
            pass


def leave_loop(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        for _ in stream:
            break


def close(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        next(stream)
        stream.close()


def close_in_callback(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        stream.subscribe(lambda _: stream.close(), on_error=lambda _: None)
        stream.until_done()


def close_elsewhere(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        threading.Timer(0.002, stream.close).start()
        stream.until_done()


def own_error(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        next(stream)
        raise Oops


def bad_subscriber(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        stream.pipe(ax.text_deltas()).subscribe(oops, on_error=lambda _: None)
        stream.until_done()


def background(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        stream.connect()
        next(stream)


def handled(open: Callable[[], AssistantStream]) -> None:
    with open() as stream:
        stream.attach(Handler())
        next(stream)


def drop(open: Callable[[], AssistantStream]) -> None:
    for _ in open():
        break


def drop_with_handler(open: Callable[[], AssistantStream]) -> None:
    stream = open()
    stream.attach(Handler())
    next(stream.text_deltas)


def drop_entered(open: Callable[[], AssistantStream]) -> None:
    open().__enter__()


def never_open(open: Callable[[], AssistantStream]) -> None:
    open().subscribe(on_error=lambda _: None)


LEAVING = (
    read,
    wait,
    texts,
    leave_loop,
    close,
    close_in_callback,
    close_elsewhere,
    own_error,
    bad_subscriber,
    background,
    handled,
    drop,
    drop_with_handler,
    drop_entered,
    never_open,
)

# -- the same in tasks -----------------------------------------------------------------------------------------------


async def read_async(open: Callable[[], AsyncAssistantStream]) -> int:
    async with open() as stream:
        return len([event async for event in stream])


async def wait_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        await stream.until_done()


async def texts_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        async for _ in stream.text_deltas:
            pass


async def leave_loop_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        async for _ in stream:
            break


async def close_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        await anext(stream)
        await stream.close()


async def close_in_callback_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        stream.subscribe(lambda _: stream.close(), on_error=lambda _: None)
        await stream.until_done()


async def close_elsewhere_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async def soon() -> None:
        await anyio.sleep(0.002)
        await stream.close()

    async with open() as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(soon)
        try:
            await stream.until_done()
        except RxAssistantError:
            pass


async def own_error_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        await anext(stream)
        raise Oops


async def cancelled_async(open: Callable[[], AsyncAssistantStream]) -> None:
    with anyio.move_on_after(0.003):
        async with open() as stream:
            await stream.until_done()
            await anyio.sleep_forever()


async def cancelled_in_loop_async(open: Callable[[], AsyncAssistantStream]) -> None:
    with anyio.CancelScope() as scope:
        async with open() as stream:
            async for _ in stream:
                scope.cancel()


async def bad_subscriber_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        stream.pipe(ax.text_deltas()).subscribe(oops, on_error=lambda _: None)
        await stream.until_done()


async def background_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        await stream.connect()
        await anext(stream)


async def handled_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async with open() as stream:
        stream.attach(Handler())
        await anext(stream)


async def drop_async(open: Callable[[], AsyncAssistantStream]) -> None:
    async for _ in open():
        break


async def drop_with_handler_async(open: Callable[[], AsyncAssistantStream]) -> None:
    stream = open()
    stream.attach(Handler())
    await anext(stream.text_deltas)


async def drop_entered_async(open: Callable[[], AsyncAssistantStream]) -> None:
    await open().__aenter__()


async def never_open_async(open: Callable[[], AsyncAssistantStream]) -> None:
    open()


LEAVING_ASYNC = (
    read_async,
    wait_async,
    texts_async,
    leave_loop_async,
    close_async,
    close_in_callback_async,
    close_elsewhere_async,
    own_error_async,
    cancelled_async,
    cancelled_in_loop_async,
    bad_subscriber_async,
    background_async,
    handled_async,
    drop_async,
    drop_with_handler_async,
    drop_entered_async,
    never_open_async,
)

# -- what is counted -------------------------------------------------------------------------------------------------


@dataclass
class Held:
    """What the process holds at one moment."""

    streams: int
    """So many were played before."""
    descriptors: int
    threads: int
    tasks: int
    alive: int
    """Stream objects that were not freed."""
    megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.streams:6} streams: {self.descriptors} descriptors, {self.threads} threads, {self.tasks} tasks, "
            f"{self.alive} stream objects, {self.megabytes:.1f} MB"
        )


def held(streams: int, tasks: int = 0) -> Held:
    """Collect, and count. What has a finalizer is freed by the second collection only."""
    gc.collect()
    gc.collect()
    process = psutil.Process()
    alive = sum(isinstance(each, AssistantStream | AsyncAssistantStream) for each in gc.get_objects())
    return Held(streams, process.num_fds(), threading.active_count(), tasks, alive, process.memory_info().rss / 2**20)


class Tally:
    """What became of the streams of one face."""

    def __init__(self) -> None:
        self.moments: list[Held] = []
        self.endings: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.left_open = 0

    def note(self, way: str, ending: str, count: int | None, error: BaseException | None) -> None:
        """One stream."""
        fault = ENDINGS[ending]
        if ending == "a chunk size that is none" and type(error) is APIConnectionError:
            fault = replace(fault, error=APIConnectionError)  # aiohttp may parse it before it hands the head out
        self.endings[type(error).__name__ if error else "well"] += 1
        if not isinstance(error, RxAssistantError | Oops | StopIteration | StopAsyncIteration | None):
            self.wrong[f"{way}, {ending}: {type(error).__name__}: {error}"[:300]] += 1
        elif way.startswith("read") and type(error) is not (fault.error or type(None)):
            self.wrong[f"{way}, {ending}: ended with {type(error).__name__}: {error}"[:300]] += 1
        elif count is not None and count != fault.events:
            self.wrong[f"{way}, {ending}: {count} events"] += 1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count what warns, and what is raised where nothing can catch it. Streams that are dropped say so."""

        def warned(message: Warning | str, *_: object) -> None:
            if "unclosed stream" not in str(message):
                self.wrong[f"warned: {message}"[:120]] += 1

        def raised(what: Any) -> None:
            self.wrong[f"in the background: {what.exc_type.__name__}: {what.exc_value}"[:300]] += 1

        hooks = sys.unraisablehook, threading.excepthook
        sys.unraisablehook = threading.excepthook = raised
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = warned  # type: ignore[assignment]
                yield
        finally:
            sys.unraisablehook, threading.excepthook = hooks

    def on_loop(self, _loop: object, context: dict[str, Any]) -> None:
        """What an asyncio loop would log."""
        self.wrong[f"on the loop: {context.get('message')}: {context.get('exception')!r}"[:300]] += 1

    def grown(self) -> list[str]:
        """What is more after the last stream than after the warm-up."""
        first, last = self.moments[0], self.moments[-1]
        more = [
            f"{name}: {getattr(first, name)} → {getattr(last, name)}"
            for name in ("descriptors", "threads", "tasks", "alive")
            if getattr(last, name) > getattr(first, name)
        ]
        return [*more, *([f"{self.left_open} connections"] if self.left_open else [])]


def drawn(random: Random, ways: tuple[Any, ...]) -> tuple[Any, str]:
    """A way of leaving, and an ending."""
    return random.choice(ways), random.choice(list(SILENT) if random.random() < 0.33 else list(ENDINGS))


def opened(client: Any, ending: str) -> Callable[[], Any]:
    """What opens a stream with that ending."""
    fault = ENDINGS[ending]
    chosen = client.with_options(**fault.options)
    return lambda: chosen.threads.runs.stream("thread_1", assistant_id=ending, **fault.stream)


# -- playing ---------------------------------------------------------------------------------------------------------


def _one(client: AssistantClient, way: Callable[[Any], int | None], ending: str, tally: Tally) -> None:
    count, failure = None, None
    try:
        count = way(opened(client, ending))
    except Exception as error:
        failure = error
    tally.note(way.__name__, ending, count, failure)


async def _one_async(
    client: AsyncAssistantClient, way: Callable[[Any], Awaitable[int | None]], ending: str, tally: Tally
) -> None:
    count, failure = None, None
    try:
        count = await way(opened(client, ending))
    except Exception as error:
        failure = error
    tally.note(way.__name__, ending, count, failure)


def _play_threads(url: str, laps: list[int], random: Random, at_once: int, tally: Tally) -> None:
    done = 0
    for lap in laps:
        with AssistantClient(base_url=url) as client, ThreadPoolExecutor(at_once) as pool:
            for begun in [pool.submit(_one, client, *drawn(random, LEAVING), tally) for _ in range(lap)]:
                begun.result()
        done += lap
        _settle(lambda: threading.active_count() > (tally.moments[0].threads if tally.moments else 0))
        tally.moments.append(held(done))


def _settle(busy: Callable[[], bool]) -> None:
    until = time.monotonic() + 2
    while busy() and time.monotonic() < until:
        time.sleep(0.02)


def _play_tasks(face: str, url: str, laps: list[int], random: Random, at_once: int, tally: Tally) -> None:
    async def main() -> None:
        if face != "trio":
            asyncio.get_running_loop().set_exception_handler(tally.on_loop)
        done = 0
        for lap in laps:
            http = rx_assistant.aiohttp_client() if face == "aiohttp" else None
            async with AsyncAssistantClient(base_url=url, http_client=http) as client:
                await _lap(client, lap)
                gc.collect()
                await anyio.sleep(0.05)  # what was dropped is closed by the loop
            await anyio.sleep(0.05)
            done += lap
            tally.moments.append(held(done, _tasks(face)))

    async def _lap(client: AsyncAssistantClient, count: int) -> None:
        limit = anyio.CapacityLimiter(at_once)

        async def one() -> None:
            async with limit:
                await _one_async(client, *drawn(random, LEAVING_ASYNC), tally)

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)

    anyio.run(main, backend="trio" if face == "trio" else "asyncio")


def _tasks(face: str) -> int:
    return trio.lowlevel.current_statistics().tasks_living if face == "trio" else len(asyncio.all_tasks())


FACES = ("threads", "asyncio", "trio", "aiohttp")


def play(face: str, streams: int, seed: int, at_once: int = 24) -> Tally:
    """A warm-up, then so many streams in five laps, each with a client of its own."""
    tally, random = Tally(), Random(seed)
    laps = [max(streams // 5, 1)] * 6
    with ExitStack() as stack:
        stack.enter_context(tally.listening())
        server = stack.enter_context(a_server())
        if face == "threads":
            _play_threads(server.url, laps, random, at_once, tally)
        else:
            _play_tasks(face, server.url, laps, random, at_once, tally)
        tally.left_open = server.closed()
    return tally


def main(streams: int = 5000, seed: int = 1) -> None:
    """Play the streams of every face, and say what is left."""
    failed = False
    for face in FACES:
        started = time.perf_counter()
        tally = play(face, streams, seed, at_once=48)
        print(f"{face}: {tally.moments[-1].streams} streams, {time.perf_counter() - started:.0f} s", flush=True)
        for moment in tally.moments:
            print(f"  {moment}", flush=True)
        print("  endings:", json.dumps(tally.endings.most_common()), flush=True)
        for line, count in [*tally.wrong.most_common(), *((line, 1) for line in tally.grown())]:
            print(f"  WRONG {count} × {line}", flush=True)
        failed = failed or bool(tally.wrong or tally.grown())
    print("FAILED" if failed else "nothing left, no raw error")
    sys.exit(failed)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(*map(int, sys.argv[1:]))

"""A hundred runs that two thousand browsers follow through two web workers and Redis: how late is an event?

Each event holds the time at which the producer had it, on the machine's monotonic clock; the browsers, bare sockets in
one process, read the clock again when it arrives. Producer, Redis, two workers and the browsers share the machine's
cores. Beside it: workers that read from Redis once for each follower. And the cost of one event in the producer and in
a follower, beside bare redis-py that writes or reads one entry for each event.

`python -m benchmarks relay` needs `redis-server`. RUNS, FOLLOWERS and SECONDS_ can be set in the environment.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from benchmarks._measure import Row, at_most, quantile
from rx_assistant.events import DoneEvent, StreamEvent, ThreadMessageDelta, ThreadRunCompleted, ThreadRunCreated, frame
from rx_assistant.relay import RedisRelay
from rx_assistant.relay.publishing import Publication

RUNS = int(os.environ.get("RUNS", "100"))
FOLLOWERS = int(os.environ.get("FOLLOWERS", "2000"))
RATE = 20  # events per second and run
SECONDS = float(os.environ.get("SECONDS_", "5"))
WORKERS = 2
COUNTED = 5000  # events whose cost is measured

_DONE = frame(DoneEvent())
_RUN = b'{"id":"run_1","object":"thread.run","thread_id":"thread_1","status":"%s"}'


def rows() -> list[Row]:
    """The table."""
    if shutil.which("redis-server") is None:
        return [Row("relay", "", "", "redis-server is not installed")]
    with redis_server() as url:
        return [_publishing(url), _following(url), *_scale(url)]


@contextmanager
def redis_server() -> Iterator[str]:
    """A server with an empty memory."""
    with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        limits = ("--save", "", "--maxclients", "10000", "--dir", directory, "--bind", "127.0.0.1")
        server = subprocess.Popen(["redis-server", "--port", str(port), *limits], stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(port=port) as client:
                while True:
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.02)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def delta() -> StreamEvent:
    """A text of seven letters, with the time in its payload."""
    part = b'{"index":0,"type":"text","text":{"value":"letters"}}'
    at = time.monotonic_ns()
    return ThreadMessageDelta(
        b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":[%s]},"at":%d}' % (part, at)
    )


# -- the cost of one event -------------------------------------------------------------------------------------------


def _publishing(url: str) -> Row:
    """Processor time of the producer per event, all threads; events come at a pace of about 20 000 per second."""
    events = [delta() for _ in range(COUNTED)]

    def ours() -> float:
        with RedisRelay(url) as relay:
            publication = Publication(relay._sender, f"cost-{time.monotonic_ns()}", None).join()
            begun = time.process_time()
            for number, event in enumerate(events):
                publication.on_next(event)
                if number % 20 == 19:
                    time.sleep(0.001)
            publication.on_completed()
            publication.wait()
            return time.process_time() - begun

    def bare() -> float:
        with redis.Redis.from_url(url) as client:
            begun = time.process_time()
            for number, event in enumerate(events):
                client.xadd("bare", {"f": frame(event)}, maxlen=100_000)
                if number % 20 == 19:
                    time.sleep(0.001)
            return time.process_time() - begun

    mine, other = (min(work() for _ in range(3)) / COUNTED * 1e6 for work in (ours, bare))
    return at_most("publish, CPU per event", mine, other, unit="µs", name="XADD per event", limit=2)


def _following(url: str) -> Row:
    """Processor time of one follower per event that is there already, in entries of one event."""
    frames = [frame(delta()) for _ in range(COUNTED)]
    with RedisRelay(url) as relay:
        state = relay.claim("follow")
        assert state is not None
        for number, one in enumerate(frames):
            relay.append("follow", state.generation, number, [one])
        relay.seal("follow", state.generation, COUNTED, _DONE)

        def ours() -> float:
            begun = time.process_time()
            assert sum(1 for _ in relay.tail("follow")) == COUNTED + 1
            return time.process_time() - begun

        def bare() -> float:
            begun, last, count = time.process_time(), "0-0", 0
            with redis.Redis.from_url(url) as client:
                while count <= COUNTED:
                    for _, found in client.xread({relay._name("follow", "log"): last}, count=128):
                        last, count = found[-1][0], count + len(found)
            return time.process_time() - begun

        mine, other = (min(work() for _ in range(3)) / COUNTED * 1e6 for work in (ours, bare))
    return at_most("follow, CPU per event", mine, other, unit="µs", name="XREAD", limit=2)


# -- many followers --------------------------------------------------------------------------------------------------


def _scale(url: str) -> list[Row]:
    ours, others = (_course(url, kind) for kind in ("shared", "each"))
    late = f"{quantile(ours.late, 0.5) * 1e3:.0f} / {quantile(ours.late, 0.99) * 1e3:.0f} ms"
    beside = f"{quantile(others.late, 0.5) * 1e3:.0f} / {quantile(others.late, 0.99) * 1e3:.0f} ms"
    work = f"{RUNS} runs × {RATE} events/s to {FOLLOWERS} followers: p50 / p99"
    met = quantile(ours.late, 0.99) <= 0.1
    return [
        Row(work, late, f"a read per follower {beside}", f"{len(ours.late)} events", "p99 ≤ 100 ms", met),
        Row("… CPU of the workers per event", f"{ours.cost:.0f} µs", f"a read per follower {others.cost:.0f} µs"),
        Row("… connections to Redis", str(ours.connections), f"a read per follower {others.connections}"),
    ]


class _Course:
    def __init__(self) -> None:
        self.late: list[float] = []
        self.cost = 0.0
        self.connections = 0


def _course(url: str, kind: str) -> _Course:
    course = _Course()
    prefix = f"{kind}-{time.monotonic_ns()}"
    with ExitStack() as stack:
        ports = [stack.enter_context(_worker(url, kind)) for _ in range(WORKERS)]
        relay = stack.enter_context(RedisRelay(url))
        ready = threading.Event()
        producer = threading.Thread(target=_produce, args=(relay, prefix, ready, course, url))
        producer.start()
        asyncio.run(_browse(ports, prefix, ready, course))
        producer.join()
    return course


@contextmanager
def _worker(url: str, kind: str) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks._relay_worker", url, kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def _produce(relay: RedisRelay, prefix: str, ready: threading.Event, course: _Course, url: str) -> None:
    runs = [Publication(relay._sender, f"{prefix}-{number}", None).join() for number in range(RUNS)]
    for run in runs:
        run.on_next(ThreadRunCreated(_RUN % b"queued"))
    ready.wait()
    with redis.Redis.from_url(url) as client:
        course.connections = int(client.info("clients")["connected_clients"]) - 1
    begun = time.monotonic()
    for tick in range(int(SECONDS * RATE)):
        for number, run in enumerate(runs):  # the runs are spread over the tick
            due = begun + (tick + number / RUNS) / RATE
            if (wait := due - time.monotonic()) > 0.001:
                time.sleep(wait)
            run.on_next(delta())
    for run in runs:
        run.on_next(ThreadRunCompleted(_RUN % b"completed"))
        run.on_completed()
    for run in runs:
        run.wait()


class _Crowd:
    def __init__(self) -> None:
        self.opened, self.left = 0, FOLLOWERS
        self.all_here, self.all_gone = asyncio.Event(), asyncio.Event()


class _Browser(asyncio.Protocol):
    def __init__(self, path: str, late: list[float], crowd: _Crowd) -> None:
        self._path = path
        self._late = late
        self._crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(f"GET /{self._path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        at = data.find(b'"at":')
        if at < 0 and b": here" in data:
            self._crowd.opened += 1
            if self._crowd.opened == FOLLOWERS:
                self._crowd.all_here.set()
        while at >= 0:
            self._late.append((now - int(data[at + 5 : data.index(b"}", at)])) / 1e9)
            at = data.find(b'"at":', at + 5)

    def connection_lost(self, error: Exception | None) -> None:
        self._crowd.left -= 1
        if self._crowd.left == 0:
            self._crowd.all_gone.set()


async def _browse(ports: list[int], prefix: str, ready: threading.Event, course: _Course) -> None:
    crowd = _Crowd()
    loop = asyncio.get_running_loop()
    for number in range(FOLLOWERS):
        path = f"{prefix}-{number % RUNS}"
        browser = _Browser(path, course.late, crowd)
        await loop.create_connection(lambda browser=browser: browser, "127.0.0.1", ports[number % len(ports)])  # type: ignore[misc]  # mypy infers no type for a lambda with a default
    await crowd.all_here.wait()
    await asyncio.sleep(1)
    course.cost = -_used(ports)
    ready.set()
    await crowd.all_gone.wait()
    course.cost = (course.cost + _used(ports)) / max(len(course.late), 1) * 1e6


def _used(ports: list[int]) -> float:
    """The seconds of processor that the workers have used."""
    return sum(float(_get(port, "cpu")) for port in ports)


def _get(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    body = received.split(b"\r\n\r\n", 1)[1]
    return body.split(b"\r\n")[1] if b"chunked" in received else body

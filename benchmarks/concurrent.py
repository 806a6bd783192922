"""A thousand streams at once on one core: do all keep up, how late is an event, and what does it cost?

The server begins a second after all are open. How long opening takes is printed beside it; the figures are of what
follows, to the end of the last stream. The garbage collector is on, and begins with nothing to collect. Each event
holds the time at which the server wrote it, on the machine's monotonic clock, which the reader reads again. The reader
is kept on one core, the server on another; other programs on the reader's core make every contestant late, and let
several events arrive in one read. So look at the bare sockets first. The rows go from the bare transports to our
streams over them. All streams end within the last 50 ms, and what ending them costs counts. The last rows say how many
streams one core carries: twice as many are tried each time, then numbers between, three seconds each.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TypeAlias

import aiohttp
import httpx
import httpx2
import openai
from httpx_aiohttp import AiohttpTransport

from benchmarks._measure import Row, quantile
from benchmarks._processes import one_core, server
from rx_assistant import AsyncAssistantClient, Timeout, aiohttp_client, operators as ax
from rx_assistant.errors import RxAssistantError

STREAMS = 1_000
RATE = 20  # events per second and stream
SECONDS = 5
EVENTS = RATE * SECONDS
FEWEST, MOST = 125, 4_000  # how many streams are tried for what one core carries
HALVINGS = 2  # further tries between the last number that was carried and the first that was not
TRIAL = 3  # seconds of each try
BEARABLE = 0.05  # seconds of lateness at p99 that one core may show


@dataclass
class Course:
    """What one contestant measured."""

    streams: int = STREAMS
    events: int = EVENTS  # of each stream
    late: list[float] = field(default_factory=list)  # seconds from the server's write to the reader, per event
    opened: int = 0
    begun: float = 0.0
    ramp: float = 0.0  # seconds until all were open
    cpu: float = 0.0  # seconds of processor after that
    took: float = 0.0  # seconds after that

    @property
    def path(self) -> str:
        """The thread's id, which tells the server what to write."""
        return f"t-{self.events}-1-{RATE}-{self.streams}"

    @property
    def is_borne(self) -> bool:
        """Whether each event arrived, and nearly all of them soon."""
        return len(self.late) == self.streams * self.events and quantile(self.late, 0.99) <= BEARABLE

    def is_open(self) -> None:
        """One more stream is open."""
        self.opened += 1
        if self.opened == self.streams:
            self.ramp = time.monotonic() - self.begun
            gc.collect()  # what opening left behind; the server waits for a second
            self.cpu, self.took = -time.process_time(), -time.monotonic()

    def over(self) -> None:
        """All have ended."""
        self.cpu += time.process_time()
        self.took += time.monotonic()

    @property
    def figures(self) -> str:
        """Lateness and cost."""
        late = f"{quantile(self.late, 0.99) * 1e3:.0f} ms (median {quantile(self.late, 0.5) * 1e3:.1f}"
        return f"{late}; {self.cpu / len(self.late) * 1e6:.1f} µs CPU per event)"


Contestant: TypeAlias = Callable[[int, Course], Coroutine[None, None, None]]


def run(contestant: Contestant, port: int, streams: int = STREAMS, events: int = EVENTS) -> Course:
    """Let one contestant run."""
    gc.collect()
    course = Course(streams, events, begun=time.monotonic())
    asyncio.run(contestant(port, course))
    course.over()
    return course


async def bare(port: int, course: Course) -> None:
    """asyncio sockets that find the time in each frame, and nothing else: the floor."""
    request = f"POST /v1/threads/{course.path}/runs HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode()

    async def read() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        course.is_open()
        while True:
            data = await reader.read(65536)
            _find(data, course.late)
            if not data or data.endswith(b"0\r\n\r\n"):
                break
        writer.close()

    await asyncio.gather(*(read() for _ in range(course.streams)))


_MARK = b'"value":"'


def _find(data: bytes, late: list[float]) -> None:
    """Note how late each time in these bytes is."""
    now = time.monotonic()
    start = data.find(_MARK)
    while start >= 0:
        start += len(_MARK)
        text = data[start : data.index(b'"', start)]
        if text != b"done":
            late.append(now - float(text))
        start = data.find(_MARK, start)


async def bare_aiohttp(port: int, course: Course) -> None:
    """aiohttp by itself, its buffer read as it fills."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:

        async def read() -> None:
            async with session.post(f"http://127.0.0.1:{port}/v1/threads/{course.path}/runs") as response:
                course.is_open()
                while data := await response.content.readany():
                    _find(data, course.late)

        await asyncio.gather(*(read() for _ in range(course.streams)))


def over_httpx(make: Callable[[], httpx.AsyncClient]) -> Contestant:
    """An httpx client, its raw bytes read."""

    async def contestant(port: int, course: Course) -> None:
        async with make() as client:

            async def read() -> None:
                url = f"http://127.0.0.1:{port}/v1/threads/{course.path}/runs"
                async with client.stream("POST", url) as response:
                    course.is_open()
                    async for data in response.aiter_raw():
                        _find(data, course.late)

            await asyncio.gather(*(read() for _ in range(course.streams)))

    return contestant


def ours(make: Callable[[], httpx.AsyncClient | None]) -> Contestant:
    """Our asynchronous client, a subscriber on the text of each stream."""

    async def contestant(port: int, course: Course) -> None:
        late = course.late

        def on_text(text: str) -> None:
            late.append(time.monotonic() - float(text))

        base_url = f"http://127.0.0.1:{port}/v1"
        limits = Timeout(connect=60)  # a loaded machine takes long to accept a thousand connections at once
        async with AsyncAssistantClient(
            base_url=base_url, api_key="none", http_client=make(), timeout=limits
        ) as client:

            async def read() -> None:
                async with client.threads.runs.stream(thread_id=course.path, assistant_id="a") as stream:
                    stream.pipe(ax.text_deltas()).subscribe(on_text)
                    course.is_open()
                    await stream.until_done()

            await asyncio.gather(*(read() for _ in range(course.streams)))

    return contestant


def plain_httpx() -> httpx.AsyncClient:
    """httpx as it is, with as many connections as there are streams."""
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=None)


def httpx_over_aiohttp() -> httpx.AsyncClient:
    """httpx over aiohttp, without our limits on it."""
    connector = aiohttp.TCPConnector(limit=0)
    return httpx.AsyncClient(
        transport=AiohttpTransport(client=lambda: aiohttp.ClientSession(connector=connector)), timeout=None
    )


OVER_AIOHTTP, OURS_OVER_AIOHTTP = "httpx over aiohttp", "our async face, aiohttp_client()"
OURS_OVER_HTTPX = "our async face, own client (httpx)"


async def official_sdk(port: int, course: Course) -> None:
    """The official SDK's asynchronous client, a loop over the text of each stream."""
    http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None), timeout=None)
    base_url = f"http://127.0.0.1:{port}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", http_client=http, max_retries=0) as client:

        async def read() -> None:
            async with client.beta.threads.runs.stream(thread_id=course.path, assistant_id="a") as stream:
                course.is_open()
                async for text in stream.text_deltas:
                    course.late.append(time.monotonic() - float(text))

        await asyncio.gather(*(read() for _ in range(course.streams)))


CONTESTANTS: dict[str, tuple[Callable[[], Contestant], float | None]] = {
    "bare sockets": (lambda: bare, None),
    "bare aiohttp": (lambda: bare_aiohttp, None),
    OVER_AIOHTTP: (lambda: over_httpx(httpx_over_aiohttp), None),
    "plain httpx": (lambda: over_httpx(plain_httpx), None),
    OURS_OVER_HTTPX: (lambda: ours(lambda: None), None),
    OURS_OVER_AIOHTTP: (lambda: ours(aiohttp_client), 0.005),
}
"""Each with the target for its p99, in seconds."""

CARRIERS: dict[str, Contestant] = {
    "the official SDK": official_sdk,
    "plain httpx, its raw bytes": over_httpx(plain_httpx),
    OURS_OVER_HTTPX: ours(lambda: None),
    OURS_OVER_AIOHTTP: ours(aiohttp_client),
}


def rows() -> list[Row]:
    """The rows of this table."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    courses: dict[str, Course] = {}
    try:
        with server(core=1) as port, one_core(0):
            for name, (contestant, _) in CONTESTANTS.items():
                courses[name] = run(contestant(), port)
            borne = {name: capacity(contestant, port) for name, contestant in CARRIERS.items()}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    floor = courses["bare sockets"]
    found = [_row(name, course, floor, CONTESTANTS[name][1]) for name, course in courses.items()]
    bare_cpu, own_cpu = (courses[name].cpu / (STREAMS * EVENTS) * 1e6 for name in (OVER_AIOHTTP, OURS_OVER_AIOHTTP))
    more = own_cpu - bare_cpu
    work = "CPU per event above httpx over aiohttp"
    found.append(Row(work, f"{own_cpu:.1f} µs", f"{bare_cpu:.1f} µs", f"{more:.1f} µs", "≤ 8 µs", more <= 8))
    work = f"streams at {RATE} events/s that one core carries, p99 ≤ {BEARABLE * 1e3:.0f} ms"
    for name, streams in borne.items():
        found.append(Row(f"{work}: {name}", str(streams)))
    return found


def capacity(contestant: Contestant, port: int) -> int:
    """The largest number of streams that was tried and carried; 0 if the core carried none."""
    carried, refused = 0, FEWEST
    while refused <= MOST and _carries(contestant, port, refused):
        carried, refused = refused, 2 * refused
    for _ in range(HALVINGS if refused <= MOST else 0):
        between = (carried + refused) // 2
        if _carries(contestant, port, between):
            carried = between
        else:
            refused = between
    return carried


def _carries(contestant: Contestant, port: int, streams: int) -> bool:
    try:
        return run(contestant, port, streams, RATE * TRIAL).is_borne
    except (OSError, httpx.HTTPError, httpx2.HTTPError, openai.OpenAIError, RxAssistantError):
        return False


def _row(name: str, course: Course, floor: Course, target: float | None) -> Row:
    expected = STREAMS * EVENTS
    kept_up = len(course.late) == expected and course.took <= floor.took * 1.1
    return Row(
        f"{STREAMS} streams at {RATE} events/s, one core, {name}: p99 from write to reader",
        course.figures,
        f"opening {course.ramp / STREAMS * 1e3:.2f} ms each",
        f"{len(course.late)} of {expected} events in {course.took:.1f} s",
        "" if target is None else f"≤ {target * 1e3:.0f} ms",
        None if target is None else kept_up and quantile(course.late, 0.99) <= target,
    )

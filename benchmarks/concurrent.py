"""A thousand streams at once on one core: does everybody keep up, how late is an event, and what does it cost?

The server begins a second after all are open. How long opening takes is printed beside it; the figures are of what
follows, to the end of the last stream. The garbage collector is on, and begins with nothing to collect. Each event
holds the time at which the server wrote it, on the machine's monotonic clock, which the subscriber reads again. The
reader is kept on one core, the server on another; what else runs on the reader's core makes both contestants late, so
look at the bare sockets first. All streams end within the last 50 ms, and what ending them costs counts.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from benchmarks._measure import Row, quantile
from benchmarks._processes import one_core, server
from rx_assistant import AsyncAssistantClient, operators as ax

STREAMS = 1_000
RATE = 20  # events per second and stream
SECONDS = 5
EVENTS = RATE * SECONDS
PATH = f"t-{EVENTS}-1-{RATE}-{STREAMS}"


@dataclass
class Course:
    """What one contestant measured."""

    late: list[float] = field(default_factory=list)  # seconds from the server's write to the reader, per event
    opened: int = 0
    begun: float = 0.0
    ramp: float = 0.0  # seconds until all were open
    cpu: float = 0.0  # seconds of processor after that
    took: float = 0.0  # seconds after that

    def is_open(self) -> None:
        """One more stream is open."""
        self.opened += 1
        if self.opened == STREAMS:
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


def run(contestant: Callable[[int, Course], Coroutine[None, None, None]], port: int) -> Course:
    """Let one contestant run."""
    gc.collect()
    course = Course(begun=time.monotonic())
    asyncio.run(contestant(port, course))
    course.over()
    return course


async def bare(port: int, course: Course) -> None:
    """asyncio sockets that find the time in each frame, and nothing else: the floor."""
    request = f"POST /v1/threads/{PATH}/runs HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode()
    mark = b'"value":"'

    async def read() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        course.is_open()
        while True:
            data = await reader.read(65536)
            now = time.monotonic()
            start = data.find(mark)
            while start >= 0:
                start += len(mark)
                text = data[start : data.index(b'"', start)]
                if text != b"done":
                    course.late.append(now - float(text))
                start = data.find(mark, start)
            if not data or data.endswith(b"0\r\n\r\n"):
                break
        writer.close()

    await asyncio.gather(*(read() for _ in range(STREAMS)))


async def ours(port: int, course: Course) -> None:
    """Our asynchronous client, a subscriber on the text of each stream."""
    late = course.late

    def on_text(text: str) -> None:
        late.append(time.monotonic() - float(text))

    async with AsyncAssistantClient(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:

        async def read() -> None:
            async with client.threads.runs.stream(thread_id=PATH, assistant_id="a") as stream:
                stream.pipe(ax.text_deltas()).subscribe(on_text)
                course.is_open()
                await stream.until_done()

        await asyncio.gather(*(read() for _ in range(STREAMS)))


def rows() -> list[Row]:
    """The rows of this table."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    try:
        with server(core=1) as port, one_core(0):
            floor = run(bare, port)
            own = run(ours, port)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    expected = STREAMS * EVENTS
    kept_up = len(own.late) == expected and own.took <= floor.took * 1.1
    p99 = quantile(own.late, 0.99)
    return [
        Row(
            f"{STREAMS} async streams at {RATE} events/s, one core: p99 from write to subscriber",
            own.figures,
            f"bare sockets {floor.figures}",
            f"{len(own.late)} of {expected} events in {own.took:.1f} s (bare {floor.took:.1f})",
            "≤ 50 ms",
            kept_up and p99 <= 0.05,
        ),
        Row(
            f"opening {STREAMS} async streams at once",
            f"{own.ramp / STREAMS * 1e3:.2f} ms each",
            f"bare sockets {floor.ramp / STREAMS * 1e3:.2f} ms each",
        ),
    ]

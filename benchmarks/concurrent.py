"""A thousand streams at once on one core: does everybody keep up, and how late is the slowest?"""

from __future__ import annotations

import asyncio
import resource
import time

import httpx

from benchmarks._measure import Row, quantile
from benchmarks._processes import one_core, server
from rx_assistant import AsyncAssistantClient, operators as ax

STREAMS = 1_000
RATE = 20  # events per second and stream
SECONDS = 5
EVENTS = RATE * SECONDS
PATH = f"t-{EVENTS}-1-{RATE}"


async def bare(port: int) -> list[float]:
    """asyncio sockets that find the time in each frame, and nothing else: the floor."""
    late: list[float] = []

    async def read() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /v1/threads/{PATH}/runs HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
        mark = b'"value":"'
        while True:
            data = await reader.read(65536)
            now = time.monotonic()
            start = data.find(mark)
            while start >= 0:
                start += len(mark)
                text = data[start : data.index(b'"', start)]
                if text != b"done":
                    late.append(now - float(text))
                start = data.find(mark, start)
            if not data or data.endswith(b"0\r\n\r\n"):
                break
        writer.close()

    await asyncio.gather(*(read() for _ in range(STREAMS)))
    return late


async def ours(port: int) -> list[float]:
    """Our asynchronous client, a subscriber on the text of each stream."""
    late: list[float] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        httpx.AsyncClient(limits=limits) as http,
        AsyncAssistantClient(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", http_client=http) as client,
    ):

        async def read() -> None:
            async with client.threads.runs.stream(thread_id=PATH, assistant_id="a") as stream:
                stream.pipe(ax.text_deltas()).subscribe(lambda text: late.append(time.monotonic() - float(text)))
                await stream.until_done()

        await asyncio.gather(*(read() for _ in range(STREAMS)))
    return late


def rows() -> list[Row]:
    """The rows of this table."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    try:
        with server(core=1) as port, one_core(0):
            floor = asyncio.run(bare(port))
            begun = time.monotonic()
            late = asyncio.run(ours(port))
            took = time.monotonic() - begun
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    expected = STREAMS * EVENTS
    kept_up = len(late) == expected
    p99, low = quantile(late, 0.99) * 1e3, quantile(floor, 0.99) * 1e3
    return [
        Row(
            f"{STREAMS} async streams at {RATE} events/s, one core: p99 from write to subscriber",
            f"{p99:.0f} ms (median {quantile(late, 0.5) * 1e3:.1f})",
            f"bare sockets {low:.0f} ms (median {quantile(floor, 0.5) * 1e3:.1f})",
            f"{len(late)} of {expected} events in {took:.1f} s",
            "≤ 50 ms",
            kept_up and p99 <= 50,
        )
    ]

"""The local server under load, one process: runs at once, requests one after the other, search in a large store.

The readers are in this process, the server is in another. Processor time is the server's alone; the other figures are
times that the readers saw, so they include the readers' work and all else that ran on the machine.

While many slow readers take long streams, other requests are timed. Beside it the same server with a data directory on
this machine's disk: what an event of a stream costs it, and how many messages it acknowledges, each of them on disk.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks._measure import Row, quantile

RUNS = 500
GETS = 500
PASSAGES = 5_000
WRITERS = 32
MESSAGES = 3_000
SLOW_READERS = 500
SLOW_WORDS = 300
STREAMS = 20
LONG = "word " * 1_000
SERVER = """
import rx_assistant.local
rx_assistant.local.run(port=0, log_level="error", on_listening=lambda url: print(url, flush=True), **OPTIONS)
"""


@contextmanager
def local_server(**options: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server with these options in a process of its own: its base URL, and the process."""
    code = SERVER.replace("OPTIONS", repr(options))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


async def watch(url: str, thread: str, assistant: str, begun: float) -> tuple[float, int, bool]:
    """One streamed run on a bare socket: seconds to its first text, events, whether it ended well."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    body = json.dumps({"assistant_id": assistant, "stream": True}).encode()
    head = f"POST {address.path}/threads/{thread}/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}content-type: application/json\r\nconnection: close\r\n\r\n".encode() + body)
    first, received = 0.0, bytearray()
    while part := await reader.read(65536):
        received += part
        if not first and b"thread.message.delta" in received:
            first = time.perf_counter() - begun
    writer.close()
    return first, received.count(b"\nevent: "), b"data: [DONE]" in received


def cpu_time(process: psutil.Process) -> float:
    """Seconds of processor time that the process has used."""
    return float(sum(process.cpu_times()[:2]))


async def all_at_once(url: str, process: psutil.Process) -> tuple[float, float, list[tuple[float, int, bool]]]:
    """Seconds for all the runs together, the server's processor time for them, and what each run came to."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assistant = (await http.post("/assistants", json={"model": "any"})).json()["id"]
        body = {"messages": [{"role": "user", "content": "Tell me about load."}]}
        threads = [(await http.post("/threads", json=body)).json()["id"] for _ in range(RUNS)]
    spent, begun = cpu_time(process), time.perf_counter()
    ended = await asyncio.gather(*(watch(url, thread, assistant, begun) for thread in threads))
    return time.perf_counter() - begun, cpu_time(process) - spent, ended


async def take_slowly(url: str, body: bytes, done: asyncio.Event) -> bool:
    """One streamed run whose reader takes 1 KiB every tenth of a second, until `done`. Whether it ended well."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    head = f"POST {address.path}/threads/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}content-type: application/json\r\nconnection: close\r\n\r\n".encode() + body)
    end = b""
    while part := await reader.read(1024):
        end = (end + part)[-100:]
        if not done.is_set():
            await asyncio.sleep(0.1)
    writer.close()
    return b"data: [DONE]" in end


async def beside_slow_readers(url: str) -> tuple[list[float], int]:
    """Seconds that each small request took while many streams were read slowly; how many streams ended well."""
    done = asyncio.Event()
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assistant = (await http.post("/assistants", json={"model": "any"})).json()["id"]
        thread = {"messages": [{"role": "user", "content": "word " * SLOW_WORDS}]}
        body = json.dumps({"assistant_id": assistant, "stream": True, "thread": thread}).encode()
        readers = [asyncio.ensure_future(take_slowly(url, body, done)) for _ in range(SLOW_READERS)]
        await asyncio.sleep(2)
        laps = []
        for _ in range(GETS // 5):
            begun = time.perf_counter()
            await http.get(f"/assistants/{assistant}")
            laps.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)
        done.set()
        return laps, sum(await asyncio.gather(*readers))


def one_by_one(url: str) -> list[float]:
    """Seconds that each of many small requests took."""
    laps = []
    with httpx.Client(base_url=url) as http:
        thread = http.post("/threads", json={"messages": [{"role": "user", "content": "x"}] * 20}).json()["id"]
        for _ in range(GETS):
            begun = time.perf_counter()
            http.get(f"/threads/{thread}/messages")
            laps.append(time.perf_counter() - begun)
    return laps


def search(url: str) -> tuple[float, list[float]]:
    """Seconds to take in a large file, and seconds that each search in it took."""
    text = "\n\n".join(f"Passage {number} speaks of topic{number} and of load. " * 20 for number in range(PASSAGES))
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}
    with httpx.Client(base_url=url, timeout=120) as http:
        file = http.post("/files", files={"file": ("a.txt", text)}, data={"purpose": "assistants"}).json()["id"]
        begun = time.perf_counter()
        body = {"file_ids": [file], "chunking_strategy": chunking}
        store = http.post("/vector_stores", json=body).json()
        while store["status"] == "in_progress":
            time.sleep(0.01)
            store = http.get(f"/vector_stores/{store['id']}").json()
        took = time.perf_counter() - begun
        laps = []
        for number in range(0, PASSAGES, PASSAGES // 50):
            begun = time.perf_counter()
            reply = http.post(f"/vector_stores/{store['id']}/search", json={"query": f"what of topic{number}?"}).json()
            laps.append(time.perf_counter() - begun)
            assert f"topic{number} " in reply["data"][0]["content"][0]["text"]
    return took, laps


def streaming(url: str, process: psutil.Process) -> float:
    """Seconds of the server's processor time per event of long streams, one after the other."""
    with httpx.Client(base_url=url, timeout=60) as http:
        assistant = http.post("/assistants", json={"model": "any"}).json()["id"]
        thread = {"messages": [{"role": "user", "content": LONG}]}
        body = {"assistant_id": assistant, "stream": True, "thread": thread}
        http.post("/threads/runs", json=body)
        before, events = cpu_time(process), 0
        for _ in range(STREAMS):
            events += http.post("/threads/runs", json=body).content.count(b"event: ")
        return (cpu_time(process) - before) / events


async def acknowledged(url: str) -> float:
    """Messages per second that are answered when many writers write at once."""
    limits = httpx.Limits(max_connections=WRITERS, max_keepalive_connections=WRITERS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        threads = [(await http.post("/threads", json={})).json()["id"] for _ in range(WRITERS)]

        async def write(thread: str) -> None:
            address = urlsplit(url)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            body = b'{"role":"user","content":"A message of ordinary length, as people write them."}'
            path = f"{address.path}/threads/{thread}/messages"
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
            request = f"{head}content-type: application/json\r\n\r\n".encode() + body
            for _ in range(MESSAGES // WRITERS):
                writer.write(request)
                reply = await reader.readuntil(b"\r\n\r\n")
                assert reply.startswith(b"HTTP/1.1 200"), reply
                length = reply.lower().split(b"content-length: ")[1].split(b"\r")[0]
                await reader.readexactly(int(length))
            writer.close()

        begun = time.perf_counter()
        await asyncio.gather(*map(write, threads))
        return MESSAGES // WRITERS * WRITERS / (time.perf_counter() - begun)


def durable_rows() -> list[Row]:
    """The server in memory and the durable one in turn, as this machine is not always equally fast."""
    events: dict[bool, list[float]] = {False: [], True: []}
    messages: dict[bool, list[float]] = {False: [], True: []}
    with (
        TemporaryDirectory(dir=".", prefix=".benchmark-") as data,
        local_server() as (url, process),
        local_server(data=data) as (durable_url, durable_process),
    ):
        for _ in range(5):
            events[False].append(streaming(url, process))
            events[True].append(streaming(durable_url, durable_process))
            messages[False].append(asyncio.run(acknowledged(url)))
            messages[True].append(asyncio.run(acknowledged(durable_url)))
    cost, durable_cost = quantile(events[False], 0.5), quantile(events[True], 0.5)
    rate, durable_rate = quantile(messages[False], 0.5), quantile(messages[True], 0.5)
    ratio = durable_cost / cost
    return [
        Row(
            "durable: an event of a stream",
            f"{durable_cost * 1e6:.0f} µs",
            f"in memory {cost * 1e6:.0f} µs",
            f"{ratio:.2f} ×",
            "≤ 1.3 ×",
            ratio <= 1.3,
        ),
        Row(
            f"durable: messages acknowledged, {WRITERS} writers",
            f"{durable_rate:,.0f} per s",
            f"in memory {rate:,.0f} per s",
            f"{durable_rate / rate:.2f}",
            "≥ 1,000 per s",
            durable_rate >= 1000,
        ),
    ]


def rows() -> list[Row]:
    """The rows of this table."""
    with local_server() as (url, process):
        before = process.memory_info().rss
        took, spent, ended = asyncio.run(all_at_once(url, process))
        grown = (process.memory_info().rss - before) / 2**20
        begun = cpu_time(process)
        laps = one_by_one(url)
        spent_per_get = (cpu_time(process) - begun) / GETS
        waits, taken = asyncio.run(beside_slow_readers(url))
        ingestion, searches = search(url)
    well = sum(done for _, _, done in ended)
    events = sum(count for _, count, _ in ended)
    firsts = [first for first, _, _ in ended]
    rate, first, get, p99 = events / took, quantile(firsts, 0.5), quantile(laps, 0.5), quantile(laps, 0.99)
    return [
        Row(f"{RUNS} runs at once", f"{took:.2f} s", "", f"{well} ended well", f"{RUNS}", well == RUNS),
        Row("… events sent", f"{rate:,.0f} per s", "", f"{events:,} events", "≥ 20,000 per s", rate >= 20_000),
        Row("… processor time of the server", f"{spent / events * 1e6:.1f} µs", "", "per event"),
        Row("… first text after", f"{first:.2f} s median", "", f"{max(firsts):.2f} s last", "≤ 0.25 s", first <= 0.25),
        Row("… memory of the server", f"+{grown:.0f} MB", "", f"{grown * 1024 / RUNS:.0f} KB per run"),
        Row(
            "GET 20 messages",
            f"{get * 1e3:.2f} ms",
            "",
            f"{p99 * 1e3:.2f} ms p99",
            "≤ 1 ms",
            get <= 1e-3,
        ),
        Row("… processor time of the server", f"{spent_per_get * 1e3:.2f} ms"),
        Row(
            f"GET beside {SLOW_READERS} slow readers",
            f"{quantile(waits, 0.5) * 1e3:.1f} ms",
            "",
            f"{max(waits) * 1e3:.0f} ms slowest; {taken} streams ended well",
            f"{SLOW_READERS}",
            taken == SLOW_READERS,
        ),
        Row(f"ingest {PASSAGES * 20 * 50 / 1e6:.0f} MB of text", f"{ingestion:.2f} s"),
        Row("search in it", f"{quantile(searches, 0.5) * 1e3:.1f} ms", "", f"{max(searches) * 1e3:.1f} ms slowest"),
        *durable_rows(),
    ]

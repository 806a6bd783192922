"""A model's stream read as Assistants events, and the local server between a model server and its reader.

The model server, the local server and the reader are three processes. The reader is a bare httpx client: it reads the
model server's stream first, then the same answer as a run of the local server. On two cores the three disturb each
other, so the processor time of the local server is shown beside.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from benchmarks._measure import Row, at_most, microseconds, quantile, race, times_faster
from benchmarks._processes import server
from benchmarks._server import CHAT, words
from benchmarks.close import LIMIT, PAUSE, server as silent_server
from benchmarks.local_server import local_server
from rx_assistant.dialects.chat import ChatTranslator
from rx_assistant.dialects.frames import ChatFrames
from rx_assistant.local import serve
from rx_assistant.local.engines.upstream import UpstreamEngine

N = 3_000
STREAMS = 50
RATE = 20
EVENTS = 60
LAPS = 3
TOKEN = re.compile(rb'"(\d+\.\d{7})"')


def rows() -> list[Row]:
    """The rows of this table."""
    with reading() as readers:
        return [translation(), burst(readers), first_token(readers), *crowd(readers), *stopping()]


def translation() -> Row:
    """Bytes of one long answer → events, beside openai-python's accumulator of such streams."""
    frames = [*CHAT.begin, *(CHAT.before + word.encode() + CHAT.after for word in words(N)), *CHAT.end]
    chunks = [frame[6:-2] for frame in frames[:-1]]
    body = b"".join(frames)
    pieces = [body[start : start + 4096] for start in range(0, len(body), 4096)]

    def ours() -> None:
        numbers = itertools.count()
        translator = ChatTranslator(new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1)
        frames = ChatFrames()
        text = ""
        for piece in pieces:
            for name, payload in frames.push(piece):
                for event in translator.feed(payload, name):
                    text = event.event
        assert translator.end()[-1].event == "thread.run.completed", text

    def openai() -> None:
        state = ChatCompletionStreamState()
        for chunk in chunks:
            state.handle_chunk(ChatCompletionChunk.model_validate_json(chunk))
        assert state.get_final_completion().choices[0].message.content

    mine, theirs = race(ours, openai)
    work = f"bytes → events of a run, {N} chunks"
    return times_faster(work, mine, theirs, len(chunks), name="openai's stream state", at_least=20)


# -- through the server ------------------------------------------------------------------------------------------


class Readers:
    """A bare httpx reader of a model's stream, and the same reader of a run that the local server answers from it."""

    def __init__(self, upstream: str, url: str, process: psutil.Process) -> None:
        self.upstream = upstream
        self.url = url
        self.process = process
        self.assistant = httpx.post(f"{url}/assistants", json={"model": "any"}).json()["id"]

    def bare(self, model: str) -> tuple[str, dict[str, object]]:
        """The request of a Chat Completions stream: address and body."""
        return f"{self.upstream}/chat/completions", {"model": model, "messages": [], "stream": True}

    def run(self, model: str) -> tuple[str, dict[str, object]]:
        """The request of a run."""
        body = {"messages": [{"role": "user", "content": "Say something."}]}
        thread = httpx.post(f"{self.url}/threads", json=body).json()["id"]
        return f"{self.url}/threads/{thread}/runs", {"assistant_id": self.assistant, "model": model, "stream": True}

    def cpu(self) -> float:
        """Seconds of processor that the local server has taken."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def reading() -> Iterator[Readers]:
    """Both servers, running."""
    with server() as port:
        upstream = f"http://127.0.0.1:{port}/v1"
        with local_server(upstream=upstream) as (url, process):
            yield Readers(upstream, url, process)


def burst(readers: Readers) -> Row:
    """An answer that is written at once, each token in a chunk of its own."""
    model = f"m-{N}-1-0-1"
    spent: list[float] = []
    with httpx.Client(timeout=60) as http:

        def read(url: str, body: dict[str, object]) -> float:
            begun = time.perf_counter()
            with http.stream("POST", url, json=body) as reply:
                seen = sum(chunk.count(b"data: ") for chunk in reply.iter_bytes())
            assert seen > N, seen
            return time.perf_counter() - begun

        def through() -> float:
            asked = readers.run(model)
            before = readers.cpu()
            took = read(*asked)
            spent.append(readers.cpu() - before)
            return took

        laps = [(through(), read(*readers.bare(model))) for _ in range(13)][3:]
    mine, bare = (statistics.median(lap[place] for lap in laps) for place in (0, 1))
    cpu = microseconds(sum(spent[3:]) / len(laps), N)
    name = f"bare reader {microseconds(bare, N)}"
    ratio = mine / bare
    work = f"burst of {N} tokens through the server ({cpu} CPU of it)"
    return Row(work, microseconds(mine, N), name, f"{ratio:.2f} ×", "≤ 4 ×", ratio <= 4)


def first_token(readers: Readers) -> Row:
    """From the request to the first token, of a model that writes one every 20 ms."""
    model = "m-5-1-50-1"
    with httpx.Client(timeout=60) as http:

        def read(url: str, body: dict[str, object]) -> float:
            first = 0.0
            begun = time.perf_counter()
            with http.stream("POST", url, json=body) as reply:
                for chunk in reply.iter_bytes():
                    if not first and TOKEN.search(chunk):
                        first = time.perf_counter() - begun
            return first

        laps = [(read(*readers.run(model)), read(*readers.bare(model))) for _ in range(55)][5:]
    mine, bare = (statistics.median(lap[place] for lap in laps) * 1e3 for place in (0, 1))
    more = mine - bare
    work = "from the request to the first token"
    return Row(work, f"{mine:.2f} ms", f"bare reader {bare:.2f} ms", f"+{more:.2f} ms", "≤ + 5 ms", more <= 5)


def crowd(readers: Readers) -> list[Row]:
    """Many answers at once: how late each token is, from the model server's write to the reader."""
    model = f"m-{EVENTS}-1-{RATE}-{STREAMS}"
    laps = []
    for _ in range(LAPS):
        before = readers.cpu()
        through = asyncio.run(all_at_once([readers.run(model) for _ in range(STREAMS)]))
        laps.append((through, asyncio.run(all_at_once([readers.bare(model)] * STREAMS)), readers.cpu() - before))
    cpu = microseconds(sum(lap[2] for lap in laps), LAPS * STREAMS * EVENTS)
    rows = []
    for share, limit in ((0.5, 2.0), (0.99, 4.0)):
        mine, bare = (statistics.median(quantile(lap[place], share) * 1e3 for lap in laps) for place in (0, 1))
        work = f"{STREAMS} streams × {RATE} tokens/s, p{share * 100:.0f} ({cpu} CPU of the server)"
        rows.append(at_most(work, mine, bare, unit="ms", name="bare reader", limit=limit))
    return rows


async def all_at_once(asked: list[tuple[str, dict[str, object]]]) -> list[float]:
    """Seconds that each token of these streams was late."""
    late: list[float] = []

    async def read(http: httpx.AsyncClient, url: str, body: dict[str, object]) -> None:
        async with http.stream("POST", url, json=body) as reply:
            async for chunk in reply.aiter_bytes():
                now = time.monotonic()
                late.extend(now - float(written) for written in TOKEN.findall(chunk))

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:
        await asyncio.gather(*(read(http, *one) for one in asked))
    assert len(late) == STREAMS * EVENTS, len(late)
    return late


# -- stopping ----------------------------------------------------------------------------------------------------


def stopping() -> list[Row]:
    """From what stops a run to the model server seeing the connection end."""
    rows = []
    for how, rounds in (("cancel", 30), ("thread deleted", 30), ("expiry", 5), ("server stopped", 5)):
        laps = [stopped_after(how) for _ in range(rounds)]
        told = f"at worst {max(laps) * 1e3:.1f} ms"
        middle = statistics.median(laps)
        work = f"{how}, until the model server sees it"
        rows.append(Row(work, f"{middle * 1e3:.1f} ms", "", told, f"≤ {LIMIT * 1e3:.0f} ms", middle <= LIMIT))
    return rows


def stopped_after(how: str) -> float:
    """Seconds that it took, for one run on a server of its own."""
    ttl = 0.3
    with silent_server() as (port, ends):
        engine = UpstreamEngine(f"http://127.0.0.1:{port}/v1")
        with (
            serve(engine=engine, run_ttl=ttl if how == "expiry" else 600) as own,
            httpx.Client(base_url=own.base_url, timeout=60) as http,
        ):
            assistant = http.post("/assistants", json={"model": "any"}).json()["id"]
            body = {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "hi"}]}}
            run = http.post("/threads/runs", json=body).json()
            begun = time.monotonic() + ttl
            path = f"/threads/{run['thread_id']}"
            while how != "expiry" and http.get(f"{path}/runs/{run['id']}").json()["status"] != "in_progress":
                time.sleep(PAUSE)
            time.sleep(0 if how == "expiry" else 20 * PAUSE)  # the request to the model server is on its way
            if how != "expiry":
                begun = time.monotonic()
            if how == "cancel":
                http.post(f"{path}/runs/{run['id']}/cancel", json={})
            elif how == "thread deleted":
                http.delete(path)
            elif how == "server stopped":
                own.stop()
            return ends.get(timeout=10) - begun

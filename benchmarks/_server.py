"""A server of its own process: raw sockets, a stream written as the path asks, so that only the client is measured.

POST …/threads/THREAD/runs          THREAD says how: `t-EVENTS-GROUP-RATE-GATE`
    EVENTS text deltas; GROUP events in one chunk; RATE events per second (0: as fast as it is read), each delta's
    text then being the time of its writing (seconds on the machine's monotonic clock). Paced streams begin when
    GATE of them are open, so that opening them is not measured as lateness; until then each has only its head.

POST …/threads/poll-N/runs          a run as JSON, queued. On the same connection, N GETs of it show it in progress, and
    the next shows it completed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TypeAlias

from benchmarks._streams import frame, message, run, text_delta, words

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


BEGIN = [
    frame("thread.run.created", run("queued")),
    frame("thread.run.in_progress", run("in_progress")),
    frame("thread.message.created", message("in_progress")),
]
END = [
    frame("thread.message.completed", message("completed", "done")),
    frame("thread.run.completed", run("completed")),
    frame("done", "[DONE]"),
]
_ready: dict[tuple[int, int], bytes] = {}


def whole(events: int, group: int) -> bytes:
    """The chunks of a stream that is written as fast as it is read."""
    if (events, group) not in _ready:
        frames = [*BEGIN, *(frame("thread.message.delta", text_delta(word)) for word in words(events)), *END]
        _ready[events, group] = b"".join(
            chunk(b"".join(frames[start : start + group])) for start in range(0, len(frames), group)
        )
    return _ready[events, group]


def reply(status: str) -> bytes:
    """A run as JSON."""
    content = json.dumps(run(status)).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(content),
        content,
    )


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection until it is closed."""
    left = 0
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            thread = head.split(b" ", 2)[1].split(b"/threads/")[1].split(b"/")[0].decode()
            if head.startswith(b"GET"):
                left -= 1
                writer.write(reply("in_progress" if left >= 0 else "completed"))
                continue
            if thread.startswith("poll-"):
                left = int(thread.removeprefix("poll-"))
                writer.write(reply("queued"))
                continue
            _, events, group, rate, gate = thread.split("-")
            writer.write(HEAD)
            if rate == "0":
                writer.write(whole(int(events), int(group)))
            else:
                await paced(writer, int(events), float(rate), int(gate))
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def paced(writer: asyncio.StreamWriter, events: int, rate: float, gate: int) -> None:
    """Write a stream at a rate, together with the others that wait at the gate."""
    writer.write(b"".join(map(chunk, BEGIN)))
    over = asyncio.get_running_loop().create_future()
    _waiting.append((writer, over))
    if len(_waiting) == gate:
        crowd = [*_waiting]
        _waiting.clear()
        await pace(crowd, events, rate)
    await over
    writer.write(b"".join(map(chunk, END)))


Open: TypeAlias = "tuple[asyncio.StreamWriter, asyncio.Future[None]]"
_waiting: list[Open] = []


async def pace(crowd: list[Open], events: int, rate: float) -> None:
    """Write to each at the rate, each event with the time of its writing in it; evenly spread, so none beat in step."""
    before, after = frame("thread.message.delta", text_delta("@")).split(b"@")
    step = 1 / rate / len(crowd)
    begun = time.monotonic() + 1
    for number in range(events):
        for place, (writer, over) in enumerate(crowd):
            due = begun + (number * len(crowd) + place) * step
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            writer.write(chunk(b"%b%.7f%b" % (before, time.monotonic(), after)))
            if number == events - 1:
                over.set_result(None)


async def serve() -> None:
    """Say the port, and serve until stdin ends."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())

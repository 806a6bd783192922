"""A server of its own process: raw sockets, a stream written as the path asks, so that only the client is measured.

POST …/threads/THREAD/runs          THREAD says how: `t-EVENTS-GROUP-RATE-GATE`
POST …/chat/completions             the name of the model says how, in the same way; the stream is of that protocol
    EVENTS text deltas; GROUP events in one chunk; RATE events per second (0: as fast as it is read), each delta's
    text then being the time of its writing (seconds on the machine's monotonic clock). Paced streams begin when
    GATE of them are open, so that opening them is not measured as lateness; until then each has only its head. More
    than one begin a second later.

POST …/threads/poll-N/runs          a run as JSON, queued. On the same connection, N GETs of it show it in progress, and
    the next shows it completed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import NamedTuple, TypeAlias

from benchmarks._streams import chat_chunk, frame, message, run, text_delta, words

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Wire(NamedTuple):
    """A stream's frames before the text, the two halves of the frame around a text, and the frames behind it."""

    begin: tuple[bytes, ...]
    before: bytes
    after: bytes
    end: tuple[bytes, ...]


def wire(begin: list[bytes], delta: bytes, end: list[bytes]) -> Wire:
    """The wire whose frame of the text `@` is `delta`."""
    before, _, after = delta.partition(b"@")
    return Wire(tuple(begin), before, after, tuple(end))


ASSISTANTS = wire(
    [
        frame("thread.run.created", run("queued")),
        frame("thread.run.in_progress", run("in_progress")),
        frame("thread.message.created", message("in_progress")),
    ],
    frame("thread.message.delta", text_delta("@")),
    [
        frame("thread.message.completed", message("completed", "done")),
        frame("thread.run.completed", run("completed")),
        frame("done", "[DONE]"),
    ],
)
CHAT = wire(
    [chat_chunk({"role": "assistant", "content": ""})],
    chat_chunk({"content": "@"}),
    [chat_chunk({}, "stop"), b"data: [DONE]\n\n"],
)
_ready: dict[tuple[Wire, int, int], bytes] = {}


def whole(wire: Wire, events: int, group: int) -> bytes:
    """The chunks of a stream that is written as fast as it is read."""
    key = wire, events, group
    if key not in _ready:
        frames = [*wire.begin, *(wire.before + word.encode() + wire.after for word in words(events)), *wire.end]
        _ready[key] = b"".join(chunk(b"".join(frames[start : start + group])) for start in range(0, len(frames), group))
    return _ready[key]


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
            body = b""
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    body = await reader.readexactly(int(line.split(b":")[1]))
            path = head.split(b" ", 2)[1].decode()
            if path.endswith("/models"):
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                continue
            wire, how = CHAT, ""
            if "/threads/" in path:
                wire, how = ASSISTANTS, path.split("/threads/")[1].split("/")[0]
            if head.startswith(b"GET"):
                left -= 1
                writer.write(reply("in_progress" if left >= 0 else "completed"))
                continue
            if how.startswith("poll-"):
                left = int(how.removeprefix("poll-"))
                writer.write(reply("queued"))
                continue
            _, events, group, rate, gate = (how or json.loads(body)["model"]).split("-")
            writer.write(HEAD)
            if rate == "0":
                writer.write(whole(wire, int(events), int(group)))
            else:
                await paced(writer, wire, int(events), float(rate), int(gate))
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def paced(writer: asyncio.StreamWriter, wire: Wire, events: int, rate: float, gate: int) -> None:
    """Write a stream at a rate, together with the others that wait at the gate."""
    writer.write(b"".join(map(chunk, wire.begin)))
    over = asyncio.get_running_loop().create_future()
    _waiting.append((writer, over))
    if len(_waiting) == gate:
        crowd = [*_waiting]
        _waiting.clear()
        await pace(crowd, wire, events, rate)
    await over
    writer.write(b"".join(map(chunk, wire.end)))


Open: TypeAlias = "tuple[asyncio.StreamWriter, asyncio.Future[None]]"
_waiting: list[Open] = []


async def pace(crowd: list[Open], wire: Wire, events: int, rate: float) -> None:
    """Write to each at the rate, each event with the time of its writing in it; evenly spread, so none beat in step."""
    step = 1 / rate / len(crowd)
    begun = time.monotonic() + (len(crowd) > 1)
    for number in range(events):
        for place, (writer, over) in enumerate(crowd):
            due = begun + (number * len(crowd) + place) * step
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            writer.write(chunk(b"%b%.7f%b" % (wire.before, time.monotonic(), wire.after)))
            if number == events - 1:
                over.set_result(None)


async def serve() -> None:
    """Say the port, and serve until stdin ends."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())

"""A server of its own process: raw sockets, a stream written as the path asks, so that only the client is measured.

POST …/threads/THREAD/runs          THREAD says how: `t-EVENTS-GROUP-RATE`
    EVENTS text deltas; GROUP events in one chunk; RATE events per second (0: as fast as it is read), each delta's
    text then being the time of its writing (seconds on the machine's monotonic clock)
"""

from __future__ import annotations

import asyncio
import sys
import time

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


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection until it is closed."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            thread = head.split(b" ", 2)[1].split(b"/threads/")[1].split(b"/")[0].decode()
            _, events, group, rate = thread.split("-")
            writer.write(HEAD)
            if rate == "0":
                writer.write(whole(int(events), int(group)))
            else:
                await pace(writer, int(events), float(rate))
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def pace(writer: asyncio.StreamWriter, events: int, rate: float) -> None:
    """Write events at a rate, each with the time of its writing in it."""
    writer.write(b"".join(map(chunk, BEGIN)))
    await asyncio.sleep(hash(id(writer)) % 1000 / 1000 / rate)  # streams do not beat in step
    due = time.monotonic()
    for _ in range(events):
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(chunk(frame("thread.message.delta", text_delta(repr(time.monotonic())))))
    writer.write(b"".join(map(chunk, END)))


async def serve() -> None:
    """Say the port, and serve until stdin ends."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())

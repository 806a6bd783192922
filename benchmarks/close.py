"""From `close()` on another thread to the server seeing the connection end, while the stream waits for an event."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from statistics import median

import anyio

from benchmarks._measure import Row
from rx_assistant import AssistantClient, AsyncAssistantClient, StreamClosedError

ROUNDS = 60
LIMIT = 0.1  # seconds
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"event: thread.created\ndata: {}\n\n"
PAUSE = 0.005  # seconds for the reader to be blocked again

Close = Callable[[], object]


@contextmanager
def server() -> Iterator[tuple[int, Queue[float]]]:
    """A port that answers every request with one event and then silence, and the moments at which clients went."""
    ends: Queue[float] = Queue()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(HEAD + b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
                try:
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
                ends.put(time.monotonic())

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], ends
    finally:
        listener.close()


def closed_after(close: Close, ends: Queue[float]) -> Callable[[], float]:
    """Close on another thread in a moment; gives a function that waits for the seconds it took."""
    begun: list[float] = []

    def later() -> None:
        time.sleep(PAUSE)
        begun.append(time.monotonic())
        close()

    thread = threading.Thread(target=later)
    thread.start()

    def result() -> float:
        thread.join()
        return ends.get(timeout=10) - begun[0]

    return result


def bare(port: int, ends: Queue[float]) -> list[float]:
    """A plain socket, read by one thread and shut down by another: the floor."""
    laps = []
    for _ in range(ROUNDS):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\n\r\n")
            while EVENT not in connection.recv(65536):
                pass
            took = closed_after(lambda held=connection: held.shutdown(socket.SHUT_RDWR), ends)
            connection.recv(65536)
            laps.append(took())
    return laps


def on_threads(port: int, ends: Queue[float]) -> list[float]:
    """AssistantStream."""
    laps = []
    with AssistantClient(base_url=f"http://127.0.0.1:{port}/v1") as client:
        for _ in range(ROUNDS):
            with client.threads.runs.stream("t", assistant_id="a") as stream:
                events = iter(stream)
                next(events)
                took = closed_after(stream.close, ends)
                try:
                    next(events)
                except StreamClosedError:
                    laps.append(took())
    return laps


def on_backend(backend: str) -> Callable[[int, Queue[float]], list[float]]:
    """AsyncAssistantStream on asyncio or trio."""

    def measure(port: int, ends: Queue[float]) -> list[float]:
        async def main() -> list[float]:
            laps = []
            async with AsyncAssistantClient(base_url=f"http://127.0.0.1:{port}/v1") as client:
                for _ in range(ROUNDS):
                    async with client.threads.runs.stream("t", assistant_id="a") as stream:
                        events = aiter(stream)
                        await anext(events)
                        took = closed_after(stream.close, ends)
                        try:
                            await anext(events)
                        except StreamClosedError:
                            laps.append(took())
            return laps

        return anyio.run(main, backend=backend)

    return measure


def rows() -> list[Row]:
    """The rows of this table."""
    faces = {"threads": on_threads, "asyncio": on_backend("asyncio"), "trio": on_backend("trio")}
    table = []
    with server() as (port, ends):
        floor = median(bare(port, ends))
        for name, measure in faces.items():
            laps = measure(port, ends)
            assert len(laps) == ROUNDS
            middle = median(laps)
            table.append(
                Row(
                    f"close(), {name}",
                    f"{middle * 1e3:.2f} ms",
                    f"bare socket {floor * 1e3:.2f} ms",
                    f"at worst {max(laps) * 1e3:.2f} ms",
                    f"≤ {LIMIT * 1e3:.0f} ms",
                    middle <= LIMIT,
                )
            )
    return table

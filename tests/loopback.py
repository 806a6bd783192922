"""A real server on loopback whose every byte a test decides: plain, TLS, behind a CONNECT proxy, or HTTP/2.

A test gives a handler, `async def (request, wire)`; it runs for each HTTP/1.1 request, and writes what it likes. The
server runs on its own thread, so that it serves tests of any colour; what it saw is in `requests` and `endings`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme

GUARD = 5.0
"""Seconds after which a test gives up on something that happens within milliseconds."""


@cache
def authority() -> trustme.CA:
    """Who vouches for our servers."""
    return trustme.CA()


@cache
def server_tls() -> ssl.SSLContext:
    """What a server on localhost needs for TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@cache
def client_tls() -> ssl.SSLContext:
    """What a client needs to trust it."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@dataclass
class Received:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Wire:
    """The connection, for a handler to misuse."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    keep: bool = True
    pieces: list[bytes] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, headers: dict[str, str] | None = None, reason: str = "Status") -> None:
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def reply(self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        await self.head(status, {"content-length": str(len(body)), **(headers or {})})
        await self.send(body)

    async def json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        await self.reply(status, json.dumps(value).encode(), {"content-type": "application/json", **(headers or {})})

    async def events(self, headers: dict[str, str] | None = None) -> None:
        """The head of an event stream."""
        standard = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        await self.head(200, {**standard, "x-request-id": "req_test", **(headers or {})})

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """RST: the peer's next read fails."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.keep = False

    def hang_up(self) -> None:
        """FIN, without a word."""
        self.keep = False

    async def peer_gone(self) -> None:
        """Return when the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass
        self.keep = False


Handler = Callable[[Received, Wire], Awaitable[None]]


class Loopback:
    """A server for the time of a `with` block."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, backlog: int = 2048) -> None:
        self.requests: list[Received] = []
        self.endings: dict[int, float] = {}
        self.errors: list[BaseException] = []
        self.opened = 0
        self._handler = handler
        self._tls = tls
        self._backlog = backlog
        self._changed = threading.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/v1"

    def __enter__(self) -> Loopback:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(GUARD)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(GUARD)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GUARD)
        self._loop.close()
        assert not self.errors, self.errors

    def wait_for(self, claim: Callable[[], object]) -> None:
        """Return when the claim holds; fail when it does not within the guard."""
        with self._changed:
            assert self._changed.wait_for(claim, GUARD), "it never happened"

    @property
    def open_connections(self) -> int:
        return self.opened - len(self.endings)

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=self._backlog, limit=2**20
        )

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(reader, writer, self.opened)
        self._note(lambda: setattr(self, "opened", self.opened + 1))
        try:
            while wire.keep and (request := await _read_request(reader, wire.number)) is not None:
                self._note(lambda request=request: self.requests.append(request))
                await self._handler(request, wire)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            self._note(lambda: self.endings.setdefault(wire.number, time.monotonic()))
            writer.close()

    def _note(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader, number: int) -> Received | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, target, headers, body, number)


class ConnectProxy:
    """A proxy that tunnels: CONNECT host:port, and then bytes both ways."""

    def __init__(self) -> None:
        self.tunnels: list[str] = []

    def __enter__(self) -> ConnectProxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(GUARD)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(GUARD)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GUARD)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        self.tunnels.append(target)
        host, _, port = target.partition(":")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, far_writer))
                pumps.create_task(_pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            writer.close()
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()

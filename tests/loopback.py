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
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trustme
from guard import GUARD


def ended(thread: threading.Thread, seconds: float = GUARD) -> bool:
    """Wait for a thread's end; gives whether it has ended. A thread that is about to start is waited for, too."""
    until = time.monotonic() + seconds
    while True:
        try:
            thread.join(max(0.0, until - time.monotonic()))
        except RuntimeError:  # it was not started yet
            if time.monotonic() > until:
                raise
            time.sleep(0.001)
        else:
            return not thread.is_alive()


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
def untrusted_tls() -> ssl.SSLContext:
    """A server's TLS with a certificate from an unknown authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
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


class _Server:
    """A listening socket, served by an event loop on a thread of its own, for the time of a `with` block."""

    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._served: dict[asyncio.Task[None], socket.socket] = {}
        self._transports: set[asyncio.BaseTransport] = set()
        self._listener = self._listen()
        self._listener.setblocking(False)
        self.port: Any = None if self._listener.family == socket.AF_UNIX else self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(self._listener, self._accept)
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._thread.start()
        return self

    def _listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0), backlog=2048)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(GUARD)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GUARD)
        self._loop.close()

    def call_soon(self, action: Callable[[], object]) -> None:
        """Do something on the server's loop, where its handlers run; from any thread."""
        self._loop.call_soon_threadsafe(action)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run something to its end on the server's loop; from any other thread."""
        asyncio.run_coroutine_threadsafe(main, self._loop).result(GUARD)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; closed afterwards."""
        raise NotImplementedError

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # gone again
            return
        peer.setblocking(False)
        if peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what was sent is out, also before a reset
        task = self._loop.create_task(self._track(peer))
        self._served[task] = peer
        task.add_done_callback(self._served.pop)

    async def _track(self, peer: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=2**20, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, peer, ssl=self.tls)
        except OSError:
            return
        self._transports.add(transport)
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _stop(self) -> None:
        """Leave nothing open, however far each connection had come."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        served = dict(self._served)
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        for transport in self._transports:
            transport.abort()
        await asyncio.sleep(0.001)
        for peer in served.values():
            peer.close()  # where its task never began


class Loopback(_Server):
    """A server for the time of a `with` block."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.endings: dict[int, float] = {}
        self.errors: list[BaseException] = []
        self.opened = 0
        self.tls = tls
        self._handler = handler
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}/v1"

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        assert not self.errors, self.errors

    def wait_for(self, claim: Callable[[], object]) -> None:
        """Return when the claim holds; fail when it does not within the guard.

        The claim may be about more than the server: it is looked at again after 10 ms without a change here, too.
        """
        until = time.monotonic() + GUARD
        with self._changed:
            while not claim():
                assert time.monotonic() < until, "it never happened"
                self._changed.wait(0.01)

    @property
    def open_connections(self) -> int:
        return self.opened - len(self.endings)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer, self.opened)
        self.note(lambda: setattr(self, "opened", self.opened + 1))
        try:
            await self._converse(wire)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            over = time.monotonic()
            if self.tls is None:
                writer.close()  # the socket is closed in the loop's next turn; then the ending is known to tests
            self._loop.call_soon(self.note, lambda: self.endings.setdefault(wire.number, over))

    async def _converse(self, wire: Wire) -> None:
        while wire.keep:
            request = await _read_request(wire.reader, wire.number)
            self.note(lambda request=request: self.requests.append(request))
            await self._handler(request, wire)

    def note(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader, number: int) -> Received:
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


class UnixLoopback(Loopback):
    """The same server on a unix socket."""

    def __init__(self, handler: Handler, path: Path) -> None:
        super().__init__(handler)
        self.path = path

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        return listener


class ConnectProxy(_Server):
    """A proxy that tunnels: CONNECT host:port, and then bytes both ways."""

    def __init__(self) -> None:
        self.tunnels: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        self.tunnels.append(target)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(target.partition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, far_writer))
                pumps.create_task(_pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class H2Wire:
    """One stream of an HTTP/2 connection."""

    def __init__(self, connection: _H2Connection, number: int, request: Received) -> None:
        self._connection = connection
        self.number = number
        self.request = request
        self.reset = asyncio.Event()

    async def events(self) -> None:
        headers = [(":status", "200"), ("content-type", "text/event-stream"), ("x-request-id", "req_h2")]
        self._connection.h2.send_headers(self.number, headers)
        await self._connection.flush()

    async def send(self, data: bytes) -> None:
        self._connection.h2.send_data(self.number, data)
        await self._connection.flush()

    async def end(self) -> None:
        self._connection.h2.end_stream(self.number)
        await self._connection.flush()


H2Handler = Callable[[Received, H2Wire], Awaitable[None]]


class _H2Connection:
    def __init__(self, server: H2Loopback, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._server = server
        self._reader = reader
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())
        await self._writer.drain()

    async def run(self) -> None:
        self.h2.initiate_connection()
        await self.flush()
        try:
            while data := await self._reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                await self.flush()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _take(self, event: object) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {name.decode(): value.decode() for name, value in event.headers}
            request = Received(headers[":method"], headers[":path"], headers, b"", 0)
            wire = H2Wire(self, event.stream_id, request)
            self._server.note(lambda: self._server.requests.append(request))
            self._tasks[event.stream_id] = asyncio.create_task(self._server._serve_stream(request, wire))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset) and event.stream_id in self._tasks:
            self._tasks[event.stream_id].cancel()


class H2Loopback(Loopback):
    """The same server, speaking HTTP/2 over TLS; its handlers get streams."""

    def __init__(self, handler: H2Handler) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
        context.set_alpn_protocols(["h2"])
        super().__init__(handler, tls=context)  # type: ignore[arg-type]

    async def _converse(self, wire: Wire) -> None:
        await _H2Connection(self, wire.reader, wire.writer).run()

    async def _serve_stream(self, request: Received, wire: H2Wire) -> None:
        try:
            await self._handler(request, wire)  # type: ignore[arg-type]
        except (asyncio.CancelledError, ConnectionError, h2.exceptions.ProtocolError):
            pass
        except BaseException as error:
            self.errors.append(error)

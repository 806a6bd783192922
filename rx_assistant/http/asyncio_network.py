"""Connections on asyncio, with httpcore's interface: bytes are taken as they come, a read waits for one future.

httpcore's own backend enters a cancel scope, sets a timer and passes a checkpoint for every read. Here a protocol
collects the bytes, and one timer per connection, moved when it fires or a nearer limit comes, watches all its reads.
A read that finds bytes does not yield: there are never more of them than the loop has delivered since the last wait,
so nobody starves. `aclose()` fails a read in which another task waits, on the spot.

On trio, and on event loops that are not asyncio's own, httpcore's backends do the work.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Iterable
from typing import Any, TypeAlias

import anyio
import httpcore
from anyio.lowlevel import checkpoint_if_cancelled

from rx_assistant.http.cutting import shut_down
from rx_assistant.http.dialling import dial

SocketOption: TypeAlias = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

HIGH_WATER = 256 * 1024  # bytes that wait to be read before the socket is left alone


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Connects in the way of the loop that runs."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to a host."""
        loop = _loop()
        if loop is None:
            return await _elsewhere().connect_tcp(host, port, timeout, local_address, socket_options)
        protocol = _Protocol(loop)
        try:
            with anyio.fail_after(timeout):
                connected = await dial(host, port, local_address)
                await loop.create_connection(lambda: protocol, sock=connected)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore.ConnectError(error) from error
        for option in socket_options or ():
            protocol.transport.get_extra_info("socket").setsockopt(*option)
        return AsyncioStream(protocol)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SocketOption] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """A connection to a socket in the file system."""
        return await _elsewhere().connect_unix_socket(path, timeout, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await anyio.sleep(seconds)


def _loop() -> asyncio.BaseEventLoop | None:
    """The asyncio loop whose task this is, if it is one of the standard library's."""
    try:
        task = asyncio.current_task()  # None in a trio that is a guest of asyncio
    except RuntimeError:
        return None
    loop = None if task is None else task.get_loop()
    return loop if isinstance(loop, asyncio.BaseEventLoop) else None


def _elsewhere() -> httpcore.AsyncNetworkBackend:
    """What httpcore itself takes on trio, and on other loops."""
    try:
        on_asyncio = asyncio.current_task() is not None
    except RuntimeError:
        on_asyncio = False
    if on_asyncio:
        return httpcore.AnyIOBackend()  # pyright: ignore[reportReturnType]  # its stubs disagree among themselves
    return httpcore.TrioBackend()  # pyright: ignore[reportReturnType]


class AsyncioStream(httpcore.AsyncNetworkStream):
    """One connection, for one reader and one writer at a time."""

    def __init__(self, protocol: _Protocol) -> None:
        self._protocol = protocol

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, b"" once the peer has ended the connection."""
        protocol = self._protocol
        if protocol.waiting:
            await checkpoint_if_cancelled()
        elif not protocol.over:
            reader = protocol.reader = protocol.loop.create_future()
            if timeout is not None:
                protocol.watch(timeout)
            try:
                await reader
            finally:
                protocol.reader = protocol.due = None
        return protocol.take(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hand the bytes to the connection; waits while it holds too many."""
        if buffer:
            await self._protocol.write(buffer, timeout)

    async def aclose(self) -> None:
        """Give the connection up, whatever is under way."""
        protocol = self._protocol
        if protocol.loop is _loop():
            protocol.close()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn
            return
        try:
            protocol.loop.call_soon_threadsafe(protocol.close)
        except RuntimeError:  # that loop is closed, and leaves what it had open to the collector
            shut_down(protocol.transport.get_extra_info("socket"))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted from here on."""
        protocol = self._protocol
        try:
            with anyio.fail_after(timeout):
                transport = await protocol.loop.start_tls(
                    protocol.transport, protocol, ssl_context, server_hostname=server_hostname
                )
        except BaseException as error:
            protocol.close()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout(error) from error
            if isinstance(error, OSError):
                raise httpcore.ConnectError(error) from error
            raise
        if transport is None:
            protocol.close()
            raise httpcore.ConnectError("the connection was lost while TLS began")
        protocol.transport = transport
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for, by its names."""
        protocol = self._protocol
        if info == "is_readable":
            return bool(protocol.waiting) or protocol.over or protocol.loop is not _loop() or _stirs(protocol.transport)
        name = {"client_addr": "sockname", "server_addr": "peername"}.get(info, info)
        return protocol.transport.get_extra_info(name)


def _stirs(transport: asyncio.Transport) -> bool:
    """Whether something has arrived, or the end, that the loop has had no time to notice."""
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows; elsewhere select is at a loss with more than 1024 open files
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class _Protocol(asyncio.Protocol):
    """Collects what arrives, and wakes the one task that waits for it."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting = 0  # bytes that have arrived and were not taken
        self.over = False  # no more will arrive
        self.reader: asyncio.Future[None] | None = None  # who waits for some
        self.due: float | None = None  # by when, on the loop's clock
        self._received: list[bytes] = []
        self._closed = False
        self._lost = False  # its transport is at its end: from then on it bears no `abort`
        self._failure: Exception | None = None
        self._paused = False
        self._writer: asyncio.Future[None] | None = None
        self._blocked = False
        self._timer: asyncio.TimerHandle | None = None

    # -- reading -------------------------------------------------------------------------------------------------

    def take(self, most: int) -> bytes:
        """What has arrived, b"" at the end; ReadError when the connection is closed or broken."""
        if self._closed:
            raise httpcore.ReadError("the connection has been closed")
        if not self.waiting:
            if self._failure is not None:
                raise httpcore.ReadError(self._failure) from self._failure
            return b""
        received = self._received
        taken = received.pop() if len(received) == 1 else b"".join(received)
        received.clear()
        if len(taken) > most:
            received.append(taken[most:])
            taken = taken[:most]
        self.waiting -= len(taken)
        if self._paused and self.waiting < HIGH_WATER:
            self._paused = False
            self.transport.resume_reading()
        return taken

    def watch(self, timeout: float) -> None:
        """See to it that a read ends by then. A timer that fires earlier is left to look again."""
        due = self.due = self.loop.time() + timeout
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.due is None or self.reader is None or self.reader.done():
            return
        if self.due > self.loop.time():
            self._timer = self.loop.call_at(self.due, self._look)
        else:
            self.reader.set_exception(httpcore.ReadTimeout("nothing arrived in time"))

    # -- writing -------------------------------------------------------------------------------------------------

    async def write(self, data: bytes, timeout: float | None) -> None:
        if self._closed or self._failure is not None or self.transport.is_closing():
            raise httpcore.WriteError(self._failure or "the connection has been closed")
        self.transport.write(data)
        if not self._blocked:
            return
        self._writer = self.loop.create_future()
        try:
            with anyio.fail_after(timeout):
                await self._writer
        except TimeoutError as error:
            raise httpcore.WriteTimeout(error) from error
        finally:
            self._writer = None

    # -- the end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop at once; who waits gets an error."""
        self._closed = True
        self._end(None)
        if not self._lost:
            self.transport.close()
            self.transport.abort()

    def _end(self, failure: Exception | None) -> None:
        self.over = True
        self._failure = self._failure or failure
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        _wake(self.reader)
        if self._writer is not None and not self._writer.done():
            self._writer.set_exception(httpcore.WriteError(failure or "the connection has ended"))

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self.waiting += len(data)
        reader = self.reader
        if reader is not None and not reader.done():
            reader.set_result(None)
        if self.waiting > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.over = True
        _wake(self.reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._end(exc)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        _wake(self._writer)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)

"""The synchronous twin of `connections`: `httpx.Client(transport=SyncLines())`, from any number of threads.

A connection serves one thread at a time, and a read gives up to 64 KiB of what has arrived, however many chunks it
holds.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TypeAlias

import httpcore
import httpx

from rx_assistant.http.cutting import duplicate, shut_down
from rx_assistant.http.http11 import READ_BYTES, Exchange
from rx_assistant.http.idle import IdleConnections
from rx_assistant.http.wire import AS_HTTPX, CLOSED, SEND_AT_ONCE, Key, Limits, key_of, limit_of, response_of

_Network: TypeAlias = httpcore.NetworkStream


class SyncLines(httpx.BaseTransport):
    """Opens a connection whenever none is idle. Keeps at most so many idle ones, each for so many seconds."""

    def __init__(
        self,
        verify: ssl.SSLContext | None = None,
        *,
        max_idle: int = 100,
        idle_seconds: float = 15.0,
        network: httpcore.NetworkBackend | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tls = verify or httpx.create_ssl_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._network = network or httpcore.SyncBackend()
        self._idle: IdleConnections[_Network] = IdleConnections(max_idle, idle_seconds, clock)
        self._busy: dict[_Network, _Body | None] = {}  # without a body while a head is waited for
        self._greeting: set[socket.socket] = set()  # duplicates, while TLS begins: it takes the sockets over
        self._closed = False
        self._lock = Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response holds a connection until it is closed."""
        key = key_of(request)
        limits: Limits = request.extensions.get("timeout", {})
        with AS_HTTPX:
            network = self._connection(key, limits)
            try:
                exchange = _exchange(network, request, limits)
            except BaseException:
                self._drop(network)
                raise
        body = _Body(exchange, network, limits, partial(self._used, key))
        with self._lock:
            self._busy[network] = body
        return response_of(exchange, network, body)

    def close(self) -> None:
        """Close every connection; one that is being read is cut, and its reader, who gets an error, closes it."""
        with self._lock:
            self._closed = True
            busy = [*self._busy.items()]
            for greeting in self._greeting:
                shut_down(greeting)
        for network, body in busy:
            _cut(network)
            if body is not None and body.reading.acquire(blocking=False):
                self._drop(network)
                body.reading.release()
        for network in self._idle.close():
            network.close()

    def _connection(self, key: Key, limits: Limits) -> _Network:
        """A connection for one request: the one that was used last, if it still stands."""
        for network in self._idle.expired():
            network.close()
        while (idle := self._idle.pop(key)) is not None:
            if not idle.get_extra_info("is_readable"):  # readable is only its end, or what nobody asked for
                return self._hold(idle)
            idle.close()
        scheme, host, port = key
        network = self._network.connect_tcp(host, port, limit_of(limits, "connect"))
        return self._hold(self._encrypted(network, host, limits) if scheme == "https" else network)

    def _encrypted(self, network: _Network, host: str, limits: Limits) -> _Network:
        copy = duplicate(network)
        if copy is not None:
            with self._lock:
                self._greeting.add(copy)
                if self._closed:
                    shut_down(copy)
        try:
            return network.start_tls(self._tls, host, limit_of(limits, "connect"))
        except BaseException:
            network.close()
            raise
        finally:
            if copy is not None:
                with self._lock:
                    self._greeting.remove(copy)
                copy.close()

    def _hold(self, network: _Network) -> _Network:
        with self._lock:
            if not self._closed:
                self._busy[network] = None
                return network
        network.close()
        raise httpcore.ConnectError(CLOSED)

    def _used(self, key: Key, body: _Body) -> None:
        """A response was closed: its connection serves the next request, if it still can."""
        network = body.network
        with self._lock:
            if self._busy.get(network) is not body:  # closed before: the connection may be another's by now
                return
            del self._busy[network]
        dropped = self._idle.push(key, network) if body.exchange.leaves_connection else network
        if dropped is not None:
            dropped.close()

    def _drop(self, network: _Network) -> None:
        with self._lock:
            self._busy.pop(network, None)
        network.close()


def _cut(network: _Network) -> None:
    """End a connection that another thread may be reading."""
    copy = duplicate(network)
    if copy is not None:
        shut_down(copy)
        copy.close()


def _exchange(network: _Network, request: httpx.Request, limits: Limits) -> Exchange:
    """Send a request and read the head of its response."""
    exchange = Exchange(request.method)
    try:
        _send(exchange, network, request, limits)
    except httpcore.WriteError:
        pass  # a server that has seen enough may answer all the same
    while exchange.head is None:
        exchange.receive_head(network.read(READ_BYTES, limit_of(limits, "read")))
    return exchange


def _send(exchange: Exchange, network: _Network, request: httpx.Request, limits: Limits) -> None:
    assert isinstance(request.stream, httpx.SyncByteStream)
    gathered = exchange.request(request.url.raw_path, request.headers.raw)
    for piece in request.stream:
        gathered += exchange.content(piece)
        if len(gathered) >= SEND_AT_ONCE:
            network.write(gathered, limit_of(limits, "write"))
            gathered = b""
    network.write(gathered + exchange.end(), limit_of(limits, "write"))


class _Body(httpx.SyncByteStream):
    """A response's bytes, and what happens to its connection when it is closed."""

    def __init__(self, exchange: Exchange, network: _Network, limits: Limits, used: Callable[[_Body], None]) -> None:
        self.exchange = exchange
        self.network = network
        self.reading = Lock()  # held while a thread waits for bytes: nobody may close the connection then
        self._limits = limits
        self._used = used

    def read(self) -> bytes | None:
        """What has arrived since the last time, as soon as there is something; None at the end."""
        exchange = self.exchange
        with AS_HTTPX:
            if exchange.early:
                content, exchange.early = exchange.early, b""
                return content
            while not exchange.is_over:
                with self.reading:
                    data = self.network.read(READ_BYTES, limit_of(self._limits, "read"))
                content = exchange.receive(data) if data else exchange.receive_end()
                if content:
                    return content
        return None

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        content = self.read()
        if content is None:
            raise StopIteration
        return content

    def close(self) -> None:
        self._used(self)

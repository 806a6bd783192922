"""The synchronous twin of `connections`: `httpx.Client(transport=SyncLines())`, from any number of threads.

A connection serves one thread at a time, and a read gives all that has arrived, however many chunks it holds.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

import httpcore
import httpx

from rx_assistant.http.cutting import duplicate, shut_down
from rx_assistant.http.http11 import READ_BYTES, Exchange
from rx_assistant.http.idle import IdleConnections
from rx_assistant.http.wire import AS_HTTPX, SEND_AT_ONCE, Key, Limits, key_of, response_of

_Network: TypeAlias = httpcore.NetworkStream


class SyncLines(httpx.BaseTransport):
    """Opens a connection whenever none is idle. Keeps at most so many idle ones, each for so many seconds."""

    def __init__(
        self,
        verify: ssl.SSLContext | None = None,
        *,
        max_idle: int = 100,
        idle_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tls = verify or httpx.create_ssl_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._network = httpcore.SyncBackend()
        self._idle: IdleConnections[_Network] = IdleConnections(max_idle, idle_seconds, clock)
        self._busy: dict[_Network, _Body | None] = {}  # without a body while a head is waited for
        self._lock = Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response holds a connection until it is closed."""
        key = key_of(request)
        limits: Limits = request.extensions.get("timeout", {})
        with AS_HTTPX:
            network = self._connection(key, limits.get("connect"))
            try:
                exchange = _exchange(network, request, limits)
            except BaseException:
                self._drop(network)
                raise
        body = _Body(exchange, network, limits, lambda: self._used(key, network, exchange.leaves_connection))
        self._hold(network, body)
        return response_of(exchange, network, body)

    def close(self) -> None:
        """Close every connection; one that is being read is cut, and its reader, who gets an error, closes it."""
        with self._lock:
            busy = [*self._busy.items()]
        for network, body in busy:
            _cut(network)
            if body is not None and not body.is_read:
                self._drop(network)
        for network in self._idle.clear():
            network.close()

    def _connection(self, key: Key, timeout: float | None) -> _Network:
        """A connection for one request: the one that was used last, if it still stands."""
        for network in self._idle.expired():
            network.close()
        while (idle := self._idle.pop(key)) is not None:
            if not idle.get_extra_info("is_readable"):  # readable is only its end, or what nobody asked for
                return self._hold(idle)
            idle.close()
        scheme, host, port = key
        network = self._network.connect_tcp(host, port, timeout)
        if scheme == "https":
            try:
                network = network.start_tls(self._tls, host, timeout)
            except BaseException:
                network.close()
                raise
        return self._hold(network)

    def _hold(self, network: _Network, body: _Body | None = None) -> _Network:
        with self._lock:
            self._busy[network] = body
        return network

    def _used(self, key: Key, network: _Network, whole: bool) -> None:
        """A response was closed: its connection serves the next request, if it still can."""
        with self._lock:
            if network not in self._busy:
                return
            del self._busy[network]
        dropped = self._idle.push(key, network) if whole else network
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
        _send(exchange, network, request, limits.get("write"))
    except httpcore.WriteError:
        pass  # a server that has seen enough may answer all the same
    while exchange.head is None:
        exchange.receive_head(network.read(READ_BYTES, limits.get("read")))
    return exchange


def _send(exchange: Exchange, network: _Network, request: httpx.Request, timeout: float | None) -> None:
    assert isinstance(request.stream, httpx.SyncByteStream)
    gathered = exchange.request(request.url.raw_path, request.headers.raw)
    for piece in request.stream:
        gathered += exchange.content(piece)
        if len(gathered) >= SEND_AT_ONCE:
            network.write(gathered, timeout)
            gathered = b""
    network.write(gathered + exchange.end(), timeout)


class _Body(httpx.SyncByteStream):
    """A response's bytes, and what happens to its connection when it is closed."""

    def __init__(self, exchange: Exchange, network: _Network, limits: Limits, used: Callable[[], None]) -> None:
        self._exchange = exchange
        self._network = network
        self._limits = limits
        self._used = used
        self.is_read = False  # whether a thread waits for bytes

    def read(self) -> bytes | None:
        """All that has arrived since the last time, as soon as there is something; None at the end."""
        exchange = self._exchange
        with AS_HTTPX:
            if exchange.early:
                content, exchange.early = exchange.early, b""
                return content
            while not exchange.is_over:
                self.is_read = True
                try:
                    data = self._network.read(READ_BYTES, self._limits.get("read"))
                finally:
                    self.is_read = False
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
        self._used()

"""An asynchronous transport for httpx that is made for many streams at once: `httpx.AsyncClient(transport=Lines())`.

httpcore's pool looks at each of its connections for every request and every end of one, several times, and at all
of them again for each idle one: a thousand streams keep it busy for seconds; and it wakes up for each chunk of a body
by itself. Here a request takes the connection that was used last and is idle, or a new one, whatever the others do,
and a read gives up to 64 KiB of what has arrived. On asyncio they read through `asyncio_network`.

HTTP/1.1 without a proxy: what needs more is left to httpx's own transport. With httpx2 this cannot be used.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

import anyio
import httpcore
import httpx

from rx_assistant.http.asyncio_network import AsyncioBackend
from rx_assistant.http.http11 import READ_BYTES, Exchange
from rx_assistant.http.idle import IdleConnections
from rx_assistant.http.wire import AS_HTTPX, CLOSED, SEND_AT_ONCE, Key, Limits, key_of, limit_of, response_of

_Network: TypeAlias = httpcore.AsyncNetworkStream
_CLOSE_SECONDS = 2.0  # TLS says goodbye, on trio; a peer that takes nothing cannot hold us


class Lines(httpx.AsyncBaseTransport):
    """Opens a connection whenever none is idle. Keeps at most so many idle ones, each for so many seconds."""

    def __init__(
        self,
        verify: ssl.SSLContext | None = None,
        *,
        max_idle: int = 100,
        idle_seconds: float = 15.0,
        network: httpcore.AsyncNetworkBackend | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tls = verify or httpx.create_ssl_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._network = network or AsyncioBackend()
        self._idle: IdleConnections[_Network] = IdleConnections(max_idle, idle_seconds, clock)
        self._busy: set[_Network] = set()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response holds a connection until it is closed."""
        key = key_of(request)
        limits: Limits = request.extensions.get("timeout", {})
        with AS_HTTPX:
            network = await self._connection(key, limits)
            try:
                exchange = await _exchange(network, request, limits)
            except BaseException:
                await self._drop(network)
                raise
        body = _Body(exchange, network, limits, lambda: self._used(key, network, exchange.leaves_connection))
        return response_of(exchange, network, body)

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        for network in [*self._busy, *self._idle.close()]:
            await self._drop(network)

    async def _connection(self, key: Key, limits: Limits) -> _Network:
        """A connection for one request: the one that was used last, if it still stands."""
        for network in self._idle.expired():
            await self._drop(network)
        while (idle := self._idle.pop(key)) is not None:
            if not idle.get_extra_info("is_readable"):  # readable is only its end, or what nobody asked for
                self._busy.add(idle)
                return idle
            await self._drop(idle)
        scheme, host, port = key
        network = await self._network.connect_tcp(host, port, limit_of(limits, "connect"))
        if scheme == "https":
            try:
                network = await network.start_tls(self._tls, host, limit_of(limits, "connect"))
            except BaseException:
                await self._drop(network)
                raise
        if self._closed:
            await self._drop(network)
            raise httpcore.ConnectError(CLOSED)
        self._busy.add(network)
        return network

    async def _used(self, key: Key, network: _Network, whole: bool) -> None:
        """A response was closed: its connection serves the next request, if it still can."""
        if network not in self._busy:
            return
        self._busy.remove(network)
        dropped = self._idle.push(key, network) if whole else network
        if dropped is not None:
            await self._drop(dropped)

    async def _drop(self, network: _Network) -> None:
        self._busy.discard(network)
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await network.aclose()


async def _exchange(network: _Network, request: httpx.Request, limits: Limits) -> Exchange:
    """Send a request and read the head of its response."""
    exchange = Exchange(request.method)
    try:
        await _send(exchange, network, request, limits)
    except httpcore.WriteError:
        pass  # a server that has seen enough may answer all the same
    while exchange.head is None:
        exchange.receive_head(await network.read(READ_BYTES, limit_of(limits, "read")))
    return exchange


async def _send(exchange: Exchange, network: _Network, request: httpx.Request, limits: Limits) -> None:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    gathered = exchange.request(request.url.raw_path, request.headers.raw)
    pieces = aiter(request.stream)
    try:
        async for piece in pieces:
            gathered += exchange.content(piece)
            if len(gathered) >= SEND_AT_ONCE:
                await network.write(gathered, limit_of(limits, "write"))
                gathered = b""
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    await network.write(gathered + exchange.end(), limit_of(limits, "write"))


class _Body(httpx.AsyncByteStream):
    """A response's bytes, and what happens to its connection when it is closed."""

    def __init__(
        self, exchange: Exchange, network: _Network, limits: Limits, used: Callable[[], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._network = network
        self._limits = limits
        self._used = used
        self._closed = False

    @property
    def is_over(self) -> bool:
        """Whether all has arrived and was read."""
        return self._exchange.is_over and not self._exchange.early

    async def read(self) -> bytes | None:
        """What has arrived since the last time, as soon as there is something; None at the end."""
        exchange = self._exchange
        with AS_HTTPX:
            if exchange.early:
                content, exchange.early = exchange.early, b""
                return content
            while not exchange.is_over:
                data = await self._network.read(READ_BYTES, limit_of(self._limits, "read"))
                content = exchange.receive(data) if data else exchange.receive_end()
                if content:
                    return content
        return None

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        content = await self.read()
        if content is None:
            raise StopAsyncIteration
        return content

    async def aclose(self) -> None:
        if not self._closed:  # once only: later the connection may be another's
            self._closed = True
            await self._used()

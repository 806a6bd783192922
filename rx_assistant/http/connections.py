"""An asynchronous transport for httpx that is made for many streams at once: `httpx.AsyncClient(transport=Lines())`.

httpcore's pool looks at each of its connections for every request and every end of one, several times, and at all
of them again for each idle one: a thousand streams keep it busy for seconds; and it wakes up for each chunk of a body
by itself. Here a request takes the connection that was used last and is idle, or a new one, whatever the others do,
and a read gives all that has arrived. On asyncio they read through `asyncio_network`.

HTTP/1.1 without a proxy: what needs more is left to httpx's own transport. With httpx2 this cannot be used.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

import anyio
import httpcore
import httpx

from rx_assistant.http.asyncio_network import AsyncioBackend
from rx_assistant.http.http11 import READ_BYTES, Exchange
from rx_assistant.http.transports import BODY
from rx_assistant.http.wire_errors import as_httpx

_Network: TypeAlias = httpcore.AsyncNetworkStream
_Key: TypeAlias = tuple[str, str, int]
_SEND_AT_ONCE = 64 * 1024  # bytes of a request that are gathered before they are written


class _Idle(NamedTuple):
    """A connection that could serve the next request, and since when."""

    network: _Network
    since: float


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
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._network = network or AsyncioBackend()
        self._clock = clock
        self._idle: dict[_Key, deque[_Idle]] = {}
        self._busy: set[_Network] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response holds a connection until it is closed."""
        url = request.url
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"a URL begins with http:// or https://, not {url.scheme!r}")
        key = (url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])
        limits: Limits = request.extensions.get("timeout", {})
        network: _Network | None = None
        try:
            network = await self._connection(key, limits.get("connect"))
            exchange = await _exchange(network, request, limits)
        except BaseException as error:
            if network is not None:
                await self._drop(network)
            failure = as_httpx(error)
            if failure is None:
                raise
            raise failure from error
        return self._response(exchange, network, key, limits)

    def _response(self, exchange: Exchange, network: _Network, key: _Key, limits: Limits) -> httpx.Response:
        head = exchange.head
        assert head is not None
        body = _Body(exchange, network, limits, lambda: self._used(key, network, exchange.leaves_connection))
        return httpx.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=body,
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": head.reason,
                "network_stream": network,
                BODY: body,
            },
        )

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        networks = [*self._busy, *(idle.network for row in self._idle.values() for idle in row)]
        self._idle.clear()
        for network in networks:
            await self._drop(network)

    async def _connection(self, key: _Key, timeout: float | None) -> _Network:
        """A connection for one request: the one that was used last, if it still stands."""
        await self._drop_old()
        row = self._idle.get(key)
        while row:
            network = row.pop().network
            if not network.get_extra_info("is_readable"):  # readable is only its end, or what nobody asked for
                self._busy.add(network)
                return network
            await self._drop(network)
        scheme, host, port = key
        network = await self._network.connect_tcp(host, port, timeout)
        if scheme == "https":
            network = await network.start_tls(self._tls, host, timeout)
        self._busy.add(network)
        return network

    async def _used(self, key: _Key, network: _Network, whole: bool) -> None:
        """A response was closed: its connection serves the next request, if it still can."""
        if network not in self._busy:
            return
        if not whole:
            await self._drop(network)
            return
        self._busy.remove(network)
        self._idle.setdefault(key, deque()).append(_Idle(network, self._clock()))
        if sum(map(len, self._idle.values())) > self._max_idle:
            await self._drop(min(filter(None, self._idle.values()), key=_since).popleft().network)

    async def _drop_old(self) -> None:
        """Close what has been idle for too long."""
        before = self._clock() - self._idle_seconds
        for row in [*self._idle.values()]:
            while row and row[0].since < before:
                await self._drop(row.popleft().network)

    async def _drop(self, network: _Network) -> None:
        self._busy.discard(network)
        with anyio.CancelScope(shield=True):
            await network.aclose()


_PORTS = {"http": 80, "https": 443}
Limits: TypeAlias = "dict[str, float | None]"
"""httpx's time limits: seconds for `connect`, `read` and `write`."""


def _since(row: deque[_Idle]) -> float:
    return row[0].since


async def _exchange(network: _Network, request: httpx.Request, limits: Limits) -> Exchange:
    """Send a request and read the head of its response."""
    exchange = Exchange(request.method)
    try:
        await _send(exchange, network, request, limits.get("write"))
    except httpcore.WriteError:
        pass  # a server that has seen enough may answer all the same
    while exchange.head is None:
        exchange.receive_head(await network.read(READ_BYTES, limits.get("read")))
    return exchange


async def _send(exchange: Exchange, network: _Network, request: httpx.Request, timeout: float | None) -> None:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    gathered = exchange.request(request.url.raw_path, request.headers.raw)
    async for piece in request.stream:
        gathered += exchange.content(piece)
        if len(gathered) >= _SEND_AT_ONCE:
            await network.write(gathered, timeout)
            gathered = b""
    await network.write(gathered + exchange.end(), timeout)


class _Body(httpx.AsyncByteStream):
    """A response's bytes, and what happens to its connection when it is closed."""

    def __init__(
        self, exchange: Exchange, network: _Network, limits: Limits, used: Callable[[], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._network = network
        self._limits = limits
        self._used = used

    async def read(self) -> bytes | None:
        """All that has arrived since the last time, as soon as there is something; None at the end."""
        exchange = self._exchange
        try:
            if exchange.early:
                content, exchange.early = exchange.early, b""
                return content
            while not exchange.is_over:
                data = await self._network.read(READ_BYTES, self._limits.get("read"))
                content = exchange.receive(data) if data else exchange.receive_end()
                if content:
                    return content
        except Exception as error:
            failure = as_httpx(error)
            if failure is None:
                raise
            raise failure from error
        return None

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        content = await self.read()
        if content is None:
            raise StopAsyncIteration
        return content

    async def aclose(self) -> None:
        await self._used()

"""An asynchronous transport for httpx that is made for many streams at once: `httpx.AsyncClient(transport=Lines())`.

httpcore's pool looks at each of its connections for every request and every end of one, several times, and at all
of them again for each idle one: a thousand streams keep it busy for seconds. Here a request takes the connection that
was used last and is idle, or a new one, whatever the others do. On asyncio they read through `asyncio_network`.

HTTP/1.1 without a proxy: what needs more is left to httpx's own transport. With httpx2 this cannot be used.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import anyio
import httpcore
import httpx

from rx_assistant.http.asyncio_network import AsyncioBackend

_Line: TypeAlias = httpcore.AsyncHTTPConnection
_Key: TypeAlias = tuple[bytes, bytes, int]


class _Idle(NamedTuple):
    """A connection that could serve the next request, and since when."""

    line: _Line
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
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._network = network or AsyncioBackend()
        self._clock = clock
        self._idle: dict[_Key, deque[_Idle]] = {}
        self._busy: set[_Line] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response holds a connection until it is closed."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url = request.url
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(f"a URL begins with http:// or https://, not {url.scheme!r}")
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        origin = sent.url.origin
        key = (origin.scheme, origin.host, origin.port)
        line = await self._line(key, origin)
        try:
            with _translated():
                response = await line.handle_async_request(sent)
        except BaseException:
            await self._drop(line)
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response, lambda: self._used(key, line)),
            extensions=dict(response.extensions),
        )

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        lines = [*self._busy, *(idle.line for row in self._idle.values() for idle in row)]
        self._idle.clear()
        for line in lines:
            await self._drop(line)

    async def _line(self, key: _Key, origin: httpcore.Origin) -> _Line:
        """A connection for one request: the one that was used last, if it still stands."""
        await self._drop_old()
        row = self._idle.get(key)
        while row:
            line = row.pop().line
            if not (line.is_closed() or line.has_expired()):
                self._busy.add(line)
                return line
            await self._drop(line)
        line = httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._tls, keepalive_expiry=self._idle_seconds, network_backend=self._network
        )
        self._busy.add(line)
        return line

    async def _used(self, key: _Key, line: _Line) -> None:
        """A response was closed: its connection serves the next request, if it still can."""
        if line not in self._busy:
            return
        if not line.is_idle():
            await self._drop(line)
            return
        self._busy.remove(line)
        self._idle.setdefault(key, deque()).append(_Idle(line, self._clock()))
        if sum(map(len, self._idle.values())) > self._max_idle:
            await self._drop(min(filter(None, self._idle.values()), key=_since).popleft().line)

    async def _drop_old(self) -> None:
        """Close what has been idle for too long."""
        before = self._clock() - self._idle_seconds
        for row in [*self._idle.values()]:
            while row and row[0].since < before:
                await self._drop(row.popleft().line)

    async def _drop(self, line: _Line) -> None:
        self._busy.discard(line)
        with anyio.CancelScope(shield=True):
            await line.aclose()


def _since(row: deque[_Idle]) -> float:
    return row[0].since


class _Body(httpx.AsyncByteStream):
    """A response's bytes, and what happens to its connection at their end."""

    def __init__(self, response: httpcore.Response, used: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._used = used

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            assert isinstance(self._response.stream, AsyncIterable)
            async for chunk in self._response.stream:
                yield chunk

    async def aclose(self) -> None:
        try:
            with _translated(), anyio.CancelScope(shield=True):
                await self._response.aclose()
        finally:
            await self._used()


@contextmanager
def _translated() -> Iterator[None]:
    """httpcore's errors as httpx's, which bear the same names."""
    try:
        yield
    except Exception as error:
        kind = getattr(httpx, type(error).__name__, None)
        if type(error).__module__.partition(".")[0] != "httpcore" or kind is None:
            raise
        raise kind(str(error)) from error

"""An asynchronous transport for httpx that is made for many streams at once: `httpx.AsyncClient(transport=Lines())`.

httpcore's pool looks at each of its connections for every request and every end of one, several times, and at all
of them again for each idle one: a thousand streams keep it busy for seconds. Here each connection is a pool of one,
and those that are idle wait in a row, the one used last in front. On asyncio they read through `asyncio_network`.

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

_Origin: TypeAlias = tuple[bytes, bytes, int | None]


class _Idle(NamedTuple):
    """A connection that could serve the next request, and since when."""

    line: httpcore.AsyncConnectionPool
    since: float


class Lines(httpx.AsyncBaseTransport):
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
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._network = AsyncioBackend()
        self._idle: dict[_Origin, deque[_Idle]] = {}
        self._busy: set[httpcore.AsyncConnectionPool] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response holds a connection until it is closed."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        await self._drop_old()
        url = request.url
        origin = (url.raw_scheme, url.raw_host, url.port)
        line = self._line(origin)
        try:
            with _translated():
                response = await line.handle_async_request(
                    httpcore.Request(
                        method=request.method,
                        url=httpcore.URL(scheme=origin[0], host=origin[1], port=origin[2], target=url.raw_path),
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
        except BaseException:
            await self._drop(line)
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response, lambda: self._used(origin, line)),
            extensions=dict(response.extensions),
        )

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        lines = [*self._busy, *(idle.line for row in self._idle.values() for idle in row)]
        self._idle.clear()
        for line in lines:
            await self._drop(line)

    def _line(self, origin: _Origin) -> httpcore.AsyncConnectionPool:
        row = self._idle.get(origin)
        line = row.pop().line if row else self._new()
        self._busy.add(line)
        return line

    def _new(self) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            keepalive_expiry=self._idle_seconds,
            network_backend=self._network,
        )

    async def _used(self, origin: _Origin, line: httpcore.AsyncConnectionPool) -> None:
        """A response was closed: its connection serves the next request, if it still can."""
        if line not in self._busy:
            return
        connections = line.connections
        if not (connections and connections[0].is_idle()):
            await self._drop(line)
            return
        self._busy.remove(line)
        self._idle.setdefault(origin, deque()).append(_Idle(line, self._clock()))
        if sum(map(len, self._idle.values())) > self._max_idle:
            await self._drop(min(filter(None, self._idle.values()), key=_since).popleft().line)

    async def _drop_old(self) -> None:
        """Close what has been idle for too long."""
        before = self._clock() - self._idle_seconds
        for row in [*self._idle.values()]:
            while row and row[0].since < before:
                await self._drop(row.popleft().line)

    async def _drop(self, line: httpcore.AsyncConnectionPool) -> None:
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
            with _translated():
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

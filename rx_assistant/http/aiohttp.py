"""An httpx client that sends over aiohttp, for thousands of streams on one asyncio loop.

`httpx-aiohttp` connects the two libraries. This module adds three things. The session is made on the loop of the first
request, and is closed with that loop or with the client. Use on another loop is an error. Each chunk comes from
aiohttp's buffer unchanged. `transports` translates the errors of aiohttp, for every client over aiohttp.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import httpx

from rx_assistant.errors import ConfigurationError
from rx_assistant.grace import KEPT_SECONDS
from rx_assistant.http.event_loops import current_loop, with_its_loop

try:
    import aiohttp
    from httpx_aiohttp import AiohttpTransport
except ImportError as cause:
    raise ImportError("aiohttp_client() needs httpx-aiohttp: pip install 'rx_assistant[aiohttp]'") from cause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from httpx._types import CookieTypes

_LONGEST_HEADER = 64 * 1024


class _SentCookies(httpx.Cookies):
    """The cookies that the program has set. Those of responses are not kept."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Do nothing: the cookies of a response are not kept, so nothing has to search for them."""


class AiohttpClient(httpx.AsyncClient):
    """An httpx client over aiohttp. It keeps no cookies of responses, and is closed by its AsyncAssistantClient."""

    closes_with_its_user = True

    def __init__(self, verify: ssl.SSLContext | bool) -> None:
        super().__init__(transport=_OneLoop(verify))
        self._sent_cookies = _SentCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookies of every request; a response adds none."""
        return self._sent_cookies

    @cookies.setter
    def cookies(self, cookies: CookieTypes) -> None:
        self._sent_cookies = _SentCookies(cookies)


class _OneLoop(AiohttpTransport):
    """Sends on the event loop of the first request, in a session that is made there."""

    def __init__(self, verify: ssl.SSLContext | bool) -> None:
        super().__init__(verify=verify)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._close: Callable[[], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loop = current_loop()
        if not isinstance(loop, asyncio.AbstractEventLoop):
            raise ConfigurationError("aiohttp_client() must be used on asyncio, got trio; give no http_client there")
        if self._loop is None:
            self._loop = loop
            self.client = self._session()
            self._close = with_its_loop(self.client.close)
        elif loop is not self._loop:
            raise ConfigurationError(
                "aiohttp_client() must be used on one event loop only, got a second one; make one for each loop"
            )
        response = await super().handle_async_request(request)
        raw = getattr(response.stream, "_aiohttp_response", None)
        if raw is not None:
            response.stream = _Chunks(raw, response.stream, request)
        return response

    async def aclose(self) -> None:
        if self._close is not None and current_loop() is self._loop:
            await self._close()

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, keepalive_timeout=KEPT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=bool(getproxies()),  # if True, aiohttp reads proxies and .netrc in threads, at each request
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
        )


class _Chunks(httpx.AsyncByteStream):
    """The chunks of a response, each as soon as it arrives.

    The read timeout is the one that the request has when reading begins. If aiohttp cannot parse a chunk, it closes the
    connection, and its readers would wait for ever. So this class watches for the end of the connection.
    """

    def __init__(self, raw: aiohttp.ClientResponse, stream: Any, request: httpx.Request) -> None:
        self.read_any = raw.content.readany
        self._raw = raw
        self._stream = stream
        self._request = request
        self._protocol = None if raw.connection is None else raw.connection.protocol
        self._closed = None if self._protocol is None else self._protocol.closed
        if self._closed is not None:
            self._closed.add_done_callback(self._lost)
        elif self._protocol is not None:
            self._lost()

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._protocol is not None:
            self._protocol.read_timeout = self._request.extensions.get("timeout", {}).get("read")
            self._protocol.start_timeout()
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.read_any()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def is_at_end(self) -> bool:
        """Whether `read_any()` would give the end at once."""
        content = self._raw.content
        return content.at_eof() and content.exception() is None

    async def aclose(self) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._lost)
            self._closed.remove_done_callback(_look_at)  # otherwise each response on the connection would add one more
            self._closed.add_done_callback(_look_at)
        await self._stream.aclose()

    def _lost(self, closed: asyncio.Future[None] | None = None) -> None:
        """The connection has ended. If the body has not ended, its reader must get an error."""
        if closed is not None:
            _look_at(closed)
        content = self._raw.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection ended inside the body"))
        self._raw.close()  # so that aiohttp does not warn about the connection when the body is dropped


def _look_at(closed: asyncio.Future[None]) -> None:
    """Retrieve the error of an ended connection. Otherwise asyncio would log it as never retrieved."""
    if not closed.cancelled():
        closed.exception()

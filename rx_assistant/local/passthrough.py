"""Requests that are not for the Assistants API go to the upstream unchanged, and its replies come back as they arrive.

Three things are changed. The client's credentials and cookies stay here, and the upstream's key is put in. Headers that
belong to one connection are made anew. The upstream's key is taken out of an error that repeats it. The upstream is
asked for plain bytes, so that each of its events can be passed on at once; a redirect is not followed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rx_assistant.http.transports import new_async_client
from rx_assistant.local.dispatch import Endpoint, admit, error_reply
from rx_assistant.local.errors import ApiError
from rx_assistant.local.ids import new_id
from rx_assistant.local.machine import OWN_SERVER
from rx_assistant.local.responses import disconnected, sign
from rx_assistant.local.state import RequestRecord, State
from rx_assistant.local.upstreams import Upstream

_log = logging.getLogger("rx_assistant.local")

_PATHS = ("/models", "/chat/completions", "/responses", "/embeddings", "/completions", "/moderations")
_TREES = ("/models", "/chat/completions", "/responses", "/audio", "/images")
_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]
_OF_A_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host", "expect"}
)
_CREDENTIALS = frozenset({"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization"})
_KEPT_HERE = _CREDENTIALS | {"accept-encoding", "origin", "referer"}
_NOT_PASSED_BACK = frozenset({"set-cookie", "server"})
_CONNECT = 10.0
_LONGEST_ERROR = 2**20


def routes(state: State, upstream: Upstream) -> list[tuple[Sequence[str], str, Endpoint]]:
    """The paths that are passed on, each with its methods and its endpoint."""
    client = _Client(state, upstream)
    answer = _endpoint(state, client)
    found = [*_PATHS, *(f"{tree}/{{rest:path}}" for tree in _TREES)]
    return [(_METHODS, path, answer) for path in found]


def _endpoint(state: State, client: _Client) -> Endpoint:
    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        query = request.url.query
        state.record(RequestRecord(request.method, request.url.path, query, dict(request.headers), b""))
        try:
            admit(state, request)
            reply = await client.send(request)
        except ApiError as error:
            response = error_reply(error)
        except ClientDisconnect:
            response = Response(status_code=499)
        else:
            if reply.status_code < 400 or not client.upstream.api_key:
                return _PassedBack(state, client.upstream, reply)
            return await _error_without_key(reply, client.upstream)
        sign(response, new_id("req_"), started)
        return response

    return answer


class _Client:
    """The connections to the upstream, made for the first request and closed with the server."""

    def __init__(self, state: State, upstream: Upstream) -> None:
        self.upstream = upstream
        self._http: httpx.AsyncClient | None = None
        state.at_close.append(self._close)

    async def send(self, request: Request) -> httpx.Response:
        """The upstream's reply, whose body is still to be read.

        ApiError 502 or 504 if there is none, ClientDisconnect if the client does not wait for it.
        """
        if self._http is None:
            self._http = _local_client() if self.upstream.is_local else new_async_client()
        silence = self.upstream.timeout
        sent = asyncio.Event()
        content = _body(request, sent) if _has_body(request.headers) else None
        if content is None:
            sent.set()
        # httpx.Request, as a request that the client builds would carry the cookies of other replies.
        asked = httpx.Request(
            request.method,
            self._url(request),
            headers=[*_passed_on(request.headers), *self._own_headers()],
            content=content,
            extensions={"timeout": {"connect": _CONNECT, "read": silence, "write": silence, "pool": None}},
        )
        try:
            return await _unless_gone(self._http.send(asked, stream=True), request, sent)
        except httpx.TimeoutException as error:
            raise self._failed(504, "did not answer in time", error) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failed(502, "cannot be reached", error) from error

    def _url(self, request: Request) -> str:
        """The address at the upstream: the path below the prefix as the client wrote it, and the query."""
        scope = request.scope
        if {".", ".."} & set(scope["path"].split("/")):
            raise ApiError(404, f"Invalid URL ({request.method} {scope['path']})")
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        below = path.partition(b"?")[0].split(b"/")[scope.get("root_path", "").count("/") + 1 :]
        query = scope.get("query_string", b"")
        return f"{self.upstream.base_url}/{b'/'.join(below).decode('latin-1')}" + (
            f"?{query.decode('latin-1')}" if query else ""
        )

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        given = {"host": urlsplit(self.upstream.base_url).netloc, "accept-encoding": "identity"}
        return [(name.encode(), value.encode()) for name, value in {**given, **self.upstream.headers()}.items()]

    def _failed(self, status: int, what: str, error: Exception) -> ApiError:
        told = self.upstream.without_key(str(error)) or type(error).__name__
        message = f"The upstream {self.upstream.base_url} {what}: {told}"
        return ApiError(status, message, type="server_error", code="upstream_error")

    async def _close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


def _local_client() -> httpx.AsyncClient:
    """A client that uses no proxy, with as many connections as there are requests."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(trust_env=False, limits=limits, timeout=None, follow_redirects=False)


async def _unless_gone(
    work: Coroutine[Any, Any, httpx.Response], request: Request, sent: asyncio.Event
) -> httpx.Response:
    """The reply, which ends the wait; so does the client when it closes its connection after the body was sent."""

    async def gone() -> None:
        await sent.wait()
        await disconnected(request.receive)

    reply, left = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({reply, left}, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise ClientDisconnect
        return reply.result()
    finally:
        for task in (reply, left):
            task.cancel()
        await asyncio.gather(reply, left, return_exceptions=True)


async def _body(request: Request, sent: asyncio.Event) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    finally:
        sent.set()


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _passed_on(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """The client's headers for the upstream."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    for name, value in headers.raw:
        text = name.decode("latin-1").lower()
        if text not in _OF_A_CONNECTION | _KEPT_HERE | named and not text.startswith("sec-"):
            yield name, value


def _passed_back(headers: httpx.Headers) -> Iterator[tuple[bytes, bytes]]:
    """The upstream's headers for the client, with the mark of this server."""
    for raw, value in headers.raw:
        name = raw.lower()
        text = name.decode("latin-1")
        if text not in _OF_A_CONNECTION | _NOT_PASSED_BACK and not text.startswith("access-control-"):
            yield name, value
    if "x-request-id" not in headers:
        yield b"x-request-id", new_id("req_").encode()
    yield b"server", OWN_SERVER.encode()


async def _error_without_key(reply: httpx.Response, upstream: Upstream) -> Response:
    """An error's body without the key, in case the upstream repeats it; cut after 1 MiB."""
    body = b""
    try:
        async with _raw(reply) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > _LONGEST_ERROR:
                    break
    except httpx.HTTPError as error:
        _log.warning("the upstream's error broke off: %s", upstream.without_key(repr(error)))
    body = upstream.without_key(body.decode("utf-8", "replace")).encode()
    response = Response(body, reply.status_code)
    length = (b"content-length", str(len(body)).encode())
    response.raw_headers = [item for item in _passed_back(reply.headers) if item[0] != b"content-length"] + [length]
    return response


@asynccontextmanager
async def _raw(reply: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of the body as they arrive; the connection is closed or kept at the block's end."""
    try:
        yield reply.aiter_raw()
    finally:
        await reply.aclose()


class _PassedBack(Response):
    """The upstream's reply, piece by piece. When the client is gone, the connection to the upstream is closed."""

    def __init__(self, state: State, upstream: Upstream, reply: httpx.Response) -> None:
        super().__init__(status_code=reply.status_code)
        self.raw_headers = list(_passed_back(reply.headers))
        self._state = state
        self._upstream = upstream
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(disconnected(receive))
        with self._state.readers:
            try:
                await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (pump, gone):
                    task.cancel()
                await asyncio.gather(pump, gone, return_exceptions=True)

    async def _pump(self, send: Send) -> None:
        """A body without its last, empty piece is known to be cut: so is that of an upstream that breaks off."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with _raw(self._reply) as pieces:
                async for piece in pieces:
                    await self._send(send, piece, True)
            await self._send(send, b"", False)
        except (httpx.HTTPError, TimeoutError) as error:
            _log.warning("a reply of the upstream broke off: %s", self._upstream.without_key(repr(error)))

    async def _send(self, send: Send, body: bytes, more: bool) -> None:
        async with asyncio.timeout(self._state.settings.write_timeout):
            await send({"type": "http.response.body", "body": body, "more_body": more})

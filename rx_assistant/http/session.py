"""A client's connection to one server, synchronous and asynchronous: they carry out what `exchange` decides.

    request ──prepare──► call ──exchange──► Send, Wait, FetchKey …──► Reply, or an open body

Nothing here knows retries, redirects or errors. The two classes differ in how they wait, and in nothing else.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import anyio
import anyio.to_thread

from rx_assistant.errors import APIConnectionError, ConfigurationError
from rx_assistant.http.async_body import AsyncResponseBody
from rx_assistant.http.body import ResponseBody
from rx_assistant.http.call import Call, prepare
from rx_assistant.http.exchange import Clock, Course, FetchKey, Incoming, Outcome, Send, Step, Wait, exchange
from rx_assistant.http.options import NO_OPTIONS, CallOptions
from rx_assistant.http.request import Request
from rx_assistant.http.settings import Settings
from rx_assistant.http.source import DEADLINE
from rx_assistant.http.transports import (
    AsyncHTTP,
    Response,
    SyncHTTP,
    async_client,
    checked_async,
    checked_sync,
    line_client,
    sync_client,
    translated,
    transport_errors,
)
from rx_assistant.http.uploads import OpenFile

_SENDING = "no reply came"

Trace: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Is told each step of a request's way, by the names that the HTTP library gives them."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply: its body, whole, and its headers."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The server's name for the request."""
        return self.headers.get("x-request-id")


class Session:
    """Sends requests over an httpx or httpx2 client; one of our own unless one is given, which then stays open."""

    def __init__(
        self,
        settings: Settings,
        client: SyncHTTP | None = None,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Clock | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(settings.api_key):
            raise ConfigurationError("an async token provider needs AsyncAssistantClient")
        self.settings = settings
        self._http = cast(Any, checked_sync(client) if client is not None else sync_client())
        self.owned = client is None
        self._given = client is not None
        self._sleep = sleep
        self._clock = clock or Clock()
        self._trace: Trace | None = None

    def send(self, request: Request, options: CallOptions = NO_OPTIONS) -> Reply:
        """The reply to a request."""
        incoming = self._drive(exchange(prepare(request, self.settings, options), self._clock))
        return _reply(incoming)

    def open(self, request: Request, options: CallOptions = NO_OPTIONS) -> ResponseBody:
        """The open body of an event stream, once its head has arrived."""
        call = prepare(request, self.settings, options)
        started = self._clock.monotonic()
        incoming = self._drive(exchange(call, self._clock))
        try:
            _expect(incoming.response, call)
            return ResponseBody(incoming.response, call.timeout, started=started, clock=self._clock.monotonic)
        except BaseException:
            incoming.response.close()
            raise

    def with_settings(self, settings: Settings) -> Session:
        """A session with other settings over the same connections, which stay this session's."""
        copy = Session(settings, self._http, sleep=self._sleep, clock=self._clock)
        copy._given = self._given
        return copy

    def line(self, trace: Trace, sleep: Callable[[float], object]) -> Session:
        """The same over a connection of its own, if the client is ours; `trace` is told how each request fares."""
        _refuse_closed(self._http)
        twin = Session(self.settings, self._http if self._given else line_client(), sleep=sleep, clock=self._clock)
        twin.owned = not self._given
        twin._trace = trace
        return twin

    @property
    def is_closed(self) -> bool:
        """Whether the connections have been closed, so that nothing more can be sent."""
        return bool(self._http.is_closed)

    def close(self) -> None:
        """Close the connections, unless the client was given."""
        if self.owned:
            self._http.close()

    def _drive(self, course: Course) -> Incoming:
        outcome: object = None
        while True:
            try:
                step: Step = course.send(outcome)
            except StopIteration as end:
                return cast(Incoming, end.value)
            match step:
                case Send():
                    outcome = self._send(step)
                case Wait():
                    outcome = self._sleep(step.seconds)
                case FetchKey():
                    outcome = step.provider()

    def _send(self, step: Send) -> Outcome:
        _refuse_closed(self._http)
        upload = step.outgoing.upload
        with upload.opened() if upload is not None else nullcontext() as file:
            request = _build(self._http, step, file)
            if self._trace is not None:
                request.extensions["trace"] = self._trace
            try:
                response = self._http.send(request, **_send_options(step))
            except transport_errors() as cause:
                return translated(cause, _SENDING)
        if step.stream and response.is_success:
            return Incoming(response)
        try:
            return Incoming(response, response.read())
        except transport_errors() as cause:
            return translated(cause, "the reply broke off") if response.is_success else Incoming(response, b"")
        finally:
            response.close()


class AsyncSession:
    """The same on asyncio and trio."""

    def __init__(
        self,
        settings: Settings,
        client: AsyncHTTP | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self._http = cast(Any, checked_async(client) if client is not None else async_client())
        self._owned = client is None
        self._sleep = sleep
        self._clock = clock or Clock()

    async def send(self, request: Request, options: CallOptions = NO_OPTIONS) -> Reply:
        """The reply to a request."""
        upload = request.upload
        if upload is not None and upload.blocks:
            await anyio.to_thread.run_sync(upload.read_whole, abandon_on_cancel=True)
        incoming = await self._drive(exchange(prepare(request, self.settings, options), self._clock))
        return _reply(incoming)

    async def open(self, request: Request, options: CallOptions = NO_OPTIONS) -> AsyncResponseBody:
        """The open body of an event stream, once its head has arrived."""
        call = prepare(request, self.settings, options)
        started = self._clock.monotonic()
        incoming = await self._drive(exchange(call, self._clock))
        try:
            _expect(incoming.response, call)
            return AsyncResponseBody(incoming.response, call.timeout, started=started, clock=self._clock.monotonic)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await incoming.response.aclose()
            raise

    def with_settings(self, settings: Settings) -> AsyncSession:
        """A session with other settings over the same connections, which stay this session's."""
        return AsyncSession(settings, self._http, sleep=self._sleep, clock=self._clock)

    @property
    def is_closed(self) -> bool:
        """Whether the connections have been closed, so that nothing more can be sent."""
        return bool(self._http.is_closed)

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owned:
            await self._http.aclose()

    async def _drive(self, course: Course) -> Incoming:
        outcome: object = None
        while True:
            try:
                step: Step = course.send(outcome)
            except StopIteration as end:
                return cast(Incoming, end.value)
            match step:
                case Send():
                    outcome = await self._send(step)
                case Wait():
                    outcome = await self._sleep(step.seconds)
                case FetchKey():
                    key = step.provider()
                    outcome = await key if inspect.isawaitable(key) else key

    async def _send(self, step: Send) -> Outcome:
        _refuse_closed(self._http)
        upload = step.outgoing.upload
        with upload.opened() if upload is not None else nullcontext() as file:
            request = _build(self._http, step, file)
            try:
                response = await self._http.send(request, **_send_options(step))
            except transport_errors() as cause:
                return translated(cause, _SENDING)
        if step.stream and response.is_success:
            return Incoming(response)
        try:
            return Incoming(response, await response.aread())
        except transport_errors() as cause:
            return translated(cause, "the reply broke off") if response.is_success else Incoming(response, b"")
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()


def _build(http: Any, step: Send, file: OpenFile | None) -> Any:
    """The library's own request object. Ids and keys are in it; it is never shown."""
    outgoing = step.outgoing
    request = http.build_request(
        outgoing.method,
        outgoing.url,
        params=outgoing.query or None,
        headers=dict(outgoing.headers),
        content=outgoing.content,
        files=None if file is None else {"file": file},
        data=None if outgoing.upload is None else dict(outgoing.upload.fields),
        timeout=(step.connect, step.read, step.read, step.read),
    )
    if step.within is not None:
        request.extensions["timeout"][DEADLINE] = time.monotonic() + step.within
    if not outgoing.trusted:
        _strip(request.headers, outgoing.headers)
    return request


def _strip(headers: Any, wanted: Mapping[str, str]) -> None:
    """Take away what the client adds to every request: it may be a credential, and this is another server."""
    for name in [*headers]:
        if name.lower() not in {*wanted, "host", "connection"}:
            del headers[name]


def _send_options(step: Send) -> dict[str, Any]:
    options: dict[str, Any] = {"stream": True, "follow_redirects": False}
    if not step.outgoing.trusted:
        options["auth"] = None
    return options


def _expect(response: Response, call: Call) -> None:
    """The head has come; from here on `read` limits the wait for each byte, and nothing else does."""
    limits = response.request.extensions.get("timeout")
    if isinstance(limits, dict):
        limits["read"] = call.timeout.read
        limits.pop(DEADLINE, None)


def _refuse_closed(http: Any) -> None:
    if http.is_closed:
        raise APIConnectionError("the client has been closed; nothing more can be sent with it")


def _reply(incoming: Incoming) -> Reply:
    return Reply(incoming.status, incoming.headers, incoming.content or b"")

"""Carries out the steps of `exchange` for a client, on threads and on event loops.

    request ──prepare──► call ──exchange──► Send, Wait, FetchKey …──► Reply, or an open body

This module decides nothing about retries, redirects or errors. The two classes differ only in how they wait.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import anyio.to_thread

from rx_assistant.api.request import Request
from rx_assistant.api.uploads import OpenFile
from rx_assistant.errors import (
    APIResponseValidationError,
    APITimeoutError,
    ConfigurationError,
    InvalidArgumentError,
    RxAssistantError,
)
from rx_assistant.hot import TIMERS
from rx_assistant.http.async_body import AsyncResponseBody
from rx_assistant.http.body import ResponseBody
from rx_assistant.http.call import Call, prepare
from rx_assistant.http.clients import (
    AsyncClients,
    GivenAsyncClient,
    GivenClient,
    OwnAsyncClients,
    OwnClients,
    SyncClients,
    closed_error,
)
from rx_assistant.http.connection import Abandoned, Abort, Connection, Opening
from rx_assistant.http.content import welcome_json
from rx_assistant.http.event_loops import span
from rx_assistant.http.exchange import Clock, Course, FetchKey, Incoming, Outcome, Send, Step, Wait, exchange, least
from rx_assistant.http.options import NO_OPTIONS, CallOptions
from rx_assistant.http.redaction import redact, secrets_in
from rx_assistant.http.settings import Settings
from rx_assistant.http.transports import (
    AsyncHTTP,
    Response,
    SyncHTTP,
    translated,
    transport_errors,
)

_SENDING = "no reply came"
_READING = "the reply broke off"


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply: its whole body and its headers."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The server's id of the request."""
        return self.headers.get("x-request-id")


class Session:
    """Sends requests from any thread, over owned httpx clients or over the client that was passed, which stays open."""

    def __init__(
        self,
        settings: Settings,
        client: SyncHTTP | None = None,
        *,
        sleep: Callable[[float], object] | None = None,
        clock: Clock | None = None,
        clients: SyncClients | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(settings.api_key):
            raise ConfigurationError("an async token provider needs AsyncAssistantClient")
        self.settings = settings
        self._clients = clients or (OwnClients() if client is None else GivenClient(client))
        self._owner = clients is None
        self._sleep = sleep
        self._clock = clock or Clock()

    def send(self, request: Request, options: CallOptions = NO_OPTIONS, abort: Abort | None = None) -> Reply:
        """The reply to a request. `abort` ends the call from any thread, and the call raises its reason."""
        abort = abort or Abort()
        call = prepare(request, self.settings, options)
        self._clients.begin(abort)
        try:
            return _reply(self._drive(exchange(call, self._clock), abort))
        finally:
            self._clients.end(abort)

    def open(self, request: Request, options: CallOptions = NO_OPTIONS, abort: Abort | None = None) -> ResponseBody:
        """The open body of an event stream, once its head has arrived. `abort` ends the call, and later the body."""
        abort = abort or Abort()
        call = prepare(request, self.settings, options)
        self._clients.begin(abort)
        try:
            started = self._clock.monotonic()
            incoming = self._drive(exchange(call, self._clock), abort)
            if request.takes_json:
                welcome_json(incoming.response)
            return self._body(incoming, call, started, abort)
        except BaseException:
            self._clients.end(abort)
            raise

    def _body(self, incoming: Incoming, call: Call, started: float, abort: Abort) -> ResponseBody:
        connection = cast(Connection, incoming.connection)

        def released() -> None:
            self._clients.give_back(connection)
            self._clients.end(abort)

        try:
            connection.learn(incoming.response)
            left = None if connection.has_socket else call.timeout.total  # else only the transport can end a read
            if left is not None:
                left = max(started + left - self._clock.monotonic(), 0.0)
            _limit_body(incoming.response, least(call.timeout.read, left))
            return ResponseBody(
                incoming.response,
                call.timeout,
                started=started,
                clock=self._clock.monotonic,
                abort=abort,
                released=released,
                client_closed=lambda: self.is_closed,
            )
        except BaseException:
            abort.let_go()
            incoming.response.close()
            self._clients.give_back(connection)
            raise

    def with_settings(self, settings: Settings) -> Session:
        """A session with other settings. It uses the connections of this session, and closing it leaves them open."""
        return Session(settings, sleep=self._sleep, clock=self._clock, clients=self._clients)

    @property
    def is_closed(self) -> bool:
        """Whether the connections have been closed, so that nothing more can be sent."""
        return self._clients.is_closed

    def close(self) -> None:
        """End all active calls and close the connections, unless the client was passed."""
        if self._owner:
            self._clients.close()

    def _drive(self, course: Course, abort: Abort) -> Incoming:
        outcome: object = None
        while True:
            try:
                step: Step = course.send(outcome)
            except StopIteration as end:
                return cast(Incoming, end.value)
            match step:
                case Send():
                    outcome = self._send(step, abort)
                case Wait():
                    outcome = (self._sleep or abort.pause)(step.seconds)
                case FetchKey():
                    outcome = step.provider()

    def _send(self, step: Send, abort: Abort) -> Outcome:
        connection = self._clients.take()
        cancel = _nothing if step.within is None else TIMERS.call_later(step.within, abort.cut)
        keep = False
        try:
            abort.hold(connection)
            with _opened(step) as file:
                outcome = self._outcome(step, abort, connection, file)
            abort.check()
            keep = isinstance(outcome, Incoming) and outcome.content is None
            return outcome
        except Exception:
            raise
        except BaseException:  # an interrupt
            connection.discard()
            raise
        finally:
            cancel()
            if not keep:
                abort.let_go()
                if not connection.is_left:
                    self._clients.give_back(connection)

    def _outcome(self, step: Send, abort: Abort, connection: Connection, file: OpenFile | None) -> Outcome:
        doing = _SENDING
        try:
            response = self._respond(step, abort, connection, file)
            if step.stream and response.is_success:
                return Incoming(response, connection=connection)
            try:
                doing = _READING
                connection.learn(response)
                return _read(response, step)
            finally:
                response.close()
        except Abandoned:
            return APITimeoutError(f"{doing} in time")
        except RxAssistantError:
            raise
        except transport_errors() as cause:
            return _late(doing, cause) if abort.was_cut else translated(cause, doing, secrets_in(step.outgoing.headers))

    def _respond(self, step: Send, abort: Abort, connection: Connection, file: OpenFile | None) -> Response:
        """The response's head. An owned connection is opened on another thread, so that the wait can be ended."""
        http = connection.http
        request = _build(http, step, file)
        request.extensions["trace"] = connection.trace

        def send() -> Response:
            return cast(Response, http.send(request, **_send_options(step)))

        if connection.is_open or not connection.owned:
            return send()
        return abort.run(send, connection, self._clients.give_back)


class AsyncSession:
    """Sends requests on asyncio and trio, over owned httpx clients or over the client that was passed."""

    def __init__(
        self,
        settings: Settings,
        client: AsyncHTTP | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        clock: Clock | None = None,
        clients: AsyncClients | None = None,
    ) -> None:
        self.settings = settings
        self._clients = clients or (OwnAsyncClients() if client is None else GivenAsyncClient(client))
        self._owner = clients is None
        self._sleep = sleep
        self._clock = clock or Clock()

    async def send(self, request: Request, options: CallOptions = NO_OPTIONS) -> Reply:
        """The reply to a request."""
        upload = request.upload
        if upload is not None and upload.blocks:
            await anyio.to_thread.run_sync(upload.read_whole, abandon_on_cancel=True)
        call = prepare(request, self.settings, options)
        return _reply(await self._drive(exchange(call, self._clock)))

    async def open(self, request: Request, options: CallOptions = NO_OPTIONS) -> AsyncResponseBody:
        """The open body of an event stream, once its head has arrived."""
        call = prepare(request, self.settings, options)
        started = self._clock.monotonic()
        incoming = await self._drive(exchange(call, self._clock))
        if request.takes_json:
            welcome_json(incoming.response)
        try:
            _limit_body(incoming.response, None)
            body = AsyncResponseBody(
                incoming.response,
                call.timeout,
                started=started,
                clock=self._clock.monotonic,
                released=self._clients.end,
                client_closed=self._was_closed,
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await incoming.response.aclose()
            raise
        self._clients.begin(body)
        return body

    def with_settings(self, settings: Settings) -> AsyncSession:
        """A session with other settings. It uses the connections of this session, and closing it leaves them open."""
        return AsyncSession(settings, sleep=self._sleep, clock=self._clock, clients=self._clients)

    @property
    def is_closed(self) -> bool:
        """Whether the connections have been closed, so that nothing more can be sent."""
        return self._clients.is_closed

    async def aclose(self) -> None:
        """End all active calls and close the connections, unless the client was passed."""
        if self._owner:
            await self._clients.aclose()

    def _was_closed(self) -> bool:
        return self._clients.is_closed

    async def _drive(self, course: Course) -> Incoming:
        call = _Scoped()
        self._clients.begin(call)
        try:
            with call.scope:
                return await self._steps(course)
        finally:
            self._clients.end(call)
        raise closed_error()

    async def _steps(self, course: Course) -> Incoming:
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
        http = self._clients.current()
        if step.within is None and step.outgoing.upload is None:
            return await self._outcome(step, http, None)
        with _opened(step) as file, anyio.move_on_after(step.within):
            return await self._outcome(step, http, file)
        return _late(_SENDING, None)

    async def _outcome(self, step: Send, http: Any, file: OpenFile | None) -> Outcome:
        doing = _SENDING
        try:
            request = _build(http, step, file)
            opening = request.extensions["trace"] = Opening()
            try:
                response = await http.send(request, **_send_options(step))
            except BaseException:
                await opening.aclose()
                raise
            if step.stream and response.is_success:
                return Incoming(response)
            try:
                doing = _READING
                return await _aread(response, step)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        except RxAssistantError:
            raise
        except transport_errors() as cause:
            return translated(cause, doing, secrets_in(step.outgoing.headers))
        except Exception as cause:
            if self._clients.has_moved:
                raise ConfigurationError(
                    "http_client must be used on one event loop only, got a second one: make one for each event loop, "
                    "or give none"
                ) from cause
            raise


class _Scoped:
    """A call up to the head of a stream, or to the end of any other reply."""

    def __init__(self) -> None:
        self.scope = span()

    async def end(self) -> None:
        self.scope.cancel()


@contextmanager
def _opened(step: Send) -> Iterator[OpenFile | None]:
    """The file to upload, if there is one."""
    upload = step.outgoing.upload
    if upload is None:
        yield None
    else:
        with upload.opened() as file:
            yield file


def _late(doing: str, cause: Exception | None) -> APITimeoutError:
    error = APITimeoutError(f"{doing} in time")
    error.__cause__ = cause
    return error


def _nothing() -> None:
    """Do nothing: no timer was set."""


def _build(http: Any, step: Send, file: OpenFile | None) -> Any:
    """The library's request object. It holds ids and keys, so no message shows it."""
    outgoing = step.outgoing
    try:
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
    except transport_errors() as cause:  # an address that is too long, a file that was closed
        words = str(cause)
        said = redact(words, secrets_in(outgoing.headers))
        raise InvalidArgumentError(f"the request cannot be sent: {said}") from (cause if said == words else None)
    if not outgoing.trusted:
        _strip(request.headers, outgoing.headers)
    return request


def _strip(headers: Any, wanted: Mapping[str, str]) -> None:
    """Remove the headers and cookies that the client adds to every request.

    They may be credentials, and this request goes to another server.
    """
    for name in [*headers]:
        if name.lower() not in {*wanted, "host", "connection"}:
            del headers[name]


def _send_options(step: Send) -> dict[str, Any]:
    options: dict[str, Any] = {"stream": True, "follow_redirects": False}
    if not step.outgoing.trusted:
        options["auth"] = None
    return options


def _limit_body(response: Response, read: float | None) -> None:
    """From now on, the transport waits at most `read` seconds for each chunk. None leaves the limit to the body."""
    limits = response.request.extensions.get("timeout")
    if isinstance(limits, dict):
        limits["read"] = read


def _read(response: Response, step: Send) -> Incoming:
    content = bytearray()
    try:
        for chunk in response.iter_bytes():
            content += chunk
            if _is_enough(content, response, step):
                break
    except transport_errors():
        if response.is_success:
            raise
    return _incoming(response, content)


async def _aread(response: Any, step: Send) -> Incoming:
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if _is_enough(content, response, step):
                break
    except transport_errors():
        if response.is_success:
            raise
    return _incoming(response, content)


def _is_enough(content: bytearray, response: Response, step: Send) -> bool:
    """Whether reading stops, because the reply is too long. Raises if a successful reply is too long."""
    if len(content) <= step.most or (step.any_size and response.is_success):
        return False
    if response.is_success:
        raise APIResponseValidationError(
            f"the reply must not be longer than max_reply_bytes = {step.most}; raise the limit if the server is right",
            body=None,
            content_type=response.headers.get("content-type"),
            request_id=response.headers.get("x-request-id"),
        )
    return True


def _incoming(response: Response, content: bytearray) -> Incoming:
    """The reply. Its response keeps the bytes that were read, because an error shows them."""
    kept = bytes(content)
    response._content = kept  # what `read()` of both libraries does
    return Incoming(response, kept)


def _reply(incoming: Incoming) -> Reply:
    return Reply(incoming.status, incoming.headers, incoming.content or b"")

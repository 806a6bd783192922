"""One request to a model server: the key goes only to its origin, and the body has an idle time limit."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, cast

from rx_assistant.dialects.frames import ChatFrames, Payload
from rx_assistant.dialects.refusals import Refusal, read_refusal
from rx_assistant.grace import KEPT_SECONDS
from rx_assistant.http.clients import KEPT, OwnAsyncClients, closed_error
from rx_assistant.http.event_loops import TimedWaits
from rx_assistant.http.redaction import redact
from rx_assistant.http.transports import is_final, translated, transport_errors
from rx_assistant.local.json_text import JsonObject

Reply = Any
"""A response of httpx, whose body has not been read."""

_CONNECTING: Final = 10.0
_REFUSAL_BYTES: Final = 256 * 2**10


class UnreachableError(Exception):
    """The model server gave no reply. The message has the reason, without the key. `may_pass`: a retry may succeed."""

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class Calls:
    """Requests to the model server at `base_url`. Redirects are not followed, so the key goes to no other server."""

    def __init__(self, base_url: str, api_key: str | None, silence: float) -> None:
        self.base_url = base_url
        self.silence = silence
        self._clients = _Clients()
        self._busy: dict[Reply, OwnAsyncClients] = {}
        self._secrets = [api_key] if api_key else []

    async def send(self, path: str, body: JsonObject) -> Reply:
        """The reply, as soon as its head has arrived; `close` it. UnreachableError if no reply arrives."""
        clients = await self._clients.take()
        try:
            reply = await self._sent(clients.current(), path, body)
        except BaseException:
            self._clients.give_back(clients)
            raise
        self._busy[reply] = clients
        return reply

    async def close(self, reply: Reply) -> None:
        """Close a reply. Its connection serves another call if the body was read to its end."""
        try:
            await reply.aclose()
        finally:
            if (clients := self._busy.pop(reply, None)) is not None:
                self._clients.give_back(clients)

    async def _sent(self, http: Any, path: str, body: JsonObject) -> Reply:
        headers = {"accept": "text/event-stream, application/json", "accept-encoding": "identity"}
        if self._secrets:
            headers["authorization"] = f"Bearer {self._secrets[0]}"
        try:
            timeouts = (_CONNECTING, None, None, None)
            request = http.build_request("POST", f"{self.base_url}{path}", json=body, headers=headers, timeout=timeouts)
            async with asyncio.timeout(self.silence):
                return await http.send(request, stream=True)
        except TimeoutError:
            raise UnreachableError(
                f"the model's server did not answer within {self.silence:g} s", may_pass=False
            ) from None
        except transport_errors() as error:
            told = translated(error, "the model's server cannot be reached", self._secrets)
            raise UnreachableError(str(told), may_pass=not is_final(told)) from None

    async def refusal(self, reply: Reply) -> Refusal:
        """The error in a reply with a status of 300 or more. The connection can be reused afterwards."""
        content = b""
        try:
            async with asyncio.timeout(min(self.silence, _CONNECTING)):
                async for chunk in reply.aiter_bytes():
                    content += chunk
                    if len(content) > _REFUSAL_BYTES:
                        break
        except transport_errors():  # a TimeoutError is an OSError
            pass
        finally:
            await self.close(reply)
        if 300 <= reply.status_code < 400:
            content = b"a redirect, which is not followed: give its target as the base URL"
        return read_refusal(reply.status_code, redact(content.decode("utf-8", "replace"), self._secrets).encode())

    async def payloads(self, reply: Reply, patience: Callable[[], float]) -> AsyncGenerator[list[Payload], None]:
        """The frames that each chunk of the body completes, until the body ends or breaks off.

        TimeoutError if no payload arrives for `patience()` seconds. Comments do not count.
        """
        frames = ChatFrames()
        heard, most = time.monotonic(), patience()
        limit = TimedWaits(lambda: heard + most - time.monotonic())
        try:
            async with aclosing(_chunks(reply)) as chunks:
                while True:
                    with limit:
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    if found := frames.push(chunk):
                        yield found
                        heard, before, most = time.monotonic(), most, patience()
                        if most < before:
                            limit.reconsider()
        except TimeoutError:
            raise
        except transport_errors():
            pass  # the reader knows how much of the answer arrived
        finally:
            limit.stop()
            await self.close(reply)
        if found := frames.end():
            yield found

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        await self._clients.aclose([*self._busy.values()])


class _Clients:
    """HTTP clients, each for one call at a time, as on threads.

    httpcore scans a whole pool at the beginning and the end of each request. In one pool, the runs that end together
    would hold up each other's last text.
    """

    def __init__(self) -> None:
        self._idle: deque[tuple[float, OwnAsyncClients]] = deque([(time.monotonic(), OwnAsyncClients())])
        self._is_closed = False

    async def take(self) -> OwnAsyncClients:
        """The most recently used client, or a new one. APIConnectionError after `aclose()`."""
        if self._is_closed:
            raise closed_error()
        clients = self._idle.pop()[1] if self._idle else OwnAsyncClients()
        before = time.monotonic() - KEPT_SECONDS
        try:
            while self._idle and (len(self._idle) > KEPT or self._idle[0][0] < before):
                await self._idle.popleft()[1].aclose()
        except BaseException:  # the call was cancelled meanwhile
            self.give_back(clients)
            raise
        return clients

    def give_back(self, clients: OwnAsyncClients) -> None:
        """The call has ended."""
        if not clients.is_closed:
            self._idle.append((time.monotonic(), clients))

    async def aclose(self, busy: list[OwnAsyncClients]) -> None:
        """Close all clients."""
        self._is_closed = True
        while self._idle:
            busy.append(self._idle.pop()[1])
        for clients in busy:
            await clients.aclose()


def _chunks(reply: Reply) -> AsyncGenerator[bytes, None]:
    """The body as it arrives. Without decoding, httpx reads it at half the cost."""
    coding = reply.headers.get("content-encoding", "identity")
    return cast("AsyncGenerator[bytes, None]", aiter(reply.stream) if coding == "identity" else reply.aiter_bytes())

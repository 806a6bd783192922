"""EventStreamResponse: a stream as the response of Starlette and FastAPI."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

import anyio
from starlette.responses import Response

from rx_assistant.web.event_stream import HEARTBEAT, RETRY, AsyncEventStream
from rx_assistant.web.reading import Protocol, Source, checked_source, new_encoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.background import BackgroundTask
    from starlette.types import Receive, Scope, Send

_log = logging.getLogger("rx_assistant")


class EventStreamResponse(Response):
    """A stream as server-sent events, for one browser.

        @app.get("/runs/{key}")
        async def events(key: str) -> Response:
            return EventStreamResponse(streams[key], protocol="ag_ui")

    A browser that reconnects continues after its `Last-Event-ID`, or after `?starting_after=`. A browser that has
    everything gets 204, so it stops. `stream` is of either kind, or a function that returns the stream after a cursor.
    The stream is read for as long as it has browsers or other readers: when the last one has left, its `on_idle`
    applies.

    A comment is sent after `heartbeat` seconds of silence. `retry` seconds after a break a browser reconnects. A
    browser that takes nothing for `send_timeout` seconds is dropped, and the reason is logged. `headers` are added.
    """

    def __init__(
        self,
        stream: Source,
        protocol: Protocol = "assistants",
        *,
        heartbeat: float = HEARTBEAT,
        retry: float | None = RETRY,
        send_timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        if not (isinstance(send_timeout, int | float) and send_timeout > 0):
            raise ValueError(f"send_timeout must be a number of seconds above 0, got {send_timeout!r}")
        if headers is not None and not isinstance(headers, Mapping):
            raise TypeError(f"headers must be a mapping of names to texts, got {headers!r:.80}")
        checked_source(stream)
        new_encoder(protocol)
        self.status_code = 200
        self.background = background
        self.body = b""
        self.init_headers(headers)
        self._stream = stream
        self._options: dict[str, Any] = {"protocol": protocol, "heartbeat": heartbeat, "retry": retry}
        self._send_timeout = send_timeout

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Store the given headers; the headers of the stream are added with its status."""
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = AsyncEventStream(self._stream, after=_cursor_in(scope), **self._options)
        own = {name for name, _ in self.raw_headers}
        added = [(name.encode(), value.encode()) for name, value in body.headers.items() if name.encode() not in own]
        try:
            await send({"type": "http.response.start", "status": body.status, "headers": [*self.raw_headers, *added]})
            if scope["method"] == "HEAD" or body.status == 204:
                await send({"type": "http.response.body", "body": b""})
            else:
                await self._send_all(body, receive, send)
        except OSError:
            pass  # the browser has left
        finally:
            body.close()
        if self.background is not None:
            await self.background()

    async def _send_all(self, body: AsyncEventStream, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(leave)
            try:
                async with aclosing(cast("AsyncGenerator[bytes]", aiter(body))) as chunks:
                    async for chunk in chunks:
                        if not await self._sent({"body": chunk, "more_body": True}, send):
                            return
                await self._sent({"body": b"", "more_body": False}, send)
            except OSError:
                pass  # the browser has left
            finally:
                tasks.cancel_scope.cancel()

    async def _sent(self, message: dict[str, Any], send: Send) -> bool:
        """Send, but close the connection if the browser takes nothing for too long."""
        with anyio.move_on_after(self._send_timeout) as waiting:
            await send({"type": "http.response.body", **message})
        if waiting.cancelled_caught:
            _log.warning("a browser took nothing for %g seconds and was dropped", self._send_timeout)
        return not waiting.cancelled_caught


def _cursor_in(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return bytes(value).decode("latin-1") or None
    found = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1")).get("starting_after")
    return found[0] if found else None

"""Streams as bodies of responses: `EventStream` on a thread and as a WSGI application, `AsyncEventStream` in a task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import anyio

from rx_assistant.hot import AsyncStream, Sleepers
from rx_assistant.schedulers import LoopWaker, current_event_loop
from rx_assistant.web.reading import (
    HEADERS,
    PING,
    Place,
    Protocol,
    Reading,
    Refused,
    Source,
    checked_source,
    new_encoder,
    place_of,
)

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies close connections that are silent for a minute."""

RETRY = 2.0
"""Seconds after which a browser reconnects."""


class _Body:
    """The common part of both kinds: the status, the headers and the first bytes."""

    def __init__(
        self,
        stream: Source,
        *,
        protocol: Protocol = "assistants",
        after: str | None = None,
        heartbeat: float = HEARTBEAT,
        retry: float | None = RETRY,
    ) -> None:
        if not (isinstance(heartbeat, int | float) and heartbeat > 0):
            raise ValueError(f"heartbeat must be a number of seconds above 0, got {heartbeat!r}")
        if retry is not None and not (isinstance(retry, int | float) and retry >= 0):
            raise ValueError(f"retry must be a number of seconds, 0 or more, got {retry!r}")
        if after is not None and not isinstance(after, str):
            raise TypeError(f"after must be a text, the browser's Last-Event-ID, got {after!r:.80}")
        checked_source(stream)
        self._heartbeat = heartbeat
        self._greeting = PING if retry is None else b"retry: %d\n\n" % (retry * 1000)
        self._reading: Reading | None = None
        self._refusal = ""
        self.status = 200
        """204 for a browser that has everything, 400 for a text that is not a cursor, 410 for a cursor too old."""
        encoder = new_encoder(protocol)
        self.headers: dict[str, str] = {**HEADERS, **encoder.headers}
        """The headers of the response."""
        try:
            self._reading = Reading(stream, encoder, _place(after))
        except Refused as refused:
            self.status, self._refusal = refused.status, str(refused)
            self.headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}

    def close(self) -> None:
        """Leave the stream: its `on_idle` applies if this was its last reader. Idempotent."""
        if self._reading is not None:
            self._reading.close()


def _place(after: str | None) -> Place | None:
    return None if not after else place_of(after)


class EventStream(_Body):
    """A stream as server-sent events: an iterable of bytes, to be read on a thread, and a WSGI application.

        return EventStream(stream)                                           # a view of Flask

        body = EventStream(stream, after=request.headers.get("Last-Event-ID"))      # a view of Django
        return StreamingHttpResponse(body, status=body.status, headers=body.headers)

    Leaving the loop, or `close()`, which WSGI servers call, leaves the stream. `after` is the cursor of a browser that
    reconnects; as an application it is read from the request: `Last-Event-ID`, or `?starting_after=`. A comment is sent
    after `heartbeat` seconds of silence. `retry` seconds after a break a browser reconnects.

    Raises:
        TypeError: the stream is asynchronous. An AsyncEventStream serves both kinds.
    """

    def __init__(self, stream: Source, *, after: str | None = None, **options: Any) -> None:
        if isinstance(stream, AsyncStream):
            raise TypeError("an EventStream must be given a synchronous stream: use an AsyncEventStream for this one")
        self._new: Callable[[str | None], EventStream] = lambda after: EventStream(stream, after=after, **options)
        super().__init__(stream, after=after, **options)

    def __iter__(self) -> Iterator[bytes]:
        reading = self._reading
        if reading is None:
            yield self._refusal.encode()
            return
        sleepers = Sleepers()
        try:
            yield self._greeting
            reading.open(sleepers.wake)
            while not reading.is_over:
                chunk = reading.ready()
                if chunk:
                    yield chunk
                elif not reading.is_over and not sleepers.sleep(lambda: reading.has_more, self._heartbeat):
                    yield PING
        finally:
            reading.close()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        """Answer one WSGI request."""
        query = parse_qs(environ.get("QUERY_STRING", ""))
        body = self._new(environ.get("HTTP_LAST_EVENT_ID") or query.get("starting_after", [None])[0])
        status = HTTPStatus(body.status)
        start_response(f"{status.value} {status.phrase}", list(body.headers.items()))
        if environ.get("REQUEST_METHOD") == "HEAD" or body.status == 204:
            body.close()
            return iter(())
        return iter(body)


class AsyncEventStream(_Body):
    """A stream of either kind as server-sent events: an asynchronous iterable of bytes, for asyncio and trio.

        body = AsyncEventStream(stream, after=request.headers.get("Last-Event-ID"))      # an async view of Django
        return StreamingHttpResponse(body, status=body.status, headers=body.headers)

    The options are those of EventStream.
    """

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reading = self._reading
        if reading is None:
            yield self._refusal.encode()
            return
        waker = LoopWaker(current_event_loop())
        try:
            yield self._greeting
            reading.open(waker.wake)
            while not reading.is_over:
                chunk = reading.ready()
                if chunk:
                    yield chunk
                    continue
                if not reading.is_over and not await self._comes(reading, waker):
                    yield PING
        finally:
            reading.close()

    async def _comes(self, reading: Reading, waker: LoopWaker) -> bool:
        """Wait for more, at most until the next heartbeat; returns whether there is more."""
        end = anyio.current_time() + self._heartbeat
        while not reading.has_more and (left := end - anyio.current_time()) > 0:
            await waker.sleep(left)
        return reading.has_more

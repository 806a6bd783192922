"""Replies on the wire: JSON, and event streams that end with their frame log or when the reader disconnects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rx_assistant.http.event_loops import TimedWaits
from rx_assistant.local import json_text
from rx_assistant.local.frame_log import CutError, FrameLog
from rx_assistant.local.machine import OWN_SERVER

_SIGNATURE = (b"x-request-id", b"server", b"openai-version", b"openai-processing-ms")
EVENT_STREAM = "text/event-stream; charset=utf-8"


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as one line of JSON."""
    return Response(json_text.encode(value), status, headers, media_type="application/json")


def sign(response: Response, request_id: str, started: float) -> None:
    """The headers that every reply carries."""
    spent = round((time.perf_counter() - started) * 1000)
    values = (request_id.encode(), OWN_SERVER.encode(), b"2020-10-01", b"%d" % spent)
    others = [pair for pair in response.raw_headers if pair[0] not in _SIGNATURE]
    response.raw_headers[:] = [*others, *zip(_SIGNATURE, values, strict=True)]


class Readers:
    """Counts the streams that are being read, and waits until the count is 0."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self.count += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self._none.set()

    async def gone(self) -> None:
        """Returns once no stream is being read."""
        await self._none.wait()


class EventStreamReply(Response):
    """Sends the frames of a log. The reply ends if the reader disconnects or takes nothing for `write_timeout` seconds.

    The run does not notice.
    """

    def __init__(self, frames: FrameLog, readers: Readers, write_timeout: float) -> None:
        super().__init__(headers={"content-type": EVENT_STREAM, "cache-control": "no-cache"})
        del self.headers["content-length"]
        self._frames = frames
        self._readers = readers
        self._write_timeout = write_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)  # a run that has just begun goes on to its first text, or until it waits
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.ensure_future(disconnected(receive))
        gone.add_done_callback(self._wake)
        with self._readers:
            try:
                await self._pump(send, gone)
            finally:
                gone.cancel()

    def _wake(self, gone: asyncio.Task[None]) -> None:
        """The reader has left: let the pump see it."""
        if not gone.cancelled():
            gone.exception()  # however it ended
            self._frames.wake()

    async def _pump(self, send: Send, gone: asyncio.Task[None]) -> None:
        """Without the last, empty chunk, the client knows that the body is incomplete."""
        since = 0.0
        limit = TimedWaits(lambda: since + self._write_timeout - time.monotonic())

        async def pass_on(body: bytes, more: bool) -> None:
            nonlocal since
            since = time.monotonic()
            with limit:
                await send({"type": "http.response.body", "body": body, "more_body": more})

        try:
            async with aclosing(self._frames.read(gone.done)) as frames:
                async for frame in frames:
                    await pass_on(frame, True)
                    if gone.done():
                        return
            if not gone.done():
                await pass_on(b"", False)
        except (CutError, TimeoutError):
            return
        finally:
            limit.stop()


async def disconnected(receive: Receive) -> None:
    """Returns once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass

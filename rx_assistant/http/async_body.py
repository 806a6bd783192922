"""The open body of an event stream, read by one task and closed by any, on asyncio and trio.

The same as `body`, in the other colour. Closing ends a read by closing the connection, if it is this response's alone
and no time limit needs a cancel scope anyway; otherwise by cancelling the read, so that it works on HTTP/2 too. Another
thread needs the socket (`close_soon`). A read that was cancelled from outside ends the body for everybody:
the transports close such a response, and would even report a clean end afterwards.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable

import anyio

from rx_assistant.errors import RxAssistantError, StreamCancelledError, StreamClosedError
from rx_assistant.http.body import FINISH_BYTES, FINISH_SECONDS
from rx_assistant.http.content import EventStreamContent
from rx_assistant.http.cutting import Cutter
from rx_assistant.http.deadlines import Deadlines, Limit
from rx_assistant.http.source import BODY, AsyncSource
from rx_assistant.http.timeouts import Timeout
from rx_assistant.http.transports import Response, translated, transport_errors

CLOSE_SECONDS = 2.0

_log = logging.getLogger("rx_assistant.http")


class AsyncResponseBody:
    """An open response of httpx or httpx2, as the body of an event stream."""

    def __init__(
        self,
        response: Response,
        timeout: Timeout,
        *,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.request_id: str | None = response.headers.get("x-request-id")
        self._response = response
        self._content = EventStreamContent(response)
        self._source: AsyncSource = response.extensions.get(BODY) or _Iterated(response)
        self._cutter = Cutter(response)
        self._deadlines = Deadlines(timeout, clock, started)
        self._clock = clock
        self._network = response.extensions.get("network_stream") if self._cutter.possible else None
        self._reading = False
        self._scope: anyio.CancelScope | None = None
        self._gone: anyio.Event | None = None
        self._ended = False
        self._closed = False
        self._released = False
        self._failure: RxAssistantError | None = None

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises our errors only, and the same again when called again."""
        while (raw := await self._pull()) is not None:
            if self._content.passes and raw:
                return raw
            try:
                chunk = self._content.feed(raw)
            except RxAssistantError as error:
                await self._give_up(error)
                raise
            if chunk:
                return chunk
        self._content.end()
        return b""

    def saw_event(self) -> None:
        """The last bytes held an event: the limits on waiting for one start over."""
        if not self._deadlines.unlimited:
            self._deadlines.saw_event()

    async def finish(self) -> None:
        """The stream has said all: read what is left, within bounds, so that the connection can be used again."""
        if not self._source.is_over:
            await self._read_rest(FINISH_BYTES)
        await self.aclose()

    async def _read_rest(self, most: int) -> None:
        self._deadlines.finish_within(FINISH_SECONDS)
        try:
            while most > 0 and (chunk := await self._pull()) is not None:
                most -= len(chunk)
        except RxAssistantError:
            pass

    async def aclose(self) -> None:
        """Stop, from any task of the loop; a waiting `read()` ends."""
        self._closed = True
        if not self._reading:
            await self._release()
            return
        gone = self._gone = self._gone or anyio.Event()
        if self._scope is not None:
            self._scope.cancel()
        elif self._network is not None:
            await self._network.aclose()
        with anyio.move_on_after(CLOSE_SECONDS):
            await gone.wait()

    def close_soon(self) -> None:
        """Stop, from any thread, and return at once. A waiting `read()` ends where the socket is ours alone."""
        self._closed = True
        self._cutter.cut()

    async def _pull(self) -> bytes | None:
        """The next raw chunk, None at the end."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise self._closed_error()
        if self._released:
            return None
        limit = None if self._deadlines.unlimited else await self._begin()
        chunk: bytes | None = None
        self._reading = True
        try:
            if limit is None and self._network is not None:
                chunk = await self._source.read()
                self._ended = chunk is None
            else:
                with _until(limit, self._clock) as self._scope:
                    chunk = await self._source.read()
                    self._ended = chunk is None
        except transport_errors() as cause:
            raise self._fail(translated(cause, "the connection broke while events were read")) from cause
        except BaseException:
            self._fail(StreamCancelledError("the task that read the stream was cancelled", request_id=self.request_id))
            raise
        finally:
            self._scope = None
            self._reading = False
            if not self._deadlines.unlimited:
                self._deadlines.end_read()
            if self._ended or self._closed or self._failure is not None:
                await self._release()
        if self._closed or (chunk is None and not self._ended):
            late = limit.error() if limit is not None and not self._closed else None
            raise await self._give_up(late or self._closed_error())
        return chunk

    async def _begin(self) -> Limit | None:
        """A read with limits begins; gives the one that it meets first."""
        passed = self._deadlines.passed()
        if passed is not None:
            raise await self._give_up(passed)
        self._deadlines.begin_read()
        return self._deadlines.nearest()

    def _closed_error(self) -> StreamClosedError:
        return StreamClosedError("the stream was closed", request_id=self.request_id)

    def _fail(self, error: RxAssistantError) -> RxAssistantError:
        """Remember how the body ended: by being closed, or else by this error."""
        if self._failure is None:
            self._failure = self._closed_error() if self._closed else error
        return self._failure

    async def _give_up(self, error: RxAssistantError) -> RxAssistantError:
        failure = self._fail(error)
        await self._release()
        return failure

    async def _release(self) -> None:
        """Give the connection back if it is at its end, else up; also while the task is being cancelled."""
        if self._released:
            return
        self._released = True
        self._cutter.release()
        try:
            if isinstance(self._source, _Iterated):
                with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                    await self._source.unwind()
                    await self._response.aclose()
            else:
                await self._response.aclose()  # a transport of ours waits for nobody, and shields what it does
        except Exception as error:
            _log.debug("closing a response raised %r", error)
        if self._gone is not None:
            self._gone.set()


class _Iterated:
    """A response of any transport, read through the nested generators of its library."""

    def __init__(self, response: Response) -> None:
        self._chunks: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type]
        self.is_over = False  # only a read can tell

    async def read(self) -> bytes | None:
        return await anext(self._chunks, None)

    async def unwind(self) -> None:
        """End the generators from within, by a cancelled read: none is left to the collector."""
        most = FINISH_BYTES
        with anyio.CancelScope() as scope:
            scope.cancel()
            async for chunk in self._chunks:
                most -= len(chunk)
                if most < 0:
                    break
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


def _until(limit: Limit | None, clock: Callable[[], float]) -> anyio.CancelScope:
    """A scope for one read, in which it is cancelled when its limit passes."""
    if limit is None:
        return anyio.CancelScope()
    return anyio.CancelScope(deadline=anyio.current_time() + limit.due - clock())

"""The open body of an event stream on asyncio and trio. One task reads it, and any task may close it.

`body.BodyState` decides, and this module waits. `event_loops` ends a wait at its time limit and at `aclose()`. If the
reading task is cancelled, the body ends for all readers, because the transport closes the response. Afterwards it would
even report a good end, so the cancellation is stored before the next read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import anyio

from rx_assistant.errors import RxAssistantError
from rx_assistant.grace import CLOSE_SECONDS, FINISH_SECONDS
from rx_assistant.http.body import FINISH_BYTES, BodyState
from rx_assistant.http.event_loops import waits
from rx_assistant.http.timeouts import Timeout
from rx_assistant.http.transports import Response, transport_errors

_log = logging.getLogger("rx_assistant.http")


class AsyncResponseBody:
    """An open response of httpx or httpx2, as the body of an event stream."""

    __slots__ = (
        "_chunks",
        "_ends_empty",
        "_gone",
        "_next",
        "_on_release",
        "_response",
        "_state",
        "_waits",
        "request_id",
    )

    def __init__(
        self,
        response: Response,
        timeout: Timeout,
        *,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        released: Callable[[AsyncResponseBody], None] | None = None,
        client_closed: Callable[[], bool] | None = None,
    ) -> None:
        """`released` is called when the response is closed.

        `client_closed` returns whether the client of the response has been closed.
        """
        self._response = response
        self._state = BodyState(response, timeout, started, clock, read=timeout.read, client_closed=client_closed)
        self.request_id = self._state.request_id
        self._on_release = released
        stream: Any = response.stream
        # httpx's wrapper adds a generator and a coroutine to each chunk; a tool's wrapper is kept
        read = getattr(getattr(stream, "_stream", None), "read_any", None)
        self._ends_empty = read is not None
        self._chunks: AsyncIterator[bytes] = aiter(stream if read is None else stream._stream)
        self._waits = waits(self._state.left)
        self._next = self._waits.around(read or self._chunks.__anext__)
        self._gone: anyio.Event | None = None

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises only errors of this package; further calls raise the same error."""
        chunks: list[bytes] = []
        await self.pour(chunks.append)
        return chunks[0] if chunks else b""

    async def pour(self, take: Callable[[bytes], object]) -> bool:
        """Pass the bytes to `take` as they arrive, until it returns a false value. False at the end of the body.

        Raises only errors of this package, and the exceptions of `take`. Further calls raise the same error.
        """
        state, following, ends_empty, clock = self._state, self._next, self._ends_empty, self._state.clock
        steady = False
        try:
            while True:
                if not steady or state.is_over:
                    if not state.begin():
                        return False
                    self._waits.begin()
                    steady = state.is_steady
                else:
                    state.since = clock()
                try:
                    raw = await following()
                except StopAsyncIteration:
                    raw = None
                except BaseException as cause:
                    error = self._error(cause)
                    if error is None:
                        raise
                    raise error from error.__cause__
                if ends_empty and not raw:
                    raw = None
                chunk = raw if raw is not None and steady and not state.closed else state.take(raw)
                if chunk and not take(chunk):
                    return True
        finally:
            if state.since is not None:
                state.end()
            if state.is_over:
                await self._release()

    def _error(self, cause: BaseException) -> RxAssistantError | None:
        """The error for the exception that ended a wait; None if the task was cancelled: the exception goes on."""
        state = self._state
        if self._waits.were_interrupted(cause):
            return state.interrupted()
        if isinstance(cause, transport_errors()):
            return state.broke(cause)
        state.cancelled("the task that read the stream was cancelled")
        return None

    @property
    def counts_events(self) -> bool:
        """Whether `saw_event` has an effect."""
        return self._state.deadlines.counts

    def saw_event(self) -> None:
        """The last bytes held an event: the time limits between events start again."""
        deadlines = self._state.deadlines
        if deadlines.counts and deadlines.saw_event():
            self._waits.reconsider()

    async def finish(self) -> None:
        """The stream has ended: read what is left, within bounds, so that the connection can be used again."""
        state = self._state
        if not state.ended and self._is_at_end():
            with suppress(RxAssistantError):
                state.take(None)
        elif not state.ended:
            state.deadlines.finish_within(FINISH_SECONDS)
            self._waits.reconsider()
            await self._read_rest(FINISH_BYTES)
        await self.aclose()

    def _is_at_end(self) -> bool:
        """Whether the end of the body has already arrived, so that no wait is needed."""
        chunks: Any = self._chunks
        return self._ends_empty and bool(chunks.is_at_end())

    async def _read_rest(self, most: int) -> None:
        try:
            while most > 0 and (chunk := await self.read()):
                most -= len(chunk)
        except RxAssistantError:
            pass

    async def aclose(self) -> None:
        """Stop reading; a waiting `read()` ends. Usable from any task of the loop."""
        if not self._state.close():
            await self._release()
            return
        gone = self._gone = self._gone or anyio.Event()
        self._waits.interrupt()
        with anyio.move_on_after(CLOSE_SECONDS):
            await gone.wait()

    async def end(self) -> None:
        """`aclose()`, when the client is closed."""
        await self.aclose()

    def close_soon(self) -> None:
        """Allow no further read, from any thread. The loop closes the response."""
        self._state.close()

    async def _release(self) -> None:
        """Close the response, also while the task is being cancelled."""
        state = self._state
        if state.released:
            return
        state.released = True
        self._waits.stop()
        try:
            if state.ended and self._ends_empty:  # aiohttp releases the connection before its first wait
                await self._response.aclose()
            else:
                with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                    if not state.ended:
                        await self._unwind()
                    await self._response.aclose()
        except Exception as error:
            _log.debug("closing a response raised %r", error)
        finally:
            if self._on_release is not None:
                self._on_release(self)
            if self._gone is not None:
                self._gone.set()

    async def _unwind(self) -> None:
        """End the transport's generators by a cancelled read, so that none is left to the garbage collector."""
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

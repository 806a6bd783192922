"""The open body of an event stream, read by one thread and closed by any.

What a pump sees of it: `read()` for the next bytes, `saw_event()` to say that they held an event, `finish()` once
the stream has said all, `close()` to stop. Whoever is last releases the response: `close()` does so itself when
nobody is reading; otherwise it cuts the connection, and the reader, whose read ends at once, cleans up. On HTTP/2,
and where there is no socket, the reader notices at its next chunk or time limit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import RLock

from rx_assistant.errors import RxAssistantError, StreamCancelledError, StreamClosedError
from rx_assistant.http.content import EventStreamContent
from rx_assistant.http.cutting import Cutter
from rx_assistant.http.deadlines import Deadlines
from rx_assistant.http.source import BODY, Source
from rx_assistant.http.timeouts import Timeout
from rx_assistant.http.transports import Response, translated, transport_errors
from rx_assistant.http.watchdog import Watchdog

FINISH_SECONDS = 0.5
FINISH_BYTES = 64 * 1024

_log = logging.getLogger("rx_assistant.http")


class ResponseBody:
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
        self._source: Source = response.extensions.get(BODY) or _Iterated(response)
        self._cutter = Cutter(response)
        self._deadlines = Deadlines(timeout, clock, started)
        self._watchdog = Watchdog(self._expire, clock)
        self._lock = RLock()
        self._reading = False
        self._closed = False
        self._released = False
        self._late: RxAssistantError | None = None
        self._failure: RxAssistantError | None = None

    def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises our errors only, and the same again when called again."""
        while (raw := self._pull()) is not None:
            if self._content.passes and raw:
                return raw
            try:
                chunk = self._content.feed(raw)
            except RxAssistantError as error:
                self._give_up(error)
                raise
            if chunk:
                return chunk
        self._content.end()
        return b""

    def saw_event(self) -> None:
        """The last bytes held an event: the limits on waiting for one start over."""
        with self._lock:
            self._deadlines.saw_event()

    def finish(self) -> None:
        """The stream has said all: read what is left, within bounds, so that the connection can be used again."""
        if self._cutter.possible:
            with self._lock:
                self._deadlines.finish_within(FINISH_SECONDS)
            self._drain(FINISH_BYTES)
        self.close()

    def close(self) -> None:
        """Stop, from any thread, and return at once; a blocked `read()` ends."""
        with self._lock:
            self._closed = True
            reading = self._reading
        if reading:
            self._cutter.cut()
        else:
            self._release()

    def _pull(self) -> bytes | None:
        """The next raw chunk, None at the end."""
        if not self._begin():
            return None
        try:
            chunk = self._source.read()
        except transport_errors() as cause:
            raise self._fail(translated(cause, "the connection broke while events were read")) from cause
        except BaseException as cause:
            self._fail(StreamCancelledError(f"reading was interrupted by {type(cause).__name__}"))
            raise
        finally:
            self._end()
        if self._closed or (chunk is None and self._late is not None):
            raise self._fail(StreamClosedError("the stream was closed"))
        if chunk is None:
            self._release()
        return chunk

    def _begin(self) -> bool:
        """Claim the body for one read; False when it is at its end. Earlier failures are raised again."""
        with self._lock:
            self._raise_if_over()
            if self._released:
                return False
            passed = self._deadlines.passed()
            self._deadlines.begin_read()
            self._reading = passed is None
            limit = self._deadlines.nearest()
        if passed is not None:
            raise self._give_up(passed)
        if limit is not None:
            self._watchdog.arm(limit.due)
        return True

    def _raise_if_over(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise StreamClosedError("the stream was closed", request_id=self.request_id)

    def _end(self) -> None:
        """A read is over. If the body was closed meanwhile, or broke, it is released here."""
        with self._lock:
            self._reading = False
            self._deadlines.end_read()
            over = self._closed or self._failure is not None
        self._watchdog.disarm()
        if over:
            self._release()

    def _expire(self) -> None:
        """Called by the watchdog: if a limit has passed, remember which one, and end the read."""
        with self._lock:
            passed = self._deadlines.passed()
            if self._reading and passed is not None:
                self._late = passed
                self._cutter.cut()

    def _fail(self, error: RxAssistantError) -> RxAssistantError:
        """Remember how the body ended: by a limit, by being closed, or else by this error."""
        with self._lock:
            if self._failure is None:
                closed = StreamClosedError("the stream was closed", request_id=self.request_id)
                self._failure = self._late or (closed if self._closed else error)
            return self._failure

    def _give_up(self, error: RxAssistantError) -> RxAssistantError:
        failure = self._fail(error)
        self._release()
        return failure

    def _drain(self, most: int) -> None:
        try:
            while most > 0 and (chunk := self._pull()) is not None:
                most -= len(chunk)
        except RxAssistantError:
            pass

    def _release(self) -> None:
        """Give the connection back if it is at its end, else up. No lock is held while the transport works."""
        with self._lock:
            if self._released:
                return
            self._released = True
        self._watchdog.stop()
        self._cutter.release()
        try:
            if isinstance(self._source, _Iterated):
                self._source.close()
            self._response.close()
        except Exception as error:
            _log.debug("closing a response raised %r", error)


class _Iterated:
    """A response of any transport, read through the nested generators of its library."""

    def __init__(self, response: Response) -> None:
        self._chunks: Iterator[bytes] = iter(response.stream)  # type: ignore[arg-type]

    def read(self) -> bytes | None:
        return next(self._chunks, None)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()

"""The open body of an event stream: its state, and the class that reads it on threads.

A pump calls `read()` for the next bytes, `saw_event()` when they held an event, `finish()` once the stream has ended,
and `close()` to stop. `BodyState` decides. A face (`ResponseBody`, `AsyncResponseBody`) waits for chunks and releases
the response. One read goes like this:

    begin() ──False──► b"": the body is at its end
       │    ──raises─► the error that ended the body, the same one each time
       ▼
    the face waits for a chunk ──► take(chunk) ──► bytes for the pump, or b"": begin again
       │                           take(None)  ──► the end of the body
       ├── the transport raised ─► broke(cause)  ──┐
       ├── a limit or close() ───► interrupted() ──┼──► end(): the wait is over
       └── anything else ────────► cancelled(text) ┘
       ▼
    if `is_over`, the face releases the response

On threads, `close()` releases the response if no thread is reading. Otherwise it shuts the connection down: the read
ends at once, and the reading thread releases the response. On HTTP/2, and without a socket, the read ends at its next
chunk or time limit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import RLock

from rx_assistant.errors import RxAssistantError, StreamCancelledError, StreamClosedError
from rx_assistant.grace import FINISH_SECONDS
from rx_assistant.hot import TIMERS
from rx_assistant.http.connection import Abort, Connection
from rx_assistant.http.content import EventStreamContent
from rx_assistant.http.deadlines import Alarm, Deadlines
from rx_assistant.http.timeouts import Timeout
from rx_assistant.http.transports import Response, translated, transport_errors

FINISH_BYTES = 64 * 1024

_BROKE = "the connection broke while events were read"

_log = logging.getLogger("rx_assistant.http")


class BodyState:
    """The state of one open body. It never waits; the face on threads calls it under a lock.

    `since` is the time at which the wait for the next chunk began; None without a wait. `is_over`: nothing is left to
    read.
    """

    __slots__ = (
        "_client_closed",
        "_content",
        "_passes",
        "clock",
        "closed",
        "deadlines",
        "ended",
        "failure",
        "is_over",
        "released",
        "request_id",
        "since",
    )

    def __init__(
        self,
        response: Response,
        timeout: Timeout,
        started: float | None,
        clock: Callable[[], float],
        *,
        read: float | None = None,
        client_closed: Callable[[], bool] | None = None,
    ) -> None:
        self._client_closed = client_closed or _never
        self.request_id: str | None = response.headers.get("x-request-id")
        self.deadlines = Deadlines(timeout, clock, started, read=read)
        self.since: float | None = None
        self.closed = False
        self.ended = False
        self.is_over = False
        self.released = False
        self.failure: RxAssistantError | None = None
        self.clock = clock
        self._content = EventStreamContent(response)
        self._passes = False

    def begin(self) -> bool:
        """A read begins. False if the body is at its end; raises the error if it ended with one."""
        if self.is_over:
            if self.failure is not None:
                raise self.failure
            if self.closed:
                raise self.fail(self.closed_error())
            return False
        if self.deadlines.counts and (passed := self.deadlines.passed()) is not None:
            raise self.fail(passed)
        self.since = self.clock()
        return True

    def take(self, raw: bytes | None) -> bytes:
        """The bytes of the event stream in a chunk that has arrived. None as the chunk means the end of the body.

        Raises the error that ends the body.
        """
        self.end()
        if self._passes and raw is not None and not self.closed:
            return raw
        if self.closed:
            raise self.fail(self.closed_error())
        try:
            if raw is not None:
                content = self._content.feed(raw)
                self._passes = self._content.passes
                return content
            self.ended = self.is_over = True
            if self._client_closed():
                raise self.closed_error()
            self._content.end()
        except RxAssistantError as error:
            raise self.fail(error) from error.__cause__
        return b""

    @property
    def is_steady(self) -> bool:
        """Whether all further chunks are passed on unchanged, and no limit can pass between two reads.

        Then a read that follows at once only sets `since`; it needs no `begin()` and no `take()`.
        """
        return self._passes and not self.deadlines.counts

    def broke(self, cause: Exception) -> RxAssistantError:
        """The transport raised."""
        return self.aborted(translated(cause, _BROKE))

    def aborted(self, reason: RxAssistantError) -> RxAssistantError:
        """The connection was lost for this reason, or because the client was closed."""
        return self.fail(self.closed_error() if self._client_closed() else reason)

    def interrupted(self) -> RxAssistantError:
        """The body was closed during the wait, or the wait reached a time limit."""
        limit = self.deadlines.nearest(self.since)
        return self.fail(self.closed_error() if self.closed or limit is None else limit.error())

    def cancelled(self, text: str) -> RxAssistantError:
        """The wait ended with an exception that did not come from the transport."""
        return self.fail(StreamCancelledError(text, request_id=self.request_id))

    def end(self) -> None:
        """The wait has ended."""
        since, self.since = self.since, None
        if since is not None and self.deadlines.counts:
            self.deadlines.waited(since)

    def close(self) -> bool:
        """Allow no further read. Returns whether a read is waiting."""
        self.closed = self.is_over = True
        return self.reading

    @property
    def reading(self) -> bool:
        """Whether a read is waiting."""
        return self.since is not None

    def left(self) -> float | None:
        """Seconds until the time limit of the current wait; None without a wait, or without a limit."""
        return None if self.since is None else self.deadlines.left(self.since)

    def closed_error(self) -> StreamClosedError:
        what = "client was closed before its stream had ended" if self._client_closed() else "stream was closed"
        return StreamClosedError(f"the {what}", request_id=self.request_id)

    def fail(self, error: RxAssistantError) -> RxAssistantError:
        """Store the error that ended the body. The first one counts; after `close()` it is StreamClosedError."""
        if self.failure is None:
            self.failure = self.closed_error() if self.closed else error
        self.is_over = True
        return self.failure


class ResponseBody:
    """An open response of httpx or httpx2, read by one thread and closed by any."""

    def __init__(
        self,
        response: Response,
        timeout: Timeout,
        *,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        abort: Abort | None = None,
        released: Callable[[], None] | None = None,
        client_closed: Callable[[], bool] | None = None,
    ) -> None:
        """`abort` holds the connection of the response; `released` is called when the response is closed.

        `client_closed` returns whether the client of the response has been closed.
        """
        self._response = response
        self._state = BodyState(response, timeout, started, clock, client_closed=client_closed)
        self.request_id = self._state.request_id
        self._abort = abort or _abort_of(response)
        self._on_release = released
        self._chunks: Iterator[bytes] = iter(response.stream)  # type: ignore[arg-type]  # of a sync client
        self._lock = RLock()
        self._alarm = Alarm(self._call_later, self._state.left, self._abort.cut)

    def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises only errors of this package; further calls raise the same error."""
        while (chunk := self._pull()) is not None:
            if chunk:
                return chunk
        return b""

    def saw_event(self) -> None:
        """The last bytes held an event: the time limits between events start again."""
        if self._state.deadlines.counts:
            with self._lock:
                if self._state.deadlines.saw_event():
                    self._alarm.stop()

    def finish(self) -> None:
        """The stream has ended: read what is left, within bounds, so that the connection can be used again."""
        with self._lock:
            if self._state.ended or not self._abort.has_socket:
                most = 0
            else:
                most = FINISH_BYTES
                self._state.deadlines.finish_within(FINISH_SECONDS)
                self._alarm.stop()
        try:
            while most > 0 and (chunk := self._pull()) is not None:
                most -= len(chunk) or 1
        except RxAssistantError:
            pass
        self.close()

    def close(self) -> None:
        """Stop reading and return at once; a blocked `read()` ends. Usable from any thread."""
        with self._lock:
            reading = self._state.close()
            if reading:
                self._abort.cut()
        if not reading:
            self._release()

    def _pull(self) -> bytes | None:
        """The bytes in the next chunk, perhaps none; None at the end of the body."""
        state, lock = self._state, self._lock
        try:
            with lock:
                if not state.begin():
                    return None
                if state.deadlines.counts and not self._alarm.is_set:
                    self._alarm.set()
            raw = next(self._chunks, None)
            with lock:
                if self._abort.was_cut:
                    raise self._broke(None)
                chunk = state.take(raw)
                if not state.is_over:
                    return chunk
            self._release()
            return None if raw is None else chunk
        except RxAssistantError:
            self._stop()
            raise
        except transport_errors() as cause:
            error = self._broke(cause)
            self._stop()
            raise error from cause
        except BaseException as cause:
            state.cancelled(f"reading was interrupted by {type(cause).__name__}")
            self._abort.discard()
            self._stop()
            raise

    def _stop(self) -> None:
        """The wait, and with it the body, has ended with an error."""
        with self._lock:
            self._state.end()
        if self._state.is_over:
            self._release()

    def _broke(self, cause: Exception | None) -> RxAssistantError:
        """The error for a read that ended without bytes: why it was cut, or that the connection broke."""
        with self._lock:
            if self._abort.reason is not None:
                return self._state.aborted(self._abort.reason)
            if self._abort.was_cut or cause is None:
                return self._state.interrupted()
            return self._state.broke(cause)

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        def locked() -> None:
            with self._lock:
                action()

        return TIMERS.call_later(seconds, locked)

    def _release(self) -> None:
        """Close the response. If the body was read to its end, its connection can be used again."""
        with self._lock:
            if self._state.released:
                return
            self._state.released = True
            self._alarm.stop()
            connection = self._abort.let_go()
        try:
            try:
                self._response.close()  # first: Python drops an interrupt that occurs while it finalizes a generator
            finally:
                close = getattr(self._chunks, "close", None)
                if close is not None:
                    close()
        except Exception as error:
            _log.debug("closing a response raised %r", error)
        except BaseException:  # an interrupt, perhaps right after httpcore took a lock of its pool
            if connection is not None and connection.owned:
                connection.discard()
            raise
        finally:
            if self._on_release is not None:
                self._on_release()


def _never() -> bool:
    return False


def _abort_of(response: Response) -> Abort:
    """The `Abort` of a response that the caller has opened."""
    abort, connection = Abort(), Connection(None, owned=False)
    connection.learn(response)
    abort.hold(connection)
    return abort

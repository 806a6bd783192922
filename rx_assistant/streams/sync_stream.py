"""AssistantStream: one run's events as a hot Observable for threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from reactivex import Observable, abc, operators as ops

from rx_assistant.errors import BadRequestError, ConflictError, PollTimeoutError, RxAssistantError
from rx_assistant.events import AssistantStreamEvent
from rx_assistant.grace import CANCEL_WAIT, POLL_PAUSE, POST_SECONDS
from rx_assistant.hot import Sleepers, Stream, StreamScheduler, SyncBlock, Worker, call_later, start_thread
from rx_assistant.streams.base import (
    OnIdle,
    OnSubscribe,
    Post,
    Replay,
    StreamBase,
    check_seconds,
    is_over,
    log_uncancelled,
)
from rx_assistant.streams.handling import bound
from rx_assistant.streams.pump import Abort, Open, Pump, Resume

if TYPE_CHECKING:
    from rx_assistant.events import ToolEvent
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.decoding import Decoding
    from rx_assistant.streams.feed import RunIdentity
    from rx_assistant.tools import PendingCall
    from rx_assistant.types import Message, Run, RunStep

H = TypeVar("H")


class AssistantStream(StreamBase, SyncBlock, Stream[AssistantStreamEvent]):
    """One run as a hot Observable of typed events: one request, however many subscribers.

    Entering it sends the request and raises API errors. Events flow while the program iterates, waits (`until_done`,
    `get_final_…`, `run`) or after `connect()`; subscribers are called on the thread that does so. Leaving the block
    closes the response; with `on_idle="cancel"` it also cancels a run that has not ended.
    """

    def __init__(
        self,
        open: Open,
        *,
        replay: Replay = "all",
        on_idle: OnIdle = "detach",
        idle_grace: float | None = None,
        on_subscribe: OnSubscribe | None = None,
        cancel_wait: float = CANCEL_WAIT,
        max_pending: int = 16 * 2**20,
        max_event_bytes: int = 16 * 2**20,
        post_cancel: Post | None = None,
        fetch_run: Post | None = None,
        resume: Resume | None = None,
        abort: Abort | None = None,
        identity: RunIdentity | None = None,
        decoding: Decoding | None = None,
        continuation: Continuation | None = None,
    ) -> None:
        Observable.__init__(self)
        StreamBase.__init__(
            self,
            replay=replay,
            on_idle=on_idle,
            idle_grace=idle_grace,
            on_subscribe=on_subscribe,
            cancel_wait=cancel_wait,
            max_pending=max_pending,
            max_event_bytes=max_event_bytes,
            identity=identity,
            decoding=decoding,
            continuation=continuation,
        )
        self.driver: Pump = Pump(self.log, self._feed, open, resume, abort, continuation)
        self._post_cancel = post_cancel
        self._fetch_run = fetch_run
        self._cancelling = threading.RLock()
        self._cancelled: Run | None = None

    def __enter__(self) -> Self:
        self.driver.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._warn_if_unread()
            if self._is_abandoned and self._post_cancel is not None:
                self._cancel_abandoned()
        finally:
            self.driver.leave(patient=error is None or isinstance(error, Exception))
        self._log_unheard()

    def _cancel_abandoned(self) -> None:
        leaving = _Leaving(self)
        try:
            leaving.wait(lambda: leaving.is_posted, POST_SECONDS)
            leaving.wait(lambda: leaving.is_over, self._cancel_wait)
        finally:
            leaving.give_up()
        if leaving.error is not None:
            log_uncancelled(leaving.error)

    # -- waiting -------------------------------------------------------------------------------------------------

    def until_done(self) -> None:
        """Wait until the stream has ended and everything is delivered.

        Raises:
            RxAssistantError: the stream did not end well. The class of the error says why, such as
                StreamTruncatedError, ServerErrorEvent or APITimeoutError. Its `snapshot` holds what arrived.
            Exception: a callback of the `event_handler=` raised it.
        """
        self.driver.finish()
        if self.log.failure is not None:
            raise self.log.failure

    def get_final_run(self) -> Run:
        """Wait for the end and return the run. A failed run is returned like any other; a broken stream raises."""
        self.until_done()
        return self._final_run()

    def get_final_run_steps(self) -> list[RunStep]:
        """Wait for the end and return the run's steps, in the order of their first appearance."""
        self.until_done()
        return [step.to_model() for step in self._final().steps]

    def get_final_messages(self) -> list[Message]:
        """Wait for the end and return the messages, in the order of their first appearance."""
        self.until_done()
        return [message.to_model() for message in self._final().messages]

    def connect(self) -> None:
        """Read and deliver on a background thread from now on; the thread ends with the stream. Idempotent.

        Callbacks then run on that thread, and nothing is read while one runs. So a callback must not wait for another
        thread that iterates the stream.
        """
        self.driver.connect()

    @property
    def text_deltas(self) -> Stream[str]:
        """The text as it is written, piece by piece. Each loop over it starts from the beginning.

        `next(stream.text_deltas)` returns the first piece, then the second, and so on. Loops do not affect it.
        """
        deltas = None if self._deltas is None else self._deltas()
        if deltas is None:
            deltas = _TextDeltas(self)
            self._deltas = weakref.ref(deltas)
        return deltas

    @property
    def tool_events(self) -> Stream[ToolEvent]:
        """The events of the tools of a stream with `tools=`: ToolStarted, ToolProgress and ToolFinished of each call.

        A stream without `tools=` emits none.
        """
        return Stream(self._side("tool_events").link, cast("Any", self))

    @property
    def pending_calls(self) -> Stream[PendingCall]:
        """The calls of tools that wait for approval, as PendingCalls. Calls that were decided are left out."""
        calls: Stream[PendingCall] = Stream(self._side("pending_calls").link, cast("Any", self))
        return calls.pipe(ops.filter(_is_open))

    def __next__(self) -> AssistantStreamEvent:
        """Return the event after the one of the last `next(stream)`. Loops have positions of their own.

        The position counts as a reader from its first use to the end of the stream.

        Raises:
            StopIteration: there are no more events.
        """
        return cast("AssistantStreamEvent", self._next_of("events", self))

    def _next_of(self, name: str, source: Stream[Any]) -> Any:
        items = self._cursors.get(name)
        if items is None:
            items = self._cursors.setdefault(name, iter(source))
        try:
            return next(items)
        finally:
            if getattr(items, "exhausted", False):
                self._cursors[name] = iter(())

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the stream at once and close the response; from any thread, and inside a callback. Idempotent.

        Each subscriber gets StreamClosedError once, and each wait from then on raises it.
        """
        self.driver.close()

    def cancel(self) -> Run:
        """Ask the server to cancel the run, and return the Run in its reply.

        The stream continues to the server's own ending. Waits for the run's id if it is not known yet. The request is
        sent once, however often `cancel()` is called, and not after the end of the stream: then the final run is
        returned.

        Raises:
            RuntimeError: the stream did not come from a client, so no server can be asked.
            APIError: the server refused the request, for example because the run has ended, or cannot be reached.
            Exception: the stream has failed. Its error is raised again.
        """
        identity = self._wait_for_identity()
        if identity is None or self.log.ended:
            with self._cancelling:
                return self._final_run() if self._cancelled is None else self._cancelled
        return self._post_once(identity)

    def cancel_and_wait(self, timeout: float | None = None) -> Run:
        """Cancel the run and return it once it has ended, so that its thread accepts the next message or run.

        Reads the stream to the server's ending. If the stream is closed or broken, polls the run instead. A run that
        waits for the outputs of its tools is cancelled too. A run that has ended is returned at once. `timeout` is in
        seconds; None waits as long as it takes. A callback of the stream reads on its own thread, so there the time is
        looked at after each chunk.

        Raises:
            PollTimeoutError: the run did not end in time. `last` is its last known state.
            RuntimeError: the stream did not come from a client, so no server can be asked.
            APIError: the server cannot be reached.
        """
        check_seconds(timeout=timeout)
        if timeout is None:
            return self._end_run(lambda: True)
        if self.log.delivering == threading.get_ident():
            deadline = time.monotonic() + timeout
            run: Run | None = self._end_run(lambda: time.monotonic() < deadline)
        else:
            run = self._end_run_within(timeout)
        if run is None or not is_over(run):
            last = self._folding.arrived(self.log).run
            raise PollTimeoutError(f"the run was not over within {timeout} seconds after its cancel", last)
        return run

    def _end_run_within(self, seconds: float) -> Run | None:
        leaving = _Leaving(self)
        try:
            leaving.wait(lambda: leaving.is_over, seconds)
        finally:
            leaving.give_up()
        if leaving.error is not None:
            raise leaving.error
        return leaving.run

    def _wait_for_identity(self) -> RunIdentity | None:
        while self._feed.identity is None and not self.log.ended:
            self.driver.advance(self.log.length)
        return self._feed.identity

    def _post_once(self, identity: RunIdentity) -> Run:
        if self._post_cancel is None:
            raise RuntimeError("this stream did not come from a client, so there is no server to cancel the run on")
        with self._cancelling:
            if self._cancelled is None:
                self._cancelled = self._post_cancel(identity.run_id, identity.thread_id)
            return cast("Run", self._cancelled)

    def _end_run(self, is_wanted: Callable[[], bool], posted: Callable[[], object] = lambda: None) -> Run:
        """Cancel the run, then read and poll until the run has ended, or until `is_wanted()` is false."""
        run = self._cancel_unless_over()
        posted()
        while is_wanted() and not self.log.ended:
            self.driver.advance(self.log.length)
        self.driver.settle()  # before a `close()`, which would close a connection that can be reused
        return self._poll_to_end(run, is_wanted)

    def _cancel_unless_over(self) -> Run | None:
        """Post the cancel of a run that may still be running, once; returns the run in the server's reply."""
        identity = self._wait_for_identity()
        if identity is None or self._ended_run() is not None:
            return None
        try:
            return self._post_once(identity)
        except (BadRequestError, ConflictError) as error:
            log_uncancelled(error)  # the run has ended, or is being cancelled
            return None

    def _poll_to_end(self, run: Run | None, is_wanted: Callable[[], bool]) -> Run:
        """Return the run once it has ended: the stream shows it, or the server is asked."""
        identity, fetch = self._feed.identity, self._fetch_run
        while (ended := self._ended_run()) is None and not is_over(run):
            if identity is None or fetch is None or not is_wanted():
                break
            time.sleep(POLL_PAUSE)
            run = fetch(identity.run_id, identity.thread_id)
        return ended or run or self._final_run()

    # -- idleness ------------------------------------------------------------------------------------------------

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        return call_later(seconds, action)

    def _is_sent(self) -> bool:
        return self.driver.is_sent

    def _cancel_and_close(self) -> None:
        start_thread(threading.Thread(target=self._cancel_then_close, name="rx-assistant-cancel", daemon=True))

    def _cancel_then_close(self) -> None:
        try:
            self.cancel()
        except RxAssistantError as error:
            log_uncancelled(error)
        finally:
            self.close()

    # -- Root ----------------------------------------------------------------------------------------------------

    @cached_property
    def scheduler(self) -> abc.SchedulerBase:
        """Runs the actions of time operators in the stream's delivery, serially with its items (C10)."""
        return StreamScheduler(self.log.enqueue, Worker().call_later)


def _is_open(call: PendingCall) -> bool:
    return call.is_open


class _TextDeltas(Stream[str]):
    """The text of a stream. The stream only has a weak reference to it, so there is no reference cycle."""

    def __init__(self, stream: AssistantStream) -> None:
        from rx_assistant.operators import text_deltas

        super().__init__(stream.pipe(text_deltas()).link, cast("Any", stream))
        self._stream = stream

    def __repr__(self) -> str:
        return f"text_deltas of {self._stream!r}"

    def _repr_markdown_(self) -> str:
        """The text that has arrived so far, without reading on."""
        messages = self._stream._arrived().messages
        return "\n\n".join(message._repr_markdown_() for message in messages) or f"`{self!r}`"

    def __next__(self) -> str:
        return cast("str", self._stream._next_of("text", self))


class HandledStream(AssistantStream, Generic[H]):
    """An AssistantStream with a handler. Its `with` block binds the handler instead of the stream."""

    def __init__(self, open: Open, *, handler: H, **options: Any) -> None:
        super().__init__(open, **options)
        self.handler = handler
        self._seat(bound(handler, self), raises=True)

    def __enter__(self) -> H:  # type: ignore[override]  # the block binds the handler, as SDK users expect
        super().__enter__()
        return self.handler


class _Leaving:
    """Cancels a run and waits for its end on a thread, so that the caller can wait for a limited time."""

    def __init__(self, stream: AssistantStream) -> None:
        self.is_posted = self.is_over = False
        self.run: Run | None = None
        self.error: Exception | None = None
        self._given_up = False
        self._sleepers = Sleepers()
        start_thread(threading.Thread(target=self._main, args=(stream,), name="rx-assistant-cancel", daemon=True))

    def wait(self, enough: Callable[[], bool], seconds: float) -> None:
        """Return once `enough()` is true, after `seconds`, or when the work has ended."""
        self._sleepers.sleep(lambda: enough() or self.is_over, seconds)

    def give_up(self) -> None:
        """Let the thread end, because the caller no longer waits."""
        self._given_up = True

    def _main(self, stream: AssistantStream) -> None:
        try:
            self.run = stream._end_run(lambda: not self._given_up, self._posted)
        except Exception as error:
            self.error = error
        finally:
            self.is_posted = self.is_over = True
            self._sleepers.wake()

    def _posted(self) -> None:
        self.is_posted = True
        self._sleepers.wake()

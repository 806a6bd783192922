"""The pump of a synchronous stream: `pump_state` decides the next step, and this module reads and waits on threads.

No thread owns the pump between two steps. A thread that needs an event which was not read yet takes the turn, reads one
chunk and gives the turn back. The other threads sleep until the log changes or the turn is free. After `connect()` only
the background thread takes turns. No event is delivered during a turn, so a callback may always read further events.

The function that takes a turn also gives it back, without a call, so that KeyboardInterrupt never leaves it taken.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anyio import from_thread

from rx_assistant.errors import RxAssistantError, StreamTruncatedError
from rx_assistant.grace import THREAD_SECONDS
from rx_assistant.hot import DELIVERED, ENDED, FOREVER, RELEASED, Sleepers, call_later, start_thread
from rx_assistant.streams.pump_state import DELIVER, END, READ, WAIT, Close, PumpState, Step
from rx_assistant.streams.unread import Unread

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams.body import Body
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.feed import Feed, RunIdentity

Open = Callable[[], "Body"]
"""Sends the request and returns the body. Raises only errors of this package. With a continuation, called once for each
response."""

Resume = Callable[["RunIdentity | None", "RunSnapshot"], "Body | None"]
"""Returns a body that continues after the events in the snapshot, when a body broke.

The identity is None if no event has named the run. The body is None if the run cannot be found.
"""

Abort = Callable[[RxAssistantError], object]
"""Makes an `Open` that is active on another thread raise this error. Returns at once."""

_logger = logging.getLogger("rx_assistant")


class Pump:
    """The driver of one synchronous stream, see `hot/root.py`."""

    def __init__(
        self,
        log: HotLog[Any],
        feed: Feed,
        open: Open,
        resume: Resume | None,
        abort: Abort | None = None,
        continuation: Continuation | None = None,
    ) -> None:
        self.unread = Unread(log, call_later)
        self._log = log
        self._feed = feed
        self._state: PumpState[Body] = PumpState(log, feed, resumes=resume is not None, continuation=continuation)
        self._open = open
        self._resume = resume
        self._abort = abort
        self._continuation = continuation
        if continuation is not None:
            continuation.bind(log, changed=self._notify, hand_over=log.defer, arrived=feed.arrived)
        self._settled = False
        self._settling: dict[int, object] = {}  # the token of the thread that closes the body, under 0
        self._sleepers = Sleepers()
        self._plain: threading.Thread | None = None  # the thread that read last, if it is not a worker thread of anyio
        self._thread: threading.Thread | None = None
        self._thread_over = False  # the background thread has finished reading
        log.listen(self._notify)

    # -- reading -------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Send the request, if it was not sent yet. Raises its error."""
        log, state = self._log, self._state
        while (step := state.opening(self._may_read())) is not END:
            try:
                if step is READ:
                    self._take_turn(self._start)
                else:
                    self._sleepers.sleep(lambda: state.opening(self._may_read()) is not WAIT)
            finally:
                log.want(FOREVER if log.ended else 0)
        if state.body is None and log.failure is not None:
            raise log.failure

    def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log, state = self._log, self._state
        while (step := state.arrival(position, self._may_read())) is not END:
            log.check()
            if step is READ:
                self._take_turn(self._read)
            else:
                self._sleepers.sleep(
                    lambda: state.arrival(position, self._may_read()) is not WAIT or log.would_raise or log.has_entries
                )
                if log.has_entries:
                    log.drain()
            self.leave_if_cancelled()

    def leave_if_cancelled(self) -> None:
        """Raise the cancellation of the task that waits for this thread, if it is a worker thread of anyio.

        Starlette and FastAPI iterate over a plain generator on such threads, and do not close it when the browser
        leaves.
        """
        here = threading.current_thread()
        if self._plain is here:
            return
        try:
            from_thread.check_cancelled()
        except RuntimeError:
            self._plain = here

    def finish(self) -> None:
        """Return once everything is delivered; inside a delivery, once everything has arrived."""
        log, waiter = self._log, object()
        try:
            log.retain(waiter)
            while (step := self._delivery()) is not END:
                log.check()
                if step is READ:
                    self._take_turn(self._read)
                    log.drain()  # earlier wishes are delivered without asking for the step
                    self.leave_if_cancelled()
                elif step is DELIVER:
                    log.want(FOREVER)
                else:
                    self._sleepers.sleep(lambda: log.would_raise or self._delivery() is not WAIT)
                    self.leave_if_cancelled()
            log.check()
        except BaseException:
            log.pause()  # else giving back the waiter would deliver all that is stored before this is raised
            raise
        finally:
            log.release(waiter)

    def _delivery(self) -> Step:
        """The next step of this thread towards the end of delivery."""
        log = self._log
        return self._state.delivery(
            self._may_read(),
            over=log.state >= RELEASED,
            behind=log.is_mine_to_drain and log.is_behind,
            inside=log.delivering == threading.get_ident(),
        )

    def connect(self) -> None:
        """Read and deliver on a background thread from now on."""
        self._connect(self._run)

    def connect_soon(self) -> None:
        """Read and deliver on a background thread, if subscribers are left when the thread begins."""
        self._connect(self._run_for_subscribers)

    def prepare(self) -> None:
        """Do nothing: `connect_soon()` can always start a thread."""

    def _connect(self, main: Callable[[], None]) -> None:
        if self._thread is not None or self._log.delivered:
            return
        thread = threading.Thread(target=main, name="rx-assistant-stream", daemon=True)
        try:
            self._thread = self._log.drainer = thread
            start_thread(thread)
        except BaseException:  # an interrupt: if the thread was started after all, it takes turns like the others
            self._thread = self._log.drainer = None
            raise

    def _run_for_subscribers(self) -> None:
        if self._log.holders or self._state.body is not None:
            self._run()
            return
        self._thread = self._log.drainer = None  # the subscriber has left, so no request is sent (C29)
        self._sleepers.wake()
        self._log.drain()

    def _run(self) -> None:
        try:
            while self._log.state < DELIVERED:
                self._pump_on()
        finally:
            self._log.drainer = None
            self._thread_over = True
            self._notify()

    def _pump_on(self) -> None:
        try:
            while (step := self._background()) is not END:
                if step is DELIVER:
                    self._log.want(FOREVER)
                elif step is READ:
                    self._take_turn(self._read)
                    self._log.drain()
                else:
                    self._sleepers.sleep(lambda: self._background() is not WAIT)
        except BaseException:  # sys.exit() in one subscriber must not stop the stream for the others
            _logger.exception("a subscriber raised an exception that is not an Exception; the stream continues")

    def _background(self) -> Step:
        """The next step of the background thread."""
        log = self._log
        return self._state.delivery(True, over=log.state >= DELIVERED, behind=log.is_behind, inside=False)

    @property
    def connected(self) -> bool:
        """Whether a background thread reads."""
        return self._thread is not None

    @property
    def is_sent(self) -> bool:
        """Whether the request was sent, or is being sent."""
        return self._state.is_sent

    def _take_turn(self, act: Callable[[], None]) -> None:
        """Take the turn and call `act`. Do nothing if another thread has the turn."""
        token, turn = object(), self._state.turn
        try:
            if turn.setdefault(0, token) is token:
                act()
        finally:
            try:
                if turn[0] is token:
                    del turn[0]
            except KeyError:
                pass
            self._notify()

    def _start(self) -> None:
        self.unread.open()
        try:
            body = self._open()
        except Exception as error:
            self.unread.stop()
            self._feed.fail(error)
            raise
        self.unread.opened()
        self._state.hold(body)
        self._feed.request_id = body.request_id

    def _read(self) -> None:
        """Read one chunk into the log. A failure becomes the stream's ending, not the caller's exception."""
        if not self.unread.was_read:
            self.unread.read()
        state = self._state
        try:
            if self._feed.response_over and state.body is not None:
                state.body.finish()
                state.next_response()
                return
            if state.body is None:
                self._start()
            body = state.body
            if body is None or self._log.state >= ENDED:
                return
            chunk = body.read()
        except RxAssistantError as error:
            self._recover(error)
            return
        except Exception as error:  # not an error of a transport: the source has a wrong type
            self._feed.fail(error)
            return
        if not chunk:
            self._recover(None)
            return
        try:
            if self._feed.take(chunk):
                body.saw_event()
        except BaseException:  # an interrupt: the decoder may have stopped inside the chunk, and nothing reads it again
            self._feed.fail(StreamTruncatedError("an interrupt came while a chunk was read, so its events are lost"))
            raise

    def _recover(self, cause: RxAssistantError | None) -> None:
        steps = self._state.recovery(cause)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Close):
                    step.body.close()
                    step = next(steps)
                    continue
                assert self._resume is not None
                try:
                    following = self._resume(step.identity, step.snapshot)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(following)
        except StopIteration:
            pass

    def _may_read(self) -> bool:
        """Whether this thread may take turns at all: after `connect()` only the background thread may."""
        return self._thread is None or self._thread is threading.current_thread()

    def _notify(self) -> None:
        self._sleepers.wake()
        if self._log.state >= DELIVERED:
            self.settle()

    # -- endings -------------------------------------------------------------------------------------------------

    @property
    def is_left_open(self) -> bool:
        """Whether something is still open although all readers of the stream have gone."""
        left = self._state.body is not None or self._state.is_between
        return left and not self._settled and self._thread is None

    @property
    def holds_connection(self) -> bool:
        """Whether the body holds a connection. A recording does not."""
        return getattr(self._state.body, "holds_connection", True)

    def drop(self) -> None:
        """Close the body of a stream that was garbage-collected."""
        self.close()

    def close(self) -> None:
        """Stop reading and end the stream after the event in delivery; from any thread."""
        self.unread.stop()
        error = self._state.cut()
        if self._state.body is None and self._abort is not None:
            self._abort(error)
        self.settle()
        self._log.want(FOREVER)
        if self._continuation is not None:
            self._continuation.join(THREAD_SECONDS)
        thread, here = self._thread, threading.get_ident()
        if thread is None or thread.ident == here or self._log.delivering in (thread.ident, here):
            return
        if self._sleepers.sleep(lambda: self._thread_over, THREAD_SECONDS):
            thread.join(THREAD_SECONDS)

    def leave(self, *, patient: bool) -> None:
        """Close, and return once the ending was delivered.

        If a loop has read the stream to its end and `patient` is true, everything is delivered first: a slow subscriber
        on another thread gets the remaining events and the ending. Otherwise the stream ends at once, and a running
        callback gets one second to finish.
        """
        try:
            if self._log.read_out and patient:
                self._wait_for_ending(None)
        finally:
            self.close()
        self._wait_for_ending(THREAD_SECONDS)

    def _wait_for_ending(self, seconds: float | None) -> None:
        log, here = self._log, threading.get_ident()
        end = None if seconds is None else time.monotonic() + seconds
        while not log.released and log.delivering != here and threading.current_thread() is not self._thread:
            if log.is_mine_to_drain:
                log.want(FOREVER)
            left = None if end is None else end - time.monotonic()
            if not self._sleepers.sleep(self._may_deliver, left):
                return

    def _may_deliver(self) -> bool:
        log = self._log
        return log.released or (log.delivering is None and log.is_mine_to_drain)

    def settle(self) -> None:
        """Release the connection for reuse after a good end, else close it. Done once, or again after an interrupt."""
        body, good = self._state.body, self._state.is_good
        if self._settled or body is None or (good and 0 in self._state.turn):
            return  # the reader has read the end, and calls this when it gives its turn back
        token, settling = object(), self._settling
        try:
            if settling.setdefault(0, token) is not token or self._settled:  # another thread does it, or has done it
                return
            if good:
                body.finish()
            else:
                body.close()
            self._settled = True
            self._state.forget()
        finally:
            try:
                if settling[0] is token:
                    del settling[0]
            except KeyError:
                pass

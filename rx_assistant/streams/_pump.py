"""The pump of a synchronous stream: who reads, who waits, and how reading stops.

No thread owns the pump between two steps. A thread that needs an event which nobody has read takes the turn, reads one
chunk and leaves the turn; the others sleep until the log changes or the turn is free. After `connect()` only the
background thread takes turns. Nothing is delivered while a turn is held, so a callback may always read ahead.

The turn is a token in a dictionary, taken and given back as the log's is (see `hot/_log.py`, "Interrupts"). It is given
back where it was taken, without a call, so that KeyboardInterrupt never leaves it taken.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anyio import from_thread

from rx_assistant.errors import RxAssistantError, StreamClosedError
from rx_assistant.hot import FOREVER, TIMERS, Sleepers, start_thread
from rx_assistant.streams._body import OPEN
from rx_assistant.streams._unread import Unread

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams._body import Body
    from rx_assistant.streams._feed import Feed, RunIdentity

Open = Callable[[], "Body"]
"""Sends the request, and gives what to read from. Raises errors of ours only."""

Resume = Callable[["RunIdentity | None", "RunSnapshot"], "Body | None"]
"""Gives a body that goes on where a broken one stopped, from what has been folded so far.

The identity is None where no event had told it. So is the body, where the run cannot be found.
"""

Abort = Callable[[RxAssistantError], object]
"""Ends an `Open` that is under way on another thread: it raises the error given. Returns at once."""

_logger = logging.getLogger("rx_assistant")

_JOIN = 1.0  # seconds that close() gives the background thread to notice


class Pump:
    """Fulfils hot.Driver for one stream."""

    def __init__(
        self,
        log: HotLog[Any],
        feed: Feed,
        open: Open,
        resume: Resume | None,
        snapshot: Callable[[], RunSnapshot],
        abort: Abort | None = None,
    ) -> None:
        self.unread = Unread(log, TIMERS.call_later)
        self._log = log
        self._feed = feed
        self._open = open
        self._resume = resume
        self._abort = abort
        self._snapshot = snapshot
        self._body: Body | None = None
        self._settled = False
        self._settling: dict[int, object] = {}  # the token of the thread that closes the body, under 0
        self._sleepers = Sleepers()
        self._turn: dict[int, object] = {}  # the token of the thread that reads, under 0
        self._thread: threading.Thread | None = None
        self._over = False  # the background thread has read all that it will read
        log.listen(self._notify)

    # -- reading -------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Send the request, if it was not sent yet; raise what comes of it."""
        log = self._log
        while self._body is None and not log.ended:
            try:
                self._step(lambda: self._body is not None or log.ended or self._is_free(), self._start)
            finally:
                log.want(FOREVER if log.ended else 0)
        if self._body is None and log.failure is not None:
            raise log.failure

    def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log = self._log
        while log.length <= position and not log.ended:
            log.check()
            self._step(lambda: log.length > position or log.ended or log.alarmed or self._is_free(), self._read)
            self.leave_if_cancelled()

    def leave_if_cancelled(self) -> None:
        """Raise the cancellation of the task that waits for this thread, if it is a worker thread of anyio.

        Starlette and FastAPI iterate over a plain generator on such threads, and do not close it when the browser
        leaves.
        """
        with suppress(RuntimeError):  # the thread is no such worker
            from_thread.check_cancelled()

    def finish(self) -> None:
        """Return once everything is delivered; inside a delivery, once everything has arrived."""
        log = self._log
        waiter = object()
        try:
            log.retain(waiter)
            while not log.released:
                if log.is_mine_to_drain:
                    log.want(FOREVER)
                log.check()
                if not log.ended:
                    self.advance(log.length)
                elif log.delivering == threading.get_ident():
                    return
                else:
                    self._sleepers.sleep(self._may_finish)
            log.check()
        finally:
            log.release(waiter)

    def _may_finish(self) -> bool:
        log = self._log
        return log.released or log.alarmed or (log.delivering is None and log.is_mine_to_drain)

    def connect(self) -> None:
        """Read and deliver on a background thread from now on."""
        self._connect(self._run)

    def connect_soon(self) -> None:
        """Read and deliver on a background thread for subscribers that are left when it begins."""
        self._connect(self._run_for_subscribers)

    def prepare(self) -> None:
        """Nothing has to be there before `connect_soon()`: a thread can always be started."""

    def _connect(self, main: Callable[[], None]) -> None:
        if self._thread is not None or self._log.delivered:
            return
        thread = threading.Thread(target=main, name="rx-assistant-stream", daemon=True)
        try:
            self._thread = self._log.drainer = thread
            start_thread(thread)
        except BaseException:  # an interrupt: the thread may not have been started, and takes part by turns if it was
            self._thread = self._log.drainer = None
            raise

    def _run_for_subscribers(self) -> None:
        if self._log.holders or self._body is not None:
            self._run()
            return
        self._thread = self._log.drainer = None  # the subscriber has left: there is no request to send (C29)
        self._sleepers.wake()
        self._log.drain()

    def _run(self) -> None:
        try:
            while not self._log.delivered:
                self._pump_on()
        finally:
            self._log.drainer = None
            self._over = True
            self._notify()

    def _pump_on(self) -> None:
        log = self._log
        try:
            log.want(FOREVER)
            if not log.ended:
                self._step(lambda: log.ended or self._is_free(), self._read)
            elif not log.delivered:
                self._sleepers.sleep(lambda: log.delivered or log.delivering is None)
        except BaseException:  # sys.exit() in a subscriber must not stop the stream for everybody
            _logger.exception("a subscriber raised out of the thread that reads the stream")

    @property
    def connected(self) -> bool:
        """Whether a background thread reads."""
        return self._thread is not None

    @property
    def is_sent(self) -> bool:
        """Whether the request was sent, or is being sent."""
        return self._body is not None or 0 in self._turn

    def _step(self, enough: Callable[[], bool], act: Callable[[], None]) -> None:
        """Take the turn and act; or, when it is not this thread's turn, sleep until `enough()`."""
        token, turn = object(), self._turn
        try:
            if self._may_read() and turn.setdefault(0, token) is token:
                act()
            else:
                self._sleepers.sleep(enough)
        finally:
            mine = False
            try:
                if turn[0] is token:
                    del turn[0]
                    mine = True
            except KeyError:
                pass
            if mine:
                self._notify()

    def _start(self) -> None:
        try:
            body = self._open()
        except Exception as error:
            self.unread.stop()
            self._feed.fail(error)
            raise
        self._body = OPEN[id(body)] = body
        self._feed.request_id = body.request_id

    def _read(self) -> None:
        """Read one chunk into the log. What goes wrong is the stream's ending, not the caller's exception."""
        if not self.unread.was_read:
            self.unread.read()
        try:
            if self._body is None:
                self._start()
            body = self._body
            if body is None or self._log.ended:
                return
            chunk = body.read()
        except RxAssistantError as error:
            self._broke(error)
            return
        except Exception as error:  # no error of a transport's: a source that is not what it should be
            self._feed.fail(error)
            return
        if not chunk:
            self._broke(None)
        elif self._feed.take(chunk):
            body.saw_event()

    def _broke(self, cause: RxAssistantError | None) -> None:
        feed, body, resume = self._feed, self._body, self._resume
        point = feed.resumable(cause) if resume is not None and body is not None else None
        if resume is None or body is None or point is None:
            feed.finish(cause)
            return
        body.close()
        OPEN.pop(id(body), None)
        while point is not None:
            try:
                following = resume(*point)
            except Exception as error:
                point = feed.resumable(error)
                if point is None:
                    feed.fail(error)
            else:
                self._go_on(following, cause)
                return

    def _go_on(self, body: Body | None, cause: RxAssistantError | None) -> None:
        if body is None:  # nothing tells which run it was
            self._feed.finish(cause)
            return
        self._feed.restart()
        self._body = OPEN[id(body)] = body
        if self._log.ended:
            body.close()

    def _may_read(self) -> bool:
        """Whether this thread may take turns at all: after `connect()` only the background thread may."""
        return self._thread is None or self._thread is threading.current_thread()

    def _is_free(self) -> bool:
        """Whether this thread could take the turn, and there is something to read."""
        return 0 not in self._turn and not self._log.ended and self._may_read()

    def _notify(self) -> None:
        self._sleepers.wake()
        if self._log.delivered:
            self.settle()

    # -- endings -------------------------------------------------------------------------------------------------

    @property
    def is_left_open(self) -> bool:
        """Whether there is something to close that only readers of the stream would close, and they are gone."""
        return self._body is not None and not self._settled and self._thread is None

    @property
    def holds_connection(self) -> bool:
        """Whether what is read from holds a connection. A recording does not."""
        return getattr(self._body, "holds_connection", True)

    def drop(self) -> None:
        """Close what a stream has left open that was collected."""
        self.close()

    def close(self) -> None:
        """Stop reading and end the stream where delivery stands; from any thread."""
        self.unread.stop()
        error = StreamClosedError("the stream was closed before it had ended")
        error.carry(self._snapshot, self._feed.request_id)
        self._log.cut(error)
        self._feed.stop_recording()
        if self._body is None and self._abort is not None:
            self._abort(error)
        self.settle()
        self._log.want(FOREVER)
        thread, here = self._thread, threading.get_ident()
        if thread is None or thread.ident == here or self._log.delivering in (thread.ident, here):
            return
        if self._sleepers.sleep(lambda: self._over, _JOIN):
            thread.join(_JOIN)

    def leave(self, *, patient: bool) -> None:
        """Close, and return once the ending was told.

        A stream that a loop has read to its end is delivered in full: a slow subscriber on another thread gets what is
        left of it, and its ending. Any other stream is cut, and a callback that is under way gets a second. Not
        `patient`: that second is all there is.
        """
        try:
            if self._log.read_out and patient:
                self._tell_ending(None)
        finally:
            self.close()
        self._tell_ending(_JOIN)

    def _tell_ending(self, seconds: float | None) -> None:
        log, here = self._log, threading.get_ident()
        end = None if seconds is None else time.monotonic() + seconds
        while not log.released and log.delivering != here and threading.current_thread() is not self._thread:
            if log.is_mine_to_drain:
                log.want(FOREVER)
            left = None if end is None else end - time.monotonic()
            if not self._sleepers.sleep(self._may_tell, left):
                return

    def _may_tell(self) -> bool:
        log = self._log
        return log.released or (log.delivering is None and log.is_mine_to_drain)

    def settle(self) -> None:
        """Give the connection back after a good end, else close it. Once; again if an interrupt came between."""
        body, good = self._body, self._feed.done and self._log.failure is None
        if self._settled or body is None or (good and 0 in self._turn):
            return  # the reader has read the end, and settles when it leaves its turn
        token, settling = object(), self._settling
        try:
            if settling.setdefault(0, token) is not token:
                return
            if good:
                body.finish()
            else:
                body.close()
            self._settled = True
            OPEN.pop(id(body), None)
        finally:
            try:
                if settling[0] is token:
                    del settling[0]
            except KeyError:
                pass

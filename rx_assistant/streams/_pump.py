"""The pump of a synchronous stream: who reads, who waits, and how reading stops.

Nobody owns it between two steps. Whoever needs an event that nobody has read takes the turn, reads one chunk on its
own thread and leaves the turn; the others sleep until the log changes or the turn is free. After `connect()` only the
background thread takes turns. Nothing is delivered while a turn is held, so a callback may always read ahead.
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
from rx_assistant.hot import FOREVER

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
        self.pumped = False
        self._log = log
        self._feed = feed
        self._open = open
        self._resume = resume
        self._abort = abort
        self._snapshot = snapshot
        self._body: Body | None = None
        self._settled = False
        self._changed = threading.Condition()
        self._sleepers = 0  # without any, no change need be told: a sleeper counts itself before it looks
        self._reader: int | None = None  # the thread that has the turn
        self._thread: threading.Thread | None = None
        log.listen(self._notify)

    # -- reading -------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Send the request, if it was not sent yet; raise what comes of it."""
        while self._body is None and not self._log.ended:
            try:
                if self._take_turn():
                    self._start()
                else:
                    self._sleep(lambda: self._body is not None or self._log.ended or self._is_free())
            finally:
                self._leave_turn()
                self._log.want(FOREVER if self._log.ended else 0)
        if self._body is None and self._log.failure is not None:
            raise self._log.failure

    def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log = self._log
        while log.length <= position and not log.ended:
            log.check()
            self._step(lambda: log.length > position or log.ended or log.alarmed or self._is_free())
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
        log.retain()
        try:
            while not log.settled:
                if log.is_mine_to_drain:
                    log.want(FOREVER)
                log.check()
                if not log.ended:
                    self.advance(log.length)
                elif log.delivering == threading.get_ident():
                    return
                else:
                    self._sleep(lambda: log.settled or log.alarmed or (log.delivering is None and log.is_mine_to_drain))
            log.check()
        finally:
            log.release()

    def connect(self) -> None:
        """Read and deliver on a background thread from now on."""
        with self._changed:
            if self._thread is not None or self._log.finished:
                return
            self._thread = threading.Thread(target=self._run, name="rx-assistant-stream", daemon=True)
            self._log.drainer = self._thread
            self._thread.start()

    def _run(self) -> None:
        try:
            while not self._log.finished:
                self._pump_on()
        finally:
            self._log.drainer = None
            self._notify()

    def _pump_on(self) -> None:
        log = self._log
        try:
            log.want(FOREVER)
            if not log.ended:
                self._step(lambda: log.ended or self._is_free())
            elif not log.finished:
                self._sleep(lambda: log.finished or log.delivering is None)
        except BaseException:  # sys.exit() in a subscriber must not stop the stream for everybody
            _logger.exception("a subscriber raised out of the thread that reads the stream")

    @property
    def connected(self) -> bool:
        """Whether a background thread reads."""
        return self._thread is not None

    @property
    def is_sent(self) -> bool:
        """Whether the request was sent, or is being sent."""
        return self._body is not None or self._reader is not None

    def _step(self, enough: Callable[[], bool]) -> None:
        """Read one chunk; or, when it is not this thread's turn, sleep until `enough()`."""
        try:
            if self._take_turn():
                self._read()
            else:
                self._sleep(enough)
        finally:
            self._leave_turn()

    def _start(self) -> None:
        try:
            body = self._open()
        except Exception as error:
            self._feed.fail(error)
            raise
        self._body = body
        self._feed.request_id = body.request_id

    def _read(self) -> None:
        """Read one chunk into the log. What goes wrong is the stream's ending, not the caller's exception."""
        self.pumped = True
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
        self._body = body
        if self._log.ended:
            body.close()

    # -- turns ---------------------------------------------------------------------------------------------------

    def _take_turn(self) -> bool:
        with self._changed:
            if self._reader is not None or self._thread not in (None, threading.current_thread()):
                return False
            self._reader = threading.get_ident()
            return True

    def _leave_turn(self) -> None:
        """Leave the turn, if this thread has it: also after an interrupt that came while it was being taken."""
        if self._reader != threading.get_ident():
            return
        self._reader = None
        self._notify()

    def _is_free(self) -> bool:
        """Whether this thread could take the turn, and there is something to read."""
        mine = self._thread in (None, threading.current_thread())
        return mine and self._reader is None and not self._log.ended

    def _sleep(self, enough: Callable[[], bool], seconds: float | None = None) -> bool:
        with self._changed:
            self._sleepers += 1
            try:
                return self._changed.wait_for(enough, seconds)
            finally:
                self._sleepers -= 1

    def _notify(self) -> None:
        if self._sleepers:
            with self._changed:
                self._changed.notify_all()
        if self._log.finished:
            self._settle()

    # -- endings -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop reading and end the stream where delivery stands; from any thread."""
        error = StreamClosedError("the stream was closed before it had ended")
        error.carry(self._snapshot, self._feed.request_id)
        self._log.cut(error)
        self._feed.stop_recording()
        if self._body is None and self._abort is not None:
            self._abort(error)
        self._settle()
        self._log.want(FOREVER)
        thread, here = self._thread, threading.get_ident()
        if thread is not None and self._log.delivering not in (thread.ident, here) and thread.ident != here:
            thread.join(_JOIN)

    def leave(self, *, patient: bool) -> None:
        """Close, and return once the ending was told.

        A stream that a loop has read to its end is delivered in full: a slow subscriber on another thread gets what is
        left of it, and its ending. Any other stream is cut, and a callback that is under way gets a second. Not
        `patient`: that second is all there is.
        """
        if self._log.read_out and patient:
            self._tell_ending(None)
        self.close()
        self._tell_ending(_JOIN)

    def _tell_ending(self, seconds: float | None) -> None:
        log, here = self._log, threading.get_ident()
        end = None if seconds is None else time.monotonic() + seconds
        while not log.settled and log.delivering != here and threading.current_thread() is not self._thread:
            if log.is_mine_to_drain:
                log.want(FOREVER)
            left = None if end is None else end - time.monotonic()
            if not self._sleep(self._may_tell, left):
                return

    def _may_tell(self) -> bool:
        log = self._log
        return log.settled or (log.delivering is None and log.is_mine_to_drain)

    def _settle(self) -> None:
        """Give the connection back after a good end, else close it."""
        with self._changed:
            good = self._feed.done and self._log.failure is None
            if self._settled or self._body is None or (good and self._reader is not None):
                return  # the reader has read the end, and settles when it leaves its turn
            self._settled = True
            body = self._body
        if good:
            body.finish()
        else:
            body.close()

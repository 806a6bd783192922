"""The pump of a synchronous stream: who reads, who waits, and how reading stops.

Nobody owns it between two steps. Whoever needs an event that nobody has read takes the turn, reads one chunk on its
own thread and leaves the turn; the others sleep until the log changes or the turn is free. After `connect()` only the
background thread takes turns. Nothing is delivered while a turn is held, so a callback may always read ahead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rx_assistant.errors import RxAssistantError, StreamClosedError
from rx_assistant.hot import FOREVER

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams._body import Body
    from rx_assistant.streams._feed import Feed, RunIdentity

Open = Callable[[], "Body"]
"""Sends the request, and gives what to read from. Raises errors of ours only."""

Resume = Callable[["RunIdentity", "RunSnapshot"], "Body"]
"""Gives a body that goes on where a broken one stopped, from what has been folded so far."""

_JOIN = 1.0  # seconds that close() gives the background thread to notice


class Pump:
    """Fulfils hot.Driver for one stream."""

    def __init__(
        self, log: HotLog[Any], feed: Feed, open: Open, resume: Resume | None, snapshot: Callable[[], RunSnapshot]
    ) -> None:
        self.pumped = False
        self._log = log
        self._feed = feed
        self._open = open
        self._resume = resume
        self._snapshot = snapshot
        self._body: Body | None = None
        self._closed = False
        self._settled = False
        self._changed = threading.Condition()
        self._reading = False
        self._thread: threading.Thread | None = None
        log.listen(self._notify)

    # -- reading -------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Send the request, if it was not sent yet; raise what comes of it."""
        while self._body is None and not self._log.ended:
            if self._take_turn():
                try:
                    self._start()
                finally:
                    self._leave_turn()
                    self._log.want(FOREVER if self._log.ended else 0)
            else:
                self._sleep(lambda: self._body is not None or self._log.ended)
        if self._body is None and self._log.failure is not None:
            raise self._log.failure

    def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log = self._log
        while log.length <= position and not log.ended:
            log.check()
            if self._take_turn():
                try:
                    self._read()
                finally:
                    self._leave_turn()
            else:
                self._sleep(lambda: log.length > position or log.ended)

    def finish(self) -> None:
        """Return once everything is delivered; inside a delivery, once everything has arrived."""
        log = self._log
        log.retain()
        try:
            while not log.finished:
                log.want(FOREVER)
                log.check()
                if not log.ended:
                    self.advance(log.length)
                elif log.delivering == threading.get_ident():
                    return
                elif not log.finished:
                    self._sleep(lambda: log.finished or log.delivering is None)
        finally:
            log.release()

    def connect(self) -> None:
        """Read and deliver on a background thread from now on."""
        with self._changed:
            if self._thread is not None or self._log.finished:
                return
            self._thread = threading.Thread(target=self._run, name="rx-assistant-stream", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        log = self._log
        while not log.finished:
            log.want(FOREVER)
            if log.ended:
                break
            self.advance_here()
        log.want(FOREVER)

    def advance_here(self) -> None:
        """Read one chunk on the background thread, after whoever has the turn now."""
        if self._take_turn():
            try:
                self._read()
            finally:
                self._leave_turn()
        else:
            self._sleep(lambda: not self._reading)

    def _start(self) -> None:
        try:
            body = self._open()
        except Exception as error:
            self._feed.fail(error)
            raise
        self._body = body
        self._feed.request_id = body.request_id
        if self._closed:
            body.close()

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
        feed, body = self._feed, self._body
        if self._resume is None or body is None or feed.identity is None or self._log.ended or feed.is_ending:
            feed.finish(cause)
            return
        resume, self._resume = self._resume, None
        body.close()
        feed.restart()
        try:
            self._body = resume(feed.identity, self._snapshot())
        except Exception as error:
            feed.fail(error)

    # -- turns ---------------------------------------------------------------------------------------------------

    def _take_turn(self) -> bool:
        with self._changed:
            if self._reading or self._thread not in (None, threading.current_thread()):
                return False
            self._reading = True
            return True

    def _leave_turn(self) -> None:
        with self._changed:
            self._reading = False
            self._changed.notify_all()

    def _sleep(self, enough: Callable[[], bool]) -> None:
        """Sleep until `enough()`, the ending, a handler's failure or a free turn."""
        log = self._log

        def awake() -> bool:
            mine = self._thread in (None, threading.current_thread())
            free = mine and not self._reading and not log.ended
            return enough() or free or log.finished or log.alarm is not None

        with self._changed:
            self._changed.wait_for(awake)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
        if self._log.finished:
            self._settle()

    # -- endings -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop reading and end the stream where delivery stands; from any thread."""
        self._closed = True
        error = StreamClosedError("the stream was closed before it had ended")
        error.carry(self._snapshot, self._feed.request_id)
        self._log.cut(error)
        self._settle()
        self._log.want(FOREVER)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and self._log.delivering != thread.ident:
            thread.join(_JOIN)

    def _settle(self) -> None:
        """Give the connection back after a good end, else close it."""
        with self._changed:
            if self._settled or self._body is None:
                return
            self._settled = True
            body = self._body
        if self._feed.done and not self._reading:
            body.finish()
        else:
            body.close()

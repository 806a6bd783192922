"""AssistantStream: one run's events as a hot Observable for threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from reactivex import Observable, abc

from rx_assistant.errors import RxAssistantError
from rx_assistant.events import AssistantStreamEvent
from rx_assistant.hot import TIMERS, Stream, StreamScheduler
from rx_assistant.streams._base import GOODBYE, OnIdle, Post, Replay, StreamBase, log_uncancelled
from rx_assistant.streams._handling import bound
from rx_assistant.streams._pump import Abort, Open, Pump, Resume

if TYPE_CHECKING:
    from rx_assistant.streams._feed import RunIdentity
    from rx_assistant.types import Message, Run, RunStep

H = TypeVar("H")


class AssistantStream(StreamBase, Stream[AssistantStreamEvent]):
    """One run as a hot Observable of typed events: one request, however many look on.

    Entering it sends the request and raises what the API answers. Events flow while someone iterates, waits
    (`until_done`, `get_final_…`, `run`) or after `connect()`; subscribers are called on the thread that does so.
    Leaving the block closes the response; with `on_idle="cancel"` it cancels the run if that goes on.
    """

    def __init__(
        self,
        open: Open,
        *,
        replay: Replay = "all",
        on_idle: OnIdle = "detach",
        idle_grace: float | None = None,
        max_pending: int = 16 * 2**20,
        max_event_bytes: int = 16 * 2**20,
        post_cancel: Post | None = None,
        resume: Resume | None = None,
        abort: Abort | None = None,
        identity: RunIdentity | None = None,
    ) -> None:
        Observable.__init__(self)
        StreamBase.__init__(
            self,
            replay=replay,
            on_idle=on_idle,
            idle_grace=idle_grace,
            max_pending=max_pending,
            max_event_bytes=max_event_bytes,
            identity=identity,
        )
        self.driver: Pump = Pump(self.log, self._feed, open, resume, self._folding.latest, abort)
        self._post_cancel = post_cancel
        self._cancelling = threading.RLock()
        self._cancelled: Run | None = None

    def __enter__(self) -> Self:
        self.driver.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._warn_if_unread(self.driver.pumped)
        if self._is_abandoned and self._post_cancel is not None and self._cancelled is None:
            self._cancel_and_close().join(GOODBYE)
        self.driver.leave(patient=error is None or isinstance(error, Exception))
        self._log_unheard()

    # -- waiting -------------------------------------------------------------------------------------------------

    def until_done(self) -> None:
        """Wait until the stream has ended and everything is delivered.

        Raises:
            StreamError: it ended other than well; `snapshot` on the error holds what arrived.
        """
        self.driver.finish()
        if self.log.failure is not None:
            raise self.log.failure

    def get_final_run(self) -> Run:
        """Wait for the end and give the run. One that failed is returned like any other; a broken stream raises."""
        self.until_done()
        return self._final_run()

    def get_final_run_steps(self) -> list[RunStep]:
        """Wait for the end and give the run's steps, in the order of their first appearance."""
        self.until_done()
        return [step.to_model() for step in self._final().steps]

    def get_final_messages(self) -> list[Message]:
        """Wait for the end and give the messages, in the order of their first appearance."""
        self.until_done()
        return [message.to_model() for message in self._final().messages]

    def connect(self) -> None:
        """Read and deliver on a background thread from now on; the thread ends with the stream. Idempotent."""
        self.driver.connect()

    @property
    def text_deltas(self) -> Stream[str]:
        """The text as it is written, piece by piece. Each loop over it starts from the beginning."""
        from rx_assistant.operators import text_deltas

        return self.pipe(text_deltas())

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the stream here and now and close the response; from any thread, and inside a callback. Idempotent.

        Whoever still waits gets StreamClosedError, once.
        """
        self.driver.close()

    def cancel(self) -> Run:
        """Ask the server to cancel the run, and give its answer; the stream goes on to the server's own ending.

        Waits for the run's id when it is not known yet. Posts once, however often it is called, and nothing after
        the end.

        Raises:
            RuntimeError: the stream is a recording, or comes from elsewhere, so there is nothing to post to.
        """
        identity = self._feed.identity
        while identity is None and not self.log.ended:
            self.driver.advance(self.log.length)
            identity = self._feed.identity
        with self._cancelling:
            if self._cancelled is not None:
                return self._cancelled
            if identity is None or self.log.ended:
                return self._final_run()
            if self._post_cancel is None:
                raise RuntimeError("this stream did not come from a client, so there is no server to cancel the run on")
            run: Run = self._post_cancel(identity.run_id, identity.thread_id)
            self._cancelled = run
            return run

    # -- idleness ------------------------------------------------------------------------------------------------

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        return TIMERS.call_later(seconds, action)

    def _is_sent(self) -> bool:
        return self.driver.is_sent

    def _cancel_and_close(self) -> threading.Thread:
        thread = threading.Thread(target=self._cancel_then_close, name="rx-assistant-cancel", daemon=True)
        thread.start()
        return thread

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
        """Serves time operators: its timers only hand their actions to the stream, which runs them in turn (C10)."""
        return StreamScheduler(self.log.enqueue, TIMERS.call_later)


class HandledStream(AssistantStream, Generic[H]):
    """An AssistantStream with a handler, which its block gives instead of the stream."""

    def __init__(self, open: Open, *, handler: H, **options: Any) -> None:
        super().__init__(open, **options)
        self.handler = handler
        self._seat(bound(handler, self), raises=True)

    def __enter__(self) -> H:  # type: ignore[override]  # the block gives the handler, as SDK users expect
        super().__enter__()
        return self.handler

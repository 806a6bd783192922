"""The next step of a pump, for sync and async streams. This module reads nothing and waits for nothing: `pump` and
`async_pump` do.

Several callers may need the same stream at once. No caller owns it. Each asks for its next step, takes that step, and
asks again until the answer is END:

                         ┌─▶ READ     The turn to read is free. Take it, read one chunk into the log, give it back.
    ask for the step ────┼─▶ DELIVER  The log holds items, or its ending, that this caller may deliver.
        ▲                ├─▶ WAIT     Another caller reads or delivers. Sleep until the next step is not WAIT.
        └── not END ─────┴─▶ END      The caller's goal is reached.

A caller asks with one of three goals:

    opening()    the request was sent                      ends when there is a body, or when the log has ended
    arrival()    an event after a position has arrived     ends when the log is longer, or has ended
    delivery()   everything was delivered                  ends when the log is RELEASED; inside a delivery, when ENDED

ENDED, DELIVERED and RELEASED are states of a log, see `hot/state.py`. The first reader opens the body, `recovery()`
replaces it after a break, and `settle()` of the pump releases it once the log was delivered or closed:

    no body ──hold──▶ open ──forget──▶ released        `is_good` decides: keep its connection for reuse, or close it
        ▲             │  ▲
        │             └──┘ recovery: close it, and hold the body that continues
        └ next_response ┘    the run requires action: keep the connection for reuse, and open the next body

On threads the turn is given back after each chunk, before its events are delivered. On an event loop no other task runs
between two waits, so a lone reader keeps the turn. It reads, delivers and reads on until a handler is attached, a
background task begins, or an exception of a handler has to be raised.

The turn to read is a token in a dictionary, under 0. Threads take it with `setdefault()` and give it back by
subscripts, which KeyboardInterrupt cannot divide (see `hot/delivery.py`, "Interrupts").
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from rx_assistant.errors import RxAssistantError, StreamClosedError
from rx_assistant.hot import ENDED
from rx_assistant.streams.body import OPEN_BODIES

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.feed import Feed, RunIdentity

Step: TypeAlias = Literal["read", "deliver", "wait", "end"]

READ: Final = "read"
DELIVER: Final = "deliver"
WAIT: Final = "wait"
END: Final = "end"


class _Named(Protocol):
    """The part of a body that this module uses. The two pumps read and close bodies in different ways."""

    @property
    def request_id(self) -> str | None: ...

    def saw_event(self) -> None: ...


B = TypeVar("B", bound=_Named)


class Close(Generic[B]):
    """Close this body."""

    __slots__ = ("body",)

    def __init__(self, body: B) -> None:
        self.body = body


class Resume:
    """Open a body that continues after the events that have arrived, and send it to `recovery()`; None if the run
    cannot be found."""

    __slots__ = ("identity", "snapshot")

    def __init__(self, identity: RunIdentity | None, snapshot: RunSnapshot) -> None:
        self.identity = identity
        self.snapshot = snapshot


class PumpState(Generic[B]):
    """The state of one pump. See the module's text."""

    __slots__ = ("_continuation", "_sent", "body", "feed", "log", "resumes", "turn")

    def __init__(
        self,
        log: HotLog[Any],
        feed: Feed,
        *,
        resumes: bool,
        continuation: Continuation | None = None,
    ) -> None:
        self.log = log
        self.feed = feed
        self.resumes = resumes
        self.body: B | None = None
        self.turn: dict[int, object] = {}
        self._sent = False
        self._continuation = continuation

    # -- the next step -------------------------------------------------------------------------------------------

    def opening(self, mine: bool) -> Step:
        """The next step of a caller that needs the request sent. `mine`: whether the caller may read at all."""
        if self._sent or self.log.state >= ENDED:
            return END
        return READ if mine and 0 not in self.turn else WAIT

    def arrival(self, position: int, mine: bool) -> Step:
        """The next step of a caller that needs more than `position` events in the log."""
        log = self.log
        if log.length > position or log.state >= ENDED:
            return END
        return READ if mine and self._is_free else WAIT

    def delivery(self, mine: bool, *, over: bool, behind: bool, inside: bool) -> Step:
        """The next step of a caller that needs everything delivered.

        `over` says that everything is delivered, `behind` that the caller has something to deliver, `inside` that the
        caller runs inside a delivery, which cannot continue before the caller returns.
        """
        if over:
            return END
        if behind:
            return DELIVER
        if self.log.state < ENDED:
            return READ if mine and self._is_free else WAIT
        return END if inside else WAIT

    @property
    def _is_free(self) -> bool:
        return 0 not in self.turn and not self.is_between

    @property
    def is_between(self) -> bool:
        """Whether there is nothing to read, because the work before the next response still runs."""
        return self._continuation is not None and self._continuation.busy

    # -- results of a read ----------------------------------------------------------------------------------------

    def hold(self, body: B) -> None:
        """Read from this body from now on."""
        self._sent = True
        self.body = OPEN_BODIES[id(body)] = body

    def next_response(self) -> None:
        """Forget the body that has ended, and begin the work that the next one needs."""
        self.forget()
        self.body = None
        run = self.feed.next_response()
        if self._continuation is not None and not self.log.ended:
            self._continuation.begin(run)

    def forget(self) -> None:
        """Drop the reference that keeps the body alive: it was released or closed."""
        OPEN_BODIES.pop(id(self.body), None)

    @property
    def is_sent(self) -> bool:
        """Whether the request was sent, or is being sent."""
        return self._sent or 0 in self.turn

    @property
    def is_good(self) -> bool:
        """Whether the stream has ended well, so that the connection can be used again."""
        return self.feed.done and self.log.failure is None

    def recovery(self, cause: RxAssistantError | None) -> Generator[Close[B] | Resume, Any, None]:
        """End the log or continue from another body, after the body has ended or has broken with `cause`.

        Yields a `Close` or `Resume` that the caller must carry out. Receives the body of a `Resume`; the caller throws
        its exception in.
        """
        feed, body = self.feed, self.body
        point = feed.resumable(cause) if self.resumes and body is not None else None
        if point is None or body is None:
            feed.finish(cause)
            return
        yield Close(body)
        self.forget()
        while point is not None:
            try:
                following: B | None = yield Resume(*point)
            except Exception as error:
                point = feed.resumable(error)
                if point is None:
                    feed.fail(error)
                continue
            if following is None:  # no event named the run
                feed.finish(cause)
                return
            feed.restart()
            self.hold(following)
            if self.log.ended:
                yield Close(following)
            return

    def cut(self) -> StreamClosedError:
        """End the log after the event in delivery, because the stream was closed. Returns the error for readers."""
        error = StreamClosedError("the stream was closed before it had ended")
        self.feed.inform(error)
        self.log.cut(error)
        self.feed.stop_recording()
        return error

"""The common base of AssistantStream and AsyncAssistantStream: the log, its feed, the context, recording, idleness."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from reactivex import abc

from rx_assistant.errors import (
    BadRequestError,
    ConflictError,
    StreamCancelledError,
    StreamError,
    ToolFailedError,
    ToolRoundsError,
)
from rx_assistant.grace import IDLE_SECONDS
from rx_assistant.hot import DIRECT, NOTHING, SUBSCRIBING, HotLog, Subscriber, loop_for, outside_collection
from rx_assistant.lifecycle import RUN
from rx_assistant.streams.context import Folding, message_around, step_around
from rx_assistant.streams.continuation import Side, end_with
from rx_assistant.streams.feed import Feed
from rx_assistant.streams.handling import bound
from rx_assistant.streams.recording import Recording

if TYPE_CHECKING:
    from rx_assistant.events import AssistantStreamEvent
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.decoding import Decoding
    from rx_assistant.streams.feed import RunIdentity
    from rx_assistant.streams.handling import Binding, Handler
    from rx_assistant.types import Message, Run, RunStep

Replay: TypeAlias = Literal["all", "none"]
"""The events for late subscribers: `"all"` events so far and new ones, or `"none"` of those so far."""

OnIdle: TypeAlias = Literal["detach", "close", "cancel"]
"""The action when the last reader has left: `"detach"` does nothing, `"close"` closes the response, `"cancel"` also
cancels the run on the server."""

OnSubscribe: TypeAlias = Literal["wait", "connect"]
"""The action of a subscription if nothing reads the stream: `"wait"` for a reader, or `"connect"`: read in the
background."""

_log = logging.getLogger("rx_assistant")

_ABANDONING = (StreamCancelledError, ToolFailedError, ToolRoundsError)


def log_uncancelled(error: Exception) -> None:
    """Log that the abandoned run keeps running. If the server refused the cancel, the run had already ended: debug."""
    level = logging.DEBUG if isinstance(error, (BadRequestError, ConflictError)) else logging.WARNING
    _log.log(level, "the run of an abandoned stream could not be cancelled: %s", error)


def check_seconds(**waits: float | None) -> None:
    """Raise ValueError unless each argument is None or a number of seconds, 0 or more. The error has its name."""
    for name, value in waits.items():
        if value is not None and not (isinstance(value, int | float) and value >= 0):
            raise ValueError(f"{name} must be a number of seconds, 0 or more, got {value!r}")


def _check_policies(replay: object, on_idle: object, on_subscribe: object, max_pending: object) -> None:
    if replay not in ("all", "none"):
        raise ValueError(f"replay must be 'all' or 'none', got {replay!r}")
    if on_idle not in tuple(IDLE_SECONDS):
        raise ValueError(f"on_idle must be 'detach', 'close' or 'cancel', got {on_idle!r}")
    if on_subscribe not in (None, "wait", "connect"):
        raise ValueError(f"on_subscribe must be 'wait' or 'connect', got {on_subscribe!r}")
    if not isinstance(max_pending, int):
        raise ValueError(f"max_pending must be a number of bytes, got {max_pending!r}")


class StreamBase:
    """State and views of one stream; the two subclasses add reading and waiting."""

    driver: Any  # a Pump or an AsyncPump; each subclass declares which

    def __init__(
        self,
        *,
        replay: Replay,
        on_idle: OnIdle,
        idle_grace: float | None,
        on_subscribe: OnSubscribe | None,
        cancel_wait: float,
        max_pending: int,
        max_event_bytes: int,
        identity: RunIdentity | None,
        decoding: Decoding | None,
        continuation: Continuation | None,
    ) -> None:
        _check_policies(replay, on_idle, on_subscribe, max_pending)
        check_seconds(cancel_wait=cancel_wait, idle_grace=idle_grace)
        self.log: HotLog[Any] = HotLog(keep=replay == "all", max_pending=max_pending, on_idle=None)
        if on_idle != "detach":
            self.log.on_idle = self._idle  # keeps the stream alive, because it must act when its last reader leaves
        self._folding = Folding(self.log)
        self._feed = Feed(
            self.log,
            self._folding,
            max_event_bytes=max_event_bytes,
            identity=identity,
            decoding=decoding,
            continuation=continuation,
        )
        self._continuation = continuation
        self._side_logs: dict[str, HotLog[Any]] = {}
        self._on_subscribe = on_subscribe
        self._cursors: dict[str, Any] = {}  # the cursors of next() and anext(), by what they read
        self._deltas: weakref.ref[Any] | None = None
        self._cancel_wait = cancel_wait
        self._on_idle: OnIdle = on_idle
        self._stop_idling: Callable[[], None] | None = None
        self._grace = IDLE_SECONDS[on_idle] if idle_grace is None else idle_grace
        if on_idle != "detach":
            self.log.listen(self._stop_waiting_for_readers)

    def __repr__(self) -> str:
        identity, log = self._feed.identity, self.log
        run = None if identity is None else identity.run_id
        return f"{type(self).__name__}(run={run!r}, events={log.length}, {self._state()})"

    def _repr_markdown_(self) -> str:
        """The events that have arrived, as Markdown, without reading on."""
        return self._arrived()._repr_markdown_() or f"`{self!r}`"

    def _arrived(self) -> RunSnapshot:
        """Return the snapshot of all events in the log, delivered or not."""
        return self._folding.arrived(self.log)

    def _state(self) -> str:
        if not self.log.ended:
            return "open" if self._is_sent() else "not sent"
        failure = self.log.failure
        return "ended" if failure is None else f"ended by {type(failure).__name__}"

    # -- context -------------------------------------------------------------------------------------------------

    @property
    def current_event(self) -> AssistantStreamEvent | None:
        """The event that was last given to a reader; None before the first. Replays to late readers do not count."""
        log = self.log
        at, event = log.shown
        if event is NOTHING and at >= 0:
            event = log.item(at)
            log.shown = (at, event)
        return None if event is NOTHING else cast("AssistantStreamEvent", event)

    @property
    def snapshot(self) -> RunSnapshot:
        """The run, messages and steps after the current event. Immutable: later snapshots are new objects."""
        return self._folding.at(self.log.shown[0] + 1)

    @property
    def current_run(self) -> Run | None:
        """The newest run object up to the current event; None before the first run event."""
        return self.snapshot.run

    @property
    def current_message_snapshot(self) -> Message | None:
        """The message of the current event, else the one in progress, else the newest; None if there is no message."""
        return message_around(self.current_event, self.snapshot)

    @property
    def current_run_step_snapshot(self) -> RunStep | None:
        """The run step of the current event, else the one in progress; None between two steps."""
        return step_around(self.current_event, self.snapshot)

    @property
    def request_id(self) -> str | None:
        """The server's id of the request; None before it was sent, or if the server sends none."""
        return self._feed.request_id

    def record(self, to: str | PathLike[str] | Recording) -> Recording:
        """Write the stream to a file: the stored events, then each frame as it arrives, and the ending last.

        `to` is a path, or the Recording of an earlier stream of the run: then this stream is appended to its file.
        Replaying the file gives equal events and the same ending. If the disk is full, the stream continues and the
        recording ends: its `error` is set.

        Raises:
            OSError: the file cannot be opened.
            TypeError: `to` is neither a path nor a Recording.
        """
        if isinstance(to, Recording):
            recording = to
            recording.go_on()
        else:
            recording = Recording(to)
        self._feed.record(recording)
        return recording

    # -- Root ----------------------------------------------------------------------------------------------------

    def link(self, down: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Connect a subscriber to the log; a subscription of a loop gets a cursor of that loop instead.

        A foreign subscription connects the stream, any other waits for a reader (see `hot/subscriber.py`).

        Raises:
            RuntimeError: the subscription is foreign, the stream asynchronous, and there is no event loop to read on.
        """
        loop = loop_for(scheduler)
        if loop is not None:
            return loop.adopt(cast("Any", self), down)
        return self.take_seat(self.log, down)

    def take_seat(self, log: HotLog[Any], down: Subscriber[Any]) -> abc.DisposableBase:
        """Connect a subscriber to `log`. A foreign subscription connects the stream, any other waits for a reader."""
        connects = self._connects()
        if connects:
            self.driver.prepare()
        seat = log.subscribe(down)
        self.driver.unread.wait()
        if connects:
            self.driver.connect_soon()
        return seat

    def _side(self, name: str) -> Side:
        """The log of this name beside the stream's events. For a stream without tools it stays empty."""
        log = self._side_logs.get(name)
        if log is None:
            log = self._side_logs.setdefault(
                name, HotLog() if self._continuation is None else self._continuation.logs[name]
            )
            end_with(self.log, log)
        return Side(self, log)

    def _connects(self) -> bool:
        """Whether the subscription that is being made connects the stream."""
        if self._on_subscribe is not None:
            return self._on_subscribe == "connect"
        return not (SUBSCRIBING.owner is DIRECT or self.log.delivering == threading.get_ident())

    @property
    def origin(self) -> Any:
        """The stream itself, because it is a root."""
        return self

    # -- handlers ------------------------------------------------------------------------------------------------

    def attach(self, handler: Handler) -> abc.DisposableBase:
        """Send every event to an event handler, earlier events included; returns the disposable that detaches it.

        If the handler raises, it is detached, the exception is logged, and `handler.exception` holds it.

        Raises:
            RuntimeError: the handler is already bound to a stream.
            TypeError: `handler` is not an event handler, or it is asynchronous and the stream is not.
        """
        return self._seat(bound(handler, self), raises=False)

    def _seat(self, binding: Binding, *, raises: bool) -> abc.DisposableBase:
        """Connect a bound handler. Its error is logged; with `raises`, the next caller that waits raises it instead."""

        def on_error(error: Exception) -> None:
            try:
                binding.error(error)
            except Exception as raised:
                self._handler_raised(raised, raises and error is self.log.failure)
            if error is not self.log.failure:
                self._handler_raised(error, raises)

        def on_completed() -> None:
            try:
                binding.completed()
            except Exception as raised:
                self._handler_raised(raised, raises)

        subscriber: Subscriber[Any] = Subscriber(binding.next, on_error, on_completed)
        subscriber.hold(self.log.subscribe(subscriber))
        if not raises:
            self.driver.unread.wait()
        return subscriber

    def _handler_raised(self, error: Exception, raises: bool) -> None:
        if raises:
            self.log.handler_raised(error, pause=not self.driver.connected)
        else:
            _log.error("an attached handler raised and was detached", exc_info=error)

    def _log_unheard(self) -> None:
        """Log an error of a handler that no waiting caller has raised."""
        error = self.log.handlers.take_error()
        if error is not None:
            _log.error("a handler raised, and no loop or wait was left to raise its error", exc_info=error)

    # -- idleness ------------------------------------------------------------------------------------------------

    def close(self) -> object:
        """End the stream at once."""
        raise NotImplementedError

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        raise NotImplementedError

    def _is_sent(self) -> bool:
        """Whether the request was sent, or is being sent: it may have started a run."""
        raise NotImplementedError

    def _cancel_and_close(self) -> object:
        raise NotImplementedError

    @property
    def on_idle(self) -> OnIdle:
        """The action when the last reader has left: "detach", "close" or "cancel"."""
        return self._on_idle

    def _idle(self) -> None:
        """Run the action of `on_idle` after `idle_grace` seconds, unless a reader comes by then."""
        if self._on_idle == "detach":
            return
        self._stop_grace()
        if self._grace > 0:
            self._stop_idling = self._call_later(self._grace, self._retire)
        else:
            self._retire()

    def _stop_grace(self) -> None:
        stop, self._stop_idling = self._stop_idling, None
        if stop is not None:
            stop()

    def _stop_waiting_for_readers(self) -> None:
        if self.log.ended:
            self._stop_grace()

    def _retire(self) -> None:
        if self.log.holders or self.log.ended:
            return
        if self._on_idle == "close" or not self._is_sent():
            self.close()
        else:
            self._cancel_and_close()

    def __del__(self) -> None:
        driver = self.__dict__.get("driver")
        if driver is None or sys.is_finalizing():
            return
        driver.unread.stop()
        if driver.is_left_open:
            try:
                if driver.holds_connection:
                    warnings.warn(
                        f"unclosed stream {self!r}: use it in a `with` block, read it to its end, or call close()",
                        ResourceWarning,
                        source=self,
                        stacklevel=2,
                    )
            finally:
                outside_collection(driver.drop)

    def _ended_run(self) -> Run | None:
        """The run, if an event has shown that it has ended."""
        if not self._feed.is_over:  # known without a snapshot, which costs time if no one has read one yet
            return None
        run = self._folding.arrived(self.log).run
        return run if run is not None and is_over(run) else None

    @property
    def _is_abandoned(self) -> bool:
        """Whether leaving the block now must cancel the run, because `on_idle` is "cancel" and the run continues.

        A run that has ended, or that waits for outputs from the program, is not cancelled. A run that waits for outputs
        of the stream's own tools is.
        """
        if self._on_idle != "cancel" or not self._is_sent() or self._feed.is_settled:
            return False
        return not self.log.ended or isinstance(self.log.failure, _ABANDONING)

    def _warn_if_unread(self) -> None:
        if self.log.holders and not self.driver.unread.was_read and not self.log.ended:
            _log.warning(
                "the block of a stream was left while subscribers waited, and nothing was read: inside the block, "
                "iterate the stream, call until_done(), or call connect() to read in the background"
            )

    # -- final objects -------------------------------------------------------------------------------------------

    def _final(self) -> RunSnapshot:
        if self.log.failure is not None:
            raise self.log.failure
        return self._folding.latest()

    def _final_run(self) -> Run:
        run = self._final().run
        last = self._feed.last_run
        if last is not None:
            last.data  # noqa: B018  # raises if the last event of the run cannot be read, instead of returning an older run
        if run is None:
            raise StreamError("the stream ended without an event of a run", request_id=self.request_id)
        return run


Post = Callable[[str, str], Any]
"""Posts the cancel of a run, or fetches the run: `(run_id, thread_id)` → the Run in the server's reply."""


def is_over(run: Any) -> bool:
    return getattr(run, "status", None) in RUN.terminal

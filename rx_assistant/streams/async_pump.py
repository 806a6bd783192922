"""The pump of an asynchronous stream: `pump_state` decides the next step, and tasks of one event loop read and wait.

Sync subscribers are called by the log, async handlers are awaited by `async_handlers`. A task that is cancelled while
it reads, or while it awaits a handler, ends the stream for all readers: the transport has closed the response. No
cancel scope and no task group is open while user code runs, except for the ending after a cancellation or a close.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from rx_assistant.errors import RxAssistantError, StreamCancelledError, StreamClosedError
from rx_assistant.grace import HANDLER_SECONDS, THREAD_SECONDS
from rx_assistant.hot import ENDED, FOREVER, RELEASED
from rx_assistant.http.event_loops import Span, span
from rx_assistant.streams.async_handlers import AsyncHandlers
from rx_assistant.streams.async_home import Home
from rx_assistant.streams.body import pour
from rx_assistant.streams.pump_state import DELIVER, END, READ, WAIT, Close, PumpState, Step
from rx_assistant.streams.unread import Unread

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.schedulers import EventLoop, LoopWaker, Task
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams.body import AsyncBody
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.feed import Feed, RunIdentity
    from rx_assistant.streams.handling import Binding

AsyncOpen = Callable[[], Awaitable["AsyncBody"]]
"""Sends the request and returns the body. Raises only errors of this package. With a continuation, called once for each
response."""

AsyncResume = Callable[["RunIdentity | None", "RunSnapshot"], Awaitable["AsyncBody | None"]]
"""Returns a body that continues after the events in the snapshot, when a body broke.

The identity is None if no event has named the run. The body is None if the run cannot be found.
"""


class AsyncPump:
    """The driver of one asynchronous stream, see `hot/root.py`."""

    __slots__ = (
        "_closed",
        "_continuation",
        "_counts_events",
        "_feed",
        "_handlers",
        "_home",
        "_interrupt",
        "_log",
        "_open",
        "_opening",
        "_reads_on",
        "_resume",
        "_settled",
        "_settling",
        "_state",
        "_task",
        "_task_id",
        "_task_over",
        "unread",
    )

    def __init__(
        self,
        log: HotLog[Any],
        feed: Feed,
        open: AsyncOpen,
        resume: AsyncResume | None,
        continuation: Continuation | None = None,
    ) -> None:
        self._home = Home(log)
        self.unread = Unread(log, self._home.call_later)
        self._log = log
        self._feed = feed
        self._open = open
        self._resume = resume
        self._state: PumpState[AsyncBody] = PumpState(log, feed, resumes=resume is not None, continuation=continuation)
        self._continuation = continuation
        if continuation is not None:
            continuation.bind(log, changed=self._home.wake, hand_over=self._emit, arrived=feed.arrived)
        self._opening: Span | None = None
        self._closed = False
        self._settling = False
        self._settled = False
        self._handlers = AsyncHandlers(log, self._home)
        self._task: Task | None = None
        self._task_id: int | None = None
        self._task_over = False
        self._counts_events = True
        self._interrupt: BaseException | None = None
        self._reads_on = False  # whether the reading task keeps its turn: there is no handler and no background task

    @property
    def loop(self) -> EventLoop | None:
        """The stream's event loop; None before its first use."""
        return self._home.loop

    def here(self) -> EventLoop:
        """Return the stream's event loop: the one that is running at the first call."""
        return self._home.here()

    def live_on(self, loop: EventLoop) -> None:
        """Use this event loop, unless the stream has one already."""
        self._home.loop = self._home.loop or loop

    def waker(self) -> LoopWaker:
        """Return a waker for the calling task; any thread may wake it."""
        return self._home.waker()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` on the stream's event loop, `seconds` from now; on a thread as long as there is no loop."""
        return self._home.call_later(seconds, action)

    @property
    def connected(self) -> bool:
        """Whether a background task reads."""
        return self._task is not None

    @property
    def is_sent(self) -> bool:
        """Whether the request was sent, or is being sent."""
        return self._state.is_sent

    # -- reading -------------------------------------------------------------------------------------------------

    async def enter(self) -> None:
        """Send the request, if it was not sent yet. Raises its error."""
        self.here()
        log, state = self._log, self._state
        while (step := state.opening(self._may_read())) is not END:
            if step is WAIT:
                await self._home.sleep(lambda: state.opening(self._may_read()) is not WAIT)
                continue
            state.turn[0] = state
            try:
                await self._start()
            except Exception:
                await self._deliver_ending()
                raise
            finally:
                self._leave_turn()
        if state.body is None and log.failure is not None:
            raise log.failure

    async def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log, state = self._log, self._state
        self.here()
        while (step := state.arrival(position, self._may_read())) is not END:
            log.check()
            if step is READ:
                await self._read()
            else:
                await self._home.sleep(lambda: log.would_raise or state.arrival(position, self._may_read()) is not WAIT)

    async def finish(self) -> None:
        """Return once everything is delivered; inside a delivery, once everything has arrived."""
        log, handlers, waiter = self._log, self._handlers, object()
        self.here()
        try:
            log.retain(waiter)
            while (step := self._delivery()) is not END:
                log.check()
                if step is READ:
                    await self._read(on=True)
                    log.drain()  # earlier wishes are delivered without asking for the step
                elif step is DELIVER:
                    log.want(FOREVER)
                    if handlers:
                        await self.deliver(log.length + 1)
                else:
                    await self._home.sleep(lambda: log.would_raise or self._delivery() is not WAIT)
            log.check()
        except BaseException:
            log.pause()  # else giving back the waiter would deliver all that is stored before this is raised
            raise
        finally:
            log.release(waiter)
        await self.settle()

    def _delivery(self) -> Step:
        """The next step of this task towards the end of delivery, async handlers included."""
        log, handlers = self._log, self._handlers
        if not handlers:
            return self._state.delivery(
                self._may_read(), over=log.state >= RELEASED, behind=log.is_behind, inside=False
            )
        inside = handlers.is_inside()
        behind = log.is_behind or (not inside and handlers.is_behind(log.length + 1))
        return self._state.delivery(self._may_read(), over=False, behind=behind, inside=inside)

    async def connect(self) -> None:
        """Read and deliver in a background task from now on."""
        self._connect(self._run)

    def prepare(self) -> None:
        """Choose the event loop for `connect_soon()`. Raises RuntimeError when no loop is running."""
        try:
            self.here()
        except RuntimeError:
            raise RuntimeError(
                "an operator of reactivex must subscribe to an asynchronous stream on its event loop, got a thread "
                "without one: open the stream first, with `async with stream` and `await stream.connect()`, or create "
                'it with on_subscribe="wait"'
            ) from None

    def connect_soon(self) -> None:
        """Read and deliver in a background task, if subscribers are left when the task begins; from any thread."""
        loop = self.here()
        if loop.is_here():
            self._connect(self._run_for_subscribers)
        else:
            loop.call_soon(self.connect_soon)

    def _connect(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._task is None and not self._log.delivered:
            self._reads_on = False
            self._handlers.connected = True
            self._task = self.here().spawn(main)

    async def _run_for_subscribers(self) -> None:
        if self._log.holders or self._state.is_sent:
            await self._run()
        else:
            self._task = None  # the subscriber has left, so no request is sent (C29)
            self._handlers.connected = False

    async def _run(self) -> None:
        log, state = self._log, self._state
        self._task_id = anyio.get_current_task().id
        try:
            while not log.ended:
                log.want(FOREVER)
                upto = log.length
                await self._serve(upto)
                if log.length > upto:
                    continue  # a handler has read further events
                if state.arrival(upto, True) is READ:
                    await self._read(on=True)
                else:
                    await self._until_arrival(upto)
            await self._deliver_ending()
            await self.settle()
        finally:
            self._task_over = True
            self._home.wake()

    async def _until_arrival(self, position: int) -> None:
        """Sleep while another task reads, or the tools of the stream work."""
        await self._home.sleep(lambda: self._state.arrival(position, True) is not WAIT)

    async def _start(self) -> None:
        self.here()
        body: AsyncBody | None = None
        try:
            self._opening = span()
            with self._opening:  # closing the stream ends the wait for the head
                body = await self._open()
        except Exception as error:
            self.unread.stop()
            self._feed.fail(error)
            raise
        except BaseException:
            await self._cancelled("the task that sent the request was cancelled")
            raise
        finally:
            self._opening = None
        if body is None:
            raise StreamClosedError("the stream was closed before it had ended")
        self._state.hold(body)
        self._feed.request_id = body.request_id
        if self._closed:
            await body.aclose()

    async def _read(self, *, on: bool = False) -> None:
        """Take the turn and read one chunk into the log. With `on`, deliver it, and read further chunks while no
        handler is attached.

        A failure becomes the stream's ending, not the caller's exception.
        """
        if not self.unread.was_read:
            self.unread.read()
        feed, state = self._feed, self._state
        state.turn[0], self._reads_on = state, on and not self._handlers
        is_at_end = False
        try:
            try:
                if feed.response_over and state.body is not None:
                    await state.body.finish()
                    state.next_response()
                    return
                if state.body is None:
                    await self._start()
                if state.body is None or self._log.state >= ENDED:
                    return
                self._counts_events = getattr(state.body, "counts_events", True)
                is_at_end = not await pour(state.body, self._take)
            except RxAssistantError as error:
                await self._recover(error)
            except Exception as error:  # not an error of a transport: the source has a wrong type
                feed.fail(error)
            except BaseException:
                await self._cancelled("the task that was reading the stream was cancelled")
                raise
            if is_at_end:
                await self._recover(None)
        finally:
            self._leave_turn()
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt

    def _take(self, chunk: bytes) -> bool:
        """Put a chunk into the log, and deliver it if the reading task keeps its turn. Returns whether to read on."""
        try:
            log, feed = self._log, self._feed
            if feed.take(chunk) and self._counts_events and self._state.body is not None:
                self._state.body.saw_event()
            if not self._reads_on:
                return False
            log.drain()  # a subscriber may attach a handler, or close the stream
            return (
                self._reads_on
                and not feed.response_over
                and log.storage.state < ENDED
                and log.wish == FOREVER  # else the error of a handler waits for a caller
            )
        except BaseException as error:  # a subscriber raised it, not the body
            self._interrupt = error
            return False

    async def _recover(self, cause: RxAssistantError | None) -> None:
        steps = self._state.recovery(cause)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Close):
                    await _closed_whatever_happens(step.body)
                    step = next(steps)
                    continue
                assert self._resume is not None
                try:
                    following = await self._resume(step.identity, step.snapshot)
                except Exception as error:
                    step = steps.throw(error)
                except BaseException:
                    await self._cancelled("the task that was resuming the stream was cancelled")
                    raise
                else:
                    step = steps.send(following)
        except StopIteration:
            pass

    async def _cancelled(self, what: str) -> None:
        """End the stream for all readers, and deliver the ending to the handlers, while the cancellation continues."""
        self._feed.fail(StreamCancelledError(what))
        with anyio.move_on_after(HANDLER_SECONDS, shield=True):
            await self._deliver_ending()
            await self.settle()

    def _emit(self, entry: Callable[[], None]) -> None:
        """Run `entry` between two deliveries, on the event loop; from any thread."""
        loop = self._home.loop
        if loop is None or loop.is_here():
            self._log.enqueue(entry)
        else:
            loop.call_soon(lambda: self._log.enqueue(entry))

    # -- async handlers ------------------------------------------------------------------------------------------

    @property
    def gated(self) -> bool:
        """Whether there are async handlers, which must be awaited before an event is passed on."""
        return bool(self._handlers)

    def attach(self, binding: Binding, *, raises: bool) -> Callable[[], None]:
        """Add an async handler: it gets every stored event, then each new one. Returns the function that removes it."""
        self._reads_on = False
        detach = self._handlers.attach(binding, raises=raises)
        if not raises:
            self.unread.wait()
        if self._log.position or self._log.delivered:
            self._home.spawn(self._catch_up)
        return detach

    async def _catch_up(self) -> None:
        """Deliver to a late handler the events that the subscribers have had."""
        await self._serve(self._log.position + self._log.delivered)

    async def deliver(self, upto: int) -> None:
        """Deliver the events before position `upto` to subscribers and async handlers.

        The ending is delivered too if its position is below `upto`. After `connect()` the background task delivers, so
        the caller may be cancelled. Returns early when a handler has raised an error that the caller must raise.
        """
        handlers, log = self._handlers, self._log
        if self._task is None or self._task_over or self._is_own_task() or handlers.is_inside():
            await handlers.deliver(upto, self._cancelled, lambda: log.would_raise)
        elif handlers.is_behind(upto):
            await self._home.sleep(lambda: not handlers.is_behind(upto) or log.would_raise or self._task_over)

    async def _deliver_ending(self) -> None:
        self._log.want(FOREVER)
        await self._serve(self._log.length + 1)

    async def _serve(self, upto: int) -> None:
        if self._handlers:
            await self._handlers.deliver(upto, self._cancelled)

    def _is_over(self) -> bool:
        """Whether the ending was delivered to all subscribers and handlers."""
        return self._log.delivered and not self._handlers

    # -- turns ---------------------------------------------------------------------------------------------------

    def _may_read(self) -> bool:
        """Whether this task may take turns at all.

        After `connect()` only the background task may, and its async handlers, for which it waits.
        """
        return self._task is None or self._is_own_task() or self._handlers.is_inside()

    def _is_own_task(self) -> bool:
        return self._task_id is not None and anyio.get_current_task().id == self._task_id

    def _leave_turn(self) -> None:
        self._state.turn.clear()
        self._home.wake()

    # -- endings -------------------------------------------------------------------------------------------------

    @property
    def is_left_open(self) -> bool:
        """Whether something is still open although all readers of the stream have gone."""
        left = self._state.body is not None or self._state.is_between
        return left and not (self._closed or self._settling) and self._task is None

    @property
    def holds_connection(self) -> bool:
        """Whether the body holds a connection. A recording does not."""
        return getattr(self._state.body, "holds_connection", True)

    def drop(self) -> None:
        """Close the body of a stream that was garbage-collected. A loop that has ended has closed the socket itself."""
        with suppress(Exception):
            self.close_soon()
        self._state.forget()

    def close_soon(self) -> None:
        """End the stream after the event in delivery, from any thread. The loop then closes the response."""
        self.unread.stop()
        self._closed = True
        if self._settled and self._log.released and not self._handlers:
            return  # there is nothing left to close
        self._state.cut()
        self._handlers.set_gate()
        self._log.want(FOREVER)
        if self._settled:
            return
        body = self._state.body
        if body is not None and not self._feed.done and not self._home.is_here:
            body.close_soon()
        self._home.spawn(self.settle)

    async def closed(self) -> None:
        """Return when the stream has no open response, no task and no handler."""
        if self._settled and self._task is None and not self._handlers:
            return
        was_cut = isinstance(self._log.failure, StreamClosedError)
        try:
            if not was_cut:
                await self._handlers_ended()  # the background task may be delivering the ending
            with anyio.CancelScope(shield=True):
                await self._end_task()
            await self._handlers_ended()
        finally:
            with anyio.move_on_after(HANDLER_SECONDS, shield=True):
                await self._end_task()
                await self._deliver_ending()

    async def _end_task(self) -> None:
        await self.settle()
        task = self._task
        if task is not None and not (self._is_own_task() or self._handlers.is_inside()):
            task.cancel()
            await task.wait()

    async def _handlers_ended(self) -> None:
        """Return once each async handler has had the ending."""
        if self._handlers and not (self._is_own_task() or self._handlers.is_inside()):
            await self._deliver_ending()
            await self._home.sleep(lambda: not self._handlers)

    async def settle(self) -> None:
        """Release the connection for reuse after a good end, else close it. Done once; further callers wait for it."""
        if self._settling:
            if not self._settled:
                await self._home.sleep(lambda: self._settled)
            return
        if not self._log.ended or (self._state.body is None and 0 in self._state.turn):
            if self._closed and self._opening is not None:
                self._opening.cancel()
            return
        self._settling = True
        try:
            body = self._state.body
            if body is not None and self._state.is_good:
                try:
                    await body.finish()
                except BaseException:
                    await _closed_whatever_happens(body)
                    raise
            elif body is not None:
                await _closed_whatever_happens(body)
            if self._continuation is not None:
                await self._continuation.stopped(THREAD_SECONDS)
        finally:
            self._settled = True
            self._state.forget()
            self._home.wake()


async def _closed_whatever_happens(body: AsyncBody) -> None:
    with anyio.CancelScope(shield=True):
        await body.aclose()

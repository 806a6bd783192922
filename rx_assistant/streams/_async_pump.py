"""The pump of an asynchronous stream: the same turns as `_pump`, taken by tasks of one event loop.

Sync subscribers are called by the log, async handlers are awaited by `_async_handlers`. A task that is cancelled while
it reads, or while it awaits a handler, ends the stream for everybody: the transport has closed the response. No cancel
scope and no task group is open while user code runs, but for the ending after a cancellation or a close.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from rx_assistant.errors import RxAssistantError, StreamCancelledError, StreamClosedError
from rx_assistant.hot import FOREVER
from rx_assistant.streams._async_handlers import AsyncHandlers
from rx_assistant.streams._async_home import Home
from rx_assistant.streams._body import OPEN
from rx_assistant.streams._unread import Unread

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.schedulers import EventLoop, LoopWaker, Task
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams._body import AsyncBody
    from rx_assistant.streams._feed import Feed, RunIdentity
    from rx_assistant.streams._handling import Binding

AsyncOpen = Callable[[], Awaitable["AsyncBody"]]
"""Sends the request, and gives what to read from. Raises errors of ours only."""

AsyncResume = Callable[["RunIdentity | None", "RunSnapshot"], Awaitable["AsyncBody | None"]]
"""Gives a body that goes on where a broken one stopped, from what has been folded so far.

The identity is None where no event had told it. So is the body, where the run cannot be found.
"""

_GOODBYE = 5.0  # seconds that handlers get to hear of a cancellation


class AsyncPump:
    """Fulfils hot.AsyncDriver for one stream."""

    def __init__(
        self,
        log: HotLog[Any],
        feed: Feed,
        open: AsyncOpen,
        resume: AsyncResume | None,
        snapshot: Callable[[], RunSnapshot],
    ) -> None:
        self._home = Home()
        self.unread = Unread(log, self._home.call_later)
        self._log = log
        self._feed = feed
        self._open = open
        self._resume = resume
        self._snapshot = snapshot
        self._body: AsyncBody | None = None
        self._opening: anyio.CancelScope | None = None
        self._closed = False
        self._cleaning = False
        self._cleaned = False
        self._reading = False
        self._handlers = AsyncHandlers(log, self._home)
        self._task: Task | None = None
        self._task_id: int | None = None
        self._task_over = False
        log.inside = self._handlers.is_inside
        log.listen(self._home.wake)

    @property
    def loop(self) -> EventLoop | None:
        """The stream's event loop; None before its first use."""
        return self._home.loop

    def here(self) -> EventLoop:
        """Give the stream's event loop; the first use decides which."""
        return self._home.here()

    def waker(self) -> LoopWaker:
        """Give something to sleep on that any thread may wake."""
        return self._home.waker()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` on the stream's event loop, `seconds` from now; on a thread while it has none."""
        return self._home.call_later(seconds, action)

    @property
    def connected(self) -> bool:
        """Whether a task of the stream's own reads."""
        return self._task is not None

    @property
    def is_sent(self) -> bool:
        """Whether the request was sent, or is being sent."""
        return self._body is not None or self._reading

    # -- reading -------------------------------------------------------------------------------------------------

    async def enter(self) -> None:
        """Send the request, if it was not sent yet; raise what comes of it."""
        self.here()
        while self._body is None and not self._log.ended:
            if self._take_turn():
                try:
                    await self._start()
                except Exception:
                    await self._deliver_ending()
                    raise
                finally:
                    self._leave_turn()
            else:
                await self._home.sleep(lambda: self._body is not None or self._log.ended or self._is_free())
        if self._body is None and self._log.failure is not None:
            raise self._log.failure

    async def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log = self._log
        self.here()
        while log.length <= position and not log.ended:
            if log.alarm is not None:
                log.check()
            if self._take_turn():
                try:
                    await self._read()
                finally:
                    self._leave_turn()
            else:
                await self._home.sleep(lambda: log.length > position or log.ended or log.alarmed or self._is_free())

    async def finish(self) -> None:
        """Return once everything is delivered; inside a delivery, once everything has arrived."""
        log = self._log
        self.here()
        waiter = object()
        try:
            log.retain(waiter)
            while not self._is_over():
                log.want(FOREVER)
                if self._handlers:
                    upto = log.length + 1
                    await self.deliver(upto)
                    if log.length >= upto:
                        continue  # a handler has read ahead
                if log.alarm is not None:
                    log.check()
                if not log.ended:
                    if self._take_turn():
                        try:
                            await self._read()
                        finally:
                            self._leave_turn()
                    else:
                        await self.advance(log.length)
                elif self._handlers.is_inside():
                    return
                else:
                    await self._home.sleep(lambda: self._is_over() or log.alarmed)
            log.check()
        finally:
            log.release(waiter)
        await self.settle()

    async def connect(self) -> None:
        """Read and deliver in a task of its own from now on."""
        self._connect(self._run)

    def prepare(self) -> None:
        """Find the event loop for `connect_soon()`; RuntimeError when there is none."""
        try:
            self.here()
        except RuntimeError:
            raise RuntimeError(
                "an operator of reactivex subscribed to an asynchronous stream outside an event loop, so nothing can "
                "read it: open the stream on its loop with `async with stream` and `await stream.connect()`, or make "
                'it with on_subscribe="wait"'
            ) from None

    def connect_soon(self) -> None:
        """Read and deliver in a task of its own for subscribers that are left when it begins; from any thread."""
        loop = self.here()
        if loop.is_here():
            self._connect(self._run_for_subscribers)
        else:
            loop.call_soon(self.connect_soon)

    def _connect(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._task is None and not self._log.delivered:
            self._handlers.connected = True
            self._task = self.here().spawn(main)

    async def _run_for_subscribers(self) -> None:
        if self._log.holders or self._body is not None or self._reading:
            await self._run()
        else:
            self._task = None  # the subscriber has left: there is no request to send (C29)
            self._handlers.connected = False

    async def _run(self) -> None:
        log = self._log
        self._task_id = anyio.get_current_task().id
        try:
            while not log.ended:
                log.want(FOREVER)
                upto = log.length
                await self._serve(upto)
                if log.length > upto:
                    continue  # a handler has read ahead
                if self._take_turn():
                    try:
                        await self._read()
                    finally:
                        self._leave_turn()
                else:
                    await self._home.sleep(lambda: not self._reading or log.ended)
            await self._deliver_ending()
            await self.settle()
        finally:
            self._task_over = True
            self._home.wake()

    async def _start(self) -> None:
        self.here()
        body: AsyncBody | None = None
        try:
            with anyio.CancelScope() as self._opening:  # closing the stream ends the wait for the head
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
        self._body = OPEN[id(body)] = body
        self._feed.request_id = body.request_id
        if self._closed:
            await body.aclose()

    async def _read(self) -> None:
        """Read one chunk into the log. What goes wrong is the stream's ending, not the caller's exception."""
        if not self.unread.was_read:
            self.unread.read()
        try:
            if self._body is None:
                await self._start()
            body = self._body
            if body is None or self._log.ended:
                return
            chunk = await body.read()
        except RxAssistantError as error:
            await self._broke(error)
            return
        except Exception as error:  # no error of a transport's: a source that is not what it should be
            self._feed.fail(error)
            return
        except BaseException:
            await self._cancelled("the task that was reading the stream was cancelled")
            raise
        if not chunk:
            await self._broke(None)
        elif self._feed.take(chunk):
            body.saw_event()

    async def _broke(self, cause: RxAssistantError | None) -> None:
        feed, body, resume = self._feed, self._body, self._resume
        point = feed.resumable(cause) if resume is not None and body is not None else None
        if resume is None or body is None or point is None:
            feed.finish(cause)
            return
        await body.aclose()
        OPEN.pop(id(body), None)
        while point is not None:
            try:
                following = await resume(*point)
            except Exception as error:
                point = feed.resumable(error)
                if point is None:
                    feed.fail(error)
            except BaseException:
                await self._cancelled("the task that was resuming the stream was cancelled")
                raise
            else:
                await self._go_on(following, cause)
                return

    async def _go_on(self, body: AsyncBody | None, cause: RxAssistantError | None) -> None:
        if body is None:  # nothing tells which run it was
            self._feed.finish(cause)
            return
        self._feed.restart()
        self._body = OPEN[id(body)] = body
        if self._log.ended:
            await _closed_whatever_happens(body)

    async def _cancelled(self, what: str) -> None:
        """End the stream for everybody, and let the handlers hear of it, while the cancellation goes on."""
        self._feed.fail(StreamCancelledError(what))
        with anyio.move_on_after(_GOODBYE, shield=True):
            await self._deliver_ending()
            await self.settle()

    # -- async handlers ------------------------------------------------------------------------------------------

    @property
    def gated(self) -> bool:
        """Whether async handlers have to be awaited before an event is handed on."""
        return bool(self._handlers)

    def attach(self, binding: Binding, *, raises: bool) -> Callable[[], None]:
        """Add an async handler: it gets everything that the log keeps, then each event. Gives what removes it."""
        detach = self._handlers.attach(binding, raises=raises)
        if not raises:
            self.unread.wait()
        if self._log.position or self._log.delivered:
            self._home.spawn(self._catch_up)
        return detach

    async def _catch_up(self) -> None:
        """Let a handler that came late have what the subscribers have had."""
        await self._serve(self._log.position + self._log.delivered)

    async def deliver(self, upto: int) -> None:
        """Let subscribers and async handlers have the events before `upto`, and the ending if that lies before.

        After `connect()` its task does that, so that the caller may be cancelled freely. Returns early when a handler
        has raised something that is to come out of the caller.
        """
        handlers, log = self._handlers, self._log
        if self._task is None or self._task_over or self._is_own_task() or handlers.is_inside():
            await handlers.deliver(upto, self._cancelled, lambda: log.alarmed)
        elif handlers.is_behind(upto):
            await self._home.sleep(lambda: not handlers.is_behind(upto) or log.alarmed or self._task_over)

    async def _deliver_ending(self) -> None:
        self._log.want(FOREVER)
        await self._serve(self._log.length + 1)

    async def _serve(self, upto: int) -> None:
        if self._handlers:
            await self._handlers.deliver(upto, self._cancelled)

    def _is_over(self) -> bool:
        """Whether the ending was delivered to everybody."""
        return self._log.delivered and not self._handlers

    # -- turns ---------------------------------------------------------------------------------------------------

    def _take_turn(self) -> bool:
        if self._reading or not (self._task is None or self._may_read()):
            return False
        self._reading = True
        return True

    def _may_read(self) -> bool:
        """After `connect()` only its task reads, and whoever keeps it waiting: a handler that reads ahead."""
        return self._task is None or self._is_own_task() or self._handlers.is_inside()

    def _is_own_task(self) -> bool:
        return self._task_id is not None and anyio.get_current_task().id == self._task_id

    def _leave_turn(self) -> None:
        self._reading = False
        self._home.wake()

    def _is_free(self) -> bool:
        """Whether this task could take the turn, and there is something to read."""
        return not self._reading and not self._log.ended and self._may_read()

    # -- endings -------------------------------------------------------------------------------------------------

    @property
    def is_left_open(self) -> bool:
        """Whether there is something to close that only readers of the stream would close, and they are gone."""
        return self._body is not None and not (self._closed or self._cleaning) and self._task is None

    @property
    def holds_connection(self) -> bool:
        """Whether what is read from holds a connection. A recording does not."""
        return getattr(self._body, "holds_connection", True)

    def drop(self) -> None:
        """Close what a stream has left open that was collected; a loop that is over has closed its sockets itself."""
        with suppress(Exception):
            self.close_soon()
        OPEN.pop(id(self._body), None)

    def close_soon(self) -> None:
        """End the stream where delivery stands, from any thread; the loop closes the response right away."""
        self.unread.stop()
        self._closed = True
        error = StreamClosedError("the stream was closed before it had ended")
        error.carry(self._snapshot, self._feed.request_id)
        self._log.cut(error)
        self._feed.stop_recording()
        self._handlers.set_gate()
        self._log.want(FOREVER)
        if self._cleaned:
            return
        if self._body is not None and not self._feed.done and not self._home.is_here:
            self._body.close_soon()
        self._home.spawn(self.settle)

    async def closed(self) -> None:
        """Return when nothing of the stream is left: no response, no task."""
        if self._cleaned and self._task is None and not self._handlers:
            return
        was_cut = isinstance(self._log.failure, StreamClosedError)
        try:
            if not was_cut:
                await self._told()  # the stream's own task may be telling it right now
            with anyio.CancelScope(shield=True):
                await self._end_task()
            await self._told()
        finally:
            with anyio.move_on_after(_GOODBYE, shield=True):
                await self._end_task()
                await self._deliver_ending()

    async def _end_task(self) -> None:
        await self.settle()
        task = self._task
        if task is not None and not (self._is_own_task() or self._handlers.is_inside()):
            task.cancel()
            await task.wait()

    async def _told(self) -> None:
        """Return once each async handler has had the ending."""
        if self._handlers and not (self._is_own_task() or self._handlers.is_inside()):
            await self._deliver_ending()
            await self._home.sleep(lambda: not self._handlers)

    async def settle(self) -> None:
        """Give the connection back after a good end, else close it. Once; others wait until it is done."""
        if self._cleaning:
            if not self._cleaned:
                await self._home.sleep(lambda: self._cleaned)
            return
        if not self._log.ended or (self._body is None and self._reading):
            if self._closed and self._opening is not None:
                self._opening.cancel()
            return
        self._cleaning = True
        try:
            body = self._body
            if body is not None and self._feed.done and self._log.failure is None:
                try:
                    await body.finish()
                except BaseException:
                    await _closed_whatever_happens(body)
                    raise
            elif body is not None:
                await _closed_whatever_happens(body)
        finally:
            self._cleaned = True
            OPEN.pop(id(self._body), None)
            self._home.wake()


async def _closed_whatever_happens(body: AsyncBody) -> None:
    with anyio.CancelScope(shield=True):
        await body.aclose()

"""The pump of an asynchronous stream: the same turns as `_pump`, taken by tasks of one event loop.

Sync subscribers are called by the log. Async handlers are awaited here, event by event, after them: while any is
attached, the log's gate stands one event ahead of the slowest, so that nobody overtakes it. A task that is cancelled
while it reads, or while it awaits a handler, ends the stream for everybody: the transport has closed the response.
No cancel scope and no task group is open while user code runs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio

from rx_assistant.errors import RxAssistantError, StreamCancelledError, StreamClosedError
from rx_assistant.hot import FOREVER, TIMERS
from rx_assistant.schedulers import EventLoop, LoopWaker, Task, current_event_loop

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams._body import AsyncBody
    from rx_assistant.streams._feed import Feed, RunIdentity
    from rx_assistant.streams._handling import Binding

AsyncOpen = Callable[[], Awaitable["AsyncBody"]]
"""Sends the request, and gives what to read from. Raises errors of ours only."""

AsyncResume = Callable[["RunIdentity", "RunSnapshot"], Awaitable["AsyncBody"]]
"""Gives a body that goes on where a broken one stopped, from what has been folded so far."""

_GOODBYE = 5.0  # seconds that handlers get to hear of a cancellation

_serving: ContextVar[frozenset[int]] = ContextVar("rx_assistant.serving", default=frozenset())
"""The pumps whose handler is running in this task: inside it one reads ahead instead of waiting for oneself."""

_log = logging.getLogger("rx_assistant")


class _Attached:
    """An async handler, and how many events it has had."""

    __slots__ = ("binding", "position", "raises")

    def __init__(self, binding: Binding, raises: bool) -> None:
        self.binding = binding
        self.raises = raises
        self.position = 0


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
        self.pumped = False
        self.loop: EventLoop | None = None
        self._log = log
        self._feed = feed
        self._open = open
        self._resume = resume
        self._snapshot = snapshot
        self._body: AsyncBody | None = None
        self._closed = False
        self._cleaning = False
        self._cleaned = False
        self._reading = False
        self._serving = False
        self._attached: list[_Attached] = []
        self._sleepers: set[LoopWaker] = set()
        self._task: Task | None = None
        self._task_id: int | None = None
        self._task_over = False
        log.inside = self._is_inside
        log.listen(self._notify)

    # -- the event loop ------------------------------------------------------------------------------------------

    def here(self) -> EventLoop:
        """Give the stream's event loop; the first use decides which."""
        if self.loop is None:
            self.loop = current_event_loop()
        return self.loop

    def waker(self) -> LoopWaker:
        """Give something to sleep on that any thread may wake."""
        return LoopWaker(self.here())

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` on the stream's event loop, `seconds` from now; on a thread while it has none."""
        return (TIMERS if self.loop is None else self.loop).call_later(seconds, action)

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
                await self._sleep(lambda: self._body is not None or self._log.ended or self._is_free())
        if self._body is None and self._log.failure is not None:
            raise self._log.failure

    async def advance(self, position: int) -> None:
        """Return once the log holds more than `position` events, or has ended."""
        log = self._log
        self.here()
        while log.length <= position and not log.ended:
            log.check()
            if self._take_turn():
                try:
                    await self._read()
                finally:
                    self._leave_turn()
            else:
                await self._sleep(lambda: log.length > position or log.ended or log.alarmed or self._is_free())

    async def finish(self) -> None:
        """Return once everything is delivered; inside a delivery, once everything has arrived."""
        log = self._log
        log.retain()
        try:
            while not self._is_over():
                log.want(FOREVER)
                upto = log.length + 1
                await self.deliver(upto)
                log.check()
                if log.length >= upto:
                    continue  # a handler has read ahead
                if not log.ended:
                    await self.advance(log.length)
                elif self._is_inside():
                    return
                else:
                    await self._sleep(lambda: self._is_over() or log.alarmed)
            log.check()
        finally:
            log.release()
        await self.settle()

    async def connect(self) -> None:
        """Read and deliver in a task of its own from now on."""
        if self._task is None and not self._log.finished:
            self._task = self.here().spawn(self._run)

    async def _run(self) -> None:
        log = self._log
        self._task_id = anyio.get_current_task().id
        try:
            while not log.ended:
                log.want(FOREVER)
                upto = log.length
                await self._deliver(upto)
                if log.length > upto:
                    continue  # a handler has read ahead
                if self._take_turn():
                    try:
                        await self._read()
                    finally:
                        self._leave_turn()
                else:
                    await self._sleep(lambda: not self._reading or log.ended)
            await self._deliver_ending()
            await self.settle()
        finally:
            self._task_over = True
            self._notify()

    async def _start(self) -> None:
        self.here()
        try:
            body = await self._open()
        except Exception as error:
            self._feed.fail(error)
            raise
        except BaseException:
            await self._cancelled("the task that sent the request was cancelled")
            raise
        self._body = body
        self._feed.request_id = body.request_id
        if self._closed:
            await body.aclose()

    async def _read(self) -> None:
        """Read one chunk into the log. What goes wrong is the stream's ending, not the caller's exception."""
        self.pumped = True
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
        point = feed.resumable(cause) if resume is not None else None
        if resume is None or body is None or point is None:
            feed.finish(cause)
            return
        self._resume = None
        await body.aclose()
        feed.restart()
        try:
            self._body = await resume(*point)
        except Exception as error:
            feed.fail(error)
        except BaseException:
            await self._cancelled("the task that was resuming the stream was cancelled")
            raise

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
        return bool(self._attached)

    def attach(self, binding: Binding, *, raises: bool) -> Callable[[], None]:
        """Add an async handler: it gets everything that the log keeps, then each event. Gives what removes it."""
        attached = _Attached(binding, raises)
        attached.position = self._log.base if self._log.keep else self._log.position
        self._attached.append(attached)
        self._log.retain()
        self._set_gate()
        if self._log.position or self._log.finished:
            self._spawn(self._catch_up)
        return lambda: self._detach(attached)

    def _detach(self, attached: _Attached) -> None:
        if attached in self._attached:
            self._attached.remove(attached)
            self._set_gate()
            self._log.release()
            self._log.drain()
            self._wake_sleepers()

    def _set_gate(self) -> None:
        ended = self._log.ended
        positions = [a.position for a in self._attached if not (ended and a.position >= self._log.length)]
        self._log.gate = min(positions) + 1 if positions else FOREVER

    async def _catch_up(self) -> None:
        """Let a handler that came late have what the subscribers have had."""
        await self._deliver(self._log.position + self._log.finished)

    async def _deliver_ending(self) -> None:
        self._log.want(FOREVER)
        await self._deliver(self._log.length + 1)

    async def deliver(self, upto: int) -> None:
        """Let subscribers and async handlers have the events before `upto`, and the ending if that lies before.

        After `connect()` its task does that, so that the caller may be cancelled freely. Returns early when a handler
        has raised something that is to come out of the caller.
        """
        if self._task is None or self._task_over or self._is_own_task() or self._is_inside():
            await self._deliver(upto, lambda: self._log.alarmed)
        elif self._behind(upto):
            await self._sleep(lambda: not self._behind(upto) or self._log.alarmed or self._task_over)

    async def _deliver(self, upto: int, enough: Callable[[], bool] = lambda: False) -> None:
        while self._attached and not self._is_inside() and not enough():
            behind = self._behind(upto)
            if not behind:
                return
            if self._serving:
                await self._sleep(lambda: not self._serving)
                continue
            self._serving = True
            token = _serving.set(_serving.get() | {id(self)})
            try:
                await self._serve(min(behind, key=lambda attached: attached.position))
            finally:
                _serving.reset(token)
                self._serving = False
                self._wake_sleepers()

    def _behind(self, upto: int) -> list[_Attached]:
        """Those who have not been given all that there is before `upto`; the ending is one more."""
        there = self._log.length + self._log.ended
        return [attached for attached in self._attached if attached.position < min(upto, there)]

    async def _serve(self, attached: _Attached) -> None:
        """Give one handler its next event, or the ending, after the sync subscribers have had it."""
        log, position = self._log, attached.position
        pair = log.peek(position)
        if pair is None:
            await self._serve_ending(attached)
            return
        log.want(position + 1)
        event = log.item(position)
        if log.shown[0] <= position:
            log.shown = (position, event)  # whoever comes after gets the same, parsed once
        attached.position += 1
        try:
            await _maybe(attached.binding.next(event))
        except Exception as error:
            await self._failed(attached, error)
        except BaseException:
            await self._cancelled_in(attached)
            raise
        self._set_gate()

    async def _serve_ending(self, attached: _Attached) -> None:
        log = self._log
        attached.position = FOREVER
        self._set_gate()
        log.want(FOREVER)
        binding, failure = attached.binding, log.failure
        try:
            await _maybe(binding.completed() if failure is None else binding.error(failure))
        except Exception as error:
            if attached.raises:
                log.raise_alarm(error, pause=not self.connected)
            else:
                _log.exception("a handler raised at the end of its stream")
        finally:
            self._detach(attached)

    async def _failed(self, attached: _Attached, error: Exception) -> None:
        self._detach(attached)
        try:
            await _maybe(attached.binding.error(error))
        except Exception:
            _log.exception("a handler raised while it was told of an exception")
        finally:
            if attached.raises:
                self._log.raise_alarm(error, pause=not self.connected)
            else:
                _log.error("an attached handler raised and was detached", exc_info=error)

    async def _cancelled_in(self, attached: _Attached) -> None:
        self._set_gate()
        self._serving = False
        token = _serving.set(_serving.get() - {id(self)})
        try:
            await self._cancelled("the task that was awaiting a handler of the stream was cancelled")
        finally:
            _serving.reset(token)

    def _is_over(self) -> bool:
        """Whether the ending was delivered to everybody."""
        return self._log.finished and not self._attached

    def _is_inside(self) -> bool:
        return id(self) in _serving.get()

    # -- turns ---------------------------------------------------------------------------------------------------

    def _take_turn(self) -> bool:
        if self._reading or not self._may_read():
            return False
        self._reading = True
        return True

    def _may_read(self) -> bool:
        """After `connect()` only its task reads, and whoever keeps it waiting: a handler that reads ahead."""
        return self._task is None or self._is_own_task() or self._is_inside()

    def _is_own_task(self) -> bool:
        return self._task_id is not None and anyio.get_current_task().id == self._task_id

    def _leave_turn(self) -> None:
        self._reading = False
        self._wake_sleepers()

    async def _sleep(self, enough: Callable[[], bool]) -> None:
        waker = self.waker()
        self._sleepers.add(waker)
        try:
            while not enough():
                await waker.sleep(None)
        finally:
            self._sleepers.discard(waker)

    def _is_free(self) -> bool:
        """Whether this task could take the turn, and there is something to read."""
        return not self._reading and not self._log.ended and self._may_read()

    def _wake_sleepers(self) -> None:
        for waker in tuple(self._sleepers):
            waker.wake()

    _notify = _wake_sleepers

    def _spawn(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task on the stream's event loop, if it has one; from any thread."""
        loop = self.loop
        if loop is not None and loop.is_here():
            loop.spawn(main)
        elif loop is not None:
            loop.call_soon(lambda: loop.spawn(main))

    # -- endings -------------------------------------------------------------------------------------------------

    def close_soon(self) -> None:
        """End the stream where delivery stands, from any thread; the loop closes the response right away."""
        self._closed = True
        error = StreamClosedError("the stream was closed before it had ended")
        error.carry(self._snapshot, self._feed.request_id)
        self._log.cut(error)
        self._feed.stop_recording()
        self._set_gate()
        self._log.want(FOREVER)
        if self._cleaned:
            return
        if self._body is not None and not self._feed.done and not (self.loop is not None and self.loop.is_here()):
            self._body.close_soon()
        self._spawn(self.settle)

    async def closed(self) -> None:
        """Return when nothing of the stream is left: no response, no task."""
        with anyio.CancelScope(shield=True):
            await self.settle()
            task = self._task
            if task is not None and not (self._is_own_task() or self._is_inside()):
                task.cancel()
                await task.wait()
            await self._deliver_ending()

    async def settle(self) -> None:
        """Give the connection back after a good end, else close it. Once; others wait until it is done."""
        if self._cleaning:
            if not self._cleaned:
                await self._sleep(lambda: self._cleaned)
            return
        if not self._log.ended or (self._body is None and self._reading):
            return
        self._cleaning = True
        try:
            body = self._body
            if body is not None and self._feed.done and not self._closed:
                try:
                    await body.finish()
                except BaseException:
                    await _closed_whatever_happens(body)
                    raise
            elif body is not None:
                await _closed_whatever_happens(body)
        finally:
            self._cleaned = True
            self._wake_sleepers()


async def _closed_whatever_happens(body: AsyncBody) -> None:
    with anyio.CancelScope(shield=True):
        await body.aclose()


async def _maybe(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result

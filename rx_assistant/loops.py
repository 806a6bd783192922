"""An event loop in a separate thread: for GUIs and synchronous programs that use asynchronous streams.

    with rx_assistant.background() as bg:
        client = bg.enter(AsyncAssistantClient())
        stream = client.threads.runs.stream(thread_id=t, assistant_id=a)
        stream.pipe(ax.text_deltas(), observe_on_ui(host)).subscribe(show)
        bg.start(stream)
        root.mainloop()

Theory of operation

The thread runs one event loop, asyncio's or trio's, for all streams of an application. A call from another thread
queues an action on the loop and returns; only `enter()` and leaving the block wait for the loop. Each stream and each
call is one task. Leaving the block first cancels, on the server, the runs of streams without readers and with
`on_idle="cancel"`. It then closes the streams, so their subscribers get StreamClosedError and not StreamCancelledError.
Finally it cancels the tasks, waits for them, and ends the thread.

A request from another thread while the block is being left is refused: the stream is closed, the Future cancelled. The
loop runs its actions in order, and `_loop` becomes None before the action that ends the loop is queued. So if `_loop`
is still set after an action was queued, the action will run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from rx_assistant.grace import LOOP_SECONDS
from rx_assistant.schedulers import EventLoop, Task, current_event_loop
from rx_assistant.streams import AsyncAssistantStream

R = TypeVar("R")
S = TypeVar("S", bound=AsyncAssistantStream)
P = ParamSpec("P")


_log = logging.getLogger("rx_assistant")


def background(backend: Literal["asyncio", "trio"] = "asyncio") -> Background:
    """Return an event loop in a daemon thread, for a `with` block; one is enough for an application."""
    return Background(backend)


class Background:
    """An event loop that runs in a thread while its block lasts. All methods work from any thread."""

    def __init__(self, backend: Literal["asyncio", "trio"] = "asyncio") -> None:
        self._backend = backend
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._loop: EventLoop | None = None
        self._streams: set[AsyncAssistantStream] = set()  # this and the next two are used only on the loop's thread
        self._tasks: set[Task] = set()
        self._resources: list[tuple[anyio.Event, Answer[Any], Task]] = []

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise RuntimeError("this background loop has been started already: create another with background()")
        self._portal = self._stack.enter_context(start_blocking_portal(self._backend, name="rx-assistant-background"))
        self._loop = self._portal.call(current_event_loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop = None
        with self._stack:
            if self._portal is not None:
                self._portal.call(self._end)

    def start(self, stream: S) -> S:
        """Enter and connect a stream on the loop, and return it at once.

        Subscribe first to receive every event. All errors, those of the request too, go to the subscribers'
        `on_error`. The stream's `close()` and `cancel()` also work from any thread.

        Raises:
            RuntimeError: the block was not entered, or was left.
            TypeError: `stream` is not an AsyncAssistantStream.
        """
        if not isinstance(stream, AsyncAssistantStream):
            raise TypeError(
                f"stream must be an AsyncAssistantStream, got {type(stream).__name__}: create it with an "
                "AsyncAssistantClient; for a synchronous stream, connect() starts a thread"
            )

        def begin(loop: EventLoop) -> None:
            self._streams.add(stream)
            self._spawn(loop, lambda: self._keep(stream))

        self._ask(begin, stream.close)
        return stream

    def call(self, function: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **options: P.kwargs) -> Future[R]:
        """Call an async function on the loop; returns its Future. `cancel()` of the Future cancels the task.

        Raises:
            RuntimeError: the block was not entered, or was left.
        """
        future: Answer[R] = Answer()

        def begin(loop: EventLoop) -> None:
            task = self._spawn(loop, lambda: _settle(future, lambda: function(*args, **options)))
            future.add_done_callback(lambda done: loop.call_soon(task.cancel) if done.cancelled() else None)

        self._ask(begin, future.cancel)
        return future

    def enter(self, resource: AbstractAsyncContextManager[R]) -> R:
        """Enter an asynchronous context manager, such as a client, on the loop; waits and returns the entered value.

        It is exited when the block is left: after all streams and calls, in reverse order, in the task that entered it.

        Raises:
            RuntimeError: the block was not entered, or was left; or this is the loop's own thread.
        """
        if self._running().is_here():
            raise RuntimeError("enter() must be called from another thread than the loop's: use `async with` here")
        entered: Answer[R] = Answer()

        def begin(loop: EventLoop) -> None:
            leave = anyio.Event()
            self._resources.append((leave, entered, loop.spawn(lambda: _hold(resource, entered, leave))))

        self._ask(begin, entered.cancel)
        return entered.result()

    def _ask(self, begin: Callable[[EventLoop], None], refuse: Callable[[], object]) -> None:
        """Run `begin` on the loop. If the block is left meanwhile, call `refuse` (on any thread, once or twice)."""
        loop = self._running()
        loop.call_soon(lambda: refuse() if self._loop is None else begin(loop))
        if self._loop is None:
            refuse()

    def _running(self) -> EventLoop:
        if self._loop is None:
            raise RuntimeError("the background loop is not running: use it inside `with background() as bg:`")
        return self._loop

    # -- on the loop's thread ------------------------------------------------------------------------------------

    def _spawn(self, loop: EventLoop, main: Callable[[], Coroutine[Any, Any, None]]) -> Task:
        async def run() -> None:
            try:
                await main()
            finally:
                self._tasks.discard(task)

        task = loop.spawn(run)
        self._tasks.add(task)
        return task

    async def _keep(self, stream: AsyncAssistantStream) -> None:
        """Keep a stream's block open until all events and the ending are delivered."""
        try:
            async with stream:
                await stream.connect()
                await _finished(stream)
        except Exception as error:
            if error is not stream.log.failure:  # the subscribers already got the stream's own failure
                _log.exception("a stream in the background failed")
        finally:
            self._streams.discard(stream)

    async def _end(self) -> None:
        streams = tuple(self._streams)
        async with anyio.create_task_group() as cancels:
            for stream in streams:
                if stream.on_idle == "cancel" and not (stream.log.holders or stream.log.ended):
                    cancels.start_soon(_cancelled, stream)
        for stream in streams:
            stream.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            await task.wait()
        for leave, entered, task in reversed(self._resources):
            if entered.cancel():
                task.cancel()
            leave.set()
            await task.wait()


class Answer(Future[R]):
    """A Future whose cancellation also wakes `concurrent.futures.wait` and `as_completed`; its base class does not."""

    def __init__(self) -> None:
        super().__init__()
        self._claimed = threading.Lock()  # acquired once, never released

    def cancel(self) -> bool:
        """Cancel the Future and its task; returns False when it is done already."""
        if not super().cancel():
            return False
        self.claim()
        return True

    def claim(self) -> bool:
        """Return whether a result may be set now. If not, the Future is cancelled, and its waiters are woken."""
        return self._claimed.acquire(blocking=False) and self.set_running_or_notify_cancel()


async def _hold(resource: AbstractAsyncContextManager[R], entered: Answer[R], leave: anyio.Event) -> None:
    """Enter a context manager, set `entered` to its value, and exit it when `leave` is set."""
    try:
        async with resource as value:
            if entered.claim():
                entered.set_result(value)
                await leave.wait()
    except Exception as error:
        if entered.done():
            _log.exception("exiting a resource of the background loop failed")
        elif entered.claim():
            entered.set_exception(error)


async def _finished(stream: AsyncAssistantStream) -> None:
    """Return when the ending is delivered. This does not count as a reader of the stream."""
    waker = stream.driver.waker()
    stream.log.listen(waker.wake)
    while not stream.log.delivered:
        await waker.sleep(None)


async def _cancelled(stream: AsyncAssistantStream) -> None:
    """Cancel the run of a stream without readers. This does not wait for `idle_grace`, because the loop ends now."""
    with anyio.move_on_after(LOOP_SECONDS):
        try:
            await stream.cancel()
        except Exception as error:
            _log.warning("cancelling the run of an abandoned stream failed: %s", error)


async def _settle(future: Answer[R], work: Callable[[], Coroutine[Any, Any, R]]) -> None:
    """Set a Future to the result or the error of an async function."""
    try:
        result = await work()
    except anyio.get_cancelled_exc_class():
        future.cancel()
        raise
    except BaseException as error:  # SystemExit too: it goes to the caller, not to the loop
        if future.claim():
            future.set_exception(error)
    else:
        if future.claim():
            future.set_result(result)

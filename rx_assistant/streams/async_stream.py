"""AsyncAssistantStream: one run's events as a hot Observable for asyncio and trio."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

import anyio
from reactivex import Observable, abc, operators as ops
from reactivex.disposable import Disposable

from rx_assistant.errors import BadRequestError, ConflictError, PollTimeoutError, RxAssistantError
from rx_assistant.events import AssistantStreamEvent
from rx_assistant.grace import CANCEL_WAIT, POLL_PAUSE, POST_SECONDS
from rx_assistant.hot import AsyncBlock, AsyncStream, StreamScheduler
from rx_assistant.streams.async_pump import AsyncOpen, AsyncPump, AsyncResume
from rx_assistant.streams.base import (
    OnIdle,
    OnSubscribe,
    Replay,
    StreamBase,
    check_seconds,
    is_over,
    log_uncancelled,
)
from rx_assistant.streams.handling import bound

if TYPE_CHECKING:
    from rx_assistant.events import ToolEvent
    from rx_assistant.streams.continuation import Continuation
    from rx_assistant.streams.decoding import Decoding
    from rx_assistant.streams.feed import RunIdentity
    from rx_assistant.streams.handling import Binding
    from rx_assistant.tools import PendingCall
    from rx_assistant.types import Message, Run, RunStep

H = TypeVar("H")
R = TypeVar("R")

_EXHAUSTED: Any = object()
"""The cursor of `anext(stream)` after the end."""

AsyncPost = Callable[[str, str], Awaitable[Any]]
"""Posts the cancel of a run, or fetches the run: `(run_id, thread_id)` → the Run in the server's reply."""


class Eager(Generic[R]):
    """Work that has begun on a stream's event loop: await it there, or call `result()` on another thread."""

    def __init__(self, driver: AsyncPump, main: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self._future: Future[R] = Future()
        self._driver = driver
        loop = driver.here()

        async def run() -> None:
            try:
                result = await main()
            except BaseException as error:
                self._future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                self._future.set_result(result)

        if loop.is_here():
            loop.spawn(run)
        else:
            loop.call_soon(lambda: loop.spawn(run))

    def __await__(self) -> Generator[Any, None, R]:
        return self._wait().__await__()

    def result(self, timeout: float | None = None) -> R:
        """Wait at most `timeout` seconds for the result. Call it on another thread than that of the loop.

        Raises TimeoutError when the time has passed, and any exception of the work.
        """
        return self._future.result(timeout)

    async def _wait(self) -> R:
        waker = self._driver.waker()
        self._future.add_done_callback(lambda _: waker.wake())
        while not self._future.done():
            await waker.sleep(None)
        return self._future.result()


class AsyncAssistantStream(StreamBase, AsyncBlock, AsyncStream[AssistantStreamEvent]):
    """One run as a hot Observable of typed events, on the event loop that first uses it.

    Entering it sends the request and raises API errors. Events flow while a task iterates, waits (`until_done`,
    `get_final_…`, `await`) or after `connect()`. Subscribing, `close()` and `cancel()` work from any thread. Leaving
    the block closes the response; with `on_idle="cancel"` it also cancels a run that has not ended.
    """

    def __init__(
        self,
        open: AsyncOpen,
        *,
        replay: Replay = "all",
        on_idle: OnIdle = "detach",
        idle_grace: float | None = None,
        on_subscribe: OnSubscribe | None = None,
        cancel_wait: float = CANCEL_WAIT,
        max_pending: int = 16 * 2**20,
        max_event_bytes: int = 16 * 2**20,
        post_cancel: AsyncPost | None = None,
        fetch_run: AsyncPost | None = None,
        resume: AsyncResume | None = None,
        identity: RunIdentity | None = None,
        decoding: Decoding | None = None,
        continuation: Continuation | None = None,
    ) -> None:
        Observable.__init__(self)
        StreamBase.__init__(
            self,
            replay=replay,
            on_idle=on_idle,
            idle_grace=idle_grace,
            on_subscribe=on_subscribe,
            cancel_wait=cancel_wait,
            max_pending=max_pending,
            max_event_bytes=max_event_bytes,
            identity=identity,
            decoding=decoding,
            continuation=continuation,
        )
        self.driver: AsyncPump = AsyncPump(self.log, self._feed, open, resume, continuation)
        self._post_cancel = post_cancel
        self._fetch_run = fetch_run
        self._cancelling: Eager[Run] | None = None

    async def __aenter__(self) -> Self:
        await self.driver.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._warn_if_unread()
        if self._is_abandoned and self._post_cancel is not None:
            await self._cancel_abandoned()
        self.driver.close_soon()
        await self.driver.closed()
        self._log_unheard()

    # -- waiting -------------------------------------------------------------------------------------------------

    async def until_done(self) -> None:
        """Wait until the stream has ended and everything is delivered.

        Raises:
            RxAssistantError: the stream did not end well. The class of the error says why, such as
                StreamTruncatedError, ServerErrorEvent or APITimeoutError. Its `snapshot` holds what arrived.
            Exception: a callback of the `event_handler=` raised it.
        """
        await self.driver.finish()
        if self.log.failure is not None:
            raise self.log.failure

    async def get_final_run(self) -> Run:
        """Wait for the end and return the run. A failed run is returned like any other; a broken stream raises."""
        await self.until_done()
        return self._final_run()

    async def get_final_run_steps(self) -> list[RunStep]:
        """Wait for the end and return the run's steps, in the order of their first appearance."""
        await self.until_done()
        return [step.to_model() for step in self._final().steps]

    async def get_final_messages(self) -> list[Message]:
        """Wait for the end and return the messages, in the order of their first appearance."""
        await self.until_done()
        return [message.to_model() for message in self._final().messages]

    async def connect(self) -> None:
        """Read and deliver in a background task from now on; leaving the block ends the task. Idempotent."""
        await self.driver.connect()

    @property
    def text_deltas(self) -> AsyncStream[str]:
        """The text as it is written, piece by piece. Each loop over it starts from the beginning.

        `await anext(stream.text_deltas)` returns the first piece, then the second, and so on. Loops do not affect it.
        """
        deltas = None if self._deltas is None else self._deltas()
        if deltas is None:
            deltas = _TextDeltas(self)
            self._deltas = weakref.ref(deltas)
        return deltas

    @property
    def tool_events(self) -> AsyncStream[ToolEvent]:
        """The events of the tools of a stream with `tools=`: ToolStarted, ToolProgress and ToolFinished of each call.

        A stream without `tools=` emits none.
        """
        return AsyncStream(self._side("tool_events").link, cast("Any", self))

    @property
    def pending_calls(self) -> AsyncStream[PendingCall]:
        """The calls of tools that wait for approval, as PendingCalls. Calls that were decided are left out."""
        calls: AsyncStream[PendingCall] = AsyncStream(self._side("pending_calls").link, cast("Any", self))
        return calls.pipe(ops.filter(_is_open))

    async def __anext__(self) -> AssistantStreamEvent:
        """Return the event after the one of the last `anext(stream)`. Loops have positions of their own.

        The position counts as a reader from its first use to the end of the stream.

        Raises:
            StopAsyncIteration: there are no more events.
        """
        return cast("AssistantStreamEvent", await self._next_of("events", self))

    async def _next_of(self, name: str, source: AsyncStream[Any]) -> Any:
        items = self._cursors.get(name)
        if items is None:
            items = self._cursors.setdefault(name, aiter(source))
        elif items is _EXHAUSTED:
            raise StopAsyncIteration
        try:
            return await anext(items)
        finally:
            if items.exhausted:
                self._cursors[name] = _EXHAUSTED

    # -- handlers ------------------------------------------------------------------------------------------------

    def _seat(self, binding: Binding, *, raises: bool) -> abc.DisposableBase:
        if not binding.is_async:
            return super()._seat(binding, raises=raises)
        return Disposable(self.driver.attach(binding, raises=raises))

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> Awaitable[None]:
        """End the stream at once, from any thread and inside a callback; awaiting the result waits for the cleanup.

        Each subscriber gets StreamClosedError once, and each wait from then on raises it. Idempotent.
        """
        self.driver.close_soon()
        return _Closing(self.driver)

    def cancel(self) -> Eager[Run]:
        """Ask the server to cancel the run; awaiting the result gives the Run in its reply.

        The stream continues to the server's own ending. The work begins at once, from any thread. It waits for the
        run's id if that is not known yet. The request is sent once, however often `cancel()` is called, and not after
        the end of the stream: then the result is the final run.

        Raises, when the result is awaited:
            RuntimeError: the stream did not come from a client, so no server can be asked.
            APIError: the server refused the request, for example because the run has ended, or cannot be reached.
            Exception: the stream has failed. Its error is raised again.
        """
        if self._cancelling is None:
            self._cancelling = Eager(self.driver, self._cancel)
        return self._cancelling

    async def cancel_and_wait(self, timeout: float | None = None) -> Run:
        """Cancel the run and return it once it has ended, so that its thread accepts the next message or run.

        Reads the stream to the server's ending. If the stream is closed or broken, polls the run instead. A run that
        waits for the outputs of its tools is cancelled too. A run that has ended is returned at once. `timeout` is in
        seconds; None waits as long as it takes.

        Raises:
            PollTimeoutError: the run did not end in time. `last` is its last known state.
            RuntimeError: the stream did not come from a client, so no server can be asked.
            APIError: the server cannot be reached.
        """
        check_seconds(timeout=timeout)
        wanted = [True]
        run: Run | None = None
        try:
            with anyio.move_on_after(timeout):
                run = await Eager(self.driver, lambda: self._end_run(lambda: bool(wanted)))
        finally:
            wanted.clear()
        if run is None:
            last = self._folding.arrived(self.log).run
            raise PollTimeoutError(f"the run was not over within {timeout} seconds after its cancel", last)
        return run

    async def _cancel(self) -> Run:
        identity = await self._wait_for_identity()
        if identity is None or self.log.ended:
            return self._final_run()
        return await self._post_once(identity)

    async def _wait_for_identity(self) -> RunIdentity | None:
        while self._feed.identity is None and not self.log.ended:
            await self.driver.advance(self.log.length)
        return self._feed.identity

    async def _post(self, identity: RunIdentity) -> Run:
        if self._post_cancel is None:
            raise RuntimeError("this stream did not come from a client, so there is no server to cancel the run on")
        return cast("Run", await self._post_cancel(identity.run_id, identity.thread_id))

    async def _post_once(self, identity: RunIdentity) -> Run:
        """Post the cancel, in the task that all callers await. After a failure the next call posts again."""
        try:
            return await self._post(identity)
        except BaseException:
            self._cancelling = None
            raise

    async def _end_run(self, is_wanted: Callable[[], bool]) -> Run:
        """Cancel the run, then read and poll until the run has ended, or until `is_wanted()` is false."""
        run = await self._cancel_unless_over()
        while is_wanted() and not self.log.ended:
            await self.driver.advance(self.log.length)
        await self.driver.settle()
        return await self._poll_to_end(run, is_wanted)

    async def _cancel_unless_over(self) -> Run | None:
        """Post the cancel of a run that may still be running, once; returns the run in the server's reply."""
        identity = await self._wait_for_identity()
        if identity is None or self._ended_run() is not None:
            return None
        try:
            if self._cancelling is None:
                self._cancelling = Eager(self.driver, lambda: self._post_once(identity))
            return await self._cancelling
        except (BadRequestError, ConflictError) as error:
            log_uncancelled(error)  # the run has ended, or is being cancelled
            return None

    async def _poll_to_end(self, run: Run | None, is_wanted: Callable[[], bool]) -> Run:
        """Return the run once it has ended: the stream shows it, or the server is asked."""
        identity, fetch = self._feed.identity, self._fetch_run
        while (ended := self._ended_run()) is None and not is_over(run):
            if identity is None or fetch is None or not is_wanted():
                break
            await anyio.sleep(POLL_PAUSE)
            run = await fetch(identity.run_id, identity.thread_id)
        return ended or run or self._final_run()

    # -- idleness ------------------------------------------------------------------------------------------------

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        return self.driver.call_later(seconds, action)

    def _is_sent(self) -> bool:
        return self.driver.is_sent

    def _cancel_and_close(self) -> None:
        async def main() -> None:
            try:
                await self.cancel()
            except RxAssistantError as error:
                log_uncancelled(error)
            finally:
                self.driver.close_soon()

        Eager(self.driver, main)

    async def _cancel_abandoned(self) -> None:
        """Cancel the run and wait for its end, even if the task that leaves the block is cancelled."""
        run: Run | None = None
        with anyio.CancelScope(shield=True):
            try:
                with anyio.move_on_after(POST_SECONDS):
                    run = await self._cancel_unless_over()
                stop = self._call_later(self._cancel_wait, self.driver.close_soon)  # ends the reading
                try:
                    while not self.log.ended:
                        await self.driver.advance(self.log.length)
                finally:
                    stop()
                await self.driver.settle()
                with anyio.move_on_after(self._cancel_wait):
                    await self._poll_to_end(run, lambda: True)
            except (RxAssistantError, RuntimeError) as error:
                log_uncancelled(error)

    # -- Root ----------------------------------------------------------------------------------------------------

    @cached_property
    def scheduler(self) -> abc.SchedulerBase:
        """Runs the actions of time operators in the stream's delivery, serially with its items (C10)."""
        return StreamScheduler(self.log.enqueue, self.driver.call_later)


def _is_open(call: PendingCall) -> bool:
    return call.is_open


class _TextDeltas(AsyncStream[str]):
    """The text of a stream. The stream only has a weak reference to it, so there is no reference cycle."""

    def __init__(self, stream: AsyncAssistantStream) -> None:
        from rx_assistant.operators import text_deltas

        super().__init__(stream.pipe(text_deltas()).link, cast("Any", stream))
        self._stream = stream

    def __repr__(self) -> str:
        return f"text_deltas of {self._stream!r}"

    def _repr_markdown_(self) -> str:
        """The text that has arrived so far, without reading on."""
        messages = self._stream._arrived().messages
        return "\n\n".join(message._repr_markdown_() for message in messages) or f"`{self!r}`"

    async def __anext__(self) -> str:
        return cast("str", await self._stream._next_of("text", self))


class HandledAsyncStream(AsyncAssistantStream, Generic[H]):
    """An AsyncAssistantStream with a handler. Its `async with` block binds the handler instead of the stream."""

    def __init__(self, open: AsyncOpen, *, handler: H, **options: Any) -> None:
        super().__init__(open, **options)
        self.handler = handler
        self._seat(bound(handler, self), raises=True)

    async def __aenter__(self) -> H:  # type: ignore[override]  # the block binds the handler, as SDK users expect
        await super().__aenter__()
        return self.handler


class _Closing:
    """The result of `close()`: closing has begun, and awaiting this object waits until it has finished."""

    def __init__(self, driver: AsyncPump) -> None:
        self._driver = driver

    def __await__(self) -> Generator[Any, None, None]:
        return self._driver.closed().__await__()

"""Asynchronous streams: tasks that read, wait, are cancelled; async handlers; connecting, closing, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from streams_bodies import (
    DONE,
    GUARD,
    AsyncFedBody,
    answer,
    async_stream,
    delta,
    names,
    run,
    until_async,
)

from rx_assistant.errors import StreamCancelledError, StreamClosedError, StreamTruncatedError
from rx_assistant.streams import AsyncAssistantStream

pytestmark = pytest.mark.anyio
TEXTS = ("a", "b", "c")
NAMES = ["run.created", "run.in_progress", "message.created", *["message.delta"] * 3]
NAMES += ["message.completed", "run.completed"]


class Note:
    """A subscriber that notes texts, its ending and its threads."""

    def __init__(self, stream: AsyncAssistantStream) -> None:
        self.got: list[Any] = []
        self.threads: set[int] = set()
        stream.text_deltas.subscribe(self._next, self.got.append, lambda: self.got.append("completed"))

    def _next(self, text: str) -> None:
        self.threads.add(threading.get_ident())
        self.got.append(text)


class Handling:
    """An async handler and its binding in one. It notes its calls; `act` is awaited for each event."""

    is_async = True

    def __init__(self, act: Callable[[Any], Awaitable[object]] | None = None) -> None:
        self.told: list[Any] = []
        self._act = act

    def __rx_bind__(self, stream: Any) -> Handling:
        return self

    async def next(self, event: Any) -> None:
        [name] = names([event])
        self.told.append(name)
        await anyio.lowlevel.checkpoint()
        if self._act is not None:
            await self._act(event)

    async def error(self, error: Exception) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(type(error))

    async def completed(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append("completed")


@asynccontextmanager
async def group() -> AsyncIterator[Any]:
    """Tasks that have to end within the guard."""
    with anyio.fail_after(GUARD):
        async with anyio.create_task_group() as tasks:
            yield tasks


# -- sending and waiting -----------------------------------------------------------------------------------------------


async def test_several_tasks_wait_and_loop_over_one_pump(anyio_backend: str) -> None:
    body = AsyncFedBody()
    got: list[list[str]] = [[] for _ in range(3)]

    async def loop(into: list[str]) -> None:
        async for text in stream.text_deltas:
            into.append(text)
            await anyio.lowlevel.checkpoint()

    async with async_stream(body) as stream:
        note = Note(stream)
        async with group() as tasks:
            for into in got:
                tasks.start_soon(loop, into)
            tasks.start_soon(stream.until_done)
            for chunk in answer(*TEXTS):
                await until_async(lambda: body.reading == 1)
                body.feed(chunk)
    assert got == [[*TEXTS]] * 3
    assert note.got == [*TEXTS, "completed"]
    assert body.reads == len(answer(*TEXTS))


async def test_a_connected_stream_reads_in_a_task_of_its_own(anyio_backend: str) -> None:
    body = AsyncFedBody()
    async with async_stream(body) as stream:
        note = Note(stream)
        await stream.connect()
        await stream.connect()
        await until_async(lambda: body.reading)
        body.feed(*answer(*TEXTS))
        await until_async(lambda: body.endings)  # the response is released although no task waits
        assert body.endings == ["finish"]
    assert note.got == [*TEXTS, "completed"]


async def test_leaving_the_block_ends_the_task_of_a_connected_stream(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    async with async_stream(body) as stream:
        note = Note(stream)
        await stream.connect()
        await until_async(lambda: body.reading)
    assert body.reading == 0
    assert body.endings == ["close"]
    assert note.got[0] == "a"
    assert [type(ending) for ending in note.got[1:]] == [StreamClosedError]


async def test_the_block_may_be_used_in_an_async_generator(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS))

    async def texts() -> AsyncIterator[str]:
        async with async_stream(body) as stream:
            await stream.connect()
            async for text in stream.text_deltas:
                yield text

    async with aclosing(texts()) as iterator:
        async for _ in iterator:
            with anyio.move_on_after(GUARD):  # a scope that the generator knows nothing of
                await anyio.lowlevel.checkpoint()
            break
    assert body.endings != []


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_cancelling_the_task_that_reads_ends_the_stream_for_everybody_while_the_cancellation_goes_on(
    anyio_backend: str,
) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    raised: list[type] = []

    async def wait() -> None:
        try:
            await stream.until_done()
        except StreamCancelledError as error:
            raised.append(type(error))

    async def loop() -> None:
        try:
            async for _ in stream:
                pass
        except StreamCancelledError as error:
            raised.append(type(error))

    async with async_stream(body) as stream:
        note = Note(stream)
        async with group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(cancel_when, scope, lambda: body.reading)
                await stream.until_done()
                raise AssertionError("the cancellation must go on")
            assert scope.cancelled_caught
            tasks.start_soon(wait)
            tasks.start_soon(loop)
        with pytest.raises(StreamCancelledError) as error:
            await stream.get_final_run()
        assert error.value.snapshot is not None
    assert raised == [StreamCancelledError] * 2
    assert note.got[0] == "a"
    assert [type(ending) for ending in note.got[1:]] == [StreamCancelledError]
    assert body.endings == ["close"]


async def cancel_when(scope: anyio.CancelScope, ready: Callable[[], Any]) -> None:
    await until_async(ready)
    scope.cancel()


async def test_cancelling_one_who_waits_while_another_reads_harms_nobody(anyio_backend: str) -> None:
    body = AsyncFedBody()
    async with async_stream(body) as stream:
        note = Note(stream)
        async with group() as tasks:
            tasks.start_soon(stream.until_done)
            await until_async(lambda: body.reading)
            with anyio.move_on_after(0.01) as scope:
                await stream.until_done()
            assert scope.cancelled_caught
            body.feed(*answer(*TEXTS))
    assert note.got == [*TEXTS, "completed"]


async def test_after_connect_waiters_may_be_cancelled_freely(anyio_backend: str) -> None:
    body = AsyncFedBody()
    async with async_stream(body) as stream:
        note = Note(stream)
        await stream.connect()
        for use in (stream.until_done, stream.get_final_run, lambda: anext(aiter(stream))):
            with anyio.move_on_after(0.01) as scope:
                await use()
            assert scope.cancelled_caught
        body.feed(*answer(*TEXTS))
        with anyio.fail_after(GUARD):
            await stream.until_done()
    assert note.got == [*TEXTS, "completed"]


async def test_after_connect_a_cancelled_waiter_cancels_no_handler(anyio_backend: str) -> None:
    gate = anyio.Event()

    async def act(_: Any) -> None:
        await gate.wait()

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        handler = Handling(act)
        stream.attach(handler)
        await stream.connect()
        for use in (stream.until_done, stream.get_final_run):
            with anyio.move_on_after(0.01) as scope:
                await use()
            assert scope.cancelled_caught
        assert handler.told == ["run.created"]
        gate.set()
        with anyio.fail_after(GUARD):
            await stream.until_done()
    assert handler.told == [*NAMES, "completed"]


async def test_a_cancelled_block_closes_the_response(anyio_backend: str) -> None:
    """[C27]"""
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    with anyio.move_on_after(0.01) as scope:
        async with async_stream(body) as stream:
            note = Note(stream)
            await stream.connect()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert body.endings == ["close"]
    assert body.reading == 0
    assert [type(ending) for ending in note.got[1:]] == [StreamClosedError]


async def test_cancelling_the_task_that_sends_ends_the_stream(anyio_backend: str) -> None:
    async def open() -> Any:
        await anyio.sleep_forever()

    stream = AsyncAssistantStream(open)
    note = Note(stream)
    with anyio.move_on_after(0.01) as scope:
        async with stream:
            raise AssertionError("the block must not be entered")
    assert scope.cancelled_caught
    assert [type(ending) for ending in note.got] == [StreamCancelledError]
    with pytest.raises(StreamCancelledError):
        await stream.until_done()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_cancelled_by_asyncio_itself_stays_cancelled(anyio_backend: str) -> None:
    body = AsyncFedBody()
    async with async_stream(body) as stream:
        task = asyncio.create_task(stream.until_done())
        await until_async(lambda: body.reading)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        with pytest.raises(StreamCancelledError):
            await stream.until_done()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_timeouts_around_a_loop_stay_timeouts(anyio_backend: str) -> None:
    async with async_stream(AsyncFedBody(*answer(*TEXTS)[:4])) as stream:
        got = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                async for text in stream.text_deltas:
                    got.append(text)  # noqa: PERF401
        assert got == ["a"]
        await asyncio.sleep(0)


# -- closing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
@pytest.mark.parametrize("place", ["task", "thread", "callback", "callback on a thread"])
async def test_closing_from_anywhere_gives_whoever_waits_a_stream_closed_error_once(
    anyio_backend: str, place: str, connected: bool
) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    raised: list[type] = []

    def act(_: str) -> None:
        if place == "callback":
            stream.close()
        elif place == "callback on a thread":
            thread = threading.Thread(target=stream.close)
            thread.start()
            thread.join(GUARD)

    async def wait() -> None:
        try:
            await stream.until_done()
        except StreamClosedError as error:
            raised.append(type(error))

    async with async_stream(body) as stream:
        stream.text_deltas.subscribe(act, lambda _: None)
        note = Note(stream)
        if connected:
            await stream.connect()
        async with group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            if place in ("task", "thread"):
                await until_async(lambda: body.reading and note.got)
                await stream.close() if place == "task" else await anyio.to_thread.run_sync(stream.close)
        await until_async(lambda: body.endings and not body.reading)
    assert raised == [StreamClosedError] * 3
    assert note.got[0] == "a"
    assert [type(ending) for ending in note.got[1:]] == [StreamClosedError]
    assert body.endings == ["close"]


async def test_awaiting_close_waits_until_nothing_is_left(anyio_backend: str) -> None:
    body = AsyncFedBody()
    stream = async_stream(body)
    await stream.connect()
    await until_async(lambda: body.reading)
    await stream.close()
    assert (body.reading, body.endings) == (0, ["close"])
    await stream.close()
    assert body.endings == ["close"]


def test_closing_after_the_event_loop_has_gone_is_quiet() -> None:
    for backend in ("asyncio", "trio"):
        body = AsyncFedBody(*answer(*TEXTS))
        stream = async_stream(body)

        async def use(stream: Any = stream) -> None:
            await anext(aiter(stream))

        anyio.run(use, backend=backend)
        note = Note(stream)
        stream.close()
        assert [type(ending) for ending in note.got] == [StreamClosedError]


# -- async handlers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pump", ["wait", "loop", "connect"])
async def test_a_handler_is_awaited_event_by_event_after_the_subscribers(anyio_backend: str, pump: str) -> None:
    order: list[str] = []

    async def act(event: Any) -> None:
        order.append("begin " + names([event])[0])
        await anyio.lowlevel.checkpoint()
        order.append("end " + names([event])[0])

    async with async_stream(AsyncFedBody(b"".join(answer("a")))) as stream:
        handler = Handling(act)
        stream.attach(handler)
        stream.subscribe(lambda event: order.append("sync " + names([event])[0]))
        if pump == "connect":
            await stream.connect()
        if pump == "loop":
            async for event in stream:
                assert order[-1] == "end " + names([event])[0]
        await stream.until_done()
    expected = ["run.created", "run.in_progress", "message.created", "message.delta"]
    expected += ["message.completed", "run.completed"]
    assert order == [f"{what} {name}" for name in expected for what in ("sync", "begin", "end")]
    assert handler.told == [*expected, "completed"]


@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
async def test_several_tasks_may_wait_while_a_handler_works(anyio_backend: str, connected: bool) -> None:
    gate = anyio.Event()

    async def act(_: Any) -> None:
        await gate.wait()

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        handler = Handling(act)
        stream.attach(handler)
        if connected:
            await stream.connect()
        async with group() as tasks:
            for _ in range(3):
                tasks.start_soon(stream.until_done)
            tasks.start_soon(stream.get_final_run)
            tasks.start_soon(consume, stream)
            await until_async(lambda: handler.told)
            for _ in range(5):  # the loop stays responsive: no task spins
                await anyio.lowlevel.checkpoint()
            assert handler.told == ["run.created"]
            gate.set()
    assert handler.told == [*NAMES, "completed"]


async def consume(stream: Any) -> None:
    async for _ in stream:
        pass


async def test_several_tasks_may_wait_while_a_handler_is_told_of_the_end(anyio_backend: str) -> None:
    gate = anyio.Event()

    class Slow(Handling):
        async def completed(self) -> None:
            await gate.wait()
            await super().completed()

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        handler = Slow()
        stream.attach(handler)
        async with group() as tasks:
            for _ in range(3):
                tasks.start_soon(stream.until_done)
            await until_async(lambda: stream.log.delivered)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            gate.set()
    assert handler.told == [*NAMES, "completed"]


@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
async def test_a_handler_may_read_ahead_and_wait(anyio_backend: str, connected: bool) -> None:
    ahead: list[Any] = []

    async def act(event: Any) -> None:
        if not ahead:
            ahead.extend([text async for text in stream.text_deltas])
            await stream.until_done()
            ahead.append((await stream.get_final_run()).status)

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        note = Note(stream)
        handler = Handling(act)
        stream.attach(handler)
        if connected:
            await stream.connect()
        with anyio.fail_after(GUARD):
            await stream.until_done()
    assert ahead == [*TEXTS, "completed"]
    assert handler.told == [*NAMES, "completed"]
    assert note.got == [*TEXTS, "completed"]


async def test_a_handler_that_reads_ahead_beside_a_connected_task_gets_over_chunks_without_events(
    anyio_backend: str,
) -> None:
    body = AsyncFedBody()
    ahead: list[str] = []

    async def act(_: Any) -> None:
        if not ahead:
            async for text in stream.text_deltas:
                ahead.append(text)  # noqa: PERF401

    async def feed() -> None:
        for chunk in [*answer(*TEXTS)[:2], b": still here\n\n", *answer(*TEXTS)[2:]]:
            await until_async(lambda: body.reading)
            body.feed(chunk)

    async with async_stream(body) as stream:
        handler = Handling(act)
        stream.attach(handler)
        await stream.connect()
        async with group() as tasks:
            tasks.start_soon(stream.until_done)
            tasks.start_soon(feed)
    assert ahead == [*TEXTS]
    assert handler.told == [*NAMES, "completed"]


async def test_a_handler_may_open_another_stream(anyio_backend: str) -> None:
    inner: list[str] = []

    async def act(event: Any) -> None:
        if names([event]) == ["run.requires_action"]:
            async with async_stream(AsyncFedBody(*answer(*TEXTS))) as further:
                further.attach(Handling())
                inner.extend([text async for text in further.text_deltas])

    async with async_stream(AsyncFedBody(run("queued"), run("requires_action"), DONE)) as stream:
        stream.attach(Handling(act))
        await stream.until_done()
    assert inner == [*TEXTS]


async def test_a_handler_attached_late_is_told_everything(anyio_backend: str) -> None:
    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        async for text in stream.text_deltas:
            if text == "b":
                break
        late = Handling()
        stream.attach(late)
        await until_async(lambda: late.told == NAMES[:5])  # what the subscribers have had, without anybody waiting
        await stream.until_done()
        assert late.told == [*NAMES, "completed"]
        later = Handling()
        stream.attach(later)
        await until_async(lambda: later.told == [*NAMES, "completed"])


async def test_a_detached_handler_is_told_no_more_and_holds_nobody_up(anyio_backend: str) -> None:
    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        handler = Handling()
        note = Note(stream)
        attached = stream.attach(handler)
        events = aiter(stream)
        await anext(events)
        attached.dispose()
        attached.dispose()
        await stream.until_done()
    assert handler.told == ["run.created"]
    assert note.got == [*TEXTS, "completed"]
    assert stream.log.holders == 1  # the iterator


async def test_a_handler_that_raises_is_detached_alone(anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    async def act(event: Any) -> None:
        if names([event]) == ["message.delta"]:
            raise ZeroDivisionError

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        raising, other, note = Handling(act), Handling(), Note(stream)
        stream.attach(raising)
        stream.attach(other)
        await stream.until_done()
    assert raising.told == [*NAMES[:4], ZeroDivisionError]
    assert other.told == [*NAMES, "completed"]
    assert note.got == [*TEXTS, "completed"]
    assert "was detached" in caplog.text


class Counted(dict[int, object]):
    """A turn to read that counts how often it is taken."""

    taken = 0

    def __setitem__(self, key: int, value: object) -> None:
        self.taken += 1
        super().__setitem__(key, value)


async def test_a_lone_reader_keeps_its_turn_from_the_first_chunk_to_the_end(anyio_backend: str) -> None:
    stream = async_stream(AsyncFedBody(*answer(*TEXTS)))
    turn = stream.driver._state.turn = Counted()
    note = Note(stream)
    async with stream:
        opening = turn.taken
        await stream.until_done()
    assert note.got == [*TEXTS, "completed"]
    assert turn.taken == opening + 1
    assert not turn


async def test_a_handler_attached_by_a_subscriber_is_awaited_before_the_next_chunk(anyio_backend: str) -> None:
    chunks, handler = answer("a"), Handling()
    body = AsyncFedBody(*chunks[:4])
    async with async_stream(body) as stream, group() as tasks:
        stream.text_deltas.subscribe(lambda _: stream.attach(handler))
        tasks.start_soon(stream.until_done)
        await until_async(lambda: len(handler.told) == 4)
        body.feed(*chunks[4:])
    assert handler.told[-1] == "completed"


async def test_an_event_whose_handler_is_cancelled_counts_as_delivered_and_the_stream_ends_for_everybody(
    anyio_backend: str,
) -> None:
    async def act(event: Any) -> None:
        if names([event]) == ["message.created"]:
            scope.cancel()
            await anyio.sleep_forever()

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        handler, note = Handling(act), Note(stream)
        stream.attach(handler)
        with anyio.CancelScope() as scope:
            await stream.until_done()
        assert scope.cancelled_caught
        with pytest.raises(StreamCancelledError):
            await stream.until_done()
    assert handler.told == ["run.created", "run.in_progress", "message.created", StreamCancelledError]
    assert [type(ending) for ending in note.got] == [StreamCancelledError]


async def test_leaving_the_block_tells_the_handlers(anyio_backend: str) -> None:
    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream:
        handler = Handling()
        stream.attach(handler)
        await anext(aiter(stream))
    assert handler.told == ["run.created", StreamClosedError]


async def test_a_stream_that_breaks_tells_its_handlers(anyio_backend: str) -> None:
    async with async_stream(AsyncFedBody(*answer(*TEXTS)[:2], over=True)) as stream:
        handler = Handling()
        stream.attach(handler)
        with pytest.raises(StreamTruncatedError):
            await stream.until_done()
    assert handler.told == [*NAMES[:2], StreamTruncatedError]


# -- other threads -----------------------------------------------------------------------------------------------------


async def test_subscribing_from_another_thread_replays_there_and_goes_on_here(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    async with async_stream(body) as stream:
        first = Note(stream)
        await stream.connect()
        await until_async(lambda: first.got)
        note = await anyio.to_thread.run_sync(Note, stream)
        assert note.got == ["a"]
        body.feed(*answer(*TEXTS)[4:])
        await stream.until_done()
    assert note.got == [*TEXTS, "completed"]


async def test_what_is_needed_of_a_thread_without_an_event_loop_is_said() -> None:
    stream = async_stream(AsyncFedBody())
    with pytest.raises(RuntimeError, match="running event loop"):
        await_nothing(stream.connect())


def await_nothing(awaitable: Any) -> None:
    """Step a coroutine outside of any event loop."""
    thread_result: list[BaseException] = []

    def step() -> None:
        try:
            awaitable.send(None)
        except BaseException as error:
            thread_result.append(error)

    thread = threading.Thread(target=step)
    thread.start()
    thread.join(GUARD)
    raise thread_result[0]


async def test_timers_of_an_async_stream_run_on_its_loop(anyio_backend: str) -> None:
    body = AsyncFedBody()
    async with async_stream(body) as stream:
        delayed = Note.__new__(Note)
        delayed.got, delayed.threads = [], set()
        await stream.connect()
        stream.text_deltas.delay(0.001).subscribe(delayed._next, on_completed=lambda: delayed.got.append("completed"))
        body.feed(delta("a"), *answer()[-2:])
        await until_async(lambda: delayed.got == ["a", "completed"])
    assert delayed.threads == {threading.get_ident()}


class Interrupt(BaseException):
    """What is not an Exception leaves every callback."""


async def test_an_interrupt_in_a_subscriber_leaves_the_reading_task_and_the_stream_goes_on() -> None:
    got: list[str] = []

    def on_text(text: str) -> None:
        got.append(text)
        if text == "a":
            raise Interrupt

    stream = async_stream(AsyncFedBody(*answer("a", "b", "c")))
    stream.text_deltas.subscribe(on_text)
    with pytest.raises(Interrupt):
        await stream.until_done()
    assert not stream.log.ended
    await stream.until_done()
    assert got == ["a", "b", "c"]

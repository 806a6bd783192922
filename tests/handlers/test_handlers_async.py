"""Asynchronous handlers: awaited one event after the other, cancelled, slow, and left while they are at work."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from handlers_faces import FACES, AsyncFace, recorder
from handlers_wire import saying

from rx_assistant import AssistantEventHandler, AsyncAssistantEventHandler, StreamCancelledError, StreamClosedError

TEXT = saying("Hel", "lo")
LOOPS = [face for face in FACES if isinstance(face, AsyncFace)]


class Slow(AsyncAssistantEventHandler):
    """Takes its time, and notices when it is not waited for."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.busy = 0
        self.overlapped = False

    async def _take(self, what: str) -> None:
        self.busy += 1
        self.overlapped |= self.busy > 1
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        self.busy -= 1
        self.told.append(what)

    async def on_event(self, event: Any) -> None:
        await self._take(event.event)

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        await self._take(snapshot.value)

    async def on_end(self) -> None:
        await self._take("end")


class Stuck(AsyncAssistantEventHandler):
    """Never comes back from its first text, unless it is cancelled."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.reached = anyio.Event()

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(delta.value)
        if self.reached.is_set():
            return
        self.reached.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.told.append("cancelled")

    async def on_exception(self, exception: Exception) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(exception)

    async def on_end(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append("end")


class Told(AsyncAssistantEventHandler):
    """Keeps how the stream ended, in its own time."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def on_exception(self, exception: Exception) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(exception)

    async def on_end(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append("end")


class ToldAtOnce(AssistantEventHandler):
    """The same in plain functions."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_exception(self, exception: Exception) -> None:
        self.told.append(exception)

    def on_end(self) -> None:
        self.told.append("end")


@pytest.fixture(params=LOOPS, ids=repr)
def loop(request: pytest.FixtureRequest) -> AsyncFace:
    face: AsyncFace = request.param
    return face


WAYS = {
    "until_done": lambda given: given.until_done(),
    "get_final_run": lambda given: given.get_final_run(),
    "async for": lambda given: read(given),
    "text_deltas": lambda given: read(given.text_deltas),
}


async def read(items: Any) -> None:
    async for _ in items:
        pass


# -- slow ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connect", [False, True], ids=["", "connected"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_slow_handler_gets_everything_in_order_one_at_a_time(loop: AsyncFace, way: Any, connect: bool) -> None:
    first, second = Slow(), Slow()

    async def scenario() -> None:
        stream = loop.stream(b"".join(TEXT), handler=first)
        stream.attach(second)
        async with stream as given:
            if connect:
                await given.connect()
            await way(given)
            await given.until_done()
            assert first.told[-1] == "end", "waiting includes the handlers"
            assert second.told == first.told

    loop.play(scenario())
    assert not first.overlapped
    assert first.told.index("Hel") < first.told.index("Hello")
    assert len(first.told) == len(TEXT) + 2


@pytest.mark.parametrize("connect", [False, True], ids=["", "connected"])
def test_no_subscriber_is_more_than_one_event_ahead_of_a_slow_handler(loop: AsyncFace, connect: bool) -> None:
    handler, ahead, seen = Slow(), [], []

    def look(event: Any) -> None:
        seen.append(event)
        ahead.append(len(seen) - sum(one.startswith("thread") for one in handler.told))

    async def scenario() -> None:
        stream = loop.stream(b"".join(TEXT), handler=handler)
        stream.subscribe(look)
        async with stream as given:
            if connect:
                await given.connect()
            await given.until_done()

    loop.play(scenario())
    assert ahead == [1] * len(TEXT)


def test_a_loop_has_an_event_after_the_handler(loop: AsyncFace) -> None:
    handler = Slow()

    async def scenario() -> None:
        count = 0
        async with loop.stream(b"".join(TEXT), handler=handler) as given:
            async for event in given:
                count += 1
                heard = [one for one in handler.told if one.startswith("thread")]
                assert event.event == "done" or (len(heard) == count and heard[-1] == event.event)

    loop.play(scenario())


def test_handlers_of_both_kinds_on_one_stream(loop: AsyncFace) -> None:
    slow, quick = Slow(), ToldAtOnce()

    async def scenario() -> None:
        stream = loop.stream(*TEXT, handler=slow)
        stream.attach(quick)
        async with stream as given:
            await given.until_done()

    loop.play(scenario())
    assert quick.told == ["end"]
    assert slow.told[-1] == "end"


# -- cancelled -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", [Told, ToldAtOnce])
def test_cancelling_who_reads_is_told_and_goes_on(loop: AsyncFace, kind: type, way: Any) -> None:
    handler, attached = kind(), kind()

    async def scenario() -> None:
        reached = anyio.Event()

        async def stuck() -> None:
            reached.set()
            await anyio.sleep_forever()

        stream = loop.stream(*TEXT[:8], stuck, handler=handler)
        stream.attach(attached)
        async with stream as given:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    await reached.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(cancel)
                await way(given)
                raise AssertionError("the cancellation was swallowed")
            assert tasks.cancel_scope.cancelled_caught
            with pytest.raises(StreamCancelledError) as raised:
                await given.until_done()
        assert stream.script.closed
        assert handler.told == attached.told == [raised.value, "end"]
        assert handler.exception is raised.value
        assert raised.value.snapshot is not None
        assert raised.value.snapshot.text == "Hel"

    loop.play(scenario())


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_cancelling_who_awaits_a_handler_is_told_and_goes_on(loop: AsyncFace, way: Any) -> None:
    async def scenario() -> None:
        handler, other = Stuck(), Told()
        stream = loop.stream(*TEXT, handler=handler)
        stream.attach(other)
        async with stream as given:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    await handler.reached.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(cancel)
                await way(given)
                raise AssertionError("the cancellation was swallowed")
            assert tasks.cancel_scope.cancelled_caught
            with pytest.raises(StreamCancelledError) as raised:
                await given.until_done()
        assert handler.told == ["Hel", "cancelled", raised.value, "end"]
        assert other.told == [raised.value, "end"]

    loop.play(scenario())


def test_cancelling_an_asyncio_task_cancels_it() -> None:
    async def main() -> None:
        handler = Stuck()

        async def run() -> None:
            async with LOOPS[0].stream(*TEXT, handler=handler) as given:
                await given.until_done()

        task = asyncio.create_task(run())
        await handler.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [type(one) for one in handler.told] == [str, str, StreamCancelledError, str]
        assert handler.told[-1] == "end"

    asyncio.run(main())


def test_cancelling_the_request_is_told_and_goes_on(loop: AsyncFace) -> None:
    handler = Told()

    async def scenario() -> None:
        stream = loop.stream(*TEXT, handler=handler)
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with stream:
                raise AssertionError("the request was sent")
        assert scope.cancelled_caught

    loop.play(scenario())
    assert [type(one) for one in handler.told] == [StreamCancelledError, str]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_after_connect_who_waits_may_be_cancelled_freely(loop: AsyncFace, way: Any) -> None:
    async def scenario() -> None:
        handler, go_on = Slow(), anyio.Event()
        async with loop.stream(*TEXT[:8], go_on.wait, *TEXT[8:], handler=handler) as given:
            await given.connect()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(way, given)
                    await loop.until(lambda: "Hel" in handler.told)
                    scope.cancel()
            assert scope.cancelled_caught
            go_on.set()
            await given.until_done()
        assert handler.told[-1] == "end"
        assert handler.exception is None

    loop.play(scenario())


def test_another_who_waits_is_told_of_the_cancellation(loop: AsyncFace) -> None:
    async def scenario() -> None:
        handler = Stuck()
        results: list[Any] = []
        async with loop.stream(*TEXT, handler=handler) as given, anyio.create_task_group() as tasks:

            async def wait() -> None:
                try:
                    await given.until_done()
                except StreamCancelledError as error:
                    results.append(error)

            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    inner.start_soon(given.until_done)
                    await handler.reached.wait()
                    tasks.start_soon(wait)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            assert scope.cancelled_caught
        assert results == [handler.exception]
        assert isinstance(handler.exception, StreamCancelledError)
        assert handler.told[:2] == ["Hel", "cancelled"]
        assert handler.told[-2:] == [handler.exception, "end"]

    loop.play(scenario())


# -- left ------------------------------------------------------------------------------------------------------------


def test_leaving_the_block_cancels_a_handler_at_work_and_tells_it_the_end(loop: AsyncFace) -> None:
    async def scenario() -> None:
        handler, other = Stuck(), Told()
        stream = loop.stream(*TEXT, handler=handler)
        stream.attach(other)
        async with stream as given:
            await given.connect()
            await handler.reached.wait()
        assert handler.told == ["Hel", "cancelled", "end"]
        assert other.told == ["end"]
        assert handler.exception is other.exception is None

    loop.play(scenario())


def test_closing_while_a_handler_is_at_work_ends_after_its_event(loop: AsyncFace) -> None:
    class Closing(Slow):
        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            closing = self.close()
            await self._take(delta.value)
            await closing
            self.told.append("closed")

    handler = Closing()

    async def scenario() -> None:
        async with loop.stream(*TEXT, handler=handler) as given:
            with pytest.raises(StreamClosedError):
                await given.until_done()

    loop.play(scenario())
    assert handler.told[-3:] == ["Hel", "closed", "end"]
    assert "lo" not in handler.told


def test_a_handler_that_comes_late_catches_up_by_itself(loop: AsyncFace) -> None:
    first, second, third = Slow(), Slow(), Slow()

    async def scenario() -> None:
        stream = loop.stream(*TEXT, handler=first)
        async with stream as given:
            await given.connect()
            await loop.until(lambda: "Hel" in first.told)
            stream.attach(second)
            await loop.until(lambda: second.told[-1:] == ["end"])
            stream.attach(third)
            await loop.until(lambda: third.told[-1:] == ["end"])
            await given.until_done()

    loop.play(scenario())
    assert first.told == second.told == third.told


def test_a_handler_works_in_an_async_generator(loop: AsyncFace) -> None:
    async def texts() -> Any:
        async with loop.stream(*TEXT, handler=recorder(loop)) as given:
            async for text in given.text_deltas:
                yield text

    async def scenario() -> None:
        assert [text async for text in texts()] == ["Hel", "lo"]

    loop.play(scenario())


def test_exceptions_leave_the_block_unwrapped(loop: AsyncFace) -> None:
    class Raising(AsyncAssistantEventHandler):
        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            raise LookupError(delta.value)

    async def run() -> None:
        async with loop.stream(*TEXT, handler=Raising()) as given:
            await given.connect()
            await given.until_done()

    async def scenario() -> None:
        with pytest.raises(LookupError, match="Hel"):
            await run()

    loop.play(scenario())

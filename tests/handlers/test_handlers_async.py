"""Asynchronous handlers: awaited one event after the other, slow, and left while they are at work."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from handlers_faces import LOOPS, TEXT, WAYS, AsyncFace, Slow, Stuck, Told, ToldAtOnce, recorder

from rx_assistant import AsyncAssistantEventHandler, StreamClosedError


@pytest.fixture(params=LOOPS, ids=repr)
def loop(request: pytest.FixtureRequest) -> AsyncFace:
    face: AsyncFace = request.param
    return face


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
    assert ahead == [1] * (len(TEXT) - 1)


def test_a_loop_has_an_event_after_the_handler(loop: AsyncFace) -> None:
    handler = Slow()

    async def scenario() -> None:
        count = 0
        async with loop.stream(b"".join(TEXT), handler=handler) as given:
            async for event in given:
                count += 1
                heard = [one for one in handler.told if one.startswith("thread")]
                assert len(heard) == count
                assert heard[-1] == event.event

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


def test_a_task_that_outlives_the_handler_that_began_it_waits_for_all_handlers(loop: AsyncFace) -> None:
    handled: list[str] = []
    reports: list[int] = []

    async def scenario() -> None:
        async def report() -> None:
            while len(handled) < 2:  # until the handler has returned
                await anyio.lowlevel.checkpoint()
            await stream.get_final_run()
            reports.append(len(handled))

        class Beginning(AsyncAssistantEventHandler):
            async def on_event(self, event: Any) -> None:
                if not handled:
                    tasks.start_soon(report)
                await anyio.lowlevel.checkpoint()
                handled.append(event.event)

        stream = loop.stream(b"".join(TEXT), handler=Beginning())
        async with stream as given, anyio.create_task_group() as tasks:
            await given.until_done()

    loop.play(scenario())
    assert reports == [len(handled)] == [len(TEXT) - 1]


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

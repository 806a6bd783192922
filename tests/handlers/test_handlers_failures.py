"""Handlers that raise: which wait raises the error, what is logged, and which readers are not affected."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex as rx
from handlers_faces import CUT, TEXT, WAITS, Face, Raising, got, listed, on_every_face, recorder
from reactivex import operators as ops

from rx_assistant import StreamTruncatedError


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@on_every_face
async def test_what_a_callback_raises_comes_out_of_the_wait(face: Face, wait: Any) -> None:
    error = ValueError("mine")
    handler, other = face.handler(Raising)(error), recorder(face)
    seen: list[str] = []
    stream = face.stream(*TEXT, handler=handler)
    stream.attach(other)
    stream.subscribe(lambda event: seen.append(event.event))
    async with face.block(stream) as given:
        with pytest.raises(ValueError, match="mine") as raised:
            await wait(given, face)
        assert raised.value is error
        assert handler.told == ["Hel", error, "end"]
        assert handler.exception is error
        assert seen.count("thread.message.delta") == 1, "it is raised at once"
        await got(stream.until_done())
        assert (await got(given.get_final_run())).status == "completed"
    assert handler.told == ["Hel", error, "end"]
    assert seen.count("thread.message.delta") == 2
    assert other.calls[-2:] == ["on_run_status", "on_end"]


@on_every_face
async def test_what_a_callback_raises_comes_out_of_the_block_like_any_exception(face: Face) -> None:
    handler, other = face.handler(Raising)(ValueError("mine")), recorder(face)
    stream = face.stream(*TEXT, handler=handler)
    stream.attach(other)
    with pytest.raises(ValueError, match="mine"):
        async with face.block(stream) as given:
            await got(given.until_done())
    assert other.calls[-1] == "on_end"
    assert "on_exception" not in other.calls
    assert stream.script.closed


@pytest.mark.parametrize(
    "derive",
    [
        lambda stream: stream.pipe(ops.retry(2)),
        lambda stream: stream.pipe(ops.catch(rx.empty())),
        lambda stream: stream.pipe(ops.on_error_resume_next(rx.empty())),
        lambda stream: stream.tool_events,
    ],
    ids=["retry", "catch", "on_error_resume_next", "tool_events"],
)
@on_every_face
async def test_no_operator_handles_what_a_callback_raises(face: Face, derive: Any) -> None:
    handler = face.handler(Raising)(ValueError("mine"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(ValueError, match="mine"):
            await listed(derive(given.stream if hasattr(given, "stream") else given))
        await got(given.until_done())


@on_every_face
async def test_what_a_callback_raises_is_raised_once(face: Face) -> None:
    handler = face.handler(Raising)(ValueError("mine"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(ValueError, match="mine"):
            await got(given.until_done())
        await got(given.until_done())
        assert len(await listed(given)) == len(TEXT) - 1


@on_every_face
async def test_what_a_callback_raises_under_connect_comes_out_of_the_wait(face: Face) -> None:
    error = ValueError("mine")
    handler, other = face.handler(Raising)(error), recorder(face)
    stream = face.stream(*TEXT, handler=handler)
    stream.attach(other)
    async with face.block(stream) as given:
        await got(given.connect())
        with pytest.raises(ValueError, match="mine"):
            await got(given.until_done())
        await got(given.until_done())
    assert handler.told == ["Hel", error, "end"]
    assert other.calls[-2:] == ["on_run_status", "on_end"]


@on_every_face
async def test_an_error_without_a_waiter_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    handler = face.handler(Raising)(ValueError("mine"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        await got(given.connect())
        await face.until(lambda: handler.exception is not None)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [handler.error]
    assert "no loop or wait was left" in caplog.text


@on_every_face
async def test_an_attached_handler_that_raises_is_detached_and_logged(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("mine")
    main, raising, other = recorder(face), face.handler(Raising)(error), recorder(face)
    stream = face.stream(*TEXT, handler=main)
    stream.attach(raising)
    stream.attach(other)
    async with face.block(stream) as given:
        await got(given.until_done())
    assert raising.told == ["Hel", error, "end"]
    assert raising.exception is error
    assert main.calls == other.calls
    assert main.calls[-1] == "on_end"
    assert main.exception is other.exception is None
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]
    assert caplog.records[0].name == "rx_assistant"


@on_every_face
async def test_what_is_raised_while_telling_of_an_exception_is_logged(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    class Twice(Raising):
        async def on_exception(self, exception: Exception) -> None:
            raise LookupError("again")

    handler = face.handler(Twice)(ValueError("mine"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(ValueError, match="mine"):
            await got(given.until_done())
    assert handler.told == ["Hel", "end"]
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError]


class RaisingAtTheEnd:
    async def on_end(self) -> None:
        raise ValueError("at the end")


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@on_every_face
async def test_what_on_end_raises_comes_out_of_the_wait(face: Face, wait: Any) -> None:
    handler = face.handler(RaisingAtTheEnd)()
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(ValueError, match="at the end"):
            await wait(given, face)
        assert isinstance(handler.exception, ValueError)
        assert (await got(given.get_final_run())).status == "completed"


@on_every_face
async def test_what_on_end_raises_under_connect_comes_out_of_the_wait(face: Face) -> None:
    handler = face.handler(RaisingAtTheEnd)()
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        await got(given.connect())
        with pytest.raises(ValueError, match="at the end"):
            await got(given.until_done())


@on_every_face
async def test_what_an_attached_handlers_on_end_raises_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    main, raising = recorder(face), face.handler(RaisingAtTheEnd)()
    stream = face.stream(*TEXT, handler=main)
    stream.attach(raising)
    async with face.block(stream) as given:
        await got(given.until_done())
    assert main.calls[-1] == "on_end"
    assert isinstance(raising.exception, ValueError)
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [ValueError]


@on_every_face
async def test_what_the_telling_of_a_broken_stream_raises_comes_out_first(face: Face) -> None:
    handler = face.handler(RaisingAtTheEnd)()
    async with face.block(face.stream(*CUT, handler=handler)) as given:
        with pytest.raises(ValueError, match="at the end"):
            await got(given.until_done())
        with pytest.raises(StreamTruncatedError) as raised:
            await got(given.until_done())
    assert handler.exception is raised.value

"""Streams that break, are left or are never sent: the callbacks of handlers, and the errors that are raised."""

from __future__ import annotations

from typing import Any

import pytest
from handlers_faces import CUT, TEXT, WAITS, Face, Raising, got, on_every_face, recorder
from handlers_wire import DONE, begun, frame, message, message_delta, piece, run

from rx_assistant import (
    APIConnectionError,
    APITimeoutError,
    EventDecodeError,
    IdleTimeoutError,
    ReadTimeoutError,
    ServerErrorEvent,
    StreamClosedError,
    StreamTruncatedError,
)

# -- streams that break ----------------------------------------------------------------------------------------------

ENDINGS = {
    "cut": (CUT, StreamTruncatedError, ["on_exception", "on_end"]),
    "error event": ([*CUT, frame("error", {"message": "Sorry."})], ServerErrorEvent, ["on_exception", "on_end"]),
    "read timeout": ([*CUT, ReadTimeoutError("slow")], ReadTimeoutError, ["on_timeout", "on_exception", "on_end"]),
    "idle timeout": ([*CUT, IdleTimeoutError("idle")], IdleTimeoutError, ["on_timeout", "on_exception", "on_end"]),
    "connection": ([*CUT, APIConnectionError("gone")], StreamTruncatedError, ["on_exception", "on_end"]),
    "source": ([*CUT, OSError("no such disk")], OSError, ["on_exception", "on_end"]),
    "well, without done": (TEXT[:-1], None, ["on_end"]),
    "failed run": ([*begun(), run("failed"), DONE], None, ["on_end"]),
    "requires action": ([*begun(), run("requires_action", required=[])], None, ["on_end"]),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@on_every_face
async def test_each_ending_is_reported_once(face: Face, ending: Any) -> None:
    sent, error, told = ending
    names = ["on_timeout", "on_exception", "on_end"]
    main, attached = (recorder(face, names=names, show=lambda handler, *call: call) for _ in range(2))
    stream = face.stream(*sent, handler=main)
    stream.attach(attached)
    caught: list[Exception] = []
    async with face.block(stream) as given:
        for wait in WAITS.values():
            try:
                await wait(given, face)
            except Exception as one:
                caught.append(one)
    assert [type(one) for one in caught] == ([] if error is None else [error] * len(WAITS))
    assert len({id(one) for one in caught}) <= 1, "every wait raises the same error"
    raised = caught[0] if caught else None
    assert [call[0] for call in main.calls] == told
    assert [call[1] for call in main.calls if call[0] == "on_exception"] == [raised] * ("on_exception" in told)
    assert attached.calls == main.calls
    assert main.exception is attached.exception is raised


@pytest.mark.parametrize("wait", list(WAITS)[1:4])
@on_every_face
async def test_getters_of_a_broken_stream_raise_with_what_arrived(face: Face, wait: str) -> None:
    async with face.block(face.stream(*CUT, handler=recorder(face))) as given:
        with pytest.raises(StreamTruncatedError) as raised:
            await WAITS[wait](given, face)
    snapshot = raised.value.snapshot
    assert snapshot is not None
    assert snapshot.text == "Hel"
    assert snapshot.status == "in_progress"
    assert raised.value.request_id == "req_1"


@on_every_face
async def test_getters_give_the_servers_final_objects(face: Face) -> None:
    handler = recorder(face, names=["on_message_done", "on_run_step_done"], show=lambda self, name, done: done)
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        finals = [*await got(given.get_final_messages()), *await got(given.get_final_run_steps())]
        final_run = await got(given.get_final_run())
    assert finals == handler.calls
    assert {type(final).__module__ for final in (*finals, final_run)} == {
        "rx_assistant.types.message",
        "rx_assistant.types.run_step",
        "rx_assistant.types.run",
    }
    assert all(final.to_model() is final for final in (*finals, final_run))


@on_every_face
async def test_a_timeout_of_the_users_own_is_none_of_the_streams(face: Face) -> None:
    for error in (TimeoutError("mine"), APITimeoutError("another stream's")):
        handler = face.handler(Raising)(error)
        async with face.block(face.stream(*TEXT, handler=handler)) as given:
            with pytest.raises(type(error)):
                await got(given.until_done())
        assert handler.told == ["Hel", error, "end"]


@on_every_face
async def test_a_malformed_event_is_the_handlers_error_only(face: Face) -> None:
    sent = [*TEXT[:8], frame("thread.message.delta", ["no", "delta"]), *TEXT[8:]]
    names = ["on_event", "on_text_delta", "on_exception", "on_end"]
    handler = recorder(face, names=names, show=lambda self, name, *given: (name, given[0] if given else None))
    stream = face.stream(*sent, handler=handler)
    async with face.block(stream) as given:
        with pytest.raises(EventDecodeError) as raised:
            await got(given.until_done())
        assert [name for name, _ in handler.calls[-3:]] == ["on_event", "on_exception", "on_end"]
        assert handler.calls[-3][1] is raised.value.event
        assert handler.calls[-2][1] is raised.value
        assert (await got(stream.get_final_run())).status == "completed"
        assert stream.snapshot.text == "Hello"


@on_every_face
async def test_an_interrupt_is_no_failure_of_the_handler(face: Face) -> None:
    class Interrupted:
        def __init__(self) -> None:
            self.told: list[Any] = []

        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.told.append(delta.value)
            if delta.value == "Hel":
                raise KeyboardInterrupt

        async def on_exception(self, exception: Exception) -> None:
            self.told.append(exception)

        async def on_end(self) -> None:
            self.told.append("end")

    handler = face.handler(Interrupted)()
    with pytest.raises(KeyboardInterrupt):
        async with face.block(face.stream(*TEXT, handler=handler)) as given:
            await got(given.until_done())
    assert handler.told[0] == "Hel"
    assert handler.told[-1] == "end"


# -- leaving ---------------------------------------------------------------------------------------------------------


@on_every_face
async def test_breaking_off_calls_on_end_only(face: Face) -> None:
    main, attached = recorder(face), recorder(face)
    stream = face.stream(*TEXT, handler=main)
    stream.attach(attached)
    async with face.block(stream) as given:
        async for event in face.each(given):
            if event.event == "thread.message.delta":
                break
        assert "on_end" not in main.calls
    assert main.calls == attached.calls
    assert main.calls.count("on_end") == 1
    assert main.calls[-3:] == ["on_text_delta", "on_message_delta", "on_end"]
    assert "on_exception" not in main.calls
    assert main.exception is attached.exception is None
    assert stream.script.closed
    assert stream.script.reads < len(TEXT)


@on_every_face
async def test_closing_inside_a_callback_calls_on_end(face: Face) -> None:
    class Closing:
        def __init__(self) -> None:
            self.told: list[str] = []

        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.told.append(delta.value)
            self.close()  # type: ignore[attr-defined]  # the handler's own, once it is one

        async def on_exception(self, exception: Exception) -> None:
            self.told.append("exception")

        async def on_end(self) -> None:
            self.told.append("end")

    handler = face.handler(Closing)()
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(StreamClosedError):
            await got(given.until_done())
    assert handler.told == ["Hel", "end"]
    assert handler.exception is None


@on_every_face
async def test_leaving_by_an_exception_in_the_block_calls_on_end(face: Face) -> None:
    async def fall() -> None:
        async with face.block(face.stream(*TEXT, handler=handler)) as given:
            async for _ in face.each(given):
                raise LookupError

    handler = recorder(face)
    with pytest.raises(LookupError):
        await fall()
    assert handler.calls[-1] == "on_end"
    assert "on_exception" not in handler.calls


@on_every_face
async def test_a_request_that_fails_is_raised_by_the_block_and_reported(face: Face) -> None:
    handler = recorder(face, show=lambda self, name, *given: (name, *given))
    error = APIConnectionError("refused")
    stream = face.stream(handler=handler)
    stream.script.refuse = error
    with pytest.raises(APIConnectionError):
        async with face.block(stream):
            raise AssertionError("the block was entered")
    assert handler.calls == [("on_exception", error), ("on_end",)]


@on_every_face
async def test_a_request_that_times_out_calls_on_timeout(face: Face) -> None:
    handler = recorder(face)
    stream = face.stream(handler=handler)
    stream.script.refuse = APITimeoutError("no reply")
    with pytest.raises(APITimeoutError):
        async with face.block(stream):
            raise AssertionError("the block was entered")
    assert handler.calls == ["on_timeout", "on_exception", "on_end"]


@on_every_face
async def test_a_handler_that_raises_leaves_the_message_to_the_others(face: Face) -> None:
    raising, other = face.handler(Raising)(ValueError("mine")), recorder(face, names=["on_text_done"])
    sent = [*begun(), message("created"), message_delta(piece("a"))]
    stream = face.stream(*sent, message("completed", []), run("completed"), DONE, handler=raising)
    stream.attach(other)
    async with face.block(stream) as given:
        with pytest.raises(ValueError, match="mine"):
            await got(given.until_done())
        assert given.snapshot.text == "a"
        assert [one.content for one in await got(given.get_final_messages())] == [[]]
    assert other.calls == []


@on_every_face
async def test_another_stream_that_was_closed_is_an_exception_like_any(face: Face) -> None:
    handler = face.handler(Raising)(StreamClosedError("another stream's"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(StreamClosedError, match="another"):
            await got(given.until_done())
    assert handler.told == ["Hel", handler.error, "end"]
    assert handler.exception is handler.error

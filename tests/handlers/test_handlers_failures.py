"""Handlers that raise, and streams that break: who hears of it, what is raised where, and who does not notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from handlers_faces import Face, got, on_every_face, recorder
from handlers_wire import DONE, begun, frame, message, message_delta, piece, run, saying

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

TEXT = saying("Hel", "lo")
CUT = TEXT[:8]
WAITS: dict[str, Callable[[Any, Face], Any]] = {
    "until_done": lambda given, face: got(given.until_done()),
    "get_final_run": lambda given, face: got(given.get_final_run()),
    "get_final_messages": lambda given, face: got(given.get_final_messages()),
    "get_final_run_steps": lambda given, face: got(given.get_final_run_steps()),
    "for event": lambda given, face: looped(face, given),
    "for text": lambda given, face: looped(face, given.text_deltas),
    "for piped": lambda given, face: looped(face, given.pipe()),
}
"""Every way to wait for a stream."""


async def looped(face: Face, items: Any) -> list[Any]:
    """All items of a loop."""
    return [item async for item in face.each(items)]


class Raising:
    """Raises at the first text delta, and keeps what it is told then."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.told: list[Any] = []

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(delta.value)
        raise self.error

    async def on_timeout(self) -> None:
        self.told.append("timeout")

    async def on_exception(self, exception: Exception) -> None:
        self.told.append(exception)

    async def on_end(self) -> None:
        self.told.append("end")


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


@on_every_face
async def test_what_a_callback_raises_is_raised_once(face: Face) -> None:
    handler = face.handler(Raising)(ValueError("mine"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        with pytest.raises(ValueError, match="mine"):
            await got(given.until_done())
        await got(given.until_done())
        assert len(await looped(face, given)) == len(TEXT)


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
async def test_what_nobody_waited_for_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    handler = face.handler(Raising)(ValueError("mine"))
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        await got(given.connect())
        await face.until(lambda: handler.exception is not None)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [handler.error]
    assert "nobody waited" in caplog.text


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
async def test_each_ending_is_told_once(face: Face, ending: Any) -> None:
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
    assert len({id(one) for one in caught}) <= 1, "the same error whoever asks"
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
async def test_a_malformed_event_is_the_handlers_error_and_nobody_elses(face: Face) -> None:
    sent = [*TEXT[:8], frame("thread.message.delta", {"id": 7, "delta": "?"}), *TEXT[8:]]
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
async def test_breaking_off_is_told_as_an_end_and_no_more(face: Face) -> None:
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
async def test_closing_inside_a_callback_is_told_as_an_end(face: Face) -> None:
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
async def test_leaving_by_an_exception_of_ones_own_is_told_as_an_end(face: Face) -> None:
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
async def test_a_request_that_fails_is_raised_by_the_block_and_told(face: Face) -> None:
    handler = recorder(face, show=lambda self, name, *given: (name, *given))
    error = APIConnectionError("refused")
    stream = face.stream(handler=handler)
    stream.script.refuse = error
    with pytest.raises(APIConnectionError):
        async with face.block(stream):
            raise AssertionError("the block was entered")
    assert handler.calls == [("on_exception", error), ("on_end",)]


@on_every_face
async def test_a_request_that_times_out_is_told_as_a_timeout(face: Face) -> None:
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

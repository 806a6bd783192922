"""Inside and around callbacks: the current objects, waiting and iterating, further streams, several waits at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from handlers_faces import CALLBACKS, Face, got, on_every_face, recorder
from handlers_wire import (
    CALL,
    STEP,
    begun,
    calling,
    code,
    ended,
    message,
    message_delta,
    piece,
    run,
    saying,
    step,
    step_delta,
    text,
    whole_code,
    whole_function,
)

from rx_assistant import StreamClosedError, StreamTruncatedError

TEXT = saying("Hel", "lo")
MIXED = [
    *begun(),
    step("created"),
    step_delta(code("1", call_id=CALL, outputs=[])),
    step_delta(code("+1")),
    step("completed", [whole_code(CALL, "1+1")]),
    step("created", step_id="step_2", message_id="msg_1"),
    message("created"),
    message_delta(piece("Hel")),
    message_delta(piece("lo")),
    message("completed", [text("Hello")]),
    step("completed", step_id="step_2", message_id="msg_1"),
    *ended(),
]


def around(handler: Any, name: str, *arguments: Any) -> tuple[Any, ...]:
    """A call, and what is current in it."""
    event, now, message_now, step_now = (
        handler.current_event,
        handler.current_run,
        handler.current_message_snapshot,
        handler.current_run_step_snapshot,
    )
    return (
        name,
        event and event.event.removeprefix("thread."),
        now and now.status,
        message_now and (message_now.id, "".join(part.text.value for part in message_now.content)),
        step_now and (step_now.id, step_now.status),
    )


# -- what is current -------------------------------------------------------------------------------------------------


@on_every_face
async def test_what_is_current_in_a_callback_is_what_the_callback_is_about(face: Face) -> None:
    names = ["on_event", "on_tool_call_delta", "on_run_step_done", "on_text_delta", "on_message_done", "on_end"]
    handler = await face.ran(recorder(face, names=names, show=around), *MIXED)
    working, saying_now, said = ("step_1", "in_progress"), ("step_2", "in_progress"), ("msg_1", "Hello")
    assert handler.calls == [
        ("on_event", "run.created", None, None, None),
        ("on_event", "run.queued", "queued", None, None),
        ("on_event", "run.in_progress", "queued", None, None),
        ("on_event", "run.step.created", "in_progress", None, None),
        ("on_event", "run.step.delta", "in_progress", None, working),
        ("on_tool_call_delta", "run.step.delta", "in_progress", None, working),
        ("on_event", "run.step.delta", "in_progress", None, working),
        ("on_tool_call_delta", "run.step.delta", "in_progress", None, working),
        ("on_event", "run.step.completed", "in_progress", None, working),
        ("on_run_step_done", "run.step.completed", "in_progress", None, ("step_1", "completed")),
        ("on_event", "run.step.created", "in_progress", None, None),
        ("on_event", "message.created", "in_progress", None, saying_now),
        ("on_event", "message.delta", "in_progress", ("msg_1", ""), saying_now),
        ("on_text_delta", "message.delta", "in_progress", ("msg_1", "Hel"), saying_now),
        ("on_event", "message.delta", "in_progress", ("msg_1", "Hel"), saying_now),
        ("on_text_delta", "message.delta", "in_progress", ("msg_1", "Hello"), saying_now),
        ("on_event", "message.completed", "in_progress", ("msg_1", "Hello"), saying_now),
        ("on_message_done", "message.completed", "in_progress", ("msg_1", "Hello"), saying_now),
        ("on_event", "run.step.completed", "in_progress", said, saying_now),
        ("on_run_step_done", "run.step.completed", "in_progress", said, ("step_2", "completed")),
        ("on_event", "run.completed", "in_progress", said, None),
        ("on_end", "run.completed", "completed", said, None),
    ]


@on_every_face
async def test_the_newest_message_stays_current_when_it_is_done(face: Face) -> None:
    second = [
        step("created", step_id="step_3", message_id="msg_2"),
        message("created", message_id="msg_2"),
        message_delta(piece("Bye"), message_id="msg_2"),
        message("completed", [text("Bye")], message_id="msg_2"),
        step("completed", step_id="step_3", message_id="msg_2"),
    ]
    handler = recorder(face, names=["on_run_step_done", "on_run_status", "on_end"], show=around)
    stream = face.stream(*MIXED[:-2], *second, *MIXED[-2:], handler=handler)
    async with face.block(stream) as given:
        async for _ in face.each(given):
            pass
    shown = [(name, said) for name, _, _, said, _ in handler.calls]
    first, last = ("msg_1", "Hello"), ("msg_2", "Bye")
    steps = [("on_run_step_done", None), ("on_run_step_done", first), ("on_run_step_done", last)]
    begun_with, ended_with = [("on_run_status", None)] * 2, [("on_run_status", last), ("on_end", last)]
    assert shown == begun_with + steps + ended_with
    assert around(stream, "")[3] == around(given, "")[3] == last, "also after the block"


@on_every_face
async def test_what_is_current_is_the_same_for_the_stream_while_one_iterates(face: Face) -> None:
    handler = recorder(face, show=around)
    stream = face.stream(*MIXED, handler=handler)
    async with face.block(stream) as given:
        async for event in face.each(given):
            assert given.current_event is event
            assert stream.current_event is event
            assert around(given, "") == around(stream, "")
        assert around(given, "") == around(stream, "") == ("", "run.completed", "completed", ("msg_1", "Hello"), None)


@on_every_face
async def test_callbacks_run_before_the_loop_has_the_event(face: Face) -> None:
    handler = recorder(face, names=["on_event"], show=lambda self, name, event: event)
    async with face.block(face.stream(b"".join(MIXED), handler=handler)) as given:
        count = 0
        async for event in face.each(given):
            count += 1
            assert len(handler.calls) == count, "in step, though all of it has arrived"
            assert handler.calls[-1] is event


@on_every_face
async def test_a_loop_inside_a_callback_leaves_what_is_current(face: Face) -> None:
    class Looking:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        async def on_text_created(self, text: Any) -> None:
            before = around(self, "")
            events = [event.event async for event in face.each(self)]
            self.seen.append((len(events), around(self, "") == before))

        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.seen.append(snapshot.value)

    handler = await face.ran(face.handler(Looking)(), *TEXT)
    assert handler.seen == [(len(TEXT) - 1, True), "Hel", "Hello"]


# -- waiting inside callbacks ----------------------------------------------------------------------------------------


class Waiting:
    """Waits for its own stream in a callback, then continues."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[Any] = []

    async def on_text_created(self, text: Any) -> None:
        result = await got(getattr(self, self.name)())
        self.told.append(getattr(result, "status", result) if self.name == "get_final_run" else None)

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(snapshot.value)

    async def on_end(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize("name", ["until_done", "get_final_run", "get_final_messages", "get_final_run_steps"])
@pytest.mark.parametrize("connect", [False, True], ids=["", "connected"])
@on_every_face
async def test_waiting_inside_a_callback_reads_ahead(face: Face, name: str, connect: bool) -> None:
    handler, other = face.handler(Waiting)(name), recorder(face)
    stream = face.stream(*TEXT, handler=handler)
    stream.attach(other)
    async with face.block(stream) as given:
        if connect:
            await got(given.connect())
        await got(given.until_done())
    assert handler.told == ["completed" if name == "get_final_run" else None, "Hel", "Hello", "end"]
    assert other.calls[-1] == "on_end"


@on_every_face
async def test_waiting_inside_a_callback_raises_how_the_stream_broke(face: Face) -> None:
    handler = face.handler(Waiting)("until_done")
    async with face.block(face.stream(*TEXT[:8], handler=handler)) as given:
        with pytest.raises(StreamTruncatedError):
            await got(given.until_done())
    assert handler.told == ["end"]
    assert isinstance(handler.exception, StreamTruncatedError)


@on_every_face
async def test_texts_looped_over_inside_a_callback_are_whole(face: Face) -> None:
    class Telling:
        def __init__(self) -> None:
            self.told: list[Any] = []

        async def on_message_created(self, message: Any) -> None:
            stream: Any = self
            self.told.append([text async for text in face.each(stream.text_deltas)])

        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.told.append(delta.value)

    handler = await face.ran(face.handler(Telling)(), *TEXT)
    assert handler.told == [["Hel", "lo"], "Hel", "lo"]


@on_every_face
async def test_one_handlers_exception_is_not_raised_inside_anothers_callback(face: Face) -> None:
    class Raising:
        async def on_text_created(self, text: Any) -> None:
            raise ValueError("mine")

    raising, waiting = face.handler(Raising)(), face.handler(Waiting)("until_done")
    stream = face.stream(*TEXT, handler=raising)
    stream.attach(waiting)
    async with face.block(stream) as given:
        await got(given.connect())
        with pytest.raises(ValueError, match="mine"):
            await got(given.until_done())
        await got(given.until_done())
    assert waiting.told == [None, "Hel", "Hello", "end"]
    assert waiting.exception is None


# -- a further stream inside a callback ------------------------------------------------------------------------------

RESUMED = [
    step("completed", [whole_function(output="sunny")], step_id=STEP),
    run("queued"),
    run("in_progress"),
    message("created"),
    message_delta(piece("Sunny.")),
    message("completed", [text("Sunny.")]),
    *ended(),
]


class Answering:
    """Opens the stream of the tool outputs when its run asks for them, with a handler of its own kind."""

    def __init__(self, face: Face, further: list[Any]) -> None:
        self.face = face
        self.further = further
        self.told: list[str] = []
        self.threads: set[int] = set()

    async def on_event(self, event: Any) -> None:
        self.threads.add(threading.get_ident())
        if event.event == "thread.run.requires_action":
            await self.resume()

    async def resume(self) -> None:
        handler = type(self)(self.face, [])
        async with self.face.block(self.face.stream(*self.further, handler=handler)) as given:
            await got(given.until_done())
        self.told += handler.told
        self.threads |= handler.threads

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append(delta.value)

    async def on_tool_call_done(self, tool_call: Any) -> None:
        self.told.append(f"{tool_call.function.name}: {tool_call.function.output}")

    async def on_end(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize("connect", [False, True], ids=["", "connected"])
@on_every_face
async def test_a_further_stream_is_opened_inside_a_callback(face: Face, connect: bool) -> None:
    handler = face.handler(Answering)(face, RESUMED)
    async with face.block(face.stream(*calling("{}"), handler=handler)) as given:
        if connect:
            await got(given.connect())
        await got(given.until_done())
        assert (await got(given.get_final_run())).status == "requires_action"
    assert handler.told == ["Sunny.", "end", "f: None", "end"], "the call was answered, and is not told again"
    assert handler.threads == {threading.get_ident()} or connect
    assert len(handler.threads) == 1


@on_every_face
async def test_an_answered_call_is_in_the_steps_of_the_further_stream_and_in_no_callback(face: Face) -> None:
    names = [name for name in CALLBACKS if "tool_call" in name or name == "on_run_step_done"]
    handler = recorder(face, names=names)
    async with face.block(face.stream(*RESUMED, handler=handler)) as given:
        await got(given.until_done())
        [made] = await got(given.get_final_run_steps())
    assert handler.calls == ["on_run_step_done"]
    assert made.step_details.tool_calls[0].function.output == "sunny"


@on_every_face
async def test_a_further_stream_that_breaks_is_an_exception_of_the_callback(face: Face) -> None:
    handler = face.handler(Answering)(face, RESUMED[:-2])
    async with face.block(face.stream(*calling("{}"), handler=handler)) as given:
        with pytest.raises(StreamTruncatedError):
            await got(given.until_done())
    assert handler.told == ["end"]
    assert isinstance(handler.exception, StreamTruncatedError)


# -- several waits at once -------------------------------------------------------------------------------------------


class RaisingOnce:
    async def on_text_created(self, text: Any) -> None:
        raise ValueError("mine")


@pytest.mark.parametrize("connect", [False, True], ids=["", "connected"])
@on_every_face
async def test_one_of_two_waiters_gets_the_error_of_a_callback_and_the_other_continues(
    face: Face, connect: bool
) -> None:
    handler, other = face.handler(RaisingOnce)(), recorder(face, names=["on_text_done", "on_end"])

    async def both_wait() -> None:
        await face.until(lambda: stream.log.holders >= 4)

    stream = face.stream(*TEXT[:3], both_wait, *TEXT[3:], handler=handler)
    stream.attach(other)
    async with face.block(stream) as given:
        if connect:
            await got(given.connect())

        async def wait() -> Any:
            await got(given.until_done())
            return (await got(given.get_final_run())).status

        results = await face.together(wait, wait)
    assert sorted(map(str, results)) == ["completed", "mine"]
    assert other.calls == ["on_text_done", "on_end"]


@on_every_face
async def test_closing_the_stream_ends_waiters_and_the_handler(face: Face) -> None:
    handler = recorder(face, names=["on_exception", "on_end"])

    async def somebody_waits() -> None:
        await face.until(lambda: stream.log.holders >= 2)
        await got(stream.close())

    stream = face.stream(*TEXT[:3], somebody_waits, *TEXT[3:], handler=handler)

    async def wait() -> Any:
        await got(stream.until_done())

    async with face.block(stream):
        results = await face.together(wait, wait)
    assert [type(result) for result in results] == [StreamClosedError] * 2
    assert handler.calls == ["on_end"]


@on_every_face
async def test_two_loops_and_a_handler_share_one_reading(face: Face) -> None:
    handler = recorder(face, names=CALLBACKS)
    stream = face.stream(*MIXED, handler=handler)

    async def loop() -> Any:
        return [event.event async for event in face.each(stream)]

    async with face.block(stream):
        first, second = await face.together(loop, loop)
        await got(stream.until_done())
    assert first == second
    assert len(first) == len(MIXED) - 1
    assert first[-1] == "thread.run.completed"
    assert stream.script.reads <= len(MIXED) + 1
    assert handler.calls == (await face.ran(recorder(face, names=CALLBACKS), *MIXED)).calls


@on_every_face
async def test_connecting_is_enough(face: Face) -> None:
    handler = recorder(face)
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        await got(given.connect())
        await got(given.connect())
        await face.until(lambda: "on_end" in handler.calls)
    assert handler.calls.count("on_end") == 1

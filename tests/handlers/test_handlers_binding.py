"""A handler and its stream: what the block gives, whose names win, and how many streams a handler serves."""

from __future__ import annotations

import functools
import gc
import inspect
import weakref
from typing import Any

import pytest
from cases import in_one_test
from handlers_faces import CALLBACKS, FACES, AsyncFace, Face, SyncFace, got, on_every_face, recorder
from handlers_wire import saying

import rx_assistant
from rx_assistant import AssistantEventHandler, AsyncAssistantEventHandler
from rx_assistant.handlers.attributes import FROM_BINDING, FROM_STREAM

TEXT = saying("Hel", "lo")
NAMES = sorted((*FROM_STREAM, *FROM_BINDING))
"""What a handler has of its stream, besides callbacks and loops."""


class Plain:
    """A handler as people write them: state of its own, no `super().__init__()`, one callback."""

    def __init__(self, greeting: str = "") -> None:
        self.greeting = greeting
        self.texts: list[str] = []

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.texts.append(delta.value)


@on_every_face
async def test_the_block_gives_the_handler_itself(face: Face) -> None:
    handler = face.handler(Plain)("hello")
    async with face.block(face.stream(*TEXT, handler=handler)) as given:
        assert given is handler
        assert given.greeting == "hello"
        await got(given.until_done())
    assert handler.texts == ["Hel", "lo"]


@on_every_face
async def test_the_block_gives_the_stream_without_a_handler(face: Face) -> None:
    stream = face.stream(*TEXT)
    async with face.block(stream) as given:
        assert given is stream


@on_every_face
async def test_a_handler_passes_on_what_its_stream_offers(face: Face) -> None:
    handler = face.handler(Plain)()
    stream = face.stream(*TEXT, handler=handler)
    seen: list[str] = []
    async with face.block(stream) as given:
        given.subscribe(lambda event: seen.append(event.event))
        given.pipe(rx_assistant.operators.text_deltas()).subscribe(seen.append)
        await got(given.connect())
        assert [event.event async for event in face.each(given)] == [event.event async for event in face.each(stream)]
        assert [text async for text in face.each(given.text_deltas)] == ["Hel", "lo"]
        await got(given.until_done())
        assert (await got(given.get_final_run())).status == "completed"
        assert [message.id for message in await got(given.get_final_messages())] == ["msg_1"]
        assert [step.id for step in await got(given.get_final_run_steps())] == ["step_1"]
        assert given.snapshot == stream.snapshot
        assert given.request_id == "req_1"
        await got(given.close())
    assert "Hel" in seen
    assert "thread.message.delta" in seen


@on_every_face
async def test_cancel_is_the_streams(face: Face) -> None:
    posted: list[str] = []

    def post(run_id: str, thread_id: str) -> Any:
        posted.append(run_id)
        return rx_assistant.types.Run(id=run_id, status="cancelling")

    async def post_later(run_id: str, thread_id: str) -> Any:
        return post(run_id, thread_id)

    handler = face.handler(Plain)()
    posting = post if isinstance(face, SyncFace) else post_later
    async with face.block(face.stream(*TEXT, handler=handler, post_cancel=posting)) as given:
        assert (await got(given.cancel())).status == "cancelling"
    assert posted == ["run_1"]


def test_every_public_name_of_a_stream_of_ours_is_offered() -> None:
    of_rx = set(dir(rx_assistant.Stream)) | set(dir(rx_assistant.AsyncStream))
    own = {name for name in dir(rx_assistant.AssistantStream) if not name.startswith("_")} - of_rx
    internal = {"link", "log", "on_idle", "origin", "scheduler", "take_seat"}
    about_handlers_or_files = {"attach", "record"}
    assert own - internal - about_handlers_or_files <= set(NAMES)
    assert {"pipe", "subscribe"} <= set(NAMES)


@on_every_face
@in_one_test("name", NAMES)
async def test_what_a_class_defines_wins(face: Face, name: str) -> None:
    kind = type("Own", (face.handler(Plain),), {name: "mine"})
    handler = await face.ran(kind(), *TEXT) if name != "until_done" else kind()
    assert getattr(handler, name) == "mine"


@on_every_face
@in_one_test("name", NAMES)
async def test_what_init_sets_wins(face: Face, name: str) -> None:
    handler = face.handler(Plain)()
    vars(handler)[name] = "mine"
    setattr(handler, name, "still mine")
    stream = face.stream(*TEXT, handler=handler)
    async with face.block(stream) as given:
        await got(stream.until_done())
        assert getattr(given, name) == "still mine"
    assert handler.texts == ["Hel", "lo"]


@on_every_face
@in_one_test("name", NAMES)
async def test_what_another_base_class_defines_wins(face: Face, name: str) -> None:
    other = type("Other", (), {name: property(lambda self: "theirs")})
    kind = type("Mixed", (face.handler(Plain), other), {})
    handler = kind()
    assert getattr(handler, name) == "theirs"
    stream = face.stream(*TEXT, handler=handler)
    async with face.block(stream):
        await got(stream.until_done())
    assert getattr(handler, name) == "theirs"
    assert handler.texts == ["Hel", "lo"]


@on_every_face
async def test_a_handler_may_use_every_name_of_an_observable(face: Face) -> None:
    names = {name for name in dir(rx_assistant.Stream) if not name.startswith("_")} - set(NAMES)
    handler = face.handler(Plain)()
    for name in names:
        assert not hasattr(handler, name)
        setattr(handler, name, "mine")
    await face.ran(handler, *TEXT)
    assert {getattr(handler, name) for name in names} == {"mine"}


@on_every_face
async def test_a_second_stream_is_refused(face: Face) -> None:
    handler = await face.ran(face.handler(Plain)(), *TEXT)
    with pytest.raises(RuntimeError, match=r"Plain is bound to a stream already.*create a new handler"):
        face.stream(*TEXT, handler=handler)
    with pytest.raises(RuntimeError, match="create a new handler for each stream"):
        face.stream(*TEXT).attach(handler)


@on_every_face
async def test_the_same_stream_twice_is_refused(face: Face) -> None:
    handler, stream = face.handler(Plain)(), face.stream(*TEXT)
    stream.attach(handler)
    with pytest.raises(RuntimeError, match="bound to a stream already"):
        stream.attach(handler)
    async with face.block(stream):
        await got(stream.until_done())
    assert handler.texts == ["Hel", "lo"]


@on_every_face
async def test_a_handler_without_a_stream_says_what_to_do(face: Face) -> None:
    handler = face.handler(Plain)()
    for name in FROM_STREAM:
        with pytest.raises(RuntimeError, match=r"pass it as event_handler=, or attach it"):
            getattr(handler, name)
    with pytest.raises(RuntimeError, match="not attached to a stream yet"):
        face.each(handler)
    assert [getattr(handler, name) for name in FROM_BINDING] == [None] * len(FROM_BINDING)


@on_every_face
async def test_looking_at_a_handler_without_a_stream_is_harmless(face: Face) -> None:
    handler = face.handler(Plain)()
    assert not hasattr(handler, "snapshot")
    assert getattr(handler, "request_id", "none yet") == "none yet"
    assert "texts" in dict(inspect.getmembers(handler))


@on_every_face
async def test_several_handlers_hear_the_same(face: Face) -> None:
    first, second, third = (recorder(face) for _ in range(3))
    stream = face.stream(*TEXT, handler=first)
    stream.attach(second)
    async with face.block(stream):
        stream.attach(third)
        await got(stream.until_done())
    assert first.calls == second.calls == third.calls
    assert first.calls[-1] == "on_end"
    assert len(first.calls) > len(TEXT)


@on_every_face
async def test_a_late_handler_gets_every_event(face: Face) -> None:
    first, second, third = (recorder(face) for _ in range(3))
    stream = face.stream(*TEXT, handler=first)
    async with face.block(stream):
        async for event in face.each(stream):
            if event.event == "thread.message.delta":
                break
        stream.attach(second)
        await got(stream.until_done())
        stream.attach(third)
        await got(stream.until_done())
    assert first.calls == second.calls == third.calls


@on_every_face
async def test_a_late_handler_of_a_live_stream_gets_the_remaining_events(face: Face) -> None:
    first, second = recorder(face, names=["on_event"]), recorder(face, names=["on_event", "on_end"])
    stream = face.stream(*TEXT, handler=first, replay="none")
    async with face.block(stream):
        async for event in face.each(stream):
            if event.event == "thread.message.delta":
                break
        heard = len(first.calls)
        stream.attach(second)
        await got(stream.until_done())
    assert second.calls == [*first.calls[heard:], "on_end"]


@on_every_face
async def test_a_detached_handler_gets_no_further_event(face: Face) -> None:
    stays, leaves = recorder(face), recorder(face)
    stream = face.stream(*TEXT, handler=stays)
    attached = stream.attach(leaves)
    async with face.block(stream):
        async for event in face.each(stream):
            if event.event == "thread.message.delta":
                break
        attached.dispose()
        heard = list(leaves.calls)
        await got(stream.until_done())
    assert heard
    assert leaves.calls == heard
    assert stays.calls[-1] == "on_end"
    assert leaves.exception is None


@pytest.mark.parametrize("face", FACES[1:], ids=repr)
def test_a_handler_of_functions_serves_an_asynchronous_stream(face: AsyncFace) -> None:
    class Written(AssistantEventHandler):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.texts.append(snapshot.value)

    async def scenario() -> None:
        first, second = Written(), Written()
        stream = face.stream(*TEXT, handler=first)
        stream.attach(second)
        async with stream as given:
            assert given is first
            await given.until_done()  # type: ignore[func-returns-value]  # the stream's own, which is asynchronous
            assert (await given.get_final_run()).status == "completed"  # type: ignore[misc]
        assert first.texts == second.texts == ["Hel", "Hello"]

    face.play(scenario())


def test_an_asynchronous_handler_on_a_synchronous_stream_is_refused_and_left_as_it_was() -> None:
    class Later(AsyncAssistantEventHandler):
        def __init__(self) -> None:
            self.ended = False

        async def on_end(self) -> None:
            self.ended = True

    handler = Later()
    face = FACES[0]
    with pytest.raises(TypeError, match=r"derive the handler from AssistantEventHandler, or use AsyncAssistantClient"):
        face.stream(*TEXT, handler=handler)
    with pytest.raises(TypeError, match="asynchronous handler"):
        face.stream(*TEXT).attach(handler)

    async def scenario() -> None:
        await FACES[1].ran(handler, *TEXT)

    FACES[1].play(scenario())
    assert handler.ended


@on_every_face
async def test_a_coroutine_in_a_handler_of_functions_is_refused(face: Face) -> None:
    class Mistaken(AssistantEventHandler):
        async def on_text_delta(self, delta: Any, snapshot: Any) -> None:  # type: ignore[override]
            raise AssertionError("must not be awaited")

    with pytest.raises(TypeError, match=r"Mistaken.on_text_delta is an async function.*AsyncAssistantEventHandler"):
        face.stream(*TEXT, handler=Mistaken())
    with pytest.raises(TypeError, match="runs none of its code"):
        face.stream(*TEXT).attach(Mistaken())


def yielding(self: Any, *_: Any) -> Any:
    raise AssertionError("nothing iterates over this")
    yield


async def yielding_async(self: Any, *_: Any) -> Any:
    raise AssertionError("nothing iterates over this")
    yield


@pytest.mark.filterwarnings("ignore:functools.partial will be:FutureWarning")  # Python 3.13, of partials in classes
@on_every_face
@in_one_test("name", CALLBACKS)
@in_one_test("callback", [yielding, yielding_async, functools.partial(yielding, None)])
async def test_a_callback_with_yield_is_refused(face: Face, callback: Any, name: str) -> None:
    class Mistaken(face.base):  # type: ignore[name-defined, misc]
        pass

    setattr(Mistaken, name, callback)
    with pytest.raises(TypeError, match=rf"Mistaken\.{name} is an? .*generator function, .*text_deltas"):
        face.stream(*TEXT, handler=Mistaken())
    with pytest.raises(TypeError, match="runs none of its code"):
        face.stream(*TEXT).attach(Mistaken())


@pytest.mark.parametrize("callback", [yielding, yielding_async])
@on_every_face
async def test_a_decorated_callback_with_yield_is_refused_when_it_is_called(face: Face, callback: Any) -> None:
    class Mistaken(face.base):  # type: ignore[name-defined, misc]
        def on_text_created(self, text: Any) -> Any:
            return callback(self, text)

    with pytest.raises(TypeError, match=r"Mistaken\.on_text_created is an? .*generator function"):
        async with face.block(face.stream(*TEXT, handler=Mistaken())) as given:
            await got(given.until_done())


def test_a_decorated_coroutine_is_refused_when_it_is_called_by_a_handler_of_functions() -> None:
    class Mistaken(AssistantEventHandler):
        def on_text_created(self, text: Any) -> Any:
            async def later() -> None:
                raise AssertionError("nothing awaits this")

            return later()

    with (
        pytest.raises(TypeError, match=r"Mistaken\.on_text_created is an async function"),
        FACES[0].stream(*TEXT, handler=Mistaken()) as given,
    ):
        given.until_done()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_text_deltas", "on_text_delta"),
        ("on_texts_done", "on_text_done"),
        ("on_requires_actions", "on_requires_action"),
        ("on_tool_call_creted", "on_tool_call_created"),
        ("onTextDelta", "on_text_delta"),
        ("on_events", "on_event"),
    ],
)
@on_every_face
async def test_a_misspelt_callback_is_warned_of_once(
    face: Face, name: str, meant: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind = type("Misspelt", (face.base,), {name: lambda self, *_: None})
    face.stream(*TEXT, handler=kind())
    face.stream(*TEXT).attach(kind())
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"Misspelt.{name} is never called, because no callback has this name. Did you mean {meant}?"
    )


@on_every_face
async def test_methods_of_the_users_own_are_not_warned_of(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    names = ("on_send", "on_message", "on_click", "on_timer", "on_key", "on_mount", "once", "on_text", "on_tool_call")
    kind = type("Widget", (face.base,), dict.fromkeys(names, lambda self, *_: None) | {"on_events": 1})
    face.stream(*TEXT, handler=kind())
    assert caplog.records == []


@pytest.mark.parametrize("face", FACES[1:], ids=repr)
def test_an_asynchronous_handler_may_have_functions_among_its_callbacks(face: AsyncFace) -> None:
    class Mixed(AsyncAssistantEventHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_text_delta(self, delta: Any, snapshot: Any) -> None:  # type: ignore[override]
            self.heard.append(delta.value)

        async def on_text_done(self, text: Any) -> None:
            self.heard.append(text.value)

    handler = Mixed()

    async def scenario() -> None:
        await face.ran(handler, *TEXT)

    face.play(scenario())
    assert handler.heard == ["Hel", "lo", "Hello"]


@on_every_face
async def test_callbacks_of_an_instance_are_called_too(face: Face) -> None:
    handler = face.handler(Plain)()
    heard: list[str] = []
    handler.on_text_done = lambda text: heard.append(text.value)
    await face.ran(handler, *TEXT)
    assert heard == ["Hello"]


@on_every_face
async def test_entering_a_block_sends_the_request_and_nothing_else_does(face: Face) -> None:
    handler = face.handler(Plain)()
    stream = face.stream(*TEXT, handler=handler)
    stream.attach(face.handler(Plain)())
    assert stream.script.opened == 0
    async with face.block(stream):
        assert stream.script.opened == 1
        assert handler.texts == []
    assert stream.script.opened == 1


@on_every_face
async def test_the_wrong_kind_of_loop_says_what_to_write(face: Face) -> None:
    async with face.block(face.stream(*TEXT, handler=face.handler(Plain)())) as given:
        if isinstance(face, AsyncFace):
            with pytest.raises(TypeError, match="write `async for event in stream`"):
                iter(given)
        else:
            with pytest.raises(TypeError, match="write `for item in stream`"):
                aiter(given)


@on_every_face
async def test_a_handler_and_its_stream_are_freed_together(face: Face) -> None:
    async def used() -> list[weakref.ref[Any]]:
        handler, other = face.handler(Plain)(), face.handler(Plain)()
        stream = face.stream(*TEXT, handler=handler)
        stream.attach(other)
        async with face.block(stream) as given:
            await got(given.until_done())
        return [weakref.ref(handler), weakref.ref(other), weakref.ref(stream), weakref.ref(stream.log)]

    left = await used()
    gc.collect()
    assert [one() for one in left] == [None] * 4


class Foreign:
    """A handler of another library: the import was forgotten."""


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (AssistantEventHandler, r"an object, got the class AssistantEventHandler: write AssistantEventHandler\(\)"),
        (Foreign(), r"must be derived from rx_assistant\.AssistantEventHandler .*, got .*Foreign"),
        (print, "got builtins.builtin_function_or_method"),
    ],
)
@on_every_face
async def test_an_object_that_is_not_a_handler_is_refused(face: Face, handler: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        face.stream(*TEXT, handler=handler)
    with pytest.raises(TypeError, match=told):
        face.stream(*TEXT).attach(handler)

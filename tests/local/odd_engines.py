"""Engines that do what no engine should, each with how its run must end."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import anyio.to_thread

from rx_assistant.local import RunContext
from rx_assistant.local.engine import (
    Arguments,
    Citation,
    CodeCall,
    CodeImage,
    CodeInput,
    CodeLogs,
    EndStep,
    ErrorEvent,
    Failure,
    FileSearch,
    FunctionCall,
    Gate,
    ImageFile,
    ImageUrl,
    Incomplete,
    NewPart,
    Note,
    RawBytes,
    Refusal,
    SearchResult,
    Text,
    Usage,
)


@dataclass(frozen=True)
class Odd:
    """An engine's `run`, the status in which its run must rest, and words of its `last_error`.

    `endless`: the run continues until it is cancelled.
    """

    run: Callable[[RunContext], object]
    status: str = "failed"
    error: str | None = None
    endless: bool = False


ODD: dict[str, Odd] = {}
FIXED = "The engine failed. The server's log says why."
NO_ACTION = "An engine must yield actions"


def odd(status: str = "failed", error: str | None = None, *, endless: bool = False):
    """Adds a `run` to the table under its name."""

    def add(run):
        ODD[run.__name__] = Odd(run, status, error, endless)
        return run

    return add


def yielding(name: str, make: Callable[[], object], error: str) -> None:
    """Adds an engine that yields a text, then something odd, then more text."""

    async def run(context):
        yield Text("before ")
        yield make()
        yield Text("after")

    ODD[name] = Odd(run, "failed", error)


class Hostile:
    """A value with which nothing can be done."""

    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


def found(**fields) -> FileSearch:
    values = {"file_id": "file-1", "file_name": "a.txt", "score": 1.0, "text": "t", **fields}
    return FileSearch((SearchResult(**values),))


# What is yielded

yielding("a string", lambda: "text", f"{NO_ACTION} of rx_assistant.local.engine, got a value of type str.")
yielding("None", lambda: None, NO_ACTION)
yielding("a dict", lambda: {"text": "a"}, NO_ACTION)
yielding("bytes", lambda: b"text", NO_ACTION)
yielding("a hostile value", Hostile, NO_ACTION)
yielding("a class", lambda: EndStep, "Yield EndStep() instead.")
yielding("something that looks like an action", lambda: SimpleNamespace(value="a"), NO_ACTION)
yielding("a coroutine", lambda: asyncio.sleep(0), "got a coroutine")
yielding("text that is None", lambda: Text(None), "Text.value must be a string, got None.")
yielding("text that is bytes", lambda: Text(b"a"), "Text.value must be a string")
yielding("a refusal that is a number", lambda: Refusal(7), "Refusal.value must be a string")
yielding(
    "citations that are none", lambda: Text("a", ("file-1",)), "An item of Text.citations must be of type Citation"
)
yielding(
    "a citation that ends at text", lambda: Text("a", (Citation("f", end="1"),)), "Citation.end must be an integer"
)
yielding("an unknown kind of citation", lambda: Text("a", (Citation("f", "quote"),)), "Citation.kind must be one of")
yielding("an image that was not awaited", lambda: ImageFile(asyncio.sleep(0)), "got a coroutine: await it first.")
yielding(
    "an image with an odd detail", lambda: ImageUrl("https://example.com", "best"), "ImageUrl.detail must be one of"
)
yielding("usage as text", lambda: Usage("10", "5"), "Usage.prompt_tokens must be an integer")
yielding("usage below nothing", lambda: Usage(-1, 5), "Usage.prompt_tokens must be at least 0")
yielding("usage that no machine counts", lambda: Usage(10**5000, 5), "less than 2**53")
yielding("results that are a list of text", lambda: FileSearch(["a"]), "An item of FileSearch.results")
yielding("a score that is no number", lambda: found(score=math.nan), "SearchResult.score must be a finite number")
yielding("attributes that JSON cannot hold", lambda: found(attributes={"a": Hostile()}), "SearchResult.attributes")
yielding("a failure that is an exception", lambda: Failure(ValueError("sk-1")), "Failure.message must be a string")
yielding("a failure with an odd code", lambda: Failure("no", "teapot"), "Failure.code must be one of")
yielding("an odd reason to be incomplete", lambda: Incomplete("tired"), "Incomplete.reason must be one of")
yielding("an error event that is None", lambda: ErrorEvent(None), "ErrorEvent.message must be a string")
yielding("a gate without a name", lambda: Gate(None), "Gate.name must be a string")
yielding("raw text", lambda: RawBytes("text"), "RawBytes.value must be bytes")


@odd(error="CodeLogs.value must be a string, got a value of type bytes.")
async def logs_that_are_bytes(context):
    yield CodeCall()
    yield CodeInput("print(1)")
    yield CodeLogs(b"1\n")


@odd(error="CodeImage.file_id must be a string, got a coroutine: await it first.")
async def an_image_of_code_that_was_not_awaited(context):
    yield CodeCall()
    yield CodeImage(context.add_file("a.png", b"png"))


@odd(error="never opened")
async def arguments_for_no_call(context):
    yield Arguments("{}", 3)


@odd(error="the same id")
async def two_calls_with_one_id(context):
    yield FunctionCall("f", 0, "call_1")
    yield FunctionCall("g", 1, "call_1")


@odd(error="FunctionCall.index must be an integer")
async def a_call_at_no_place(context):
    yield FunctionCall("f", None)


@odd(error="last thing in a turn")
async def text_after_a_call(context):
    yield FunctionCall("f")
    yield Text("and on")


@odd(error="The content of context.add_file must be bytes")
async def a_file_of_text(context):
    yield ImageFile(await context.add_file("a.png", "text"))


@odd(error="The query of context.search must be a string")
async def a_search_for_nothing(context):
    yield FileSearch(tuple(await context.search(None, 3)))


@odd(status="completed")
async def changes_what_it_was_given(context):
    context.metadata["a"] = Hostile()
    context.response_format["type"] = Hostile()
    context.functions[0].parameters["a"] = {1, 2}
    yield Text("done")


# What is raised


def raising(name: str, error: Callable[[], BaseException]) -> None:
    """Adds an engine that raises in the middle of a message."""

    async def run(context):
        yield Text("before")
        raise error()

    ODD[f"raises {name}"] = Odd(run, "failed", FIXED)


for kind in (
    ValueError,
    SystemExit,
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    StopIteration,
    MemoryError,
):
    raising(kind.__name__, kind)
raising("a secret", lambda: RuntimeError("GET https://example.com?key=sk-secret"))
raising("a hostile error", lambda: RuntimeError(Hostile()))
raising("a group of errors", lambda: BaseExceptionGroup("several", [SystemExit(1)]))
raising("BaseException", BaseException)


@odd(error=FIXED)
async def cancels_itself(context):
    yield Text("before")
    asyncio.current_task().cancel()
    await asyncio.sleep(0)
    yield Text("after")


@odd(error=FIXED)
async def recurs_without_end(context):
    def deeper():
        return deeper()

    yield Text("before")
    deeper()


# What `run` returns


@odd(error=FIXED)
async def gives_a_new_value_at_each_look(context):
    class Flickering(Text):
        @property
        def value(self):
            looks.append(self)
            return "text" if len(looks) % 2 else b"bytes"

    looks = []
    yield Text("before")
    action = object.__new__(Flickering)
    object.__setattr__(action, "citations", ())
    yield action


@odd(error=FIXED)
async def raises_errors_in_a_circle(context):
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    yield Text("before")
    raise first


@odd(error=FIXED)
async def raises_groups_in_groups(context):
    yield Text("before")
    raise BaseExceptionGroup("", [BaseExceptionGroup("", [KeyboardInterrupt(), GeneratorExit(), SystemExit()])])


@odd("completed")
async def changes_what_it_gave(context):
    attributes, note = {"a": 1}, {"a": [1]}
    yield found(attributes=attributes)
    yield Note(note)
    attributes["a"] = note["a"][0] = note["b"] = {1, 2}
    yield EndStep()
    yield Text("done")


@odd(error=FIXED)
def closes_with_an_exit(context):
    class Given(Iterator):
        @property
        def aclose(self):
            raise SystemExit

    async def item():
        raise ValueError

    return Given(item)


@odd(error=FIXED)
def is_no_iterator_after_all(context):
    class Given:
        def __aiter__(self):
            raise SystemExit

    return Given()


@odd("cancelled", endless=True)
async def takes_its_cancellation_back(context):
    yield Text("before")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()


@odd("cancelled", endless=True)
async def waits_for_a_thread(context):
    yield Text("before")
    await anyio.to_thread.run_sync(threading.Event().wait)


@odd("completed")
async def forgets_tasks_that_come_back(context):
    async def stubborn():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            asyncio.get_running_loop().create_task(stubborn())

    asyncio.get_running_loop().create_task(stubborn())
    await asyncio.sleep(0)
    yield Text("done")


@odd("completed")
async def exits_in_a_callback(context):
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(0)
    yield Text("done")


@odd("completed")
async def says_what_no_wire_can_hold(context):
    yield Text("\ud800")
    yield NewPart()
    yield Text("\udc00\ud800")
    yield ImageFile("\ud800")
    yield EndStep()
    yield found(file_name="\ud800\0", text="\udc00")


@odd(error="Engine.run must return an async iterator, got None")
def returns_nothing(context):
    return None


@odd(error="Engine.run must return an async iterator, got a coroutine")
async def returns_a_coroutine(context):
    return "text"


@odd(error="Engine.run must return an async iterator, got a value of type generator")
def is_a_plain_generator(context):
    yield Text("a")


@odd(error="Engine.run must return an async iterator, got a value of type list")
def returns_a_list(context):
    return [Text("a")]


@odd(error=FIXED)
def exits_at_once(context):
    raise SystemExit(3)


class Iterator:
    """An async iterator by hand."""

    def __init__(self, next_item):
        self._next_item = next_item

    def __aiter__(self):
        return self

    def __anext__(self):
        return self._next_item()


@odd(error=FIXED)
def gives_items_that_cannot_be_awaited(context):
    return Iterator(lambda: Text("a"))


@odd(error=FIXED)
def gives_items_that_exit(context):
    async def item():
        raise SystemExit

    return Iterator(item)


# What does not end, or does not want to


@odd("cancelled", endless=True)
async def never_yields(context):
    await asyncio.get_running_loop().create_future()
    yield Text("never")


@odd("cancelled", endless=True)
async def yields_for_ever(context):
    while True:
        yield Text("more ")


@odd("cancelled", endless=True)
async def swallows_one_cancellation(context):
    yield Text("before")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)


@odd("cancelled", endless=True)
async def swallows_every_cancellation(context):
    yield Text("before")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


@odd("cancelled", endless=True)
async def swallows_everything_while_it_waits(context):
    yield Text("before")
    waiting = asyncio.get_running_loop().create_future()
    while True:
        try:
            await asyncio.shield(waiting)
        except BaseException:
            pass


@odd("cancelled", endless=True)
async def answers_a_cancellation_with_text(context):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            yield Text("I do not stop")


@odd("cancelled", endless=True)
async def waits_for_a_task_that_does_not_end(context):
    async def stubborn():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    yield Text("before")
    await asyncio.create_task(stubborn())


@odd("failed", error="enough")
async def cleans_up_for_ever(context):
    try:
        yield Failure("enough")
    finally:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass


@odd("failed", error="Text.value must be a string")
async def yields_while_it_is_closed(context):
    try:
        yield Text(None)
    finally:
        yield Text("one more")


@odd("failed", error="enough")
async def raises_while_it_is_closed(context):
    try:
        yield Failure("enough")
    finally:
        raise SystemExit


@odd("completed")
async def works_in_a_thread_that_does_not_end(context):
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    await asyncio.sleep(0)
    yield Text("done")


@odd("completed")
async def starts_a_task_that_exits(context):
    async def leave():
        raise SystemExit

    task = asyncio.create_task(leave())
    await asyncio.wait({task})
    yield Text("done")


@odd("completed")
async def stops_the_event_loop(context):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    yield Text("done")


@odd("completed")
async def blocks_the_event_loop_for_a_moment(context):
    time.sleep(0.2)  # noqa: ASYNC251 - this is what is odd about it
    yield Text("done")

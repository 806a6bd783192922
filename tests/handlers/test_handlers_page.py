"""What the SDK's page of documentation shows works here: its examples run, and every name that it uses is there."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from cases import in_one_test
from handlers_page import EVENTS, HANDLER, TEXTS, async_client_of, client_of, example, made_async, ours, page
from handlers_wire import (
    CALL,
    begun,
    calling,
    citation,
    code,
    ended,
    logs,
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
from reference import RECORDINGS

import rx_assistant
from rx_assistant import (
    AssistantClient,
    AssistantEventHandler,
    AsyncAssistantClient,
    AsyncAssistantEventHandler,
    types,
)

CODE = b"".join(
    [
        *begun(),
        step("created"),
        step_delta(code("", call_id=CALL, outputs=[])),
        step_delta(code("1+")),
        step_delta(code("1")),
        step_delta(code(outputs=[logs("2\n", 0)])),
        step("completed", [whole_code(CALL, "1+1", [logs("2\n")])]),
        message("created"),
        message_delta(piece("It is", annotations=[])),
        message_delta(piece(" 2.[0]", annotations=[citation(8, 11, index=0)])),
        message("completed", [text("It is 2.[0]", [citation(8, 11)])]),
        *ended(),
    ]
)
ANSWERS = {
    "code": CODE,
    "text": b"".join(saying("Hel", "lo")),
    **{path.stem: path for path in RECORDINGS if "test_streaming" in path.stem or "StreamingRun" in path.stem},
}
"""Streams on which the SDK's handler is right, so that its printing is the measure."""

THINGS = SimpleNamespace(id="thread_1")


def printed(program: str, **names: Any) -> str:
    """What a program prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(program, "the page", "exec"), {**names, "thread": THINGS, "assistant": THINGS})
    return out.getvalue()


def printed_async(backend: str, program: str, client: AsyncAssistantClient) -> str:
    out = io.StringIO()
    names: dict[str, Any] = {"client": client, "thread": THINGS, "assistant": THINGS}
    exec(compile(program, "the page", "exec"), names)
    with redirect_stdout(out):
        anyio.run(names["main"], backend=backend)
    return out.getvalue()


def printed_by_the_sdk(program: str, body: bytes) -> str:
    """What the page's program prints as it is, with the SDK."""
    from handlers_sdk import openai, sdk  # skips without the SDK

    program = re.sub(r"client = .*\n", "", program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return printed(program, client=sdk([body]), openai=openai)


def values(told: str) -> list[str]:
    """The lines; of a printed text delta, whose fields come in another order, its value."""
    delta = re.compile(r"TextDelta\((?:annotations=.*, value=(?P<theirs>.*)|value=(?P<ours>.*), annotations=.*)\)")
    found = [(line, delta.fullmatch(line)) for line in told.splitlines()]
    return [(match["theirs"] or match["ours"]) if match else line for line, match in found]


@in_one_test("answer", ANSWERS.values(), ids=ANSWERS)
@in_one_test("which", [HANDLER, EVENTS, TEXTS], ids=["handler", "events", "texts"])
def test_the_examples_print_what_they_print_with_the_sdk(
    shared: Path, which: tuple[str, str], answer: bytes | Path
) -> None:
    body = answer.read_bytes() if isinstance(answer, Path) else answer
    program = example(page(shared), which)
    told, theirs = printed(ours(program), client=client_of(body)), printed_by_the_sdk(program, body)
    assert values(told) == values(theirs)
    assert told


@in_one_test("answer", ANSWERS.values(), ids=ANSWERS)
@in_one_test("which", [HANDLER, EVENTS, TEXTS], ids=["handler", "events", "texts"])
def test_the_examples_print_the_same_made_asynchronous(
    shared: Path, anyio_backend: str, which: tuple[str, str], answer: bytes | Path
) -> None:
    body = answer.read_bytes() if isinstance(answer, Path) else answer
    program = ours(example(page(shared), which))
    told = printed_async(anyio_backend, made_async(program), async_client_of(body))
    assert told == printed(program, client=client_of(body))


def test_the_example_of_a_handler_prints_texts_calls_and_outputs(shared: Path) -> None:
    program = ours(example(page(shared), HANDLER))
    assert printed(program, client=client_of(CODE)) == (
        "\nassistant > code_interpreter\n\n1+1\n\noutput >\n\n2\n\n\nassistant > It is 2.[0]"
    )


def test_the_example_runs_on_a_replayed_stream_with_an_attached_handler(shared: Path) -> None:
    program = ours(example(page(shared), HANDLER))
    end = program.index("with client")
    replaying = "stream = rx_assistant.replay(body)\nstream.attach(EventHandler())\nstream.until_done()\n"
    told = printed(program[:end] + replaying, rx_assistant=rx_assistant, body=CODE)
    assert told == printed(program, client=client_of(CODE))


# -- what is pasted most ---------------------------------------------------------------------------------------------

ASKING = b"".join(calling('{"city":', '"Lima"}'))
RESUMED = b"".join(
    [
        step("completed", [whole_function(arguments='{"city":"Lima"}', output="sunny")]),
        run("queued"),
        run("in_progress"),
        message("created"),
        message_delta(piece("It is")),
        message_delta(piece(" sunny.")),
        message("completed", [text("It is sunny.")]),
        *ended(),
    ]
)


class Answering(AssistantEventHandler):
    """Answers what its run asks for, by a further stream."""

    def __init__(self, client: AssistantClient, said: list[str]) -> None:
        self.client = client
        self.said = said

    def on_event(self, event: rx_assistant.AssistantStreamEvent) -> None:
        if event.event == "thread.run.requires_action":
            self.answer(event.data)

    def answer(self, run: types.Run) -> None:
        assert run.required_action is not None
        outputs: Any = [
            {"tool_call_id": call.id, "output": call.function.arguments}
            for call in run.required_action.submit_tool_outputs.tool_calls
        ]
        with self.client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=run.thread_id,
            run_id=run.id,
            tool_outputs=outputs,
            event_handler=Answering(self.client, self.said),
        ) as stream:
            self.said += stream.text_deltas


class AnsweringLater(AsyncAssistantEventHandler):
    """The same in coroutines."""

    def __init__(self, client: AsyncAssistantClient, said: list[str]) -> None:
        self.client = client
        self.said = said

    async def on_event(self, event: rx_assistant.AssistantStreamEvent) -> None:
        if event.event == "thread.run.requires_action":
            await self.answer(event.data)

    async def answer(self, run: types.Run) -> None:
        assert run.required_action is not None
        async with self.client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=run.thread_id,
            run_id=run.id,
            tool_outputs=[{"tool_call_id": CALL, "output": "sunny"}],
            event_handler=AnsweringLater(self.client, self.said),
        ) as stream:
            self.said += [text async for text in stream.text_deltas]


def test_a_handler_that_submits_outputs_inside_on_event() -> None:
    client, said = client_of(ASKING, RESUMED), []
    with client.beta.threads.runs.stream(
        thread_id="t", assistant_id="a", event_handler=Answering(client, said)
    ) as stream:
        stream.until_done()
        assert stream.get_final_run().status == "requires_action"
    assert said == ["It is", " sunny."]


def test_an_asynchronous_handler_that_submits_outputs_inside_on_event(anyio_backend: str) -> None:
    said: list[str] = []

    async def main() -> None:
        client = async_client_of(ASKING, RESUMED)
        async with client.beta.threads.runs.stream(
            thread_id="t", assistant_id="a", event_handler=AnsweringLater(client, said)
        ) as stream:
            await stream.until_done()

    anyio.run(main, backend=anyio_backend)
    assert said == ["It is", " sunny."]


# -- names -----------------------------------------------------------------------------------------------------------

CALLBACKS = {
    "on_event": 1,
    "on_run_step_created": 1,
    "on_run_step_delta": 2,
    "on_run_step_done": 1,
    "on_message_created": 1,
    "on_message_delta": 2,
    "on_message_done": 1,
    "on_text_created": 1,
    "on_text_delta": 2,
    "on_text_done": 1,
    "on_image_file_done": 1,
    "on_tool_call_created": 1,
    "on_tool_call_delta": 2,
    "on_tool_call_done": 1,
    "on_end": 0,
    "on_timeout": 0,
    "on_exception": 1,
}
PROPERTIES = ("current_event", "current_run", "current_message_snapshot", "current_run_step_snapshot")
METHODS = ("get_final_run", "get_final_run_steps", "get_final_messages", "until_done")
OTHERS = ("text_deltas",)
TYPES = (
    "ImageFile",
    "Message",
    "MessageDelta",
    "Run",
    "RunStep",
    "RunStepDelta",
    "Text",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
)
HELPERS = (
    "beta.threads.create_and_run_poll",
    "beta.threads.create_and_run_stream",
    "beta.threads.runs.create_and_poll",
    "beta.threads.runs.stream",
    "beta.threads.runs.submit_tool_outputs_and_poll",
    "beta.threads.runs.submit_tool_outputs_stream",
    "beta.vector_stores.file_batches.create_and_poll",
    "beta.vector_stores.file_batches.upload_and_poll",
    "beta.vector_stores.files.create_and_poll",
    "beta.vector_stores.files.upload_and_poll",
)
MISSPELT = {"submit_tool_ouptputs_and_poll": "submit_tool_outputs_and_poll"}
"""What the page writes otherwise than the SDK."""

HANDLERS = pytest.mark.parametrize("kind", [AssistantEventHandler, AsyncAssistantEventHandler])
CLIENTS = pytest.mark.parametrize("kind", [AssistantClient, AsyncAssistantClient])


@HANDLERS
@in_one_test("name", CALLBACKS)
def test_each_callback_is_there_with_its_arguments(kind: type, name: str) -> None:
    callback: Callable[..., Any] = getattr(kind, name)
    assert callback.__code__.co_argcount == 1 + CALLBACKS[name]


@HANDLERS
@in_one_test("name", [*PROPERTIES, *METHODS, *OTHERS])
def test_each_property_and_getter_is_there(kind: type, name: str) -> None:
    assert hasattr(kind, name)
    for stream in (rx_assistant.AssistantStream, rx_assistant.AsyncAssistantStream):
        assert hasattr(stream, name)


@in_one_test("name", TYPES)
def test_each_type_is_there(name: str) -> None:
    assert hasattr(types, name)


@CLIENTS
@in_one_test("path", HELPERS)
def test_each_helper_is_there(kind: Callable[..., Any], path: str) -> None:
    found = kind(base_url="http://127.0.0.1:9/v1", api_key="none")
    for name in path.split("."):
        found = getattr(found, name)
    assert callable(found)


def test_the_tables_hold_every_name_of_the_page(shared: Path) -> None:
    words = page(shared)
    defined = set(re.findall(r"^def (\w+)\(", words, re.MULTILINE))
    assert defined <= set(CALLBACKS) | set(PROPERTIES) | set(METHODS)
    assert {name for name in CALLBACKS if name in words} == set(CALLBACKS)
    annotated = set(re.findall(r"[:>] (?:List\[)?([A-Z]\w+)", words)) - {"List", "None", "Exception", "Assistant"}
    imported = {name for line in re.findall(r"openai\.types\S+ import (.*)", words) for name in line.split(", ")}
    assert (imported | annotated) - {"AssistantStreamEvent"} <= {*TYPES, *_prose(words)}
    helpers = set(re.findall(r"client\.(beta\.[a-z_.]+)\(", words))
    assert {path.replace(*pair) for path in helpers for pair in MISSPELT.items()} == set(HELPERS)
    assert {name for name in (*PROPERTIES, *METHODS, *OTHERS) if name in words} == {*PROPERTIES, *METHODS, *OTHERS}
    assert "AssistantStreamEvent" in words
    assert hasattr(rx_assistant, "AssistantStreamEvent")


def _prose(words: str) -> set[str]:
    """Capitalised words behind a colon in the page's sentences, which are no types."""
    return set(re.findall(r"^[A-Z].*: ([A-Z]\w+)", words, re.MULTILINE))

"""A program over both clients, for the type checkers: what each call gives, and what each refuses."""

from __future__ import annotations

from typing import assert_type

from rx_assistant import (
    AssistantClient,
    AssistantEventHandler,
    AssistantStream,
    AsyncAssistantClient,
    AsyncAssistantEventHandler,
    AsyncAssistantStream,
)
from rx_assistant.streams import HandledAsyncStream, HandledStream
from rx_assistant.types import Assistant, Message, Run


class Mine(AssistantEventHandler):
    """A handler with something of its own."""

    shown: str = ""


class AsyncMine(AsyncAssistantEventHandler):
    """The same for an event loop."""

    shown: str = ""


def threads(client: AssistantClient, maybe: Mine | None, flag: bool) -> None:
    runs = client.beta.threads.runs
    assert_type(client.assistants.create(model="m", tools=[{"type": "code_interpreter"}]), Assistant)
    assert_type(runs.create("t", assistant_id="a"), Run)
    assert_type(runs.create("t", assistant_id="a", stream=False), Run)
    assert_type(runs.create("t", assistant_id="a", stream=True), AssistantStream)
    assert_type(runs.create("t", assistant_id="a", stream=flag), Run | AssistantStream)
    assert_type(runs.stream(thread_id="t", assistant_id="a", timeout=3), AssistantStream)
    assert_type(runs.stream(thread_id="t", assistant_id="a", event_handler=Mine()), HandledStream[Mine])
    assert_type(
        runs.stream(thread_id="t", assistant_id="a", event_handler=maybe), HandledStream[Mine] | AssistantStream
    )
    with runs.stream(thread_id="t", assistant_id="a", event_handler=Mine(), on_idle="cancel") as handler:
        assert_type(handler, Mine)
        assert_type(handler.shown, str)
    with client.threads.create_and_run_stream(assistant_id="a", replay="none") as stream:
        assert_type(stream, AssistantStream)
    assert_type(client.threads.create_and_run(assistant_id="a", stream=True), AssistantStream)
    submitted = runs.submit_tool_outputs("r", "t", tool_outputs=[{"tool_call_id": "c", "output": "o"}], stream=True)
    assert_type(submitted, AssistantStream)
    for message in client.threads.messages.list("t", limit=3):
        assert_type(message, Message)


async def tasks(client: AsyncAssistantClient) -> None:
    runs = client.beta.threads.runs
    assert_type(await runs.create("t", assistant_id="a"), Run)
    assert_type(await runs.create("t", assistant_id="a", stream=True), AsyncAssistantStream)
    assert_type(runs.stream("t", assistant_id="a", event_handler=AsyncMine()), HandledAsyncStream[AsyncMine])
    async with runs.create_and_stream(thread_id="t", assistant_id="a", event_handler=AsyncMine()) as handler:
        assert_type(handler.shown, str)
    async for message in client.threads.messages.list("t"):
        assert_type(message, Message)
    assert_type((await client.threads.messages.list("t")).data[0], Message)


def refused(client: AssistantClient) -> None:
    client.threads.runs.stream("t")  # type: ignore[call-overload]  # no assistant
    client.threads.runs.stream("t", assistant_id="a", on_idle="explode")  # type: ignore[call-overload]
    client.threads.messages.create("t", role="robot", content="x")  # type: ignore[arg-type]
    client.assistants.create(model="m", modle="x")  # type: ignore[call-arg]
    client.threads.runs.retrieve("r", thread_id="t", timeout="soon")  # type: ignore[arg-type]
    client.threads.runs.stream("t", assistant_id="a", event_handler=object())  # type: ignore[call-overload]

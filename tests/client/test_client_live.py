"""Both faces against the embedded server: every operation in one story, and the programs that SDK users write.

The programs are those of the published page on streaming helpers, in our words: a handler, a loop over events, a loop
over texts, and the handler that answers tool calls from inside `on_event`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from faces import got, listed, with_client

from rx_assistant import AssistantClient, AssistantEventHandler, AsyncAssistantClient, AsyncAssistantEventHandler, local
from rx_assistant.types import Run, Text, TextDelta, ToolCall, ToolCallDelta

BACKENDS = ["asyncio", "trio"]
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_local_time",
        "description": "The current local time.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[local.Server]:
    with local.serve(poll_after_ms=10) as running:
        yield running


@pytest.fixture(params=["sync", *BACKENDS])
def face(request: pytest.FixtureRequest, server: local.Server) -> Any:
    """Runs a story, written once with `await`, on each face."""

    def run(story: Any) -> None:
        with_client(request.param, server.base_url, story)

    return run


def test_assistants_threads_and_messages(face: Any) -> None:
    async def story(client: Any) -> None:
        assistant = await got(client.assistants.create(model="local", name="one", metadata={"suite": "live"}))
        assert (await got(client.assistants.retrieve(assistant.id))).name == "one"
        assert (await got(client.assistants.update(assistant.id, name="two"))).name == "two"
        assert assistant.id in [each.id for each in await listed(client.assistants.list(limit=1))]
        thread = await got(client.threads.create(messages=[{"role": "user", "content": "first"}]))
        assert (await got(client.threads.update(thread.id, metadata={"a": "b"}))).metadata == {"a": "b"}
        assert (await got(client.threads.retrieve(thread.id))).metadata == {"a": "b"}
        message = await got(client.threads.messages.create(thread.id, role="user", content="second"))
        texts = [each.content[0].text.value for each in await listed(client.threads.messages.list(thread.id, limit=1))]
        assert texts == ["second", "first"]
        updated = await got(client.threads.messages.update(message.id, thread_id=thread.id, metadata={"c": "d"}))
        assert (await got(client.threads.messages.retrieve(message.id, thread_id=thread.id))) == updated
        assert (await got(client.threads.messages.delete(message.id, thread_id=thread.id))).deleted
        assert (await got(client.threads.delete(thread.id))).deleted
        assert (await got(client.assistants.delete(assistant.id))).deleted

    face(story)


def test_runs_and_steps(face: Any) -> None:
    async def story(client: Any) -> None:
        assistant = await got(client.assistants.create(model="local", tools=[CLOCK]))
        question = {"role": "user", "content": "What time is it in Paris?"}
        run = await got(client.threads.create_and_run(assistant_id=assistant.id, thread={"messages": [question]}))
        where = {"thread_id": run.thread_id}
        while run.status not in {"requires_action", "failed"}:
            run = await got(client.threads.runs.retrieve(run.id, **where))
        call = run.required_action.submit_tool_outputs.tool_calls[0]
        outputs = [{"tool_call_id": call.id, "output": "noon"}]
        run = await got(client.threads.runs.submit_tool_outputs(run.id, **where, tool_outputs=outputs))
        while run.status not in {"completed", "failed"}:
            run = await got(client.threads.runs.retrieve(run.id, **where))
        assert run.status == "completed"
        steps = await listed(client.threads.runs.steps.list(run.id, **where, order="asc", limit=1))
        assert [step.type for step in steps] == ["tool_calls", "message_creation"]
        assert (await got(client.threads.runs.steps.retrieve(steps[0].id, **where, run_id=run.id))) == steps[0]
        assert (await got(client.threads.runs.update(run.id, **where, metadata={"a": "b"}))).metadata == {"a": "b"}
        waiting = await got(
            client.threads.runs.create(run.thread_id, assistant_id=assistant.id, additional_messages=[question])
        )
        assert waiting.id in [each.id for each in await listed(client.threads.runs.list(run.thread_id))]
        while waiting.status not in {"requires_action", "failed"}:
            waiting = await got(client.threads.runs.retrieve(waiting.id, **where))
        assert (await got(client.threads.runs.cancel(waiting.id, **where))).status in {"cancelling", "cancelled"}

    face(story)


def test_files_and_vector_stores(face: Any) -> None:
    async def story(client: Any) -> None:
        file = await got(client.files.create(file=("cats.txt", b"Cats sleep all day."), purpose="assistants"))
        assert (await got(client.files.retrieve(file.id))).bytes == 19
        assert file.id in [each.id for each in await listed(client.files.list(purpose="assistants"))]
        assert (await got(client.files.content(file.id))).content == b"Cats sleep all day."
        store = await got(client.vector_stores.create(name="pets"))
        assert (await got(client.vector_stores.update(store.id, name="animals"))).name == "animals"
        added = await got(client.vector_stores.files.create(store.id, file_id=file.id, attributes={"kind": "cat"}))
        while added.status == "in_progress":
            added = await got(client.vector_stores.files.retrieve(file.id, vector_store_id=store.id))
        assert added.status == "completed"
        changed = client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"kind": "pet"})
        assert (await got(changed)).attributes == {"kind": "pet"}
        found = await listed(client.vector_stores.search(store.id, query="cats sleep"))
        assert found[0].filename == "cats.txt"
        parts = await listed(client.vector_stores.files.content(file.id, vector_store_id=store.id))
        assert "Cats sleep" in parts[0].text
        assert [each.id for each in await listed(client.vector_stores.files.list(store.id))] == [file.id]
        assert (await got(client.vector_stores.files.delete(file.id, vector_store_id=store.id))).deleted
        batch = await got(client.vector_stores.file_batches.create(store.id, file_ids=[file.id]))
        while batch.status == "in_progress":
            batch = await got(client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id))
        assert batch.file_counts.completed == 1
        found = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
        assert [each.id for each in await listed(found)] == [file.id]
        cancelled = await got(client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id))
        assert cancelled.id == batch.id
        assert store.id in [each.id for each in await listed(client.vector_stores.list())]
        assert (await got(client.vector_stores.retrieve(store.id))).id == store.id
        assert (await got(client.vector_stores.delete(store.id))).deleted
        assert (await got(client.files.delete(file.id))).deleted

    face(story)


class Printer(AssistantEventHandler):
    """Shows text as it is written, and tool calls beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def on_text_created(self, text: Text) -> None:
        self.shown.append("assistant > ")

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.shown.append(delta.value or "")

    def on_tool_call_created(self, tool_call: ToolCall) -> None:
        self.shown.append(f"{tool_call.type} > ")

    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        if delta.type == "function" and delta.function and delta.function.arguments:
            self.shown.append(delta.function.arguments)


class AsyncPrinter(AsyncAssistantEventHandler):
    """The same with coroutines."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    async def on_text_created(self, text: Text) -> None:
        self.shown.append("assistant > ")

    async def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.shown.append(delta.value or "")


@pytest.fixture
def assistant(server: local.Server) -> str:
    with AssistantClient(base_url=server.base_url) as client:
        return client.assistants.create(model="local", tools=[CLOCK]).id  # type: ignore[typeddict-item]


def new_thread(client: AssistantClient, text: str) -> str:
    return client.beta.threads.create(messages=[{"role": "user", "content": text}]).id


class TestTheProgramsOfThePage:
    def test_a_handler(self, server: local.Server, assistant: str) -> None:
        with AssistantClient(base_url=server.base_url) as client:
            thread = new_thread(client, "Say hello.")
            with client.beta.threads.runs.stream(
                thread_id=thread, assistant_id=assistant, event_handler=Printer()
            ) as stream:
                stream.until_done()
            assert stream.shown[0] == "assistant > "
            newest = client.threads.messages.list(thread).data[0]
            assert "".join(stream.shown[1:]) == newest.content[0].text.value  # type: ignore[union-attr]

    def test_a_loop_over_events_and_one_over_texts(self, server: local.Server, assistant: str) -> None:
        with AssistantClient(base_url=server.base_url) as client:
            thread = new_thread(client, "Say hello.")
            with client.beta.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
                pieces = [
                    event.data.delta.content[0].text.value  # type: ignore[union-attr]
                    for event in stream
                    if event.event == "thread.message.delta" and event.data.delta.content
                ]
            with client.beta.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
                texts = list(stream.text_deltas)
            assert len(pieces) > 3
            assert "".join(pieces) == "".join(texts)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_asynchronously(self, server: local.Server, assistant: str, backend: str) -> None:
        async def main() -> None:
            async with AsyncAssistantClient(base_url=server.base_url) as client:
                thread = await client.beta.threads.create(messages=[{"role": "user", "content": "Say hello."}])
                runs = client.beta.threads.runs
                async with runs.stream(
                    thread_id=thread.id, assistant_id=assistant, event_handler=AsyncPrinter()
                ) as handler:
                    await handler.until_done()
                async with runs.stream(thread_id=thread.id, assistant_id=assistant) as stream:
                    texts = [text async for text in stream.text_deltas]
                assert "".join(handler.shown) == "assistant > " + "".join(texts)

        anyio.run(main, backend=backend)


class Answering(AssistantEventHandler):
    """Answers tool calls where it hears of them, by opening the next stream inside the callback."""

    def __init__(self, client: AssistantClient) -> None:
        super().__init__()
        self.client = client
        self.answer = ""
        self.final: Run | None = None

    def on_event(self, event: Any) -> None:
        if event.event == "thread.run.requires_action":
            outputs = [
                {"tool_call_id": call.id, "output": "noon"}
                for call in event.data.required_action.submit_tool_outputs.tool_calls
            ]
            with self.client.beta.threads.runs.submit_tool_outputs_stream(
                thread_id=event.data.thread_id, run_id=event.data.id, tool_outputs=outputs, event_handler=Printer()
            ) as stream:
                for text in stream.text_deltas:
                    self.answer += text
                self.final = stream.get_final_run()


class AsyncAnswering(AsyncAssistantEventHandler):
    """The same with coroutines."""

    def __init__(self, client: AsyncAssistantClient) -> None:
        super().__init__()
        self.client = client
        self.answer = ""
        self.final: Run | None = None

    async def on_event(self, event: Any) -> None:
        if event.event == "thread.run.requires_action":
            outputs = [
                {"tool_call_id": call.id, "output": "noon"}
                for call in event.data.required_action.submit_tool_outputs.tool_calls
            ]
            async with self.client.beta.threads.runs.submit_tool_outputs_stream(
                thread_id=event.data.thread_id, run_id=event.data.id, tool_outputs=outputs
            ) as stream:
                async for text in stream.text_deltas:
                    self.answer += text
                self.final = await stream.get_final_run()


class TestAnsweringToolCallsInsideOnEvent:
    def test_on_one_thread(self, server: local.Server, assistant: str) -> None:
        with AssistantClient(base_url=server.base_url) as client:
            thread = new_thread(client, "What time is it in Paris?")
            with client.beta.threads.runs.stream(
                thread_id=thread, assistant_id=assistant, event_handler=Answering(client)
            ) as handler:
                handler.until_done()
            assert handler.final is not None
            assert handler.final.status == "completed"
            assert "noon" in handler.answer

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_in_an_event_loop(self, server: local.Server, assistant: str, backend: str) -> None:
        async def main() -> None:
            async with AsyncAssistantClient(base_url=server.base_url) as client:
                thread = await client.threads.create(
                    messages=[{"role": "user", "content": "What time is it in Paris?"}]
                )
                async with client.threads.runs.stream(
                    thread_id=thread.id, assistant_id=assistant, event_handler=AsyncAnswering(client)
                ) as handler:
                    await handler.until_done()
                assert handler.final is not None
                assert handler.final.status == "completed"
                assert "noon" in handler.answer

        anyio.run(main, backend=backend)


class Computing(AssistantEventHandler):
    """Runs its function where a call is done, and submits the output when the run asks for it."""

    def __init__(self, client: AssistantClient, ran: list[str]) -> None:
        self.client = client
        self.ran = ran
        self.outputs: list[Any] = []

    def on_tool_call_done(self, tool_call: ToolCall) -> None:
        if tool_call.type == "function":
            self.ran.append(tool_call.id)
            self.outputs.append({"tool_call_id": tool_call.id, "output": "noon"})

    def on_requires_action(self, run: Run) -> None:
        with self.client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=run.thread_id,
            run_id=run.id,
            tool_outputs=self.outputs,
            event_handler=Computing(self.client, self.ran),
        ) as stream:
            stream.until_done()


def test_a_handler_of_both_streams_runs_each_function_once(server: local.Server) -> None:
    with AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=[CLOCK])
        thread = client.threads.create(messages=[{"role": "user", "content": "What time is it in Paris?"}])
        ran: list[str] = []
        with client.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=Computing(client, ran)
        ) as handler:
            handler.until_done()
        assert len(ran) == len(set(ran)) == 1

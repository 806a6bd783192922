"""The unmodified official SDK, its asynchronous half, against the local server."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai import AsyncAssistantEventHandler

import rx_assistant.local

CALL = {"calls": [{"function": "look", "arguments": {"at": "it"}, "id": "call_1"}]}


@pytest.fixture
def anyio_backend() -> str:
    """The SDK's helpers sleep on asyncio."""
    return "asyncio"


@pytest.fixture
async def scripted():
    """An asynchronous SDK client for a server that plays the given turns."""
    started = []

    async def play(*turns) -> openai.AsyncOpenAI:
        script = {"runs": [{"turns": list(turns)}]} if turns else None
        server = rx_assistant.local.serve(script=script)
        await server.__aenter__()
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0)
        started.append((server, client))
        return client

    yield play
    for server, client in started:
        await client.close()
        await server.__aexit__(None, None, None)


class Diary(AsyncAssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.calls: list[str] = []

    async def on_text_delta(self, delta, snapshot) -> None:
        self.text += delta.value or ""

    async def on_tool_call_created(self, tool_call) -> None:
        self.calls.append(tool_call.type)

    async def on_end(self) -> None:
        self.calls.append("end")


@pytest.mark.anyio
async def test_a_handler_hears_a_run_and_its_continuation(scripted):
    sdk = await scripted([CALL], [{"text": "seen {output:call_1}"}])
    assistant = await sdk.beta.assistants.create(model="any")
    first, second = Diary(), Diary()
    async with sdk.beta.threads.create_and_run_stream(
        assistant_id=assistant.id, thread={}, event_handler=first
    ) as stream:
        await stream.until_done()
        run = await stream.get_final_run()
    assert (first.calls, run.status) == (["function", "end"], "requires_action")
    async with sdk.beta.threads.runs.submit_tool_outputs_stream(
        thread_id=run.thread_id,
        run_id=run.id,
        tool_outputs=[{"tool_call_id": "call_1", "output": "blue"}],
        event_handler=second,
    ) as stream:
        await stream.until_done()
    assert (second.text, second.calls) == ("seen blue", ["end"])


@pytest.mark.anyio
async def test_all_poll_helpers_come_to_an_end(scripted):
    sdk = await scripted([CALL], [{"text": "done"}])
    assistant = await sdk.beta.assistants.create(model="any")
    run = await sdk.beta.threads.create_and_run_poll(assistant_id=assistant.id, thread={})
    outputs = [{"tool_call_id": "call_1", "output": "blue"}]
    run = await sdk.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs
    )
    assert run.status == "completed"
    run = await sdk.beta.threads.runs.create_and_poll(thread_id=run.thread_id, assistant_id=assistant.id)
    assert (await sdk.beta.threads.runs.poll(run.id, run.thread_id)).status == "requires_action"
    store = await sdk.vector_stores.create()
    file = await sdk.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("a.txt", b"text"))
    assert (await sdk.vector_stores.files.poll(file.id, vector_store_id=store.id)).status == "completed"
    batch = await sdk.vector_stores.file_batches.upload_and_poll(
        store.id, files=[("b.txt", b"text"), ("c.txt", b"text")]
    )
    assert (await sdk.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id)).status == "completed"
    assert [item.status async for item in sdk.vector_stores.files.list(store.id, limit=2)] == ["completed"] * 3


@pytest.mark.anyio
async def test_pages_and_deltas_are_iterated(scripted):
    sdk = await scripted()
    assistant = await sdk.beta.assistants.create(model="any")
    thread = await sdk.beta.threads.create(messages=[{"role": "user", "content": f"{n}"} for n in range(5)])
    listed = [item async for item in sdk.beta.threads.messages.list(thread.id, limit=2, order="asc")]
    assert [item.content[0].text.value for item in listed] == list("01234")
    async with sdk.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        text = "".join([delta async for delta in stream.text_deltas])
        (message,) = await stream.get_final_messages()
    assert message.content[0].text.value == text


@pytest.mark.anyio
async def test_many_runs_go_on_at_once(scripted):
    sdk = await scripted()
    assistant = await sdk.beta.assistants.create(model="any")

    async def one(number: int) -> str:
        thread = await sdk.beta.threads.create(messages=[{"role": "user", "content": f"number {number}."}])
        async with sdk.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            return "".join([delta async for delta in stream.text_deltas])

    texts = await asyncio.gather(*(one(number) for number in range(20)))
    assert all(text.startswith(f"You said: number {number}.") for number, text in enumerate(texts))

"""The server without a port, behind the clients of httpx and httpx2: it streams, and leaves no thread."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any

import httpx
import httpx2
import openai
import pytest
import trio
from loopback import GUARD, Loopback, Received, Wire, ended

import rx_assistant.local
from local.upstreams import chunks, says
from rx_assistant import AssistantClient
from rx_assistant.local.engine import RunContext, Text
from rx_assistant.local.engines.upstream import UpstreamEngine

BASE = "http://in-process/v1"

libraries = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


class TwoWords:
    """An upstream that writes a word, and the second one when it may."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    async def __call__(self, request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(chunks({"content": "one"}, finish=None).removesuffix(b"data: [DONE]\n\n"))
        await asyncio.to_thread(self.go_on.wait, GUARD)
        await wire.chunk(says(" two"))
        await wire.end()


@pytest.fixture
def words():
    upstream = TwoWords()
    with Loopback(upstream) as server:
        yield UpstreamEngine(server.url, model="m"), upstream.go_on
        upstream.go_on.set()


EARLIER: set[threading.Thread] = set()
"""Threads that were there before the test: other tests hold a server with an engine that cannot be stopped."""


@pytest.fixture(autouse=True)
def threads_of_earlier_tests() -> None:
    EARLIER.clear()
    EARLIER.update(threading.enumerate())


def servers_threads() -> list[threading.Thread]:
    found = [thread for thread in threading.enumerate() if thread.name.startswith("rx_assistant.local")]
    return [thread for thread in found if thread not in EARLIER]


@libraries
def test_the_first_text_arrives_before_the_upstream_has_finished(library: ModuleType, words) -> None:
    engine, go_on = words
    http = library.Client(transport=rx_assistant.local.transport(engine=engine))
    texts = []
    with openai.OpenAI(api_key="any", base_url=BASE, http_client=http) as client:
        assistant = client.beta.assistants.create(model="gpt-4o")
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
        with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            for text in stream.text_deltas:
                texts.append(text)
                assert go_on.is_set() == (len(texts) > 1)
                go_on.set()
        assert client.beta.threads.messages.list(thread.id).data[0].content[0].text.value == "one two"
    assert texts == ["one", " two"]
    assert servers_threads() == []


@libraries
def test_the_first_text_arrives_before_the_upstream_has_finished_on_asyncio(library: ModuleType, words) -> None:
    engine, go_on = words

    async def main() -> list[str]:
        http = library.AsyncClient(transport=rx_assistant.local.transport(engine=engine))
        texts = []
        async with openai.AsyncOpenAI(api_key="any", base_url=BASE, http_client=http) as client:
            assistant = await client.beta.assistants.create(model="gpt-4o")
            thread = await client.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
            async with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
                async for text in stream.text_deltas:
                    texts.append(text)
                    assert go_on.is_set() == (len(texts) > 1)
                    go_on.set()
        assert servers_threads() == []
        return texts

    assert asyncio.run(main()) == ["one", " two"]


@libraries
def test_the_first_bytes_arrive_on_trio(library: ModuleType, words) -> None:
    engine, go_on = words

    async def main() -> bytes:
        transport = rx_assistant.local.transport(engine=engine, adopt=True)
        message = {"role": "user", "content": "hi"}
        body = {"assistant_id": "asst_1", "stream": True, "thread": {"messages": [message]}}
        heard = b""
        async with (
            library.AsyncClient(transport=transport, base_url=BASE) as client,
            client.stream("POST", "/threads/runs", json=body) as reply,
        ):
            async for piece in reply.aiter_bytes():
                heard += piece
                if b'"one"' in heard and not go_on.is_set():
                    assert b"thread.run.completed" not in heard
                    go_on.set()
        assert servers_threads() == []
        return heard

    assert b"thread.run.completed" in trio.run(main)


def test_the_librarys_own_client_takes_the_transport() -> None:
    http = httpx.Client(transport=rx_assistant.local.transport())
    with AssistantClient(base_url=BASE, http_client=http) as client:
        assistant = client.assistants.create(model="local")
        thread = client.threads.create(messages=[{"role": "user", "content": "hi"}])
        with client.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            assert "You said: hi" in "".join(stream.text_deltas)
    http.close()
    assert servers_threads() == []


class Waiting:
    """An engine that says a word and then nothing."""

    async def run(self, context: RunContext) -> AsyncIterator[Text]:
        yield Text("word")
        await asyncio.Event().wait()


def open_stream(client: Any, **options: Any) -> Any:
    body = {"assistant_id": "asst_1", "stream": True, "thread": {"messages": [{"role": "user", "content": "hi"}]}}
    return client.stream("POST", "/threads/runs", json=body, **options)


def until_word(pieces: Any) -> None:
    heard = b""
    while b'"word"' not in heard:
        heard += next(pieces)


@libraries
def test_closing_breaks_a_reply_that_is_open(library: ModuleType) -> None:
    transport = rx_assistant.local.transport(engine=Waiting(), adopt=True)
    client = library.Client(transport=transport, base_url=BASE)
    with open_stream(client) as reply:
        pieces = reply.iter_bytes()
        until_word(pieces)
        closer = threading.Thread(target=transport.close)
        closer.start()
        with pytest.raises(library.RemoteProtocolError, match="before the reply was complete"):
            list(pieces)
        assert ended(closer)
    assert servers_threads() == []
    with pytest.raises(RuntimeError, match="the transport is closed"):
        client.get("/models")


@libraries
def test_a_silent_server_is_a_read_timeout(library: ModuleType) -> None:
    transport = rx_assistant.local.transport(engine=Waiting(), adopt=True)
    with library.Client(transport=transport, base_url=BASE) as client, open_stream(client, timeout=0.2) as reply:
        pieces = reply.iter_bytes()
        with pytest.raises(library.ReadTimeout):
            list(pieces)


@libraries
def test_a_cancelled_task_leaves_at_once(library: ModuleType) -> None:
    async def main() -> None:
        transport = rx_assistant.local.transport(engine=Waiting(), adopt=True)
        async with library.AsyncClient(transport=transport, base_url=BASE) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), open_stream(client) as reply:
                    async for _ in reply.aiter_bytes():
                        pass
            assert (await client.get("/models")).status_code == 200

    asyncio.run(main())


def test_a_long_reply_arrives_whole() -> None:
    class Talking:
        async def run(self, context: RunContext) -> AsyncIterator[Text]:
            for _ in range(500):
                yield Text("x" * 1000)

    transport = rx_assistant.local.transport(engine=Talking(), adopt=True)
    with httpx.Client(transport=transport, base_url=BASE) as client, open_stream(client) as reply:
        heard = reply.read()
    assert heard.count(b"event: thread.message.delta") == 500
    assert heard.endswith(b"event: done\ndata: [DONE]\n\n")


@pytest.mark.parametrize("drop", ["close", "collect"])
def test_a_transport_leaves_no_thread(drop: str) -> None:
    unused = rx_assistant.local.transport()
    unused.close()
    client = httpx.Client(transport=rx_assistant.local.transport(), base_url=BASE)
    assert client.get("/models").status_code == 200
    (thread,) = servers_threads()
    if drop == "close":
        client.close()
        assert not thread.is_alive()
    else:
        del client
        gc.collect()
        assert ended(thread, GUARD)


def test_requests_of_many_threads_are_served_at_once() -> None:
    statuses: list[int] = []
    with httpx.Client(transport=rx_assistant.local.transport(), base_url=BASE) as client:

        def post() -> None:
            statuses.extend([client.post("/threads", json={}).status_code for _ in range(20)])

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert all(map(ended, threads))
        assert len(servers_threads()) == 1
    assert statuses == [200] * 160


@pytest.mark.parametrize(
    "ask", [lambda client: client.get("/nothing"), lambda client: client.post("/threads", content=b"{")]
)
def test_refusals_come_as_over_a_socket(ask: Callable[[httpx.Client], httpx.Response]) -> None:
    with httpx.Client(transport=rx_assistant.local.transport(), base_url=BASE) as client:
        reply = ask(client)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["message"]

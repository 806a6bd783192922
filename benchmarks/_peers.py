"""The others, on bytes in memory: the official SDK, SSE parsers, and what people write with them by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

warnings.filterwarnings("ignore", category=DeprecationWarning)

import httpx  # noqa: E402
import httpx2  # noqa: E402
import httpx_sse as httpx_sse_  # noqa: E402
import openai  # noqa: E402
from openai import AssistantEventHandler  # noqa: E402
from pydantic import BaseModel  # noqa: E402


class _Body(httpx2.SyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


class _InMemory(httpx2.BaseTransport):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=_Body(self._chunks))


def sdk(chunks: Iterable[bytes]) -> openai.OpenAI:
    """The official client, whose every response is these chunks."""
    return openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=_InMemory(chunks)))


def sdk_events(client: openai.OpenAI) -> None:
    """`create(stream=True)`, every event read."""
    for event in client.beta.threads.runs.create(thread_id="thread_1", assistant_id="asst_1", stream=True):
        event.data  # noqa: B018


def sdk_handler(client: openai.OpenAI, make: Callable[[], AssistantEventHandler]) -> AssistantEventHandler:
    """`runs.stream(event_handler=…)` to its end."""
    handler = make()
    with client.beta.threads.runs.stream(thread_id="thread_1", assistant_id="asst_1", event_handler=handler) as stream:
        stream.until_done()
    return handler


def sdk_text(client: openai.OpenAI) -> int:
    """`for text in stream.text_deltas`."""
    with client.beta.threads.runs.stream(thread_id="thread_1", assistant_id="asst_1") as stream:
        return sum(1 for _ in stream.text_deltas)


class _ByteStream(httpx.SyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


def httpx_sse(chunks: Iterable[bytes]) -> Iterator[httpx_sse_.ServerSentEvent]:
    """What httpx-sse makes of a response with these chunks."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_ByteStream(chunks))
    return httpx_sse_.EventSource(response).iter_sse()


def httpx_sse_models(chunks: Iterable[bytes], model: type[BaseModel]) -> int:
    """What people write by hand: httpx-sse, and a pydantic model of each message delta."""
    count = 0
    for event in httpx_sse(chunks):
        if event.event == "thread.message.delta":
            model.model_validate_json(event.data)
            count += 1
    return count


def sse_parsers() -> dict[str, Callable[[list[bytes]], int]]:
    """Other Python parsers of server-sent events: chunks → number of events."""
    parsers: dict[str, Callable[[list[bytes]], int]] = {
        f"httpx-sse {version('httpx-sse')}": lambda chunks: sum(1 for _ in httpx_sse(chunks))
    }
    try:
        import sseclient

        parsers[f"sseclient-py {version('sseclient-py')}"] = lambda chunks: sum(
            1 for _ in sseclient.SSEClient(_Closable(chunks)).events()
        )
    except ImportError:
        pass
    try:
        import ld_eventsource
        from ld_eventsource.config import ConnectStrategy
        from ld_eventsource.config.connect_strategy import ConnectionClient, ConnectionResult

        class _Once(ConnectStrategy, ConnectionClient):
            def __init__(self, chunks: list[bytes]) -> None:
                self._chunks = chunks

            def create_client(self, logger: Any) -> ConnectionClient:
                return self

            def connect(self, last_event_id: str | None) -> Any:
                return ConnectionResult(stream=iter(self._chunks), closer=None)

        def launchdarkly(chunks: list[bytes]) -> int:
            client = ld_eventsource.SSEClient(connect=_Once(chunks))
            count = 0
            for event in client.events:
                count += 1
                if event.data == "[DONE]":
                    break
            client.close()
            return count

        parsers[f"launchdarkly-eventsource {version('launchdarkly-eventsource')}"] = launchdarkly
    except ImportError:
        pass
    return parsers


class _Closable:
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        """Nothing to close."""


def versions() -> dict[str, Any]:
    """What is being compared."""
    names = ("openai", "httpx2", "httpx", "reactivex", "pydantic", "anyio")
    return {name: version(name) for name in names}

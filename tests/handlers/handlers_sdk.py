"""The official SDK, unmodified, over bytes in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

import pytest
from handlers_faces import driven

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    openai = pytest.importorskip("openai", minversion="3.52.0", reason="the SDK is not installed")
    httpx2 = pytest.importorskip("httpx2", reason="the SDK's httpx2 is not installed")


class _Body(httpx2.SyncByteStream):  # type: ignore[misc,name-defined]
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


class _InMemory(httpx2.BaseTransport):  # type: ignore[misc,name-defined]
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def handle_request(self, request: Any) -> Any:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=_Body(self._chunks))


def sdk(chunks: Iterable[bytes]) -> Any:
    """The SDK's client, whose every request is answered with these chunks."""
    return openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=_InMemory(chunks)))


def sdk_stream(chunks: Iterable[bytes], handler: Any) -> Any:
    """`runs.stream(event_handler=handler)` of the SDK, answered with these chunks."""
    client = sdk(chunks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return client.beta.threads.runs.stream(thread_id="thread_1", assistant_id="asst_1", event_handler=handler)


def sdk_recorder(names: Iterable[str], show: Callable[..., Any]) -> Any:
    """An SDK handler that keeps what was called, in `calls`."""

    def recording(name: str) -> Callable[..., None]:
        def callback(self: Any, *arguments: Any) -> None:
            self.calls.append(show(self, name, *arguments))

        return callback

    kind = type("SdkRecorder", (openai.AssistantEventHandler,), {name: recording(name) for name in names})
    made = kind()
    made.calls = []
    return made


class Run:
    """One run of the SDK to its end: what its handler was called with, what came out, and the handler itself."""

    def __init__(self, chunks: Iterable[bytes], names: Iterable[str], show: Callable[..., Any]) -> None:
        self.handler = sdk_recorder(names, show)
        self.error: Exception | None = None
        try:
            with sdk_stream(chunks, self.handler) as stream:
                stream.until_done()
        except Exception as error:
            self.error = error

    @property
    def calls(self) -> list[Any]:
        """What its callbacks were called with."""
        calls: list[Any] = self.handler.calls
        return calls

    def look(self, read: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """What `read` finds at the handler when all is over; the type of the error, if it raises."""
        try:
            return driven(read(self.handler))
        except Exception as error:
            return type(error)

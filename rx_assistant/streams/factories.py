"""Streams without a client: recordings, and events or responses from other libraries."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, cast, overload

import anyio

from rx_assistant.errors import StreamTruncatedError
from rx_assistant.events import BY_NAME, DoneEvent, StreamEvent, frame
from rx_assistant.http.async_body import AsyncResponseBody
from rx_assistant.http.body import ResponseBody
from rx_assistant.http.content import welcome_json
from rx_assistant.http.timeouts import Timeout
from rx_assistant.sse import ServerSentEvent, encode
from rx_assistant.streams.async_stream import AsyncAssistantStream
from rx_assistant.streams.decoding import AssistantsDecoding
from rx_assistant.streams.sources import AsyncReplayBody, AsyncSource, ReplayBody, Source
from rx_assistant.streams.sync_stream import AssistantStream

if TYPE_CHECKING:
    from rx_assistant.dialects.chat import ThinkingPolicy
    from rx_assistant.streams.base import OnSubscribe, Replay
    from rx_assistant.streams.body import AsyncBody
    from rx_assistant.streams.decoding import Decoding
    from rx_assistant.streams.dialects import StreamDialect


_END = object()
_DONE = frame(DoneEvent())

MAX_EVENT_BYTES = 16 * 2**20


def replay(
    source: Source,
    *,
    chunk_size: int | None = None,
    events_per_second: float | None = None,
    replay: Replay = "all",
    max_event_bytes: int = MAX_EVENT_BYTES,
    on_subscribe: OnSubscribe | None = None,
    dialect: StreamDialect = "assistants",
    choice: int = 0,
    thinking: ThinkingPolicy = "reasoning",
) -> AssistantStream:
    """Return the stream of a recording; it ends by the same rules as a live one.

    Args:
        source: A path, the bytes of an SSE body, or an iterable of byte chunks.
        chunk_size: Cut the bytes into chunks of this size; by default the chunks of the source are used.
        events_per_second: Emit one event at a time at this pace.
        replay: The events for late subscribers: `"all"`, or `"none"` of the earlier ones.
        max_event_bytes: The largest event allowed, in bytes; a larger one ends the stream with EventTooLargeError.
        on_subscribe: `"connect"` reads in the background as soon as something subscribes; `"wait"` never does. By
            default only a subscription that an operator of reactivex makes connects.
        dialect: The protocol of the recording: `"assistants"`, `"chat"` (Chat Completions) or `"responses"`. The last
            two are translated into Assistants events; `event.source` is the payload that an event comes from.
        choice: Which of several choices of a Chat Completions stream becomes the run.
        thinking: `"text"` leaves a leading `<think>…</think>` of a Chat Completions stream in the text; by default it
            is reasoning.

    Raises:
        ValueError: an option has an unknown value.
        OSError: the file cannot be read; raised by `with` or by the first read.
    """
    _check_pace(chunk_size, events_per_second)
    return AssistantStream(
        lambda: ReplayBody(source, chunk_size, events_per_second),
        replay=replay,
        max_event_bytes=max_event_bytes,
        on_subscribe=on_subscribe,
        decoding=decoding_of(dialect, max_event_bytes, choice, thinking),
    )


def replay_async(
    source: AsyncSource,
    *,
    chunk_size: int | None = None,
    events_per_second: float | None = None,
    replay: Replay = "all",
    max_event_bytes: int = MAX_EVENT_BYTES,
    on_subscribe: OnSubscribe | None = None,
    dialect: StreamDialect = "assistants",
    choice: int = 0,
    thinking: ThinkingPolicy = "reasoning",
) -> AsyncAssistantStream:
    """Return the asynchronous stream of a recording, for asyncio and trio.

    Options and errors are those of `replay`. `source` may also be an asynchronous iterable of byte chunks.
    """
    _check_pace(chunk_size, events_per_second)

    async def open() -> AsyncBody:
        return AsyncReplayBody(source, chunk_size, events_per_second)

    return AsyncAssistantStream(
        open,
        replay=replay,
        max_event_bytes=max_event_bytes,
        on_subscribe=on_subscribe,
        decoding=decoding_of(dialect, max_event_bytes, choice, thinking),
    )


def decoding_of(
    dialect: StreamDialect, max_event_bytes: int, choice: int = 0, thinking: ThinkingPolicy = "reasoning"
) -> Decoding:
    """Return the decoding of one stream in that protocol.

    Raises:
        ValueError: the protocol is unknown, or `choice` or `thinking` is set for another protocol than `"chat"`.
    """
    if dialect not in ("assistants", "chat", "responses"):
        raise ValueError(f"dialect must be 'assistants', 'chat' or 'responses', got {dialect!r}")
    if choice and dialect != "chat":
        raise ValueError(f"choice must be 0 unless dialect is 'chat', got {choice!r}")
    if thinking != "reasoning" and dialect != "chat":
        raise ValueError(f"thinking must be 'reasoning' unless dialect is 'chat', got {thinking!r}")
    if dialect == "assistants":
        return AssistantsDecoding(max_event_bytes)
    from rx_assistant.streams.dialects import ChatDecoding, ResponsesDecoding

    if dialect == "responses":
        return ResponsesDecoding(max_event_bytes)
    return ChatDecoding(max_event_bytes, choice=choice, thinking=thinking)


def _check_pace(chunk_size: int | None, events_per_second: float | None) -> None:
    if chunk_size is not None and not (isinstance(chunk_size, int) and chunk_size >= 1):
        raise ValueError(f"chunk_size must be a number of bytes, at least 1, got {chunk_size!r}")
    if events_per_second is not None and not (isinstance(events_per_second, int | float) and events_per_second > 0):
        raise ValueError(f"events_per_second must be a number above 0, got {events_per_second!r}")


def from_response(
    response: Any,
    *,
    replay: Replay = "all",
    max_event_bytes: int = MAX_EVENT_BYTES,
    on_subscribe: OnSubscribe | None = None,
    dialect: StreamDialect = "assistants",
    choice: int = 0,
    thinking: ThinkingPolicy = "reasoning",
) -> AssistantStream | AsyncAssistantStream:
    """Return the stream of an open response of httpx or httpx2 whose body was not read yet.

    A response of an asynchronous client gives an AsyncAssistantStream. Closing the stream closes the response. An event
    of more than `max_event_bytes` bytes ends the stream with EventTooLargeError. `dialect`, `choice` and `thinking` are
    those of `replay`.

    Raises:
        TypeError: `response` is not a response of httpx or httpx2.
        ValueError: the body was read or closed, or an option has an unknown value.
    """
    if getattr(response, "stream", None) is None or not hasattr(response, "headers"):
        raise TypeError(f"response must be an open response of httpx or httpx2, got {type(response).__name__}")
    decoding = decoding_of(dialect, max_event_bytes, choice, thinking)
    if dialect != "assistants":
        welcome_json(response)
    return _of_response(
        response, replay=replay, max_event_bytes=max_event_bytes, on_subscribe=on_subscribe, decoding=decoding
    )


def _of_response(response: Any, **options: Any) -> AssistantStream | AsyncAssistantStream:
    if response.is_stream_consumed or response.is_closed:
        raise ValueError(
            "response must have a body that was not read or closed: open the response with client.stream(...)"
        )
    stream = response.stream
    if hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__"):

        async def open() -> AsyncBody:
            return AsyncResponseBody(response, Timeout())

        return AsyncAssistantStream(open, **options)
    return AssistantStream(lambda: ResponseBody(response, Timeout()), **options)


def decoded_stream(source: Any, decoding: Decoding, max_event_bytes: int) -> AssistantStream | AsyncAssistantStream:
    """Return the stream of a response or of a source that `replay_async` takes, decoded by `decoding`."""
    options: Any = {"max_event_bytes": max_event_bytes, "decoding": decoding}
    if hasattr(source, "is_stream_consumed"):
        return _of_response(source, **options)
    if isinstance(source, AsyncIterable):

        async def open() -> AsyncBody:
            return AsyncReplayBody(source, None, None)

        return AsyncAssistantStream(open, **options)
    return AssistantStream(lambda: ReplayBody(source, None, None), **options)


@overload
def from_events(
    events: Iterable[Any], *, replay: Replay = "all", on_subscribe: OnSubscribe | None = None
) -> AssistantStream: ...
@overload
def from_events(
    events: AsyncIterable[Any], *, replay: Replay = "all", on_subscribe: OnSubscribe | None = None
) -> AsyncAssistantStream: ...
def from_events(
    events: Iterable[Any] | AsyncIterable[Any], *, replay: Replay = "all", on_subscribe: OnSubscribe | None = None
) -> AssistantStream | AsyncAssistantStream:
    """Return a stream of events from another source, such as a stream of the official SDK.

    An asynchronous iterable gives an AsyncAssistantStream. Items are rx_assistant events, `ServerSentEvent`s,
    `{"event": …, "data": …}` dicts, or anything with `.event` and a pydantic model in `.data`. The stream ends well
    where the iterable ends, or at an item named `done`; at an item named `error` it fails with ServerErrorEvent. The
    iterable is closed with the stream, if it has `close()` or `aclose()`.

    Raises:
        TypeError: `events` is not iterable. An item of another type ends the stream with TypeError.
    """
    if isinstance(events, AsyncIterable):
        later = events

        async def open() -> AsyncBody:
            return _ForeignAsyncBody(later)

        return AsyncAssistantStream(open, replay=replay, on_subscribe=on_subscribe)
    if not isinstance(events, Iterable):
        raise TypeError(f"events must be an iterable or an asynchronous iterable, got {type(events).__name__}")
    now = events
    return AssistantStream(lambda: _ForeignBody(now), replay=replay, on_subscribe=on_subscribe)


def frame_of(item: Any) -> bytes:
    """Return the frame of an event in any of the forms that `from_events` accepts; TypeError for anything else."""
    if isinstance(item, StreamEvent):
        return frame(item)
    if isinstance(item, ServerSentEvent):
        return encode(item)
    if isinstance(item, dict) and isinstance(item.get("event"), str):
        return _frame(item["event"], item.get("data"))
    name, data = getattr(item, "event", None), getattr(item, "data", None)
    if isinstance(name, str) and hasattr(data, "model_dump"):
        return _frame(name, cast("Any", data).model_dump(mode="json", exclude_unset=True, by_alias=True))
    raise TypeError(
        "an event must be an rx_assistant event, a ServerSentEvent, a dict with 'event' and 'data', "
        f"or an object with .event and .data.model_dump(), got {item!r}"
    )


def _frame(name: str, data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    known = BY_NAME.get(name)
    return frame(known(text.encode())) if known is not None else encode(ServerSentEvent(event=name, data=text))


class _ForeignBody:
    """Events of another source as frames, one per read."""

    request_id: str | None = None
    holds_connection = False

    def __init__(self, events: Iterable[Any]) -> None:
        self._source = events
        self._events = iter(events)

    def read(self) -> bytes:
        try:
            item = next(self._events, _END)
        except Exception as error:
            raise _source_failed(error) from error
        return _DONE if item is _END else frame_of(item)

    def saw_event(self) -> None:
        """Do nothing: the source of the events has its own time limits."""

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        close: Any = getattr(self._source, "close", None)
        if close is not None:
            try:
                close()
            except ValueError:  # the generator runs on another thread at this moment, and ends with its next event
                pass


class _ForeignAsyncBody:
    """Events of another source as frames, one per read, for an event loop."""

    request_id: str | None = None
    holds_connection = False

    def __init__(self, events: AsyncIterable[Any]) -> None:
        self._source = events
        self._events = aiter(events)
        self._scope: anyio.CancelScope | None = None
        self._closed = False

    async def read(self) -> bytes:
        item: Any = _END
        try:
            with anyio.CancelScope() as self._scope:
                item = _END if self._closed else await anext(self._events, _END)
        except Exception as error:
            raise _source_failed(error) from error
        finally:
            self._scope = None
        if item is _END:
            return b"" if self._closed else _DONE
        return frame_of(item)

    def saw_event(self) -> None:
        """Do nothing: the source of the events has its own time limits."""

    async def finish(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self.close_soon()
        if self._scope is not None:
            self._scope.cancel()
            return
        for source in (self._events, self._source):
            close: Any = getattr(source, "aclose", None) or getattr(source, "close", None)
            if close is not None:
                await close()
                return

    def close_soon(self) -> None:
        self._closed = True


def _source_failed(error: Exception) -> StreamTruncatedError:
    return StreamTruncatedError(f"the source of the events failed: {error!r}")

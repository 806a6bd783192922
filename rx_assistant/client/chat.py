"""Chat Completions, as streams of Assistants events."""

from __future__ import annotations

from typing import Any, overload

from typing_extensions import Unpack

from rx_assistant.api import chat
from rx_assistant.api.request import Request
from rx_assistant.client.model_streams import ChatCall
from rx_assistant.client.params import ChatStream, taken
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.streaming import H, new_async_stream, new_stream, without_policies
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream


class _Chat:
    """The documentation of the operations on both clients. The clients differ in the streams that they return."""

    def stream(self, *, event_handler: Any = None, **params: Unpack[ChatStream]) -> Any:
        """Request a chat completion and stream it as the events of a run.

        The request is sent when the stream is entered or first read. Operators, snapshots, handlers and `get_final_…`
        work as on a run's stream. `event.source` is the chunk from which an event was made. A run that asks for
        function calls ends as `requires_action`. A body that ends without `finish_reason` and `[DONE]` is a
        StreamTruncatedError. `cancel()` closes the stream, because this API has no cancel.

        Besides the request's own parameters:

        Args:
            event_handler: `with` returns it instead of the stream.
            choice: With `n`, which choice becomes the run; 0 by default. The others are unknown events.
            thinking: `"text"` leaves a leading `<think>…</think>` in the text; by default it is reasoning.
            timeout: Seconds, or a `Timeout`.
            replay, on_idle, idle_grace, on_subscribe: As for `threads.runs.stream`.
        """
        raise NotImplementedError


class Chat(_Chat, Resource):
    """`client.chat`."""

    @overload
    def stream(self, *, event_handler: None = None, **params: Unpack[ChatStream]) -> AssistantStream: ...
    @overload
    def stream(self, *, event_handler: H, **params: Unpack[ChatStream]) -> HandledStream[H]: ...
    @overload
    def stream(
        self, *, event_handler: H | None, **params: Unpack[ChatStream]
    ) -> HandledStream[H] | AssistantStream: ...
    def stream(
        self, *, event_handler: H | None = None, **params: Unpack[ChatStream]
    ) -> HandledStream[H] | AssistantStream:
        session, abort = self._session, Abort()
        request, options, call = _requested(params)

        def open() -> Any:
            return session.open(request, options, abort)

        given = {**call.given(), "abort": abort.abort, "post_cancel": call.closing.close}
        return call.closing.of(new_stream(open, event_handler, given))


class AsyncChat(_Chat, AsyncResource):
    """The same for asyncio and trio."""

    @overload
    def stream(self, *, event_handler: None = None, **params: Unpack[ChatStream]) -> AsyncAssistantStream: ...
    @overload
    def stream(self, *, event_handler: H, **params: Unpack[ChatStream]) -> HandledAsyncStream[H]: ...
    @overload
    def stream(
        self, *, event_handler: H | None, **params: Unpack[ChatStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def stream(
        self, *, event_handler: H | None = None, **params: Unpack[ChatStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        session = self._session
        request, options, call = _requested(params)

        async def open() -> Any:
            return await session.open(request, options)

        given = {**call.given(), "post_cancel": call.closing.close_async}
        return call.closing.of(new_async_stream(open, event_handler, given))


def _requested(params: ChatStream) -> tuple[Request, CallOptions, ChatCall]:
    """The keyword arguments of `stream` as a request, its options, and what belongs to its stream."""
    own, options = taken(params, ChatStream)
    choice = own.pop("choice", 0)
    body, policies = without_policies(own)
    return chat.stream(body), options, ChatCall(policies, choice)

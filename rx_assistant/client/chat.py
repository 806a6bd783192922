"""Chat Completions, as streams of Assistants events."""

from __future__ import annotations

from typing import Any, overload

from typing_extensions import Unpack

from rx_assistant.api import chat
from rx_assistant.client.model_streams import ChatCall
from rx_assistant.client.params import ChatStream, taken
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.streaming import H, async_built, built, without_policies
from rx_assistant.http.connection import Abort
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream


class Chat(Resource):
    """`client.chat`."""

    @overload
    def stream(
        self, *, event_handler: None = None, choice: int = 0, **params: Unpack[ChatStream]
    ) -> AssistantStream: ...
    @overload
    def stream(self, *, event_handler: H, choice: int = 0, **params: Unpack[ChatStream]) -> HandledStream[H]: ...
    @overload
    def stream(
        self, *, event_handler: H | None, choice: int = 0, **params: Unpack[ChatStream]
    ) -> HandledStream[H] | AssistantStream: ...
    def stream(
        self, *, event_handler: H | None = None, choice: int = 0, **params: Unpack[ChatStream]
    ) -> HandledStream[H] | AssistantStream:
        """Request a chat completion and stream it as the events of a run.

        The request is sent when the stream is entered or first read. Operators, snapshots, handlers and `get_final_…`
        work as on a run's stream. `event.source` is the chunk from which an event was made. A run that asks for
        function calls ends as `requires_action`. A body that ends without `finish_reason` and `[DONE]` is a
        StreamTruncatedError. `cancel()` closes the stream, because this API has no cancel.

        Besides the request's own parameters:

        Args:
            event_handler: `with` returns it instead of the stream.
            choice: With `n`, which choice becomes the run. The others are unknown events.
            timeout: Seconds, or a `Timeout`.
            replay, on_idle, idle_grace, on_subscribe: As for `threads.runs.stream`.
        """
        own, options = taken(params, ChatStream)
        body, policies = without_policies(own)
        session, request, abort = self._session, chat.stream(body), Abort()
        call = ChatCall(policies, choice)

        def open() -> Any:
            return session.open(request, options, abort)

        given = {**call.given(), "abort": abort.abort, "post_cancel": call.closing.close}
        return call.closing.of(built(open, event_handler, given))


class AsyncChat(AsyncResource):
    """The same for asyncio and trio."""

    @overload
    def stream(
        self, *, event_handler: None = None, choice: int = 0, **params: Unpack[ChatStream]
    ) -> AsyncAssistantStream: ...
    @overload
    def stream(self, *, event_handler: H, choice: int = 0, **params: Unpack[ChatStream]) -> HandledAsyncStream[H]: ...
    @overload
    def stream(
        self, *, event_handler: H | None, choice: int = 0, **params: Unpack[ChatStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def stream(
        self, *, event_handler: H | None = None, choice: int = 0, **params: Unpack[ChatStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """Request a chat completion and stream it as the events of a run.

        The request is sent when the stream is entered or first read. Operators, snapshots, handlers and `get_final_…`
        work as on a run's stream. `event.source` is the chunk from which an event was made. A run that asks for
        function calls ends as `requires_action`. A body that ends without `finish_reason` and `[DONE]` is a
        StreamTruncatedError. `cancel()` closes the stream, because this API has no cancel.

        Besides the request's own parameters:

        Args:
            event_handler: `with` returns it instead of the stream.
            choice: With `n`, which choice becomes the run. The others are unknown events.
            timeout: Seconds, or a `Timeout`.
            replay, on_idle, idle_grace, on_subscribe: As for `threads.runs.stream`.
        """
        own, options = taken(params, ChatStream)
        body, policies = without_policies(own)
        session, request = self._session, chat.stream(body)
        call = ChatCall(policies, choice)

        async def open() -> Any:
            return await session.open(request, options)

        given = {**call.given(), "post_cancel": call.closing.close_async}
        return call.closing.of(async_built(open, event_handler, given))

"""Responses, as streams of Assistants events."""

from __future__ import annotations

from typing import Any, overload

from typing_extensions import Unpack

from rx_assistant.api import responses
from rx_assistant.api.request import Request
from rx_assistant.client.model_streams import ResponseCall, with_async_session, with_session
from rx_assistant.client.params import ResponseStream, taken
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.streaming import H, new_async_stream, new_stream, without_policies
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.timeouts import Timeout
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream


class _Responses:
    """The documentation of the operations on both clients. The clients differ in the streams that they return."""

    def stream(self, *, event_handler: Any = None, **params: Unpack[ResponseStream]) -> Any:
        """Request a response and stream it as the events of a run. The run's id is the response's id.

        The request is sent when the stream is entered or first read. Operators, snapshots, handlers and `get_final_…`
        work as on a run's stream. `event.source` is the Responses API event from which an event was made. A run that
        asks for function calls ends as `requires_action`. A body that ends before a terminal event is a
        StreamTruncatedError. `cancel()` cancels a background response on the server, and closes the stream of any other
        response.

        Besides the request's own parameters:

        Args:
            event_handler: `with` returns it instead of the stream.
            timeout: Seconds, or a `Timeout`.
            on_disconnect: `"resume"` requests the events after the last one when the connection breaks, and is the
                default with `background=True`; `"fail"` is the default without it. StreamTruncatedError if the server
                keeps no events or does not number them.
            replay, on_idle, idle_grace, on_subscribe: As for `threads.runs.stream`.
        """
        raise NotImplementedError


class Responses(_Responses, Resource):
    """`client.responses`."""

    @overload
    def stream(self, *, event_handler: None = None, **params: Unpack[ResponseStream]) -> AssistantStream: ...
    @overload
    def stream(self, *, event_handler: H, **params: Unpack[ResponseStream]) -> HandledStream[H]: ...
    @overload
    def stream(
        self, *, event_handler: H | None, **params: Unpack[ResponseStream]
    ) -> HandledStream[H] | AssistantStream: ...
    def stream(
        self, *, event_handler: H | None = None, **params: Unpack[ResponseStream]
    ) -> HandledStream[H] | AssistantStream:
        session, abort = self._session, Abort()
        request, options, call = _requested(params, session.settings.timeout)

        def open() -> Any:
            call.begin()
            return session.open(request, options, abort)

        given = {"abort": abort.abort, "post_cancel": call.closing.close, **call.given(), **with_session(call, session)}
        return call.closing.of(new_stream(open, event_handler, given))


class AsyncResponses(_Responses, AsyncResource):
    """The same for asyncio and trio."""

    @overload
    def stream(self, *, event_handler: None = None, **params: Unpack[ResponseStream]) -> AsyncAssistantStream: ...
    @overload
    def stream(self, *, event_handler: H, **params: Unpack[ResponseStream]) -> HandledAsyncStream[H]: ...
    @overload
    def stream(
        self, *, event_handler: H | None, **params: Unpack[ResponseStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def stream(
        self, *, event_handler: H | None = None, **params: Unpack[ResponseStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        session = self._session
        request, options, call = _requested(params, session.settings.timeout)

        async def open() -> Any:
            call.begin()
            return await session.open(request, options)

        posts = with_async_session(call, session)
        given = {"post_cancel": call.closing.close_async, **call.given(), **posts}
        return call.closing.of(new_async_stream(open, event_handler, given))


def _requested(params: ResponseStream, timeout: Timeout) -> tuple[Request, CallOptions, ResponseCall]:
    """The keyword arguments of `stream` as a request, its options, and what belongs to its stream."""
    own, options = taken(params, ResponseStream)
    body, policies = without_policies(own, "resume")
    request = responses.stream(body)
    return request, options, ResponseCall(policies, request, options, timeout)

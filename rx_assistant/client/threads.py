"""Threads, and runs that begin with a new thread."""

from __future__ import annotations

from typing import Any, Literal, overload

from typing_extensions import Unpack

from rx_assistant.api import threads
from rx_assistant.client.messages import AsyncMessages, Messages
from rx_assistant.client.params import (
    CreateAndRun,
    CreateAndRunPoll,
    CreateAndRunStream,
    RequestOptions,
    ThreadCreate,
    ThreadUpdate,
    poll_params,
    taken,
)
from rx_assistant.client.polling import poll_object, poll_object_async
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.runs import AsyncRuns, Runs, started_run
from rx_assistant.client.streaming import H, async_streamed, streamed, without_policies
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream
from rx_assistant.types import Run, Thread, ThreadDeleted


class Threads(Resource):
    """`client.threads`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.messages = Messages(session)
        self.runs = Runs(session)

    def create(self, **params: Unpack[ThreadCreate]) -> Thread:
        """Create a thread, with `messages` if they are given."""
        body, options = taken(params, ThreadCreate)
        return self._fetch(Thread, threads.create(body), options)

    def retrieve(self, thread_id: str, **params: Unpack[RequestOptions]) -> Thread:
        """The thread."""
        _, options = taken(params, RequestOptions)
        return self._fetch(Thread, threads.retrieve(thread_id), options)

    def update(self, thread_id: str, **params: Unpack[ThreadUpdate]) -> Thread:
        """Change the given fields, and return the thread."""
        body, options = taken(params, ThreadUpdate)
        return self._fetch(Thread, threads.update(thread_id, body), options)

    def delete(self, thread_id: str, **params: Unpack[RequestOptions]) -> ThreadDeleted:
        """Delete the thread."""
        _, options = taken(params, RequestOptions)
        return self._fetch(ThreadDeleted, threads.delete(thread_id), options)

    @overload
    def create_and_run(self, *, stream: Literal[False] | None = None, **params: Unpack[CreateAndRun]) -> Run: ...
    @overload
    def create_and_run(
        self, *, stream: Literal[True], event_handler: None = None, **params: Unpack[CreateAndRunStream]
    ) -> AssistantStream: ...
    @overload
    def create_and_run(
        self, *, stream: Literal[True], event_handler: H, **params: Unpack[CreateAndRunStream]
    ) -> HandledStream[H]: ...
    @overload
    def create_and_run(
        self, *, stream: bool | None = None, **params: Unpack[CreateAndRun]
    ) -> Run | AssistantStream: ...
    def create_and_run(self, *, stream: bool | None = None, **params: Any) -> Run | AssistantStream:
        """Create a thread and a run on it. `stream=True` returns its stream, as `create_and_run_stream` does."""
        if stream:
            events: AssistantStream = self.create_and_run_stream(**params)
            return events
        body, options = taken(params, CreateAndRun)
        return self._fetch(Run, threads.create_and_run(body), options)

    @overload
    def create_and_run_stream(
        self, *, event_handler: None = None, **params: Unpack[CreateAndRunStream]
    ) -> AssistantStream: ...
    @overload
    def create_and_run_stream(self, *, event_handler: H, **params: Unpack[CreateAndRunStream]) -> HandledStream[H]: ...
    @overload
    def create_and_run_stream(
        self, *, event_handler: H | None, **params: Unpack[CreateAndRunStream]
    ) -> HandledStream[H] | AssistantStream: ...
    def create_and_run_stream(
        self, *, event_handler: H | None = None, **params: Unpack[CreateAndRunStream]
    ) -> HandledStream[H] | AssistantStream:
        """Create a thread and a run on it, and stream the run. The request is sent when the stream is entered.

        Options as for `threads.runs.stream`.
        """
        given, options = taken(params, CreateAndRunStream)
        body, policies = without_policies(given)
        return streamed(self._session, threads.create_and_run(body), options, event_handler, policies)

    def create_and_run_poll(self, **params: Unpack[CreateAndRunPoll]) -> Run:
        """Create a thread and a run on it, and return the run when it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000 ms. Check its `status`: a failed run
        is returned like any other.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, CreateAndRunPoll)
        return poll_object(self._session, started_run(threads.create_and_run(call.body)), call)


class AsyncThreads(AsyncResource):
    """`client.threads` of the asynchronous client."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session)
        self.messages = AsyncMessages(session)
        self.runs = AsyncRuns(session)

    async def create(self, **params: Unpack[ThreadCreate]) -> Thread:
        """Create a thread, with `messages` if they are given."""
        body, options = taken(params, ThreadCreate)
        return await self._fetch(Thread, threads.create(body), options)

    async def retrieve(self, thread_id: str, **params: Unpack[RequestOptions]) -> Thread:
        """The thread."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(Thread, threads.retrieve(thread_id), options)

    async def update(self, thread_id: str, **params: Unpack[ThreadUpdate]) -> Thread:
        """Change the given fields, and return the thread."""
        body, options = taken(params, ThreadUpdate)
        return await self._fetch(Thread, threads.update(thread_id, body), options)

    async def delete(self, thread_id: str, **params: Unpack[RequestOptions]) -> ThreadDeleted:
        """Delete the thread."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(ThreadDeleted, threads.delete(thread_id), options)

    @overload
    async def create_and_run(self, *, stream: Literal[False] | None = None, **params: Unpack[CreateAndRun]) -> Run: ...
    @overload
    async def create_and_run(
        self, *, stream: Literal[True], event_handler: None = None, **params: Unpack[CreateAndRunStream]
    ) -> AsyncAssistantStream: ...
    @overload
    async def create_and_run(
        self, *, stream: Literal[True], event_handler: H, **params: Unpack[CreateAndRunStream]
    ) -> HandledAsyncStream[H]: ...
    @overload
    async def create_and_run(
        self, *, stream: bool | None = None, **params: Unpack[CreateAndRun]
    ) -> Run | AsyncAssistantStream: ...
    async def create_and_run(self, *, stream: bool | None = None, **params: Any) -> Run | AsyncAssistantStream:
        """Create a thread and a run on it. `stream=True` returns its stream, as `create_and_run_stream` does."""
        if stream:
            events: AsyncAssistantStream = self.create_and_run_stream(**params)
            return events
        body, options = taken(params, CreateAndRun)
        return await self._fetch(Run, threads.create_and_run(body), options)

    @overload
    def create_and_run_stream(
        self, *, event_handler: None = None, **params: Unpack[CreateAndRunStream]
    ) -> AsyncAssistantStream: ...
    @overload
    def create_and_run_stream(
        self, *, event_handler: H, **params: Unpack[CreateAndRunStream]
    ) -> HandledAsyncStream[H]: ...
    @overload
    def create_and_run_stream(
        self, *, event_handler: H | None, **params: Unpack[CreateAndRunStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def create_and_run_stream(
        self, *, event_handler: H | None = None, **params: Unpack[CreateAndRunStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """Create a thread and a run on it, and stream the run. The request is sent when the stream is entered.

        Options as for `threads.runs.stream`.
        """
        given, options = taken(params, CreateAndRunStream)
        body, policies = without_policies(given)
        return async_streamed(self._session, threads.create_and_run(body), options, event_handler, policies)

    async def create_and_run_poll(self, **params: Unpack[CreateAndRunPoll]) -> Run:
        """Create a thread and a run on it, and return the run when it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000 ms. Check its `status`: a failed run
        is returned like any other.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, CreateAndRunPoll)
        return await poll_object_async(self._session, started_run(threads.create_and_run(call.body)), call)

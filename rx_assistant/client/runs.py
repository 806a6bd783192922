"""Runs of an assistant on a thread, and their streams."""

from __future__ import annotations

from typing import Any, Literal, overload

from typing_extensions import Unpack

from rx_assistant.api import runs
from rx_assistant.api.request import Request
from rx_assistant.client.pages import AsyncPaginator, Page
from rx_assistant.client.params import (
    PollOptions,
    RequestOptions,
    RunCreate,
    RunCreateAndPoll,
    RunList,
    RunStream,
    RunStreamWithTools,
    RunUpdate,
    Submit,
    SubmitAndPoll,
    SubmitStream,
    WatchEvents,
    poll_params,
    taken,
)
from rx_assistant.client.polling import (
    PollTarget,
    poll_object,
    poll_object_async,
    watch_object,
    watch_object_async,
)
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.run_events import polled_async_body, polled_body
from rx_assistant.client.run_steps import AsyncSteps, Steps
from rx_assistant.client.streaming import (
    H,
    async_streamed,
    cancellable_async_stream,
    cancellable_stream,
    streamed,
    without_policies,
)
from rx_assistant.client.tool_streams import async_streamed_with_tools, streamed_with_tools, tool_call
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.lifecycle import RUN
from rx_assistant.polling import AsyncPolledBody, PolledBody
from rx_assistant.streams import (
    AssistantStream,
    AsyncAssistantStream,
    HandledAsyncStream,
    HandledStream,
    RunIdentity,
)
from rx_assistant.types import Run


class Runs(Resource):
    """`client.threads.runs`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.steps = Steps(session)

    @overload
    def create(self, thread_id: str, *, stream: Literal[False] | None = None, **params: Unpack[RunCreate]) -> Run: ...
    @overload
    def create(
        self, thread_id: str, *, stream: Literal[True], event_handler: None = None, **params: Unpack[RunStream]
    ) -> AssistantStream: ...
    @overload
    def create(
        self, thread_id: str, *, stream: Literal[True], event_handler: H, **params: Unpack[RunStream]
    ) -> HandledStream[H]: ...
    @overload
    def create(
        self, thread_id: str, *, stream: bool | None = None, **params: Unpack[RunCreate]
    ) -> Run | AssistantStream: ...
    def create(self, thread_id: str, *, stream: bool | None = None, **params: Any) -> Run | AssistantStream:
        """Start a run and return it, usually `queued`. With `stream=True` returns its stream, as `stream` does."""
        if stream:
            events: AssistantStream = self.stream(thread_id, **params)
            return events
        body, options = taken(params, RunCreate)
        return self._fetch(Run, runs.create(thread_id, body), options)

    def retrieve(self, run_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """The run."""
        _, options = taken(params, RequestOptions)
        return self._fetch(Run, runs.retrieve(run_id, thread_id), options)

    def update(self, run_id: str, thread_id: str, **params: Unpack[RunUpdate]) -> Run:
        """Change the metadata, and return the run."""
        body, options = taken(params, RunUpdate)
        return self._fetch(Run, runs.update(run_id, thread_id, body), options)

    def list(self, thread_id: str, **params: Unpack[RunList]) -> Page[Run]:
        """The thread's runs. Iterating fetches further pages."""
        query, options = taken(params, RunList)
        return self._page(Run, runs.list(thread_id, query), options)

    def cancel(self, run_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """Ask the server to cancel the run, and return the run, usually `cancelling`."""
        _, options = taken(params, RequestOptions)
        return self._fetch(Run, runs.cancel(run_id, thread_id), options)

    @overload
    def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: Literal[False] | None = None, **params: Unpack[Submit]
    ) -> Run: ...
    @overload
    def submit_tool_outputs(
        self,
        run_id: str,
        thread_id: str,
        *,
        stream: Literal[True],
        event_handler: None = None,
        **params: Unpack[SubmitStream],
    ) -> AssistantStream: ...
    @overload
    def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: Literal[True], event_handler: H, **params: Unpack[SubmitStream]
    ) -> HandledStream[H]: ...
    @overload
    def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: bool | None = None, **params: Unpack[Submit]
    ) -> Run | AssistantStream: ...
    def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: bool | None = None, **params: Any
    ) -> Run | AssistantStream:
        """Submit the outputs of all calls that the run waits for, and return the run, which continues.

        If a reply is lost, the run is fetched before the outputs are sent again. With `stream=True` returns the rest of
        the run as a stream, as `submit_tool_outputs_stream` does.
        """
        if stream:
            events: AssistantStream = self.submit_tool_outputs_stream(run_id, thread_id, **params)
            return events
        body, options = taken(params, Submit)
        return self._fetch(Run, runs.submit_tool_outputs(run_id, thread_id, body), options)

    @overload
    def stream(self, thread_id: str, *, event_handler: None = None, **params: Unpack[RunStream]) -> AssistantStream: ...
    @overload
    def stream(self, thread_id: str, *, event_handler: H, **params: Unpack[RunStream]) -> HandledStream[H]: ...
    @overload
    def stream(
        self, thread_id: str, *, event_handler: H | None, **params: Unpack[RunStream]
    ) -> HandledStream[H] | AssistantStream: ...
    def stream(
        self, thread_id: str, *, event_handler: H | None = None, **params: Unpack[RunStream]
    ) -> HandledStream[H] | AssistantStream:
        """Start a run and stream it. The request is sent when the stream is entered or first read.

        Besides the run's own parameters:

        Args:
            event_handler: An event handler; `with` then returns it instead of the stream.
            timeout: Seconds, or a `Timeout`.
            on_disconnect: `"poll"` continues by polling the run when the connection breaks; `"fail"` is the default.
            on_idle: The action `idle_grace` seconds after the last reader has left: `"close"` closes the response,
                `"cancel"` also cancels the run, `"detach"` (the default) does nothing.
            cancel_wait: How many seconds leaving the block with `on_idle="cancel"` waits until the run has ended and
                its thread accepts the next one; 2 by default.
            on_subscribe: `"connect"` reads in the background as soon as something subscribes; `"wait"` never does. By
                default only a subscription that an operator of reactivex makes connects.
            replay: `"none"` gives late subscribers only later events; `"all"`, the default, gives them all events.
        """
        given, options = taken(params, RunStream)
        body, policies = without_policies(given)
        return streamed(
            self._session, runs.create(thread_id, body), options, event_handler, policies, thread_id=thread_id
        )

    create_and_stream = stream

    @overload
    def stream_with_tools(
        self, thread_id: str, *, event_handler: None = None, **params: Unpack[RunStreamWithTools]
    ) -> AssistantStream: ...
    @overload
    def stream_with_tools(
        self, thread_id: str, *, event_handler: H, **params: Unpack[RunStreamWithTools]
    ) -> HandledStream[H]: ...
    @overload
    def stream_with_tools(
        self, thread_id: str, *, event_handler: H | None, **params: Unpack[RunStreamWithTools]
    ) -> HandledStream[H] | AssistantStream: ...
    def stream_with_tools(
        self, thread_id: str, *, event_handler: H | None = None, **params: Unpack[RunStreamWithTools]
    ) -> HandledStream[H] | AssistantStream:
        """Start a run, answer its tool calls, and stream it to its end: one stream for all rounds.

        The assistant must know the tools: create it with `tools=toolset.definitions()`. The options are those of
        `stream`, and:

        Args:
            tools: A ToolSet, or functions.
            max_rounds: How often the run may require action, 32 by default; then ToolRoundsError ends the stream.
            max_concurrency: How many calls run at a time, 8 by default.
            tool_timeout: Seconds that one call may take.
            eager: Start each call as soon as its arguments are complete.
            expose_errors: What the model learns about an exception: its `"type"`, its `"message"`, or the text that a
                function of the exception returns.
            on_tool_error: `"raise"` ends the stream with ToolFailedError; `"output"` is the default.
            approve: Decides which calls run: a function of the call, an async function, an Observable of decisions, or
                an `Approval`.

        Raises:
            ValueError: a tool needs approval and `approve` is missing, or an option is out of range.
        """
        call = tool_call(params, RunStreamWithTools)
        request = runs.create(thread_id, call.body)
        return streamed_with_tools(self._session, request, call, event_handler, thread_id)

    @overload
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: None = None, **params: Unpack[SubmitStream]
    ) -> AssistantStream: ...
    @overload
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: H, **params: Unpack[SubmitStream]
    ) -> HandledStream[H]: ...
    @overload
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: H | None, **params: Unpack[SubmitStream]
    ) -> HandledStream[H] | AssistantStream: ...
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: H | None = None, **params: Unpack[SubmitStream]
    ) -> HandledStream[H] | AssistantStream:
        """Submit the outputs of all calls that the run waits for, and stream the rest of the run.

        The options are those of `stream`.

        `tool_outputs` are dicts with `tool_call_id` and `output`, one for each call.
        """
        given, options = taken(params, SubmitStream)
        body, policies = without_policies(given)
        request = runs.submit_tool_outputs(run_id, thread_id, body)
        return streamed(self._session, request, options, event_handler, policies, RunIdentity(run_id, thread_id))

    def watch(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Stream[Run]:
        """The run's states until it has ended or requires action. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object(self._session, existing_run(run_id, thread_id), call)

    def poll(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Run:
        """The run when it has ended or requires action: the last state of `watch`."""
        return self.watch(run_id, thread_id, **params).run()

    @overload
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: None = None, **params: Unpack[WatchEvents]
    ) -> AssistantStream: ...
    @overload
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: H, **params: Unpack[WatchEvents]
    ) -> HandledStream[H]: ...
    @overload
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: H | None, **params: Unpack[WatchEvents]
    ) -> HandledStream[H] | AssistantStream: ...
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: H | None = None, **params: Unpack[WatchEvents]
    ) -> HandledStream[H] | AssistantStream:
        """A stream of the run's events from its beginning, created from polled objects.

        Polls while the stream is read, until the run has ended or requires action. Each piece of text is the text that
        was added between two polls.
        """
        call = poll_params(params, WatchEvents)
        _, policies = without_policies(call.body)
        identity = RunIdentity(run_id, thread_id)
        runs.retrieve(run_id, thread_id)  # an empty id is an error at once

        def open() -> PolledBody:
            return polled_body(self._session, identity, call)

        return cancellable_stream(self._session, open, event_handler, {**policies, "identity": identity})

    def create_and_poll(self, thread_id: str, **params: Unpack[RunCreateAndPoll]) -> Run:
        """Start a run, and return it when it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000 ms. Check its `status`: a failed run
        is returned like any other.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, RunCreateAndPoll)
        return poll_object(self._session, started_run(runs.create(thread_id, call.body)), call)

    def submit_tool_outputs_and_poll(self, run_id: str, thread_id: str, **params: Unpack[SubmitAndPoll]) -> Run:
        """Submit the outputs that the run waits for, and return the run when it has ended or requires action again."""
        call = poll_params(params, SubmitAndPoll)
        request = runs.submit_tool_outputs(run_id, thread_id, call.body)
        return poll_object(self._session, started_run(request), call)

    submit_tool_ouptputs_and_poll = submit_tool_outputs_and_poll
    """The name in the published documentation."""


class AsyncRuns(AsyncResource):
    """`client.threads.runs` of the asynchronous client."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session)
        self.steps = AsyncSteps(session)

    @overload
    async def create(
        self, thread_id: str, *, stream: Literal[False] | None = None, **params: Unpack[RunCreate]
    ) -> Run: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: Literal[True], event_handler: None = None, **params: Unpack[RunStream]
    ) -> AsyncAssistantStream: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: Literal[True], event_handler: H, **params: Unpack[RunStream]
    ) -> HandledAsyncStream[H]: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: bool | None = None, **params: Unpack[RunCreate]
    ) -> Run | AsyncAssistantStream: ...
    async def create(self, thread_id: str, *, stream: bool | None = None, **params: Any) -> Run | AsyncAssistantStream:
        """Start a run and return it, usually `queued`. With `stream=True` returns its stream, as `stream` does."""
        if stream:
            events: AsyncAssistantStream = self.stream(thread_id, **params)
            return events
        body, options = taken(params, RunCreate)
        return await self._fetch(Run, runs.create(thread_id, body), options)

    async def retrieve(self, run_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """The run."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(Run, runs.retrieve(run_id, thread_id), options)

    async def update(self, run_id: str, thread_id: str, **params: Unpack[RunUpdate]) -> Run:
        """Change the metadata, and return the run."""
        body, options = taken(params, RunUpdate)
        return await self._fetch(Run, runs.update(run_id, thread_id, body), options)

    def list(self, thread_id: str, **params: Unpack[RunList]) -> AsyncPaginator[Run]:
        """The thread's runs. Iterating fetches further pages."""
        query, options = taken(params, RunList)
        return self._pages(Run, runs.list(thread_id, query), options)

    async def cancel(self, run_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """Ask the server to cancel the run, and return the run, usually `cancelling`."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(Run, runs.cancel(run_id, thread_id), options)

    @overload
    async def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: Literal[False] | None = None, **params: Unpack[Submit]
    ) -> Run: ...
    @overload
    async def submit_tool_outputs(
        self,
        run_id: str,
        thread_id: str,
        *,
        stream: Literal[True],
        event_handler: None = None,
        **params: Unpack[SubmitStream],
    ) -> AsyncAssistantStream: ...
    @overload
    async def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: Literal[True], event_handler: H, **params: Unpack[SubmitStream]
    ) -> HandledAsyncStream[H]: ...
    @overload
    async def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: bool | None = None, **params: Unpack[Submit]
    ) -> Run | AsyncAssistantStream: ...
    async def submit_tool_outputs(
        self, run_id: str, thread_id: str, *, stream: bool | None = None, **params: Any
    ) -> Run | AsyncAssistantStream:
        """Submit the outputs of all calls that the run waits for, and return the run, which continues.

        If a reply is lost, the run is fetched before the outputs are sent again. With `stream=True` returns the rest of
        the run as a stream, as `submit_tool_outputs_stream` does.
        """
        if stream:
            events: AsyncAssistantStream = self.submit_tool_outputs_stream(run_id, thread_id, **params)
            return events
        body, options = taken(params, Submit)
        return await self._fetch(Run, runs.submit_tool_outputs(run_id, thread_id, body), options)

    @overload
    def stream(
        self, thread_id: str, *, event_handler: None = None, **params: Unpack[RunStream]
    ) -> AsyncAssistantStream: ...
    @overload
    def stream(self, thread_id: str, *, event_handler: H, **params: Unpack[RunStream]) -> HandledAsyncStream[H]: ...
    @overload
    def stream(
        self, thread_id: str, *, event_handler: H | None, **params: Unpack[RunStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def stream(
        self, thread_id: str, *, event_handler: H | None = None, **params: Unpack[RunStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """Start a run and stream it. The request is sent when the stream is entered or first read.

        Besides the run's own parameters:

        Args:
            event_handler: An event handler; `with` then returns it instead of the stream.
            timeout: Seconds, or a `Timeout`.
            on_disconnect: `"poll"` continues by polling the run when the connection breaks; `"fail"` is the default.
            on_idle: The action `idle_grace` seconds after the last reader has left: `"close"` closes the response,
                `"cancel"` also cancels the run, `"detach"` (the default) does nothing.
            cancel_wait: How many seconds leaving the block with `on_idle="cancel"` waits until the run has ended and
                its thread accepts the next one; 2 by default.
            on_subscribe: `"connect"` reads in the background as soon as something subscribes; `"wait"` never does. By
                default only a subscription that an operator of reactivex makes connects.
            replay: `"none"` gives late subscribers only later events; `"all"`, the default, gives them all events.
        """
        given, options = taken(params, RunStream)
        body, policies = without_policies(given)
        return async_streamed(
            self._session, runs.create(thread_id, body), options, event_handler, policies, thread_id=thread_id
        )

    create_and_stream = stream

    @overload
    def stream_with_tools(
        self, thread_id: str, *, event_handler: None = None, **params: Unpack[RunStreamWithTools]
    ) -> AsyncAssistantStream: ...
    @overload
    def stream_with_tools(
        self, thread_id: str, *, event_handler: H, **params: Unpack[RunStreamWithTools]
    ) -> HandledAsyncStream[H]: ...
    @overload
    def stream_with_tools(
        self, thread_id: str, *, event_handler: H | None, **params: Unpack[RunStreamWithTools]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def stream_with_tools(
        self, thread_id: str, *, event_handler: H | None = None, **params: Unpack[RunStreamWithTools]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """Start a run, answer its tool calls, and stream it to its end: one stream for all rounds.

        The assistant must know the tools: create it with `tools=toolset.definitions()`. The options are those of
        `stream`, and:

        Args:
            tools: A ToolSet, or functions.
            max_rounds: How often the run may require action, 32 by default; then ToolRoundsError ends the stream.
            max_concurrency: How many calls run at a time, 8 by default.
            tool_timeout: Seconds that one call may take.
            eager: Start each call as soon as its arguments are complete.
            expose_errors: What the model learns about an exception: its `"type"`, its `"message"`, or the text that a
                function of the exception returns.
            on_tool_error: `"raise"` ends the stream with ToolFailedError; `"output"` is the default.
            approve: Decides which calls run: a function of the call, an async function, an Observable of decisions, or
                an `Approval`.

        Raises:
            ValueError: a tool needs approval and `approve` is missing, or an option is out of range.
        """
        call = tool_call(params, RunStreamWithTools)
        return async_streamed_with_tools(
            self._session, runs.create(thread_id, call.body), call, event_handler, thread_id
        )

    @overload
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: None = None, **params: Unpack[SubmitStream]
    ) -> AsyncAssistantStream: ...
    @overload
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: H, **params: Unpack[SubmitStream]
    ) -> HandledAsyncStream[H]: ...
    @overload
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: H | None, **params: Unpack[SubmitStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def submit_tool_outputs_stream(
        self, run_id: str, thread_id: str, *, event_handler: H | None = None, **params: Unpack[SubmitStream]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """Submit the outputs of all calls that the run waits for, and stream the rest of the run.

        The options are those of `stream`.

        `tool_outputs` are dicts with `tool_call_id` and `output`, one for each call.
        """
        given, options = taken(params, SubmitStream)
        body, policies = without_policies(given)
        request = runs.submit_tool_outputs(run_id, thread_id, body)
        return async_streamed(self._session, request, options, event_handler, policies, RunIdentity(run_id, thread_id))

    def watch(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> AsyncStream[Run]:
        """The run's states until it has ended or requires action. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object_async(self._session, existing_run(run_id, thread_id), call)

    async def poll(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Run:
        """The run when it has ended or requires action: the last state of `watch`."""
        return await self.watch(run_id, thread_id, **params)

    @overload
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: None = None, **params: Unpack[WatchEvents]
    ) -> AsyncAssistantStream: ...
    @overload
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: H, **params: Unpack[WatchEvents]
    ) -> HandledAsyncStream[H]: ...
    @overload
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: H | None, **params: Unpack[WatchEvents]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def watch_events(
        self, run_id: str, thread_id: str, *, event_handler: H | None = None, **params: Unpack[WatchEvents]
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """A stream of the run's events from its beginning, created from polled objects.

        Polls while the stream is read, until the run has ended or requires action. Each piece of text is the text that
        was added between two polls.
        """
        call = poll_params(params, WatchEvents)
        _, policies = without_policies(call.body)
        identity = RunIdentity(run_id, thread_id)
        runs.retrieve(run_id, thread_id)  # an empty id is an error at once

        async def open() -> AsyncPolledBody:
            return await polled_async_body(self._session, identity, call)

        return cancellable_async_stream(self._session, open, event_handler, {**policies, "identity": identity})

    async def create_and_poll(self, thread_id: str, **params: Unpack[RunCreateAndPoll]) -> Run:
        """Start a run, and return it when it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000 ms. Check its `status`: a failed run
        is returned like any other.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, RunCreateAndPoll)
        return await poll_object_async(self._session, started_run(runs.create(thread_id, call.body)), call)

    async def submit_tool_outputs_and_poll(self, run_id: str, thread_id: str, **params: Unpack[SubmitAndPoll]) -> Run:
        """Submit the outputs that the run waits for, and return the run when it has ended or requires action again."""
        call = poll_params(params, SubmitAndPoll)
        request = runs.submit_tool_outputs(run_id, thread_id, call.body)
        return await poll_object_async(self._session, started_run(request), call)

    submit_tool_ouptputs_and_poll = submit_tool_outputs_and_poll
    """The name in the published documentation."""


def existing_run(run_id: str, thread_id: str) -> PollTarget[Run]:
    """A run that was started before."""
    return PollTarget(Run, RUN, runs.retrieve(run_id, thread_id))


def started_run(request: Request) -> PollTarget[Run]:
    """The run that a request starts or continues."""
    return PollTarget(Run, RUN, request, lambda run: runs.retrieve(run.id, run.thread_id))

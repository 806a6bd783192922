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
from rx_assistant.client.streaming import H, async_made, async_streamed, made, streamed, without_policies
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
        """Start a run, and give it as it is queued. With `stream=True`: its stream, as from `stream`."""
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
        """Change the metadata, and give the run as it is now."""
        body, options = taken(params, RunUpdate)
        return self._fetch(Run, runs.update(run_id, thread_id, body), options)

    def list(self, thread_id: str, **params: Unpack[RunList]) -> Page[Run]:
        """The thread's runs; iterate to get those of further pages too."""
        query, options = taken(params, RunList)
        return self._page(Run, runs.list(thread_id, query), options)

    def cancel(self, run_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """Ask for the run to be cancelled, and give it as it is now: usually `cancelling`."""
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
        """Give the outputs of all calls that the run asks for, and get the run, which goes on.

        When it is unclear whether they arrived, the run is asked before they are sent again. With `stream=True`: the
        rest of the run as a stream, as from `submit_tool_outputs_stream`.
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
        """Start a run and stream it. The request is sent when the stream is entered, or first asked for events.

        Beside the run's own parameters:

        Args:
            event_handler: `with` returns it instead of the stream.
            timeout: Seconds, or a `Timeout`.
            on_disconnect: `"poll"` goes on by polling the run when the connection breaks; `"fail"` is the default.
            on_idle: When the last reader has left, `"close"` the response, or `"cancel"` the run as well; `idle_grace`
                seconds later.
            cancel_wait: Seconds that leaving the block with `on_idle="cancel"` waits until the run is over and its
                thread takes the next one; 2 by default.
            on_subscribe: `"connect"` reads in the background as soon as something subscribes; `"wait"` never does. By
                default only a subscription that reactivex makes by itself connects.
            replay: `"none"` gives late subscribers only what comes; `"all"` is the default.
        """
        given, options = taken(params, RunStream)
        body, policies = without_policies(given)
        return streamed(
            self._session, runs.create(thread_id, body), options, event_handler, policies, thread_id=thread_id
        )

    create_and_stream = stream

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
        """Give the outputs of all calls that the run asks for, and stream the rest of the run. Options as for `stream`.

        `tool_outputs` are dicts with `tool_call_id` and `output`, one for each call.
        """
        given, options = taken(params, SubmitStream)
        body, policies = without_policies(given)
        request = runs.submit_tool_outputs(run_id, thread_id, body)
        return streamed(self._session, request, options, event_handler, policies, RunIdentity(run_id, thread_id))

    def watch(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Stream[Run]:
        """The run's states until it has ended or requires action, each subscription polling for itself.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object(self._session, existing_run(run_id, thread_id), call)

    def poll(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Run:
        """The run once it has ended or requires action: the last state of `watch`."""
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
        """The run as the stream that the server would have sent, made from polled objects, from its beginning.

        Polls while the stream is read, until the run has ended or requires action. Text comes in larger pieces: each
        holds what was added between two polls. Everything else is as in any stream.
        """
        call = poll_params(params, WatchEvents)
        _, policies = without_policies(call.body)
        identity = RunIdentity(run_id, thread_id)
        runs.retrieve(run_id, thread_id)  # an empty id is an error here and now

        def open() -> PolledBody:
            return polled_body(self._session, identity, call)

        return made(self._session, open, event_handler, {**policies, "identity": identity})

    def create_and_poll(self, thread_id: str, **params: Unpack[RunCreateAndPoll]) -> Run:
        """Start a run, and give it once it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000 ms. Check its `status`: a failed run
        is given like any other.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, RunCreateAndPoll)
        return poll_object(self._session, started_run(runs.create(thread_id, call.body)), call)

    def submit_tool_outputs_and_poll(self, run_id: str, thread_id: str, **params: Unpack[SubmitAndPoll]) -> Run:
        """Give the outputs that the run asks for, and give it once it has ended or requires action again."""
        call = poll_params(params, SubmitAndPoll)
        request = runs.submit_tool_outputs(run_id, thread_id, call.body)
        return poll_object(self._session, started_run(request), call)

    submit_tool_ouptputs_and_poll = submit_tool_outputs_and_poll
    """As the published documentation spells it."""


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
        """Start a run, and give it as it is queued. With `stream=True`: its stream, as from `stream`."""
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
        """Change the metadata, and give the run as it is now."""
        body, options = taken(params, RunUpdate)
        return await self._fetch(Run, runs.update(run_id, thread_id, body), options)

    def list(self, thread_id: str, **params: Unpack[RunList]) -> AsyncPaginator[Run]:
        """The thread's runs; iterate to get those of further pages too."""
        query, options = taken(params, RunList)
        return self._pages(Run, runs.list(thread_id, query), options)

    async def cancel(self, run_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """Ask for the run to be cancelled, and give it as it is now: usually `cancelling`."""
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
        """Give the outputs of all calls that the run asks for, and get the run, which goes on.

        When it is unclear whether they arrived, the run is asked before they are sent again. With `stream=True`: the
        rest of the run as a stream, as from `submit_tool_outputs_stream`.
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
        """Start a run and stream it. The request is sent when the stream is entered, or first asked for events.

        Beside the run's own parameters:

        Args:
            event_handler: `with` returns it instead of the stream.
            timeout: Seconds, or a `Timeout`.
            on_disconnect: `"poll"` goes on by polling the run when the connection breaks; `"fail"` is the default.
            on_idle: When the last reader has left, `"close"` the response, or `"cancel"` the run as well; `idle_grace`
                seconds later.
            cancel_wait: Seconds that leaving the block with `on_idle="cancel"` waits until the run is over and its
                thread takes the next one; 2 by default.
            on_subscribe: `"connect"` reads in the background as soon as something subscribes; `"wait"` never does. By
                default only a subscription that reactivex makes by itself connects.
            replay: `"none"` gives late subscribers only what comes; `"all"` is the default.
        """
        given, options = taken(params, RunStream)
        body, policies = without_policies(given)
        return async_streamed(
            self._session, runs.create(thread_id, body), options, event_handler, policies, thread_id=thread_id
        )

    create_and_stream = stream

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
        """Give the outputs of all calls that the run asks for, and stream the rest of the run. Options as for `stream`.

        `tool_outputs` are dicts with `tool_call_id` and `output`, one for each call.
        """
        given, options = taken(params, SubmitStream)
        body, policies = without_policies(given)
        request = runs.submit_tool_outputs(run_id, thread_id, body)
        return async_streamed(self._session, request, options, event_handler, policies, RunIdentity(run_id, thread_id))

    def watch(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> AsyncStream[Run]:
        """The run's states until it has ended or requires action, each subscription polling for itself.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object_async(self._session, existing_run(run_id, thread_id), call)

    async def poll(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Run:
        """The run once it has ended or requires action: the last state of `watch`."""
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
        """The run as the stream that the server would have sent, made from polled objects, from its beginning.

        Polls while the stream is read, until the run has ended or requires action. Text comes in larger pieces: each
        holds what was added between two polls. Everything else is as in any stream.
        """
        call = poll_params(params, WatchEvents)
        _, policies = without_policies(call.body)
        identity = RunIdentity(run_id, thread_id)
        runs.retrieve(run_id, thread_id)  # an empty id is an error here and now

        async def open() -> AsyncPolledBody:
            return await polled_async_body(self._session, identity, call)

        return async_made(self._session, open, event_handler, {**policies, "identity": identity})

    async def create_and_poll(self, thread_id: str, **params: Unpack[RunCreateAndPoll]) -> Run:
        """Start a run, and give it once it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000 ms. Check its `status`: a failed run
        is given like any other.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, RunCreateAndPoll)
        return await poll_object_async(self._session, started_run(runs.create(thread_id, call.body)), call)

    async def submit_tool_outputs_and_poll(self, run_id: str, thread_id: str, **params: Unpack[SubmitAndPoll]) -> Run:
        """Give the outputs that the run asks for, and give it once it has ended or requires action again."""
        call = poll_params(params, SubmitAndPoll)
        request = runs.submit_tool_outputs(run_id, thread_id, call.body)
        return await poll_object_async(self._session, started_run(request), call)

    submit_tool_ouptputs_and_poll = submit_tool_outputs_and_poll
    """As the published documentation spells it."""


def existing_run(run_id: str, thread_id: str) -> PollTarget[Run]:
    """A run that was started before."""
    return PollTarget(Run, RUN, runs.retrieve(run_id, thread_id))


def started_run(request: Request) -> PollTarget[Run]:
    """The run that a request starts or continues."""
    return PollTarget(Run, RUN, request, lambda run: runs.retrieve(run.id, run.thread_id))

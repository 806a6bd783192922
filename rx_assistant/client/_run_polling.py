"""Runs that are polled: their states as streams, their last state as a value."""

from __future__ import annotations

from typing import overload

from typing_extensions import Unpack

from rx_assistant.api import runs, threads
from rx_assistant.api.request import OMIT, Request
from rx_assistant.client._params import taken
from rx_assistant.client._poll_params import (
    CreateAndRunPoll,
    PollOptions,
    RunCreateAndPoll,
    SubmitAndPoll,
    WatchEvents,
)
from rx_assistant.client._polling import Subject, taken_waiting, watched, watched_async
from rx_assistant.client._resource import AsyncResource, Resource
from rx_assistant.client._run_events import polled_async_body, polled_body
from rx_assistant.client._streaming import H, async_made, made, without_policies
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.options import CallOptions
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


class RunPolling(Resource):
    """What `client.threads.runs` has for servers, and programs, that would rather poll."""

    def watch(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> Stream[Run]:
        """The run's states until it has ended or requires action, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched(self._session, _known(run_id, thread_id, options), waiting)

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

        Polls while someone reads, until the run has ended or requires action. Text comes in larger pieces, as large
        as what was added between two polls; everything else is as in any stream.
        """
        given, waiting = taken_waiting(params)
        own, options = taken(given, WatchEvents)
        rest, policies = without_policies(own)
        identity = RunIdentity(run_id, thread_id)
        runs.retrieve(run_id, thread_id)  # an empty id is an error here and now

        def open() -> PolledBody:
            return polled_body(self._session, identity, options, waiting, rest.get("include", OMIT))

        return made(self._session, open, event_handler, {**policies, "identity": identity})

    def create_and_poll(self, thread_id: str, **params: Unpack[RunCreateAndPoll]) -> Run:
        """Start a run, and give it once it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000. Look at its `status`: a run that
        fails is given like any other.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, RunCreateAndPoll)
        return watched(self._session, _begun(runs.create(thread_id, body), options), waiting).run()

    def submit_tool_outputs_and_poll(self, run_id: str, thread_id: str, **params: Unpack[SubmitAndPoll]) -> Run:
        """Give the outputs that the run asks for, and give it once it has ended or requires action again."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, SubmitAndPoll)
        request = runs.submit_tool_outputs(run_id, thread_id, body)
        return watched(self._session, _begun(request, options), waiting).run()

    submit_tool_ouptputs_and_poll = submit_tool_outputs_and_poll
    """As the published documentation spells it."""


class AsyncRunPolling(AsyncResource):
    """The same for asyncio and trio."""

    def watch(self, run_id: str, thread_id: str, **params: Unpack[PollOptions]) -> AsyncStream[Run]:
        """The run's states until it has ended or requires action, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched_async(self._session, _known(run_id, thread_id, options), waiting)

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

        Polls while someone reads, until the run has ended or requires action. Text comes in larger pieces, as large
        as what was added between two polls; everything else is as in any stream.
        """
        given, waiting = taken_waiting(params)
        own, options = taken(given, WatchEvents)
        rest, policies = without_policies(own)
        identity = RunIdentity(run_id, thread_id)
        runs.retrieve(run_id, thread_id)  # an empty id is an error here and now

        async def open() -> AsyncPolledBody:
            return await polled_async_body(self._session, identity, options, waiting, rest.get("include", OMIT))

        return async_made(self._session, open, event_handler, {**policies, "identity": identity})

    async def create_and_poll(self, thread_id: str, **params: Unpack[RunCreateAndPoll]) -> Run:
        """Start a run, and give it once it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000. Look at its `status`: a run that
        fails is given like any other.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, RunCreateAndPoll)
        return await watched_async(self._session, _begun(runs.create(thread_id, body), options), waiting)

    async def submit_tool_outputs_and_poll(self, run_id: str, thread_id: str, **params: Unpack[SubmitAndPoll]) -> Run:
        """Give the outputs that the run asks for, and give it once it has ended or requires action again."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, SubmitAndPoll)
        request = runs.submit_tool_outputs(run_id, thread_id, body)
        return await watched_async(self._session, _begun(request, options), waiting)

    submit_tool_ouptputs_and_poll = submit_tool_outputs_and_poll
    """As the published documentation spells it."""


class ThreadPolling(Resource):
    """What `client.threads` has of it."""

    def create_and_run_poll(self, **params: Unpack[CreateAndRunPoll]) -> Run:
        """Create a thread and a run on it, and give the run once it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000. Look at its `status`: a run that
        fails is given like any other.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, CreateAndRunPoll)
        return watched(self._session, _begun(threads.create_and_run(body), options), waiting).run()


class AsyncThreadPolling(AsyncResource):
    """The same for asyncio and trio."""

    async def create_and_run_poll(self, **params: Unpack[CreateAndRunPoll]) -> Run:
        """Create a thread and a run on it, and give the run once it has ended or requires action.

        Polls every `poll_interval_ms`, else as the server asks, else every 1 000. Look at its `status`: a run that
        fails is given like any other.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, CreateAndRunPoll)
        return await watched_async(self._session, _begun(threads.create_and_run(body), options), waiting)


def _known(run_id: str, thread_id: str, options: CallOptions) -> Subject[Run]:
    return Subject(Run, RUN, options, runs.retrieve(run_id, thread_id))


def _begun(request: Request, options: CallOptions) -> Subject[Run]:
    return Subject(Run, RUN, options, request, lambda run: runs.retrieve(run.id, run.thread_id))

"""Requests with event replies, as streams. Nothing is sent before the stream is entered or read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

from rx_assistant.api import runs
from rx_assistant.api.request import Request
from rx_assistant.client.requests import Requests, carry_out, carry_out_async
from rx_assistant.client.resource import parsed
from rx_assistant.client.run_events import Resuming
from rx_assistant.errors import APIConnectionError, APIError
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import (
    AssistantStream,
    AsyncAssistantStream,
    HandledAsyncStream,
    HandledStream,
    Handler,
    RunIdentity,
)
from rx_assistant.types import Run

H = TypeVar("H", bound=Handler)

Opening: TypeAlias = Callable[[Resuming], Requests[Any]]
"""Everything from the first request to the open stream, for streams that have to send something before their own."""

ASKED = 3  # the number of requests for the run, each with the retries of the client
_POLICIES = (
    "replay",
    "on_idle",
    "idle_grace",
    "on_subscribe",
    "cancel_wait",
    "max_pending",
    "max_event_bytes",
    "on_disconnect",
    "thinking",
)


def without_policies(params: Mapping[str, Any], going_on: str = "poll") -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of the request, and those of the stream. `on_disconnect` must be `going_on` or "fail"."""
    policies = {name: params[name] for name in _POLICIES if name in params}
    on_disconnect = policies.get("on_disconnect", "fail")
    if on_disconnect not in ("fail", going_on):
        raise ValueError(f"on_disconnect must be 'fail' or {going_on!r}, got {on_disconnect!r}")
    return {name: value for name, value in params.items() if name not in policies}, policies


class StreamRequest:
    """One response of a run's stream: its request, and how the stream continues when the connection breaks.

    `identity` is the run that the request continues with tool outputs. `thread_id` is the thread on which a new run
    starts, if it is known. `opening` sends something before the request, and gives the open stream at its end.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        options: CallOptions,
        identity: RunIdentity | None = None,
        thread_id: str | None = None,
        opening: Opening | None = None,
    ) -> None:
        self._session = session
        self._opening = opening
        self._identity = identity
        self._resuming = Resuming(request, options, session.settings.timeout, identity, thread_id)

    @property
    def resume(self) -> Callable[[RunIdentity | None, RunSnapshot], Any]:
        """Opens a body that goes on where this response broke."""
        return self._resuming.with_session(self._session)

    def open(self, abort: Abort, *, polls: bool) -> Any:
        """Send the request. `polls`: if outputs arrived although the reply was lost, poll the run."""
        self._resuming.begin()
        try:
            if self._opening is not None:
                return carry_out(self._opening(self._resuming), self._session, self._resuming.asking, abort)
            return self._session.open(self._resuming.request, self._resuming.options, abort)
        except APIError as error:
            question = self._resuming.question(error) if polls else None
            if question is None or not _have_arrived(self._session, self._resuming, question):
                raise
            return self.resume(self._identity, RunSnapshot())


class AsyncStreamRequest:
    """The same for asyncio and trio."""

    def __init__(
        self,
        session: AsyncSession,
        request: Request,
        options: CallOptions,
        identity: RunIdentity | None = None,
        thread_id: str | None = None,
        opening: Opening | None = None,
    ) -> None:
        self._session = session
        self._opening = opening
        self._identity = identity
        self._resuming = Resuming(request, options, session.settings.timeout, identity, thread_id)

    @property
    def resume(self) -> Callable[[RunIdentity | None, RunSnapshot], Awaitable[Any]]:
        """Opens a body that goes on where this response broke."""
        return self._resuming.with_async_session(self._session)

    async def open(self, *, polls: bool) -> Any:
        """Send the request. `polls`: if outputs arrived although the reply was lost, poll the run."""
        self._resuming.begin()
        try:
            if self._opening is not None:
                return await carry_out_async(self._opening(self._resuming), self._session, self._resuming.asking)
            return await self._session.open(self._resuming.request, self._resuming.options)
        except APIError as error:
            question = self._resuming.question(error) if polls else None
            if question is None or not await _have_arrived_async(self._session, self._resuming, question):
                raise
            return await self.resume(self._identity, RunSnapshot())


def streamed(
    session: Session,
    request: Request,
    options: CallOptions,
    handler: H | None,
    policies: Mapping[str, Any],
    identity: RunIdentity | None = None,
    thread_id: str | None = None,
    opening: Opening | None = None,
) -> HandledStream[H] | AssistantStream:
    """The stream that a request starts, see `StreamRequest`. With a handler, `with` returns the handler."""
    stream_request, abort = StreamRequest(session, request, options, identity, thread_id, opening), Abort()
    kept, polls = split_policies(policies)
    given = {**kept, "abort": abort.abort, "resume": stream_request.resume if polls else None, "identity": identity}
    return cancellable_stream(session, partial(stream_request.open, abort, polls=polls), handler, given)


def split_policies(policies: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The policies of the stream, and whether it polls when a connection breaks."""
    kept = {name: value for name, value in policies.items() if name != "on_disconnect"}
    return kept, policies.get("on_disconnect") == "poll"


def fetch_run(session: Session, run_id: str, thread_id: str) -> Run:
    """Fetch the run."""
    return parsed(Run, session.send(runs.retrieve(run_id, thread_id)))


async def fetch_run_async(session: AsyncSession, run_id: str, thread_id: str) -> Run:
    """The same for asyncio and trio."""
    return parsed(Run, await session.send(runs.retrieve(run_id, thread_id)))


def cancel_run(session: Session, run_id: str, thread_id: str) -> Run:
    """Ask the server to cancel the run, and return the run as it answers."""
    return parsed(Run, session.send(runs.cancel(run_id, thread_id)))


async def cancel_run_async(session: AsyncSession, run_id: str, thread_id: str) -> Run:
    """The same for asyncio and trio."""
    return parsed(Run, await session.send(runs.cancel(run_id, thread_id)))


def cancellable_stream(
    session: Session, open: Callable[[], Any], handler: H | None, given: Mapping[str, Any]
) -> HandledStream[H] | AssistantStream:
    """The stream of the body that `open` returns. Its run can be cancelled."""
    cancel, fetch = partial(cancel_run, session), partial(fetch_run, session)
    return new_stream(open, handler, {"post_cancel": cancel, "fetch_run": fetch, **given})


def new_stream(
    open: Callable[[], Any], handler: H | None, given: Mapping[str, Any]
) -> HandledStream[H] | AssistantStream:
    """The stream of the body that `open` returns. With a handler, `with` returns the handler."""
    return AssistantStream(open, **given) if handler is None else HandledStream(open, handler=handler, **given)


def async_streamed(
    session: AsyncSession,
    request: Request,
    options: CallOptions,
    handler: H | None,
    policies: Mapping[str, Any],
    identity: RunIdentity | None = None,
    thread_id: str | None = None,
    opening: Opening | None = None,
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""
    stream_request = AsyncStreamRequest(session, request, options, identity, thread_id, opening)
    kept, polls = split_policies(policies)
    given = {**kept, "resume": stream_request.resume if polls else None, "identity": identity}
    return cancellable_async_stream(session, partial(stream_request.open, polls=polls), handler, given)


def _have_arrived(session: Session, resuming: Resuming, question: Request) -> bool:
    """Whether tool outputs have arrived although the reply was lost. False if the server does not show it."""
    for _ in range(ASKED):
        try:
            return resuming.have_arrived(session.send(question, resuming.asking))
        except APIConnectionError:
            continue
        except APIError:
            break
    return False


async def _have_arrived_async(session: AsyncSession, resuming: Resuming, question: Request) -> bool:
    """The same for asyncio and trio."""
    for _ in range(ASKED):
        try:
            return resuming.have_arrived(await session.send(question, resuming.asking))
        except APIConnectionError:
            continue
        except APIError:
            break
    return False


def cancellable_async_stream(
    session: AsyncSession, open: Callable[[], Awaitable[Any]], handler: H | None, given: Mapping[str, Any]
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""
    cancel, fetch = partial(cancel_run_async, session), partial(fetch_run_async, session)
    return new_async_stream(open, handler, {"post_cancel": cancel, "fetch_run": fetch, **given})


def new_async_stream(
    open: Callable[[], Awaitable[Any]], handler: H | None, given: Mapping[str, Any]
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""
    if handler is None:
        return AsyncAssistantStream(open, **given)
    return HandledAsyncStream(open, handler=handler, **given)

"""Requests with event replies, as streams. Nothing is sent before the stream is entered or read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from rx_assistant.api import runs
from rx_assistant.api.request import Request
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
)


def without_policies(params: Mapping[str, Any], going_on: str = "poll") -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of the request, and those of the stream. `on_disconnect` must be `going_on` or "fail"."""
    policies = {name: params[name] for name in _POLICIES if name in params}
    on_disconnect = policies.get("on_disconnect", "fail")
    if on_disconnect not in ("fail", going_on):
        raise ValueError(f"on_disconnect must be 'fail' or {going_on!r}, got {on_disconnect!r}")
    return {name: value for name, value in params.items() if name not in policies}, policies


def streamed(
    session: Session,
    request: Request,
    options: CallOptions,
    handler: H | None,
    policies: Mapping[str, Any],
    identity: RunIdentity | None = None,
    thread_id: str | None = None,
) -> HandledStream[H] | AssistantStream:
    """The stream that a request starts. With a handler, `with` returns the handler.

    `identity` is the run that the request continues with tool outputs. `thread_id` is the thread on which a new run
    starts, if it is known.
    """
    resuming = Resuming(request, options, session.settings.timeout, identity, thread_id)
    polls = policies.get("on_disconnect") == "poll"
    resume = resuming.with_session(session)
    abort = Abort()

    def open() -> Any:
        resuming.begin()
        try:
            return session.open(resuming.request, resuming.options, abort)
        except APIError as error:
            question = resuming.question(error) if polls else None
            if question is None or not _have_arrived(session, resuming, question):
                raise
            return resume(identity, RunSnapshot())

    kept = {name: value for name, value in policies.items() if name != "on_disconnect"}
    kept["abort"] = abort.abort
    if polls:
        kept["resume"] = resume
    return made(session, open, handler, {**kept, "identity": identity})


def made(
    session: Session, open: Callable[[], Any], handler: H | None, given: Mapping[str, Any]
) -> HandledStream[H] | AssistantStream:
    """The stream of the body that `open` returns. Its run can be cancelled."""

    def post_cancel(run_id: str, thread_id: str) -> Run:
        return parsed(Run, session.send(runs.cancel(run_id, thread_id)))

    def fetch_run(run_id: str, thread_id: str) -> Run:
        return parsed(Run, session.send(runs.retrieve(run_id, thread_id)))

    posts: dict[str, Any] = {"post_cancel": post_cancel, "fetch_run": fetch_run}
    return built(open, handler, {**posts, **given})


def built(open: Callable[[], Any], handler: H | None, given: Mapping[str, Any]) -> HandledStream[H] | AssistantStream:
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
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""
    resuming = Resuming(request, options, session.settings.timeout, identity, thread_id)
    polls = policies.get("on_disconnect") == "poll"
    resume = resuming.with_async_session(session)

    async def open() -> Any:
        resuming.begin()
        try:
            return await session.open(resuming.request, resuming.options)
        except APIError as error:
            question = resuming.question(error) if polls else None
            if question is None or not await _have_arrived_async(session, resuming, question):
                raise
            return await resume(identity, RunSnapshot())

    kept = {name: value for name, value in policies.items() if name != "on_disconnect"}
    if polls:
        kept["resume"] = resume
    return async_made(session, open, handler, {**kept, "identity": identity})


def _have_arrived(session: Session, resuming: Resuming, question: Request) -> bool:
    """Whether tool outputs have arrived although the reply was lost. False if the server does not tell."""
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


def async_made(
    session: AsyncSession, open: Callable[[], Awaitable[Any]], handler: H | None, given: Mapping[str, Any]
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""

    async def post_cancel(run_id: str, thread_id: str) -> Run:
        return parsed(Run, await session.send(runs.cancel(run_id, thread_id)))

    async def fetch_run(run_id: str, thread_id: str) -> Run:
        return parsed(Run, await session.send(runs.retrieve(run_id, thread_id)))

    posts: dict[str, Any] = {"post_cancel": post_cancel, "fetch_run": fetch_run}
    return async_built(open, handler, {**posts, **given})


def async_built(
    open: Callable[[], Awaitable[Any]], handler: H | None, given: Mapping[str, Any]
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""
    if handler is None:
        return AsyncAssistantStream(open, **given)
    return HandledAsyncStream(open, handler=handler, **given)

"""Requests that are answered with events, as streams: nothing is sent before the stream is entered or asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from rx_assistant.client._resource import parsed
from rx_assistant.http.options import CallOptions
from rx_assistant.http.request import Request
from rx_assistant.http.requests import runs
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream, Handler
from rx_assistant.types import Run

H = TypeVar("H", bound=Handler)

_POLICIES = ("replay", "on_idle", "idle_grace", "max_pending", "max_event_bytes")


def without_policies(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of the request, and those of the stream."""
    policies = {name: params[name] for name in _POLICIES if name in params}
    return {name: value for name, value in params.items() if name not in policies}, policies


def streamed(
    session: Session, request: Request, options: CallOptions, handler: H | None, policies: Mapping[str, Any]
) -> HandledStream[H] | AssistantStream:
    """The stream that a request starts; with a handler, its block gives the handler."""

    def post_cancel(run_id: str, thread_id: str) -> Run:
        return parsed(Run, session.send(runs.cancel(run_id, thread_id)))

    def open() -> Any:
        return session.open(request.streamed(), options)

    if handler is None:
        return AssistantStream(open, post_cancel=post_cancel, **policies)
    return HandledStream(open, handler=handler, post_cancel=post_cancel, **policies)


def async_streamed(
    session: AsyncSession, request: Request, options: CallOptions, handler: H | None, policies: Mapping[str, Any]
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""

    async def post_cancel(run_id: str, thread_id: str) -> Run:
        return parsed(Run, await session.send(runs.cancel(run_id, thread_id)))

    async def open() -> Any:
        return await session.open(request.streamed(), options)

    if handler is None:
        return AsyncAssistantStream(open, post_cancel=post_cancel, **policies)
    return HandledAsyncStream(open, handler=handler, post_cancel=post_cancel, **policies)

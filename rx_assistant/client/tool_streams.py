"""A run and the answers to its tool calls as one stream: a response for the run, then one for each submission.

`Answering` runs the tools between two responses. When it has the outputs, the pump opens the next response here. If the
calls were abandoned because the run was cancelled or has expired, the run is polled instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from rx_assistant.api import runs
from rx_assistant.api.request import Request
from rx_assistant.client.params import taken
from rx_assistant.client.streaming import (
    AsyncStreamRequest,
    H,
    Opening,
    StreamRequest,
    cancel_run,
    cancel_run_async,
    cancellable_async_stream,
    cancellable_stream,
    fetch_run,
    fetch_run_async,
    split_policies,
    without_policies,
)
from rx_assistant.errors import APIStatusError
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream, RunIdentity
from rx_assistant.tools import Answering, LoopThread, Options, RunningLoop, Tools
from rx_assistant.types import Run, ToolOutput

S = TypeVar("S", Session, AsyncSession)
L = TypeVar("L", StreamRequest, AsyncStreamRequest)

_OPTIONS = frozenset(field.name for field in fields(Options))


@dataclass(frozen=True, slots=True)
class ToolCallOptions:
    """The keyword arguments of a method with `tools=`, split."""

    body: dict[str, Any]
    """The operation's own parameters."""
    options: CallOptions
    policies: dict[str, Any]
    tools: Tools
    answers: Options


def tool_call(params: Mapping[str, Any], shape: Any) -> ToolCallOptions:
    """Split the keyword arguments of a method. `shape` is the TypedDict that names them."""
    given, options = taken(params, shape)
    answers = {name: given.pop(name) for name in _OPTIONS if name in given}
    tools = given.pop("tools")
    body, policies = without_policies(given)
    return ToolCallOptions(body, options, policies, tools, Options(**answers))


class _StreamRequests(Generic[S, L]):
    """The common part of both faces: the run, and the requests of all responses after the first."""

    def __init__(
        self, session: S, kind: Callable[..., L], first: L, options: CallOptions, answering: Answering
    ) -> None:
        headers = {name: value for name, value in options.extra_headers.items() if name.lower() != "idempotency-key"}
        self._session: S = session
        self._kind: Callable[..., L] = kind
        self._options = replace(options, extra_headers=headers, extra_body={}, extra_query={})
        self.answering = answering
        self.stream_request: L = first
        self._is_first = True

    def _begin(self) -> bool:
        """Whether the next response to open is the first."""
        was_first, self._is_first = self._is_first, False
        return was_first

    def _next_request(self) -> list[ToolOutput] | None:
        """Make the request that submits the outputs. None: there are no outputs, and the run continues without them."""
        outputs = self.answering.outputs()
        request = self._submission(self._asked() if outputs is None else outputs)
        self.stream_request = self._kind(self._session, request, self._options, self._identity)
        return outputs

    def _submission(self, outputs: list[ToolOutput]) -> Request:
        return runs.submit_tool_outputs(*self._identity, {"tool_outputs": outputs})

    @property
    def _identity(self) -> RunIdentity:
        run = self.answering.run
        assert run is not None
        return RunIdentity(run.id, run.thread_id)

    def _still_asks(self, run: Run) -> bool:
        """Whether the run waits for these outputs."""
        confirm = self._submission(self._asked()).confirm
        return confirm is not None and confirm.still_asks(run)

    def _asked(self) -> list[ToolOutput]:
        return [{"tool_call_id": call_id, "output": ""} for call_id in self.answering.asked()]


class _SyncRequests(_StreamRequests[Session, StreamRequest]):
    """The requests of a synchronous stream."""

    def __init__(self, session: Session, first: StreamRequest, options: CallOptions, answering: Answering) -> None:
        super().__init__(session, StreamRequest, first, options, answering)
        self.abort = Abort()

    def open(self) -> Any:
        """Open the next response."""
        if self._begin():
            return self.stream_request.open(self.abort, polls=False)
        outputs = self._next_request()
        if outputs is None:
            return self.stream_request.resume(self._identity, self.answering.arrived())
        try:
            return self.stream_request.open(self.abort, polls=True)
        except APIStatusError as error:
            if error.status_code >= 500 or self._still_asks(fetch_run(self._session, *self._identity)):
                raise
            return self.stream_request.resume(self._identity, self.answering.arrived())

    def resume(self, identity: RunIdentity | None, snapshot: RunSnapshot) -> Any:
        """Continue the response that broke."""
        return self.stream_request.resume(identity, snapshot)

    def cancel(self, run_id: str, thread_id: str) -> Run:
        """Cancel the run and its calls."""
        run = cancel_run(self._session, run_id, thread_id)
        self.answering.give_up()
        return run


class _AsyncRequests(_StreamRequests[AsyncSession, AsyncStreamRequest]):
    """The same for asyncio and trio."""

    def __init__(
        self, session: AsyncSession, first: AsyncStreamRequest, options: CallOptions, answering: Answering
    ) -> None:
        super().__init__(session, AsyncStreamRequest, first, options, answering)

    async def open(self) -> Any:
        """Open the next response."""
        if self._begin():
            return await self.stream_request.open(polls=False)
        outputs = self._next_request()
        if outputs is None:
            return await self.stream_request.resume(self._identity, self.answering.arrived())
        try:
            return await self.stream_request.open(polls=True)
        except APIStatusError as error:
            if error.status_code >= 500 or self._still_asks(await fetch_run_async(self._session, *self._identity)):
                raise
            return await self.stream_request.resume(self._identity, self.answering.arrived())

    async def resume(self, identity: RunIdentity | None, snapshot: RunSnapshot) -> Any:
        """Continue the response that broke."""
        return await self.stream_request.resume(identity, snapshot)

    async def cancel(self, run_id: str, thread_id: str) -> Run:
        """Cancel the run and its calls."""
        run = await cancel_run_async(self._session, run_id, thread_id)
        self.answering.give_up()
        return run


def streamed_with_tools(
    session: Session,
    request: Request,
    call: ToolCallOptions,
    handler: H | None,
    thread_id: str | None = None,
    opening: Opening | None = None,
) -> HandledStream[H] | AssistantStream:
    """The stream that a request starts, with its tool calls answered. With a handler, `with` returns the handler."""
    answering = Answering(call.tools, call.answers, LoopThread())
    requests = _SyncRequests(
        session, StreamRequest(session, request, call.options, None, thread_id, opening), call.options, answering
    )
    kept, polls = split_policies(call.policies)
    resume = requests.resume if polls else None
    given = {
        **kept,
        "abort": requests.abort.abort,
        "resume": resume,
        "continuation": answering,
        "post_cancel": requests.cancel,
    }
    return cancellable_stream(session, requests.open, handler, given)


def async_streamed_with_tools(
    session: AsyncSession,
    request: Request,
    call: ToolCallOptions,
    handler: H | None,
    thread_id: str | None = None,
    opening: Opening | None = None,
) -> HandledAsyncStream[H] | AsyncAssistantStream:
    """The same for asyncio and trio."""
    answering = Answering(call.tools, call.answers, RunningLoop())
    requests = _AsyncRequests(
        session, AsyncStreamRequest(session, request, call.options, None, thread_id, opening), call.options, answering
    )
    kept, polls = split_policies(call.policies)
    resume = requests.resume if polls else None
    given = {**kept, "resume": resume, "continuation": answering, "post_cancel": requests.cancel}
    return cancellable_async_stream(session, requests.open, handler, given)

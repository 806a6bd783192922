"""Streams of Chat Completions and of Responses: how they continue after a break, and how they are cancelled.

Their ids are made together with the request. A chat stream has a new run id. A response's id is also the id of its run,
so that `cancel()` and `resume` can use it.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from rx_assistant.api import responses
from rx_assistant.api.request import Omit, Request
from rx_assistant.client.resource import parsed
from rx_assistant.errors import APIStatusError, TotalTimeoutError
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import MAX_EVENT_BYTES, AssistantStream, AsyncAssistantStream, RunIdentity
from rx_assistant.streams.dialects import ChatDecoding, ResponsesDecoding, fresh_id, seconds
from rx_assistant.types import Run, WireModel
from rx_assistant.types._base import served_as

S = TypeVar("S", bound=AssistantStream | AsyncAssistantStream)

_PASSING = (408, 409, 425, 429)


class ChatCall:
    """One Chat Completions stream: its run, and its `cancel()`."""

    def __init__(self, policies: Mapping[str, Any], choice: int) -> None:
        self.identity = RunIdentity(fresh_id("run_"), fresh_id("thread_"))
        known = {"id": self.identity.run_id, "thread_id": self.identity.thread_id}
        self._policies = {**policies}
        thinking = self._policies.pop("thinking", "reasoning")
        most = policies.get("max_event_bytes", MAX_EVENT_BYTES)
        self._decoding = ChatDecoding(most, choice=choice, thinking=thinking, run=known)
        self.closing = Closing()

    def given(self) -> dict[str, Any]:
        """The arguments of the stream, except its `cancel`."""
        return {**self._policies, "decoding": self._decoding, "identity": self.identity}


class Closing:
    """The `cancel()` for a server without a cancel operation: closing the connection stops the model.

    It refers to its stream weakly, so that a dropped stream is freed at once.
    """

    def __init__(self) -> None:
        self._stream: Callable[[], AssistantStream | AsyncAssistantStream | None] = lambda: None

    def of(self, stream: S) -> S:
        """Attach to this stream, and return it."""
        self._stream = weakref.ref(stream)
        return stream

    def close(self, run_id: str, thread_id: str) -> Run:
        """Close the stream, and return the run as cancelled."""
        stream = self._stream()
        if stream is not None:
            stream.close()
        told = stream.snapshot.run if stream is not None else None
        now = {"status": "cancelled", "cancelled_at": seconds()}
        return _run(run_id, thread_id, now) if told is None else told.model_copy(update=now)

    async def close_async(self, run_id: str, thread_id: str) -> Run:
        """The same for asyncio and trio."""
        return self.close(run_id, thread_id)


class ResponseCall:
    """One response: where it continues after a break, and the state of its run in later replies."""

    def __init__(self, policies: Mapping[str, Any], request: Request, options: CallOptions, default: Timeout) -> None:
        self.is_background = bool({**(request.body or {}), **options.extra_body}.get("background"))
        self.resumes = policies.get("on_disconnect", "resume" if self.is_background else "fail") == "resume"
        self.decoding = ResponsesDecoding(policies.get("max_event_bytes", MAX_EVENT_BYTES))
        self._policies = {name: value for name, value in policies.items() if name != "on_disconnect"}
        self._options = replace(options, extra_body={})
        timeout = default if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
        self._timeout = timeout
        self.closing = Closing()
        self._opened = time.monotonic()

    def begin(self) -> None:
        """The request is sent now."""
        self._opened = time.monotonic()

    def given(self) -> dict[str, Any]:
        """The arguments of the stream, except its `cancel` and `resume`."""
        return {**self._policies, "decoding": self.decoding}

    def following(self, identity: RunIdentity | None) -> Request | None:
        """The request for the events after the last one. None if the server has sent no id or no sequence numbers."""
        number = self.decoding.sequence_number
        return None if identity is None or number is None else responses.resume(identity.run_id, number)

    def options(self) -> CallOptions:
        """The options of a further request, with the rest of `timeout.total`."""
        total = self._timeout.total
        if total is None:
            return self._options
        left = total - (time.monotonic() - self._opened)
        if left <= 0:
            raise TotalTimeoutError(f"the stream had not ended within timeout.total = {total:g} s")
        return replace(self._options, timeout=replace(self._timeout, total=left))

    def cancelled(self, reply: Reply, run_id: str, thread_id: str) -> Run:
        """The run in the reply to a cancel.

        If the run has ended, the stream ends in the same way, even if its body does not.
        """
        told = parsed(_Told, reply)
        if told.status not in ("queued", "in_progress", None):
            self.decoding.close_with(reply.content)
        status = "cancelling" if told.status == "in_progress" else told.status
        return served_as(_run(run_id, thread_id, {"status": status, "model": told.model}), reply.request_id)

    def state(self, reply: Reply, run_id: str, thread_id: str) -> Run:
        """The run of the response."""
        told = parsed(_Told, reply)
        run = _run(run_id, thread_id, {"status": told.status, "model": told.model})
        return served_as(run, reply.request_id)


def with_session(call: ResponseCall, session: Session) -> dict[str, Any]:
    """How a background response is cancelled and fetched, and how any response is resumed."""

    def resume(identity: RunIdentity | None, _snapshot: RunSnapshot) -> Any:
        request = call.following(identity)
        try:
            return None if request is None else session.open(request, call.options())
        except APIStatusError as error:
            return _refused(error)

    def post_cancel(run_id: str, thread_id: str) -> Run:
        return call.cancelled(session.send(responses.cancel(run_id)), run_id, thread_id)

    def fetch_run(run_id: str, thread_id: str) -> Run:
        return call.state(session.send(responses.retrieve(run_id)), run_id, thread_id)

    posts = {"post_cancel": post_cancel, "fetch_run": fetch_run} if call.is_background else {}
    return {**posts, "resume": resume} if call.resumes else posts


def with_async_session(call: ResponseCall, session: AsyncSession) -> dict[str, Any]:
    """The same for asyncio and trio."""

    async def resume(identity: RunIdentity | None, _snapshot: RunSnapshot) -> Any:
        request = call.following(identity)
        try:
            return None if request is None else await session.open(request, call.options())
        except APIStatusError as error:
            return _refused(error)

    async def post_cancel(run_id: str, thread_id: str) -> Run:
        return call.cancelled(await session.send(responses.cancel(run_id)), run_id, thread_id)

    async def fetch_run(run_id: str, thread_id: str) -> Run:
        return call.state(await session.send(responses.retrieve(run_id)), run_id, thread_id)

    posts = {"post_cancel": post_cancel, "fetch_run": fetch_run} if call.is_background else {}
    return {**posts, "resume": resume} if call.resumes else posts


class _Told(WireModel):
    """The response in the reply."""

    status: str | None = None
    model: str | None = None


def _refused(error: APIStatusError) -> None:
    """Return None if the server has no events to resume from; the stream was cut.

    Other failures are temporary, and raised.
    """
    if error.status_code >= 500 or error.status_code in _PASSING:
        raise error


def _run(run_id: str, thread_id: str, members: Mapping[str, Any]) -> Run:
    given = {name: value for name, value in members.items() if value is not None}
    return Run.model_validate({"id": run_id, "object": "thread.run", "thread_id": thread_id, **given})

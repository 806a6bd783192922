"""A run's events by polling: for servers that do not stream, and for streams that have broken off."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from rx_assistant.api import messages, run_steps, runs
from rx_assistant.api.request import OMIT, Omit, Request
from rx_assistant.client.pages import next_request
from rx_assistant.client.params import PollParams
from rx_assistant.client.polling import Ask, AsyncFetch, Countdown, Requests, Sending, SyncFetch
from rx_assistant.client.resource import page_of, parsed
from rx_assistant.errors import APIConnectionError, APIError, APIStatusError, FirstEventTimeoutError, TotalTimeoutError
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.lifecycle import RUN
from rx_assistant.polling import (
    AsyncPolledBody,
    DeadlinePassed,
    Polled,
    PolledBody,
    PollSettings,
    RunEventEncoder,
    RunObjects,
    poll_after,
)
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import RunIdentity
from rx_assistant.types import Message, Run, RunStep
from rx_assistant.types._inside import models_in

_T = TypeVar("_T", RunStep, Message)

_PAGE = {"limit": 100, "order": "asc"}
_NEWEST = {"limit": 1, "order": "desc"}


class Newest:
    """Finds the run that a request started on a thread when no event with its id arrived: the thread's newest run.

    A thread has one run at a time, and the server had begun to answer. So no other run is newer, unless another
    program started one.
    """

    def __init__(self, thread_id: str, assistant_id: object) -> None:
        self.thread_id = thread_id
        self.is_lost = False
        self._assistant_id = assistant_id

    def of(self, reply: Reply) -> RunIdentity:
        """The run in a list of the thread's runs. APIConnectionError if it is missing; the stream then tries again."""
        newest = max(page_of(Run, reply).data or (), key=_created_at, default=None)  # the first of equals
        if newest is None or (isinstance(self._assistant_id, str) and newest.assistant_id != self._assistant_id):
            raise self.lost()
        return RunIdentity(newest.id, self.thread_id)

    def lost(self) -> APIConnectionError:
        """The error for a list without the run. The stream must find the run in another way."""
        self.is_lost = True
        return APIConnectionError(f"thread {self.thread_id!r} does not show the run that was started on it")

    def refuse(self, error: APIStatusError) -> None:
        """Raise `lost()` if the server refuses to list the runs."""
        if error.status_code < 500 and error.status_code not in (408, 429):
            raise self.lost() from error


def _created_at(run: Run) -> float:
    """The time at which the run was created; 0 if the server's value is not a number."""
    created: object = run.created_at
    return created if isinstance(created, int | float) else 0


class RunRequests:
    """The requests of each fetch: the run, then its steps and messages."""

    def __init__(
        self,
        identity: RunIdentity | Newest,
        options: CallOptions,
        countdown: Countdown,
        include: object = OMIT,
    ) -> None:
        self._identity = identity
        self._options = replace(options, extra_body={})
        self._countdown = countdown
        self._include = include

    def __call__(self) -> Requests[RunObjects]:
        """One fetch. A run that has not begun has no steps or messages yet."""
        if isinstance(self._identity, Newest):
            self._identity = yield from self._find(self._identity)
        run_id, thread_id = self._identity
        reply = yield from self._send(runs.retrieve(run_id, thread_id))
        run, after = parsed(Run, reply), poll_after(reply.headers)
        if run.status == RUN.initial:
            return Polled(RunObjects(run), after)
        steps = yield from self._all(RunStep, run_steps.list(run_id, thread_id, {**_PAGE, "include": self._include}))
        written = yield from self._all(Message, messages.list(thread_id, {**_PAGE, "run_id": run_id}))
        return Polled(RunObjects(run, steps, written), after)

    def _find(self, newest: Newest) -> Generator[Ask, Reply, RunIdentity]:
        try:
            reply = yield from self._send(runs.list(newest.thread_id, _NEWEST))
        except APIStatusError as error:
            newest.refuse(error)
            raise
        return newest.of(reply)

    def _all(self, item: type[_T], request: Request) -> Generator[Ask, Reply, list[_T]]:
        """The items of all pages."""
        found: list[_T] = []
        following: Request | None = request
        while following is not None:
            page = page_of(item, (yield from self._send(following)))
            items = models_in(page.data)
            found += items
            last: str | None = page.last_id or getattr(items[-1], "id", None) if items else None
            following = next_request(following, last) if page.has_more and last else None
        return found

    def _send(self, request: Request) -> Sending:
        return self._countdown.send(request, self._options)


# -- events of a run that is polled from its beginning -----------------------------------------------------------------


def polled_body(session: Session, identity: RunIdentity, call: PollParams) -> PolledBody:
    """The body of the run's events, with its first state fetched."""
    countdown = Countdown(call.settings.deadline, session.settings.timeout)
    requests = RunRequests(identity, call.options, countdown, call.body.get("include", OMIT))
    fetch = SyncFetch(session, requests, abort=Abort())
    body = PolledBody(fetch, RunEventEncoder(RunSnapshot()), call.settings)
    body.begin()
    return body


async def polled_async_body(session: AsyncSession, identity: RunIdentity, call: PollParams) -> AsyncPolledBody:
    """The same for asyncio and trio."""
    countdown = Countdown(None, session.settings.timeout)  # the body cancels a fetch at the deadline
    requests = RunRequests(identity, call.options, countdown, call.body.get("include", OMIT))
    body = AsyncPolledBody(AsyncFetch(session, requests), RunEventEncoder(RunSnapshot()), call.settings)
    await body.begin()
    return body


# -- events of a run that another process has read in part -------------------------------------------------------------


def missing_body(session: Session, identity: RunIdentity, snapshot: RunSnapshot) -> PolledBody:
    """The body of the run's events after `snapshot`."""
    requests = RunRequests(identity, CallOptions(), Countdown(None, session.settings.timeout))
    return PolledBody(SyncFetch(session, requests, abort=Abort()), RunEventEncoder(snapshot), PollSettings())


def missing_async_body(session: AsyncSession, identity: RunIdentity, snapshot: RunSnapshot) -> AsyncPolledBody:
    """The same for asyncio and trio."""
    requests = RunRequests(identity, CallOptions(), Countdown(None, session.settings.timeout))
    return AsyncPolledBody(AsyncFetch(session, requests), RunEventEncoder(snapshot), PollSettings())


# -- events of a run whose stream has broken -----------------------------------------------------------------------


class Resuming:
    """How a stream continues when its connection breaks. It is made before the stream is opened.

    If an event has named the run, the run is polled. Otherwise it is the newest run of its thread. If the thread is
    unknown too, or does not show the run, the request is sent again with its idempotency key, and the server answers
    with the same run. For submitted tool outputs, the run is known from the start. The run shows whether the outputs
    have arrived.
    """

    def __init__(
        self,
        request: Request,
        options: CallOptions,
        default: Timeout,
        identity: RunIdentity | None,
        thread_id: str | None,
    ) -> None:
        self._given = options
        self.request = request.streamed()
        self.options = _with_key(options)
        self._default = default
        self._identity = identity
        self._thread_id = thread_id
        self._newest: Newest | None = None
        self._answered = tuple(answered_calls(request))
        timeout = default if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
        self._total = timeout.total
        self._opened = time.monotonic()

    def begin(self) -> None:
        """Start the time: the request is sent now."""
        self._opened = time.monotonic()

    def aim(self, thread_id: str, request: Request) -> None:
        """Send this request instead, for a run on this thread, and start the time."""
        self._thread_id = thread_id
        self.request = request.streamed()
        self.options = _with_key(self._given)
        self.begin()

    # -- after the head arrived ------------------------------------------------------------------------------------

    def with_session(self, session: Session) -> Callable[[RunIdentity | None, RunSnapshot], Any]:
        """The `resume` of a synchronous stream."""

        def resume(identity: RunIdentity | None, snapshot: RunSnapshot) -> Any:
            run = identity or self._seek(snapshot)
            if run is not None:
                left = self._left()
                requests = RunRequests(run, self.asking, Countdown(left, self._default))
                fetch = SyncFetch(session, requests, abort=Abort())
                encoder = RunEventEncoder(snapshot, self._answered)
                return PolledBody(fetch, encoder, PollSettings(deadline=left), self._late)
            return session.open(self.request, self._again()) if snapshot == RunSnapshot() else None

        return resume

    def with_async_session(
        self, session: AsyncSession
    ) -> Callable[[RunIdentity | None, RunSnapshot], Coroutine[Any, Any, Any]]:
        """The `resume` of an asynchronous stream."""

        async def resume(identity: RunIdentity | None, snapshot: RunSnapshot) -> Any:
            run = identity or self._seek(snapshot)
            if run is not None:
                requests = RunRequests(run, self.asking, Countdown(None, self._default))
                encoder = RunEventEncoder(snapshot, self._answered)
                settings = PollSettings(deadline=self._left())
                return AsyncPolledBody(AsyncFetch(session, requests), encoder, settings, self._late)
            return await session.open(self.request, self._again()) if snapshot == RunSnapshot() else None

        return resume

    def _seek(self, snapshot: RunSnapshot) -> Newest | None:
        """Where to look for the run; None if only its request can find it."""
        thread_id = self._thread_id or (snapshot.thread and snapshot.thread.id)
        if self._newest is None and thread_id:
            self._newest = Newest(thread_id, (self.request.body or {}).get("assistant_id"))
        return None if self._newest is None or self._newest.is_lost else self._newest

    def _again(self) -> CallOptions:
        try:
            return Countdown(self._left(), self._default).limit(self.options)
        except DeadlinePassed:
            raise self._late(None) from None

    # -- when the reply was lost -----------------------------------------------------------------------------------

    def question(self, error: APIError) -> Request | None:
        """The request that shows whether tool outputs arrived although the reply was lost; None for other failures."""
        confirm = self.request.confirm
        if self._identity is None or confirm is None or isinstance(error, TotalTimeoutError | FirstEventTimeoutError):
            return None
        if isinstance(error, APIStatusError):
            lost = error.status_code >= 500 or error.status_code == 408
        else:
            lost = isinstance(error, APIConnectionError)
        return confirm.request if lost else None

    def have_arrived(self, reply: Reply) -> bool:
        """Whether the run shows that the outputs have arrived."""
        confirm = self.request.confirm
        return confirm is not None and not confirm.still_asks(parsed(Run, reply))

    @property
    def asking(self) -> CallOptions:
        """The options of GET requests."""
        return replace(self._given, extra_body={})

    def _left(self) -> float | None:
        """Seconds left of `timeout.total`, which counts from the first request; None without a limit."""
        return None if self._total is None else self._total - (time.monotonic() - self._opened)

    def _late(self, _run: Run | None) -> TotalTimeoutError:
        return TotalTimeoutError(f"the stream had not ended within timeout.total = {self._total:g} s")


def _with_key(options: CallOptions) -> CallOptions:
    """The options, with an idempotency key of their own."""
    return replace(options, extra_headers={"Idempotency-Key": f"rx-{uuid.uuid4()}", **options.extra_headers})


def answered_calls(request: Request) -> list[str]:
    """The ids of the calls whose outputs a request submits."""
    outputs: Any = (request.body or {}).get("tool_outputs")
    members = (
        output.get("tool_call_id") if isinstance(output, Mapping) else getattr(output, "tool_call_id", None)
        for output in outputs or ()
    )
    return [call_id for call_id in members if isinstance(call_id, str)]

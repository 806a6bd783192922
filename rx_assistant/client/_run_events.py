"""A run's events by polling: for servers that do not stream, and for streams that have broken off."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from rx_assistant.api import messages, run_steps, runs
from rx_assistant.api.request import OMIT, Omit, Request
from rx_assistant.client._pages import next_request
from rx_assistant.client._polling import Countdown, Waiting
from rx_assistant.client._resource import page_of, parsed
from rx_assistant.errors import APIConnectionError, APIError, APIStatusError, FirstEventTimeoutError, TotalTimeoutError
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.lifecycle import RUN
from rx_assistant.polling import (
    AsyncPolledBody,
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
_Turn = Generator[Request, Reply, Polled[RunObjects]]

_PAGE = {"limit": 100, "order": "asc"}
_NEWEST = {"limit": 1, "order": "desc"}


class Newest:
    """The run that a request has started on a thread, when none of its events has told which: the thread's newest.

    A thread has one run at a time, and the server had begun to answer, so no other run can be newer unless another
    program started it.
    """

    def __init__(self, thread_id: str, assistant_id: object) -> None:
        self.thread_id = thread_id
        self.is_lost = False
        self._assistant_id = assistant_id

    def of(self, reply: Reply) -> RunIdentity:
        """The run in a list of the thread's runs; APIConnectionError, which is not the end, if it is not there."""
        newest = max(page_of(Run, reply).data or (), key=_created_at, default=None)  # of equal ones the first
        if newest is None or (isinstance(self._assistant_id, str) and newest.assistant_id != self._assistant_id):
            raise self.lost()
        return RunIdentity(newest.id, self.thread_id)

    def lost(self) -> APIConnectionError:
        """The error of a thread that does not show the run: it has to be found in another way."""
        self.is_lost = True
        return APIConnectionError(f"thread {self.thread_id!r} does not show the run that was started on it")

    def refuse(self, error: APIStatusError) -> None:
        """Raise `lost()` if the server has no such list, or does not show it."""
        if error.status_code < 500 and error.status_code not in (408, 429):
            raise self.lost() from error


def _created_at(run: Run) -> float:
    """The run's age; 0 where the server writes something else than a number."""
    created: object = run.created_at
    return created if isinstance(created, int | float) else 0


class _ReaderBase:
    """What to ask for in each turn, and with which options."""

    request_id: str | None = None

    def __init__(
        self,
        identity: RunIdentity | Newest,
        options: CallOptions,
        default: Timeout,
        deadline: float | None,
        include: object,
    ) -> None:
        self._identity = identity
        self._options = replace(options, extra_body={})
        self._default = default
        self._countdown = Countdown(deadline)
        self._include = include

    def _limited(self) -> CallOptions:
        return self._countdown.limit(self._options, self._default)

    def _turn(self) -> _Turn:
        """The run, and then its steps and messages; a run that has not begun has none."""
        if isinstance(self._identity, Newest):
            self._identity = self._identity.of((yield runs.list(self._identity.thread_id, _NEWEST)))
        run_id, thread_id = self._identity
        reply = yield runs.retrieve(run_id, thread_id)
        self.request_id = reply.request_id
        run, after = parsed(Run, reply), poll_after(reply.headers)
        if run.status == RUN.initial:
            return Polled(RunObjects(run), after)
        steps = yield from _all(RunStep, run_steps.list(run_id, thread_id, {**_PAGE, "include": self._include}))
        written = yield from _all(Message, messages.list(thread_id, {**_PAGE, "run_id": run_id}))
        return Polled(RunObjects(run, steps, written), after)

    def _refuse(self, error: APIStatusError) -> None:
        if isinstance(self._identity, Newest):
            self._identity.refuse(error)


class RunReader(_ReaderBase):
    """Fetches a run with its steps and messages; `close()` ends a request from any thread."""

    def __init__(
        self,
        session: Session,
        identity: RunIdentity | Newest,
        options: CallOptions,
        deadline: float | None = None,
        include: object = OMIT,
    ) -> None:
        super().__init__(identity, options, session.settings.timeout, deadline, include)
        self._session = session
        self._abort = Abort()

    def __call__(self) -> Polled[RunObjects]:
        turn = self._turn()
        try:
            request = next(turn)
            while True:
                request = turn.send(self._session.send(request, self._limited(), self._abort))
        except StopIteration as end:
            polled: Polled[RunObjects] = end.value
            return polled
        except TotalTimeoutError as error:
            self._countdown.check(error)
            raise
        except APIStatusError as error:
            self._refuse(error)
            raise

    def close(self) -> None:
        self._abort.abort()


class AsyncRunReader(_ReaderBase):
    """The same for asyncio and trio."""

    def __init__(
        self, session: AsyncSession, identity: RunIdentity | Newest, options: CallOptions, include: object = OMIT
    ) -> None:
        super().__init__(identity, options, session.settings.timeout, None, include)
        self._session = session

    async def __call__(self) -> Polled[RunObjects]:
        turn = self._turn()
        request = next(turn)
        while True:
            try:
                reply = await self._session.send(request, self._limited())
            except APIStatusError as error:
                self._refuse(error)
                raise
            try:
                request = turn.send(reply)
            except StopIteration as end:
                polled: Polled[RunObjects] = end.value
                return polled


def _all(item: type[_T], request: Request) -> Generator[Request, Reply, list[_T]]:
    """The items of all pages."""
    found: list[_T] = []
    following: Request | None = request
    while following is not None:
        page = page_of(item, (yield following))
        items = models_in(page.data)
        found += items
        last: str | None = page.last_id or getattr(items[-1], "id", None) if items else None
        following = next_request(following, last) if page.has_more and last else None
    return found


# -- events of a run that is polled from its beginning -----------------------------------------------------------------


def polled_body(
    session: Session, identity: RunIdentity, options: CallOptions, waiting: Waiting, include: object
) -> PolledBody:
    """The body of the run's events, with its first states fetched."""
    reader = RunReader(session, identity, options, waiting.settings.deadline, include)
    body = PolledBody(
        reader,
        RunEventEncoder(RunSnapshot()),
        waiting.settings,
    )
    body.begin()
    return body


async def polled_async_body(
    session: AsyncSession, identity: RunIdentity, options: CallOptions, waiting: Waiting, include: object
) -> AsyncPolledBody:
    """The same for asyncio and trio."""
    body = AsyncPolledBody(
        AsyncRunReader(session, identity, options, include),
        RunEventEncoder(RunSnapshot()),
        waiting.settings,
    )
    await body.begin()
    return body


# -- events of a run whose stream has broken off -----------------------------------------------------------------------


class Resuming:
    """What a stream needs to go on when its connection breaks: made before it is opened, asked when it has broken.

    A run that an event has told of is polled. One that is not known yet is the newest of its thread; where the thread
    is not known either, or does not show it, the request is sent once more with its idempotency key, and the server
    answers it with the same run. Where tool outputs were submitted, the run is known from the start: it is asked
    whether they arrived.
    """

    def __init__(
        self,
        request: Request,
        options: CallOptions,
        default: Timeout,
        identity: RunIdentity | None,
        thread_id: str | None,
    ) -> None:
        self.request = request.streamed()
        key = {"Idempotency-Key": f"rx-{uuid.uuid4()}"}
        self.options = replace(options, extra_headers={**key, **options.extra_headers})
        self._asking = replace(options, extra_body={})
        self._default = default
        self._identity = identity
        self._thread_id = thread_id
        self._newest: Newest | None = None
        self._answered = tuple(answered_calls(request))
        timeout = default if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
        self._total = timeout.total
        self._opened = time.monotonic()

    def begin(self) -> None:
        """The request is sent now."""
        self._opened = time.monotonic()

    # -- once the head had come ------------------------------------------------------------------------------------

    def with_session(self, session: Session) -> Callable[[RunIdentity | None, RunSnapshot], Any]:
        """The `resume` of a synchronous stream."""

        def resume(identity: RunIdentity | None, snapshot: RunSnapshot) -> Any:
            whom = identity or self._seek(snapshot)
            if whom is not None:
                left = self._left()
                reader = RunReader(session, whom, self._asking, left)
                return PolledBody(
                    reader, RunEventEncoder(snapshot, self._answered), PollSettings(deadline=left), self._late
                )
            return session.open(self.request, self._again()) if snapshot == RunSnapshot() else None

        return resume

    def with_async_session(
        self, session: AsyncSession
    ) -> Callable[[RunIdentity | None, RunSnapshot], Coroutine[Any, Any, Any]]:
        """The `resume` of an asynchronous one."""

        async def resume(identity: RunIdentity | None, snapshot: RunSnapshot) -> Any:
            whom = identity or self._seek(snapshot)
            if whom is not None:
                reader = AsyncRunReader(session, whom, self._asking)
                encoder = RunEventEncoder(snapshot, self._answered)
                return AsyncPolledBody(reader, encoder, PollSettings(deadline=self._left()), self._late)
            return await session.open(self.request, self._again()) if snapshot == RunSnapshot() else None

        return resume

    def _seek(self, snapshot: RunSnapshot) -> Newest | None:
        """Where to look for the run; None where only its request can tell."""
        thread_id = self._thread_id or (snapshot.thread and snapshot.thread.id)
        if self._newest is None and thread_id:
            self._newest = Newest(thread_id, (self.request.body or {}).get("assistant_id"))
        return None if self._newest is None or self._newest.is_lost else self._newest

    def _again(self) -> CallOptions:
        return Countdown(self._left()).limit(self.options, self._default)

    # -- when the reply was lost -----------------------------------------------------------------------------------

    def question(self, error: APIError) -> Request | None:
        """How to find out whether tool outputs have arrived although their reply was lost; None for other failures."""
        confirm = self.request.confirm
        if self._identity is None or confirm is None or isinstance(error, TotalTimeoutError | FirstEventTimeoutError):
            return None
        if isinstance(error, APIStatusError):
            lost = error.status_code >= 500 or error.status_code == 408
        else:
            lost = isinstance(error, APIConnectionError)
        return confirm.request if lost else None

    def have_arrived(self, reply: Reply) -> bool:
        """Whether the run shows that it has got the outputs."""
        confirm = self.request.confirm
        return confirm is not None and not confirm.still_asks(parsed(Run, reply))

    @property
    def asking(self) -> CallOptions:
        """The options of requests that only ask."""
        return self._asking

    def _left(self) -> float | None:
        """Seconds that are left of `timeout.total`, which counts from the first request."""
        return None if self._total is None else self._total - (time.monotonic() - self._opened)

    def _late(self, _run: Run | None) -> TotalTimeoutError:
        return TotalTimeoutError(f"the stream had not ended within timeout.total = {self._total:g} s")


def answered_calls(request: Request) -> list[str]:
    """The ids of the calls whose outputs a request submits."""
    outputs: Any = (request.body or {}).get("tool_outputs")
    members = (
        output.get("tool_call_id") if isinstance(output, Mapping) else getattr(output, "tool_call_id", None)
        for output in outputs or ()
    )
    return [call_id for call_id in members if isinstance(call_id, str)]

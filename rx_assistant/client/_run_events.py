"""A run's events by polling: for servers that do not stream, and for streams that have broken off."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from rx_assistant.client._pages import next_request
from rx_assistant.client._polling import Countdown, Waiting
from rx_assistant.client._resource import page_of, parsed
from rx_assistant.errors import TotalTimeoutError
from rx_assistant.http.lines import Line
from rx_assistant.http.options import CallOptions
from rx_assistant.http.request import OMIT, Omit, Request
from rx_assistant.http.requests import messages, run_steps, runs
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout, as_timeout
from rx_assistant.lifecycle import RUN
from rx_assistant.polling import AsyncPolledBody, Polled, PolledBody, RunObjects, Telling, poll_after
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import RunIdentity
from rx_assistant.types import Message, Run, RunStep
from rx_assistant.types._inside import models_in

_T = TypeVar("_T", RunStep, Message)
_Turn = Generator[Request, Reply, Polled[RunObjects]]

_PAGE = {"limit": 100, "order": "asc"}


class _ReaderBase:
    """What to ask for in each turn, and with which options."""

    request_id: str | None = None

    def __init__(
        self, identity: RunIdentity, options: CallOptions, default: Timeout, deadline: float | None, include: object
    ) -> None:
        self._run_id, self._thread_id = identity
        self._options = replace(options, extra_body={})
        self._default = default
        self._countdown = Countdown(deadline)
        self._include = include

    def _limited(self) -> CallOptions:
        return self._countdown.limit(self._options, self._default)

    def _turn(self) -> _Turn:
        """The run, and then its steps and messages; a run that has not begun has none."""
        reply = yield runs.retrieve(self._run_id, self._thread_id)
        self.request_id = reply.request_id
        run, after = parsed(Run, reply), poll_after(reply.headers)
        if run.status == RUN.initial:
            return Polled(RunObjects(run), after)
        steps = yield from _all(
            RunStep, run_steps.list(self._run_id, self._thread_id, {**_PAGE, "include": self._include})
        )
        written = yield from _all(Message, messages.list(self._thread_id, {**_PAGE, "run_id": self._run_id}))
        return Polled(RunObjects(run, steps, written), after)


class RunReader(_ReaderBase):
    """Fetches a run with its steps and messages, over a connection of its own."""

    def __init__(
        self,
        session: Session,
        identity: RunIdentity,
        options: CallOptions,
        deadline: float | None = None,
        include: object = OMIT,
    ) -> None:
        super().__init__(identity, options, session.settings.timeout, deadline, include)
        self._line = Line(session)

    def __call__(self) -> Polled[RunObjects]:
        turn = self._turn()
        try:
            request = next(turn)
            while True:
                request = turn.send(self._line.send(request, self._limited()))
        except StopIteration as end:
            polled: Polled[RunObjects] = end.value
            return polled
        except TotalTimeoutError as error:
            self._countdown.check(error)
            raise

    def close(self) -> None:
        self._line.cut()


class AsyncRunReader(_ReaderBase):
    """The same for asyncio and trio."""

    def __init__(
        self, session: AsyncSession, identity: RunIdentity, options: CallOptions, include: object = OMIT
    ) -> None:
        super().__init__(identity, options, session.settings.timeout, None, include)
        self._session = session

    async def __call__(self) -> Polled[RunObjects]:
        turn = self._turn()
        request = next(turn)
        while True:
            reply = await self._session.send(request, self._limited())
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
    reader = RunReader(session, identity, options, waiting.deadline, include)
    body = PolledBody(
        reader,
        Telling(RunSnapshot()),
        interval=waiting.interval,
        backoff=waiting.backoff,
        deadline=waiting.deadline,
    )
    try:
        body.begin()
    except BaseException:
        body.close()
        raise
    return body


async def polled_async_body(
    session: AsyncSession, identity: RunIdentity, options: CallOptions, waiting: Waiting, include: object
) -> AsyncPolledBody:
    """The same for asyncio and trio."""
    body = AsyncPolledBody(
        AsyncRunReader(session, identity, options, include),
        Telling(RunSnapshot()),
        interval=waiting.interval,
        backoff=waiting.backoff,
        deadline=waiting.deadline,
    )
    await body.begin()
    return body


# -- events of a run whose stream has broken off -----------------------------------------------------------------------


class Resuming:
    """What a stream needs to go on by polling: made before it is opened, asked when it has broken."""

    def __init__(self, options: CallOptions, default: Timeout, answered: Iterable[str]) -> None:
        self._options = options
        self._answered = tuple(answered)
        timeout = default if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
        self._total = timeout.total
        self._opened = time.monotonic()

    def begin(self) -> None:
        """The request is sent now."""
        self._opened = time.monotonic()

    def with_session(self, session: Session) -> Callable[[RunIdentity, RunSnapshot], PolledBody]:
        """The `resume` of a synchronous stream."""

        def resume(identity: RunIdentity, snapshot: RunSnapshot) -> PolledBody:
            left = self._left()
            reader = RunReader(session, identity, self._options, left)
            return PolledBody(reader, Telling(snapshot, self._answered), deadline=left, late=self._late)

        return resume

    def with_async_session(
        self, session: AsyncSession
    ) -> Callable[[RunIdentity, RunSnapshot], Coroutine[Any, Any, AsyncPolledBody]]:
        """The `resume` of an asynchronous one."""

        async def resume(identity: RunIdentity, snapshot: RunSnapshot) -> AsyncPolledBody:
            reader = AsyncRunReader(session, identity, self._options)
            telling = Telling(snapshot, self._answered)
            return AsyncPolledBody(reader, telling, deadline=self._left(), late=self._late)

        return resume

    def _left(self) -> float | None:
        """Seconds that are left of `timeout.total`, which counts from the first request."""
        return None if self._total is None else self._total - (time.monotonic() - self._opened)

    def _late(self, _run: Run | None) -> TotalTimeoutError:
        return TotalTimeoutError(f"the stream had not ended within timeout.total = {self._total:g} s")

"""Objects that are polled until they are final: what to fetch and what is final, as data → streams of states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from rx_assistant.api.request import Request
from rx_assistant.client.fetching import AsyncFetch, Countdown, SyncFetch, Turn
from rx_assistant.client.poll_params import OnFailure, PollCall
from rx_assistant.client.resource import parsed
from rx_assistant.errors import IngestionError
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.connection import Abort
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.http.timeouts import Timeout
from rx_assistant.lifecycle import Lifecycle
from rx_assistant.polling import Plan, Polled, observe, observe_async, poll_after
from rx_assistant.types import WireModel

M = TypeVar("M", bound=WireModel)


@dataclass(frozen=True, slots=True)
class PollTarget(Generic[M]):
    """What is polled: the model, its statuses, and the request that fetches it.

    With `again`, the request starts the work (it creates a run, a batch …), and `again` gives the request that fetches
    the object which it started.
    """

    model: type[M]
    lifecycle: Lifecycle
    request: Request
    again: Callable[[M], Request] | None = None

    def is_final(self, value: M) -> bool:
        """Whether the object will not change by itself. An unknown status is not final."""
        return getattr(value, "status", None) in self.lifecycle.stops


def watch_object(session: Session, target: PollTarget[M], call: PollCall) -> Stream[M]:
    """The states of an object. Each subscription sends its own requests."""
    timeout = session.settings.timeout

    def open(reachable: bool) -> SyncFetch[M]:
        return SyncFetch(session, object_turns(target, call, timeout), abort=Abort() if reachable else None)

    return observe(_plan(target, call, open))


def watch_object_async(session: AsyncSession, target: PollTarget[M], call: PollCall) -> AsyncStream[M]:
    """The same for asyncio and trio."""
    timeout = session.settings.timeout

    def open(_: bool) -> AsyncFetch[M]:
        return AsyncFetch(session, object_turns(target, call, timeout))

    return observe_async(_plan(target, call, open))


def poll_object(session: Session, target: PollTarget[M], call: PollCall) -> M:
    """The final state. IngestionError if it is a failure and the call has `on_failure="raise"`."""
    return checked(watch_object(session, target, call).run(), target.lifecycle, call.on_failure)


async def poll_object_async(session: AsyncSession, target: PollTarget[M], call: PollCall) -> M:
    """The same for asyncio and trio."""
    return checked(await watch_object_async(session, target, call), target.lifecycle, call.on_failure)


def checked(value: M, lifecycle: Lifecycle, on_failure: OnFailure) -> M:
    """The final value. IngestionError if it is a failure and failures are to be raised."""
    status = getattr(value, "status", None)
    if on_failure == "return" or status not in lifecycle.failures:
        return value
    reason = getattr(getattr(value, "last_error", None), "message", None)
    message = f"the {lifecycle.name} {getattr(value, 'id', None)!r} ended as {status!r}"
    raise IngestionError(f"{message}: {reason}" if reason else message, value)


def _plan(target: PollTarget[M], call: PollCall, open: Callable[[bool], Any]) -> Plan[M, Any]:
    begins = target.again is not None
    return Plan(open=open, until=target.is_final, settings=call.settings, begins=begins)


def object_turns(target: PollTarget[M], call: PollCall, timeout: Timeout) -> Callable[[], Turn[M]]:
    """The turns of one subscription. The request that starts the work is sent once, and without the deadline."""
    countdown = Countdown(call.settings.deadline, timeout)
    request, options, again = target.request, call.options, target.again

    def turn() -> Turn[M]:
        nonlocal request, options, again
        if again is None:
            reply = yield from countdown.send(request, options)
            return Polled(parsed(target.model, reply), poll_after(reply.headers))
        reply = yield request, options
        started = parsed(target.model, reply)
        request, options, again = again(started), replace(options, extra_body={}), None
        return Polled(started, poll_after(reply.headers))

    return turn

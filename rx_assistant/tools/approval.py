"""Which calls may run: a function, a person or a rule decides; if none decides in time, a default does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from reactivex import Observable

from rx_assistant.errors import ToolDeniedError
from rx_assistant.schedulers import EventLoop, LoopWaker
from rx_assistant.tools.running import Collector, in_thread, is_async

if TYPE_CHECKING:
    from rx_assistant.tools.context import ToolContext


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call may run. `arguments` replace those of the model; the model reads the `reason` of a denial.

    In an Observable of decisions, `call_id` names the call; a decision without it is for every call that waits.
    """

    approved: bool
    arguments: Mapping[str, Any] | str | None = None
    reason: str | None = None
    call_id: str | None = None


class PendingCall:
    """A call that waits for a decision. `approve()` and `deny()` work from any thread; the first decision counts."""

    def __init__(self, context: ToolContext, loop: EventLoop) -> None:
        self.call_id = context.call_id
        self.name = context.name
        self.arguments = context.arguments
        self.run_id = context.run_id
        self.thread_id = context.thread_id
        self._waker = LoopWaker(loop)
        self._decisions: dict[int, Decision] = {}  # the first one, under 0
        self._is_over = False

    def __repr__(self) -> str:
        return f"PendingCall(call_id={self.call_id!r}, name={self.name!r}, arguments={self.arguments!r})"

    @property
    def is_open(self) -> bool:
        """Whether a decision still counts."""
        return not (self._is_over or self._decisions)

    def approve(self, arguments: Mapping[str, Any] | str | None = None) -> bool:
        """Allow the call, with other arguments if they are given. Returns False if it was too late."""
        return self.decide(Decision(True, arguments))

    def deny(self, reason: str | None = None) -> bool:
        """Refuse the call; the model reads the reason. Returns False if it was too late."""
        return self.decide(Decision(False, reason=reason))

    def decide(self, decision: Decision | bool) -> bool:
        """Decide. Returns False if it was too late."""
        made = _as_decision(decision)
        if self._is_over or self._decisions.setdefault(0, made) is not made:
            return False
        self._waker.wake()
        return True

    async def decision(self) -> Decision:
        """Wait for the decision."""
        while not self._decisions:
            await self._waker.sleep(None)
        return self._decisions[0]

    def close(self) -> None:
        """Ignore later decisions."""
        self._is_over = True


Verdict: TypeAlias = bool | Decision
Decide: TypeAlias = (
    Callable[[PendingCall], Verdict | Awaitable[Verdict] | Observable[Verdict]]
    | Observable[bool]
    | Observable[Decision]
)
"""Decides: a function or an async function of the call, a function that returns an Observable, or an Observable."""


class Approval:
    """How calls are approved.

    Args:
        decide: A function, an async function or an Observable. Without it only `stream.pending_calls` decide.
        timeout: Seconds to wait for a decision; None waits as long as the run does.
        default: The decision after the timeout, and of an Observable that completes without one.

    Raises:
        TypeError: `decide` has another type.
    """

    def __init__(
        self, decide: Decide | None = None, *, timeout: float | None = None, default: bool | Decision = False
    ) -> None:
        if not (decide is None or isinstance(decide, Observable) or callable(decide)):
            raise TypeError(f"approve must be a function or an Observable of decisions, got {type(decide).__name__}")
        self._decide = decide
        self._timeout = timeout
        self._default = _as_decision(default, "it was not approved in time")

    @classmethod
    def of(cls, approve: Approval | Decide) -> Approval:
        """The approval itself, or one without a time limit."""
        return approve if isinstance(approve, Approval) else cls(approve)

    async def settle(self, call: PendingCall) -> Mapping[str, Any] | str:
        """Wait for the decision, and return the arguments for the tool.

        Raises:
            ToolDeniedError: the call may not run.
        """
        decision = self._default
        try:
            with anyio.move_on_after(self._timeout):
                decision = await self._decided(call)
        finally:
            call.close()
        if not decision.approved:
            reason = f": {decision.reason}" if decision.reason else ""
            raise ToolDeniedError(f"the call was not approved{reason}")
        return call.arguments if decision.arguments is None else decision.arguments

    async def _decided(self, call: PendingCall) -> Decision:
        """The first decision, of `decide` or of the pending call itself."""
        if self._decide is None:
            return await call.decision()
        failure: list[Exception] = []
        decision = self._default
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                try:
                    call.decide(await self._ask(call))
                except Exception as error:  # raised outside the group, which would wrap it
                    failure.append(error)
                    group.cancel_scope.cancel()

            group.start_soon(ask)
            decision = await call.decision()
            group.cancel_scope.cancel()
        if failure:
            raise failure[0]
        return decision

    async def _ask(self, call: PendingCall) -> Decision:
        decide = self._decide
        if isinstance(decide, Observable):
            return await self._first(decide, call)
        assert decide is not None
        answer: Any = decide(call) if is_async(decide) else await in_thread(lambda: decide(call))
        if isinstance(answer, Observable):
            return await self._first(answer, call)
        if inspect.isawaitable(answer):
            answer = await answer
        return _as_decision(answer)

    async def _first(self, decisions: Observable[Any], call: PendingCall) -> Decision:
        """The first decision about this call."""
        found: list[Decision] = []

        def consider(item: Any) -> None:
            decision = _as_decision(item)
            if decision.call_id in (None, call.call_id):
                found.append(decision)

        collector = Collector(consider)
        await collector.collect(decisions, lambda: bool(found))
        return found[0] if found else self._default


def _as_decision(value: Any, reason: str | None = None) -> Decision:
    if isinstance(value, Decision):
        return value
    if isinstance(value, bool):
        return Decision(value, reason=None if value else reason)
    raise TypeError(f"a decision must be a Decision, True or False, got {value!r}")

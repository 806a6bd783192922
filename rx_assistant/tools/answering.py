"""Calls of a run → their outputs, round after round. It knows neither HTTP nor the stream that it works for.

Theory of operation

`begin(run)` starts a round: one task for each call that the run asks for, on the host's event loop. With `eager`,
`take()` has started some of them before, when their arguments were complete. A call goes through

    validate ─▶ approve ─▶ wait for a free place ─▶ ToolStarted ─▶ run ─▶ ToolFinished
        └───────────┴──────────────────────────────────────────────────▶ (a failure)

and ends with a text for the model, or with `failure`, which ends the stream. `busy` is true until each call of the
round has ended. Then `outputs()` gives the texts in the order of the calls, once.

`give_up()` cancels the calls, because the run was cancelled or has expired; `outputs()` is then None, and the stream
shows the rest of the run. `stop()` cancels too, because the stream has ended. Both may be called on any thread. A
cancelled call gets its ToolFinished at that moment; its later result is ignored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from rx_assistant.errors import ToolCancelledError, ToolDeniedError, ToolFailedError, ToolRoundsError
from rx_assistant.events import RunEvent, ThreadRunStepDelta, ToolEvent, ToolFinished, ToolProgress, ToolStarted
from rx_assistant.hot import HotLog
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.tools.approval import Approval, PendingCall
from rx_assistant.tools.context import ToolContext
from rx_assistant.tools.eager import Writing
from rx_assistant.tools.failures import ExposeErrors, checked, failure_text
from rx_assistant.tools.outputs import output_text
from rx_assistant.tools.running import run_call
from rx_assistant.tools.toolset import ToolSet
from rx_assistant.types._inside import inside, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.events import Kind, StreamEvent
    from rx_assistant.schedulers import EventLoop, Task
    from rx_assistant.tools.approval import Decide
    from rx_assistant.tools.hosts import Host
    from rx_assistant.tools.toolset import Tool, Tools
    from rx_assistant.types import Run, ToolOutput

MAX_ROUNDS: Final = 32
MAX_CONCURRENCY: Final = 8
_GRACE: Final = 1.0  # seconds after the end of a run's life, in which the server notices it


@dataclass(frozen=True, slots=True)
class Options:
    """How calls are answered.

    Args:
        max_rounds: How often the run may require action. One more time ends the stream with ToolRoundsError.
        max_concurrency: How many calls run at a time.
        tool_timeout: Seconds that one call may take, without the wait for its approval.
        eager: Start a call as soon as its arguments are complete, before the run asks for it.
        expose_errors: What the model learns about an exception.
        on_tool_error: `"output"` gives it to the model; `"raise"` ends the stream with ToolFailedError.
        approve: Decides which calls may run.
    """

    max_rounds: int | None = MAX_ROUNDS
    max_concurrency: int = MAX_CONCURRENCY
    tool_timeout: float | None = None
    eager: bool = False
    expose_errors: ExposeErrors = "type"
    on_tool_error: Literal["output", "raise"] = "output"
    approve: Approval | Decide | None = None

    def check(self, toolset: ToolSet) -> None:
        """Raise ValueError or TypeError for an option that is out of range or of a wrong type."""
        rounds, seconds = self.max_rounds, self.tool_timeout
        if rounds is not None and not (isinstance(rounds, int) and rounds >= 0):
            raise ValueError(f"max_rounds must be 0 or more, got {rounds!r}")
        if not (isinstance(self.max_concurrency, int) and self.max_concurrency >= 1):
            raise ValueError(f"max_concurrency must be at least 1, got {self.max_concurrency!r}")
        if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
            raise ValueError(f"tool_timeout must be a number of seconds above 0, got {self.tool_timeout!r}")
        if self.on_tool_error not in ("output", "raise"):
            raise ValueError(f"on_tool_error must be 'output' or 'raise', got {self.on_tool_error!r}")
        checked(self.expose_errors)
        unguarded = [tool.name for tool in toolset if tool.needs_approval] if self.approve is None else []
        if unguarded:
            raise ValueError(f"approve must be given, because a tool needs approval: {', '.join(unguarded)}")


class _Call:
    """One call and its result."""

    __slots__ = ("asked", "context", "error", "is_over", "output", "started", "task", "task_id")

    def __init__(self, context: ToolContext) -> None:
        self.context = context
        self.asked = context.arguments  # an approval may change those of the context
        self.task: Task | None = None
        self.task_id: int | None = None
        self.started: float | None = None
        self.output: str | None = None
        self.error: BaseException | None = None
        self.is_over = False


class Answering:
    """Fulfils `streams.Continuation` for one stream. See the module's text."""

    def __init__(self, tools: Tools, options: Options, host: Host) -> None:
        self.toolset = ToolSet.of(tools)
        options.check(self.toolset)
        self._options = options
        self._approval = None if options.approve is None else Approval.of(options.approve)
        self._host = host
        self.logs: dict[str, HotLog[Any]] = {"tool_events": HotLog(), "pending_calls": HotLog()}
        self.run: Run | None = None
        """The run; in a round, as it requires action."""
        self._calls: dict[str, _Call] = {}
        self._round: tuple[_Call, ...] | None = None
        self._rounds = 0
        self._failure: Exception | None = None
        self._given_up = self._stopped = False
        self._writing = Writing()  # the calls that are being written, for `eager`
        self._born: float | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._stop_expiry: Callable[[], None] | None = None
        self._cancelled: list[_Call] = []  # their tasks may not have ended yet
        self.arrived: Callable[[], RunSnapshot] = RunSnapshot
        """The snapshot of the stream."""
        self._changed: Callable[[], None] = _nothing
        self._hand_over: Callable[[Callable[[], None]], None] = _at_once

    # -- for the stream ------------------------------------------------------------------------------------------

    def bind(
        self,
        log: HotLog[Any],
        *,
        changed: Callable[[], None],
        hand_over: Callable[[Callable[[], None]], None],
        arrived: Callable[[], RunSnapshot],
    ) -> None:
        """Work for the stream with that log, until it ends."""
        self._changed, self._hand_over, self.arrived = changed, hand_over, arrived
        log.listen(lambda: self.stop() if log.ended else None)

    def work_for(self, changed: Callable[[], None]) -> None:
        """Work without a stream: `changed` is called when `busy` may have changed, on any thread."""
        self._changed = changed

    @property
    def busy(self) -> bool:
        """Whether a call of the round is under way."""
        if self._round is None or self._failure is not None or self._given_up or self._stopped:
            return False
        return not all(call.is_over for call in self._round)

    def take(self, kinds: Sequence[Kind], payloads: Sequence[bytes]) -> None:
        """With `eager`, start the calls whose arguments are complete."""
        if self._born is None:
            self._born = time.monotonic()
        if not self._options.eager or self._is_last_round or self._given_up or self._stopped:
            return
        for kind, payload in zip(kinds, payloads, strict=True):
            self._start_written(kind(payload))

    def see(self, event: StreamEvent) -> None:
        """The same for one event."""
        self.take((type(event),), (event.raw,))

    def _start_written(self, event: StreamEvent) -> None:
        if isinstance(event, RunEvent):
            self.run = event.data
        elif isinstance(event, ThreadRunStepDelta):
            for written in self._writing.take(event):
                if written.call_id not in self._calls:
                    self._start(self._context(*written, self.run))

    def begin(self, run: Run) -> None:
        """Start a round: the calls that the run waits for."""
        self.run = run
        if self._is_last_round:
            self._failure = ToolRoundsError(
                f"the run must need at most {self._rounds} rounds of tool outputs, got one more: raise max_rounds",
                self._rounds,
            )
        self._rounds += 1
        asked = models_in(inside(run.required_action, "submit_tool_outputs", "tool_calls"))
        self._round = () if self._failure or self._given_up else tuple([self._called(call, run) for call in asked])
        self._await_expiry(run)

    def outputs(self) -> list[ToolOutput] | None:
        """End the round, and return its outputs; None if the calls were cancelled.

        Raises:
            ToolRoundsError: the run has required action more than `max_rounds` times.
            ToolFailedError: a call failed, and failures end the stream.
        """
        if self._failure is not None:
            raise self._failure
        finished = self._round or ()
        self._round = None
        self._calls.clear()
        self._writing = Writing()
        self._cancel_expiry()
        if self._given_up:
            return None
        return [{"tool_call_id": call.context.call_id, "output": call.output or ""} for call in finished]

    def asked(self) -> list[str]:
        """The ids of the calls that the run waits for."""
        action = None if self.run is None else self.run.required_action
        return [text_in(call, "id") for call in models_in(inside(action, "submit_tool_outputs", "tool_calls"))]

    def give_up(self) -> None:
        """Cancel the calls, because no outputs are needed any more. From any thread."""
        self._given_up = True
        self._cancel("the run was cancelled or has expired")
        self._changed()

    def stop(self) -> None:
        """Cancel the calls, because the stream has ended. From any thread."""
        if self._stopped:
            return
        self._stopped = True
        self._cancel("the stream has ended")
        self._cancel_expiry()
        self._host.stop()
        self._changed, self._hand_over = _nothing, _at_once  # nothing points back: the stream is freed when dropped
        self.arrived = RunSnapshot

    def join(self, seconds: float) -> None:
        """Wait until the tasks of a synchronous stream have ended."""
        self._host.join(seconds)

    async def stopped(self, seconds: float) -> None:
        """The same for event loops. A tool that closes its own stream does not wait for itself."""
        here = anyio.get_current_task().id
        with anyio.move_on_after(seconds):
            for call in self._cancelled:
                if call.task is not None and call.task_id != here:
                    await call.task.wait()

    # -- calls ---------------------------------------------------------------------------------------------------

    @property
    def _is_last_round(self) -> bool:
        return self._options.max_rounds is not None and self._rounds >= self._options.max_rounds

    def _called(self, asked: Any, run: Run) -> _Call:
        """The call that the run waits for. It may have been started before."""
        call_id, arguments = text_in(asked, "id"), _json_text(inside(asked, "function", "arguments"))
        begun = self._calls.get(call_id)
        if begun is not None and _same(begun.asked, arguments):
            return begun
        if begun is not None:
            self._cancel_call(begun, "the arguments have changed")
        return self._start(self._context(call_id, text_in(asked, "function", "name"), arguments, run))

    def _context(self, call_id: str, name: str, arguments: str, run: Run | None) -> ToolContext:
        run_id, thread_id = (None, None) if run is None else (run.id, run.thread_id)

        def report(item: Any) -> None:
            self._emit(ToolProgress(call_id, name, item, run_id))

        return ToolContext(call_id, name, arguments, run_id=run_id, thread_id=thread_id, report=report)

    def _start(self, context: ToolContext) -> _Call:
        call = self._calls[context.call_id] = _Call(context)
        loop = self._host.start()
        if loop.is_here():
            self._spawn(loop, call)
        else:
            loop.call_soon(partial(self._spawn, loop, call))
        if self._stopped:  # meanwhile, on another thread
            self._cancel_call(call, "the stream has ended")
            self._host.stop()
        return call

    def _spawn(self, loop: EventLoop, call: _Call) -> None:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._options.max_concurrency)
        if not call.is_over:
            call.task = loop.spawn(partial(self._answer, loop, call, self._limiter))

    async def _answer(self, loop: EventLoop, call: _Call, limiter: anyio.CapacityLimiter) -> None:
        context, call.task_id = call.context, anyio.get_current_task().id
        try:
            tool = self.toolset[context.name]
            tool.bind(context.arguments, context)  # wrong arguments need no approval
            bound = tool.bind(await self._approved(tool, call, loop), context)
            async with limiter:
                self._report_start(call)
                timeout = self._options.tool_timeout if tool.timeout is None else tool.timeout
                text = output_text(await run_call(bound, context, timeout))
        except (Exception, SystemExit) as error:
            self._fail(call, error)
        except BaseException:  # a cancellation; if this loop did not cancel the call, the tool has cancelled itself
            self._fail(call, ToolCancelledError(f"the tool {context.name!r} was cancelled"))
            raise
        else:
            self._end(call, None, text)

    async def _approved(self, tool: Tool, call: _Call, loop: EventLoop) -> str | Mapping[str, Any]:
        """Wait for the approval, and return the arguments for the tool."""
        context, approval = call.context, self._approval
        if approval is None or tool.needs_approval is False:
            return context.arguments
        pending = PendingCall(context, loop)
        self._hand_over(lambda: self.logs["pending_calls"].push(pending) if pending.is_open else None)
        arguments = await approval.settle(pending)
        if arguments is not context.arguments:
            context.arguments = arguments if isinstance(arguments, str) else json.dumps(dict(arguments), default=str)
        return arguments

    # -- endings -------------------------------------------------------------------------------------------------

    def _fail(self, call: _Call, error: BaseException) -> None:
        if call.is_over:
            return
        if self._options.on_tool_error == "raise" and not isinstance(error, ToolDeniedError):
            context = call.context
            failure = ToolFailedError(
                f"the tool {context.name!r} failed: {error}", call_id=context.call_id, name=context.name
            )
            failure.__cause__ = error
            self._failure = self._failure or failure
            self._end(call, error)
            self._cancel("another call has failed")
            return
        try:
            text = failure_text(error, self._options.expose_errors)
        except Exception as raised:  # of a function for expose_errors
            text, error = failure_text(raised, "type"), raised
        self._end(call, error, text)

    def _end(self, call: _Call, error: BaseException | None, output: str | None = None) -> None:
        """A call has ended. Only the first ending counts."""
        if call.is_over:
            return
        self._report_start(call)
        call.is_over, call.error, call.output = True, error, output
        began, context = call.started or 0.0, call.context
        duration = time.monotonic() - began
        self._emit(ToolFinished(context.call_id, context.name, duration, output, error, context.run_id))
        self._changed()

    def _cancel(self, why: str) -> None:
        for call in tuple(self._calls.values()):
            self._cancel_call(call, why)

    def _cancel_call(self, call: _Call, why: str) -> None:
        if not call.is_over:
            call.context.give_up()
            self._end(call, ToolCancelledError(f"the call was cancelled: {why}"))
            self._cancelled.append(call)
            self._host.start().call_soon(partial(_cancel_task, call))

    def _report_start(self, call: _Call) -> None:
        if call.started is None and not call.is_over:
            call.started = time.monotonic()
            context = call.context
            self._emit(ToolStarted(context.call_id, context.name, context.arguments, context.run_id))

    def _emit(self, event: ToolEvent) -> None:
        self._hand_over(partial(self.logs["tool_events"].push, event))

    # -- the expiry of the run -----------------------------------------------------------------------------------

    def _await_expiry(self, run: Run) -> None:
        """Cancel the calls when the run has expired. Its lifetime is measured here, because clocks differ."""
        created, expires = run.created_at, run.expires_at
        if not (isinstance(created, int | float) and isinstance(expires, int | float) and self.busy):
            return
        left = expires - created - (time.monotonic() - (self._born or time.monotonic())) + _GRACE

        self._stop_expiry = self._host.start().call_later(max(left, 0), self.give_up)

    def _cancel_expiry(self) -> None:
        stop, self._stop_expiry = self._stop_expiry, None
        if stop is not None:
            self._host.start().call_soon(stop)


def _cancel_task(call: _Call) -> None:
    if call.task is not None:
        call.task.cancel()


def _json_text(arguments: object) -> str:
    """Arguments as JSON text. Some servers send an object instead."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, default=str)


def _same(left: str, right: str) -> bool:
    """Whether two JSON texts have the same value."""
    if left == right:
        return True
    try:
        return bool(json.loads(left) == json.loads(right))
    except ValueError:
        return False


def _nothing() -> None:
    """Do nothing: no stream waits for the calls."""


def _at_once(entry: Callable[[], None]) -> None:
    """Do nothing: there are no deliveries to wait for."""
    entry()

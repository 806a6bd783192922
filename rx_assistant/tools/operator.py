"""A stream that stops for tool outputs → a stream that submits them, and continues with the events that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable

from rx_assistant.events import RunEvent, ToolEvent
from rx_assistant.hot import AsyncStream, Hooks, Scope, Sink, StreamScheduler, Subscriber, operator
from rx_assistant.tools.answering import Answering, Options
from rx_assistant.tools.hosts import LoopThread, RunningLoop
from rx_assistant.tools.toolset import ToolSet

if TYPE_CHECKING:
    from rx_assistant.events import StreamEvent
    from rx_assistant.tools.toolset import Tools
    from rx_assistant.types import Run, ToolOutput

Submit: TypeAlias = "Callable[[Run, list[ToolOutput]], Observable[Any]]"
"""Submits the outputs of a round, and returns the events that follow."""


def answer_with(
    tools: Tools,
    submit: Submit,
    *,
    on_tool_event: Callable[[ToolEvent], object] | None = None,
    options: Options | None = None,
) -> Callable[[Observable[StreamEvent]], Observable[StreamEvent]]:
    """Emit the events of a run across all rounds of tool outputs.

        source       run.requires_action |
        submit(…)                          run.queued  run.completed |
        answer_with  run.requires_action   run.queued  run.completed |

    When a source that has stopped for tool outputs completes, the tools run, `submit(run, outputs)` is called once, and
    its events follow. This repeats until the run needs no more outputs. `on_tool_event` gets ToolStarted, ToolProgress
    and ToolFinished.

    >>> def submit(run, outputs):
    ...     return runs.submit_tool_outputs_stream(run.id, run.thread_id, tool_outputs=outputs)
    >>> stream.pipe(tools.answer_with([get_weather], submit)).subscribe(show)

    Raises:
        ToolRoundsError: the run required action more than `max_rounds` times; through on_error.
        ToolFailedError: a tool failed, and failures end the stream; through on_error.
    """
    if options is not None and not isinstance(options, Options):
        raise TypeError(f"options must be an Options(…), got {options!r:.80}")
    toolset, chosen = ToolSet.of(tools), options or Options()
    chosen.check(toolset)

    def start(down: Sink[StreamEvent], scope: Scope[StreamEvent]) -> Hooks:
        answering = Answering(toolset, chosen, RunningLoop() if isinstance(scope.source, AsyncStream) else LoopThread())
        rounds = _Rounds(answering, submit, down, scope.scheduler)
        answering.work_for(rounds.resumed)
        if on_tool_event is not None:
            answering.logs["tool_events"].subscribe(Subscriber(on_tool_event))
        return Hooks(rounds.take, rounds.fail, rounds.source_ended, rounds.dispose)

    return operator(start)


class _Rounds:
    """One subscription: the events of the source, then those of each submission."""

    def __init__(
        self, answering: Answering, submit: Submit, down: Sink[Any], scheduler: abc.SchedulerBase | None
    ) -> None:
        self._answering = answering
        self._submit = submit
        self._down = down
        # a loop must not read what follows, because the tools run on another thread or task
        self._scheduler = None if isinstance(scheduler, StreamScheduler) else scheduler
        self._following = SerialDisposable()
        self._run: Run | None = None
        self._waiting: dict[int, object] = {}  # a token while a round is under way, under 0

    def take(self, event: Any) -> None:
        """Pass an event on, and remember the run."""
        if isinstance(event, RunEvent):
            self._run = event.data
        self._answering.see(event)
        self._down.next(event)

    def source_ended(self) -> None:
        """Begin a round if the run requires action; otherwise complete."""
        run, self._run = self._run, None
        if run is None or run.status != "requires_action":
            self._end(self._down.completed)
            return
        self._answering.begin(run)
        self._waiting[0] = run  # a call that ended before, on the thread of the tools, must not resume anything
        self.resumed()

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self._end(lambda: self._down.error(error))

    def resumed(self) -> None:
        """Submit the outputs when they are complete."""
        if self._answering.busy or self._waiting.pop(0, None) is None:
            return
        run = self._answering.run
        try:
            outputs = self._answering.outputs()
            if run is None or outputs is None:
                return
            following = self._submit(run, outputs)
        except Exception as error:
            self.fail(error)
            return
        self._following.disposable = following.subscribe(
            self.take, self.fail, self.source_ended, scheduler=self._scheduler
        )

    def _end(self, tell: Callable[[], object]) -> None:
        tell()
        self._answering.stop()

    def dispose(self) -> None:
        """Dispose the following source, and cancel the tools."""
        self._answering.stop()
        self._following.dispose()

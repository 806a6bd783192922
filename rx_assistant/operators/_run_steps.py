"""Events → run steps: finished ones, or each while it is in progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from reactivex import Observable

from rx_assistant.events import RunStepEvent
from rx_assistant.hot import AsyncStream, Scope, Sink, Stream, SubstreamOperator, operator
from rx_assistant.lifecycle import EVENTS, STEP
from rx_assistant.operators._changes import at_done, deltas, events_of, views
from rx_assistant.operators._routing import STEPS, StateChange
from rx_assistant.operators._select import Event
from rx_assistant.operators._substreams import Substream, substreams
from rx_assistant.operators._tool_calls import AsyncToolCallStream, ToolCallStream, tool_calls
from rx_assistant.snapshots import State, StepState

if TYPE_CHECKING:
    from rx_assistant.types import RunStep, RunStepDelta, RunStepType

_Change = StateChange[StepState]
_NEWEST: Final = 1 << 62  # a version after all others


def completed_run_steps() -> Callable[[Observable[Event]], Observable[RunStep]]:
    """Emit each RunStep when it has ended, completed, failed, cancelled or expired, as the server sent it.

        source                 run.step.created  run.step.delta  run.step.completed
        completed_run_steps()                                    RunStep

    >>> [step.type for step in stream.pipe(ax.completed_run_steps())]
    ['tool_calls', 'message_creation']

    Raises:
        EventDecodeError: the payload of a finished step is not a JSON object; through on_error.
    """
    return operator(_completed_run_steps)


def _completed_run_steps(down: Sink[RunStep], scope: Scope[Event]) -> Callable[[Event], object]:
    finished: set[str] = set()

    def on_event(event: Event) -> None:
        if isinstance(event, RunStepEvent) and EVENTS[event.event].status in STEP.terminal:
            step = event.data
            if step.id not in finished:
                finished.add(step.id)
                down.next(step)

    return on_event


def run_steps() -> SubstreamOperator[RunStepStream, AsyncRunStepStream]:
    """Emit a substream for each run step, when it first appears.

        source       run.step.created  run.step.delta  run.step.delta  run.step.completed
        run_steps()  RunStepStream
                                         RunStepDelta    RunStepDelta    |

    The step's id is the key. A step whose outputs are submitted in another stream appears in both streams, and ends in
    the second. If the stream fails, open substreams end with the stream's error.

    >>> for step in stream.pipe(ax.run_steps()):
    ...     print(step.id, step.type, step.done.run().status)
    step_1 tool_calls completed
    step_2 message_creation completed

    Raises:
        EventDecodeError: the payload of a step event, or of a run event that requires action, is not a JSON object;
            through on_error.
    """
    return substreams(STEPS, _is_step, RunStepStream, AsyncRunStepStream)


def _is_step(state: State) -> bool:
    return isinstance(state, StepState)


class _StepFields:
    """The identity of a step."""

    _step: StepState

    @property
    def id(self) -> str:
        """The step's id; empty when the server sends none."""
        return self._step.id

    @property
    def type(self) -> RunStepType | None:
        """`tool_calls` or `message_creation`; None until the server has sent it."""
        return self._step.view(_NEWEST).type

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(id={self.id!r}, type={self.type!r})"


class RunStepStream(_StepFields, Stream["RunStepDelta"]):
    """One run step in progress: a Stream of its deltas, like `deltas`."""

    def __init__(self, substream: Substream[StepState]) -> None:
        self._step = substream.state
        self._changes: Stream[_Change] = Stream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> Stream[RunStepDelta]:
        """The changes of the step, as they were on the wire."""
        return self._changes.pipe(_deltas)

    @property
    def tool_calls(self) -> Stream[ToolCallStream]:
        """A substream for each tool call of the step."""
        return self._changes.pipe(events_of, tool_calls())

    @property
    def snapshots(self) -> Stream[RunStep]:
        """The whole step so far, each time it grows, and once more when it has ended."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> Stream[RunStep]:
        """The server's finished RunStep, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


class AsyncRunStepStream(_StepFields, AsyncStream["RunStepDelta"]):
    """One run step in progress: an AsyncStream of its deltas, like `deltas`."""

    def __init__(self, substream: Substream[StepState]) -> None:
        self._step = substream.state
        self._changes: AsyncStream[_Change] = AsyncStream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> AsyncStream[RunStepDelta]:
        """The changes of the step, as they were on the wire."""
        return self._changes.pipe(_deltas)

    @property
    def tool_calls(self) -> AsyncStream[AsyncToolCallStream]:
        """A substream for each tool call of the step."""
        return self._changes.pipe(events_of, tool_calls())

    @property
    def snapshots(self) -> AsyncStream[RunStep]:
        """The whole step so far, each time it grows, and once more when it has ended."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> AsyncStream[RunStep]:
        """The server's finished RunStep, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


def _delta(change: _Change) -> RunStepDelta:
    return change.state.delta(change.event)


def _snapshot(change: _Change) -> RunStep:
    return change.state.view(change.version)


def _final(change: _Change) -> RunStep:
    return change.state.view(change.version).to_model()


_deltas: Final = deltas(_delta)
_snapshots: Final = views(_snapshot)
_done: Final = at_done(_final)

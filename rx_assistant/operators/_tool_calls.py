"""Events → tool calls: each while it is written, finished ones, and those that the run waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, overload

from reactivex import Observable

from rx_assistant.events import RunEvent, StreamEvent, ThreadRunStepDelta
from rx_assistant.hot import AsyncStream, Scope, Sink, Stream, SubstreamOperator, operator
from rx_assistant.operators._arguments import arguments_so_far
from rx_assistant.operators._changes import at_done, deltas, views
from rx_assistant.operators._outputs import outputs
from rx_assistant.operators._routing import STEPS, ChangePhase, Inlet, Router, StateChange
from rx_assistant.operators._select import Event
from rx_assistant.operators._substreams import Substream, substreams
from rx_assistant.partial_json import JSONValue
from rx_assistant.snapshots import CallState, State
from rx_assistant.types._inside import is_model, text_in

if TYPE_CHECKING:
    from pydantic import BaseModel

    from rx_assistant.types import CodeInterpreterOutputDelta, RequiredAction, ToolCall, ToolCallDelta

M = TypeVar("M", bound="BaseModel")

ToolType: TypeAlias = Literal["function", "code_interpreter", "file_search"]

_Change = StateChange[CallState]
_NEWEST: Final = 1 << 62  # a version after all others


def tool_calls(type: ToolType | str | None = None) -> SubstreamOperator[ToolCallStream, AsyncToolCallStream]:
    """Emit a substream for each tool call, or each of one `type`, when it first appears.

        source        run.step.delta  run.step.delta  run.requires_action
        tool_calls()  ToolCallStream
                        ToolCallDelta   ToolCallDelta   |

    Step id and index are the key. A function call is done when the run requires action (its output is None then) or
    when its step ends, whichever comes first; a call of another tool when its step ends. If the stream fails, open
    substreams end with the stream's error. A function call that already has its output when it first appears was
    answered before this stream began: its step and the snapshots show it, this operator does not.

    >>> for call in stream.pipe(ax.tool_calls("function")):
    ...     print(call.name, list(call.argument_deltas), call.partial_arguments().run())
    weather ['{"city": ', '"Paris"}'] {'city': 'Paris'}

    Raises:
        EventDecodeError: the payload of a step event, or of a run event that requires action, is not a JSON object;
            through on_error.
    """

    def wants(state: State) -> bool:
        return isinstance(state, CallState) and (type is None or state.kind == type)

    return substreams(STEPS, wants, ToolCallStream, AsyncToolCallStream)


def completed_tool_calls() -> Callable[[Observable[Event]], Observable[ToolCall]]:
    """Emit each ToolCall when it is done, as the server sent it.

        source                  run.step.delta  run.requires_action  run.step.completed
        completed_tool_calls()                  ToolCall

    A function call is done when the run requires action (its output is None then) or when its step ends, whichever
    comes first; a call of another tool when its step ends. A function call that already has its output when it first
    appears was answered before this stream began, and is left out.

    >>> for call in stream.pipe(ax.completed_tool_calls()):
    ...     print(call.type, call.function.name, call.function.arguments, call.function.output)
    function weather {"city": "Paris"} None

    Raises:
        EventDecodeError: the payload of a step event, or of a run event that requires action, is not a JSON object;
            through on_error.
    """
    return operator(_completed_tool_calls)


def _completed_tool_calls(down: Sink[ToolCall], scope: Scope[Event]) -> Callable[[Event], object]:
    inlet = _Finished(down)

    def inlet_for(state: State) -> Inlet | None:
        return inlet if isinstance(state, CallState) else None

    return Router(STEPS, inlet_for).take


class _Finished:
    """Changes of calls → the finished calls."""

    def __init__(self, down: Sink[ToolCall]) -> None:
        self._down = down

    def announce(self) -> None:
        """Do nothing, because only finished calls are emitted."""

    def push(self, phase: ChangePhase, state: CallState, position: int, version: int, event: StreamEvent) -> None:
        """Emit the call when it is done."""
        if phase == "done":
            self._down.next(state.view(version).to_model())

    def end(self, error: Exception | None = None) -> None:
        """Do nothing, because the end of one call does not end the stream."""


def required_actions() -> Callable[[Observable[Event]], Observable[RequiredAction]]:
    """Emit the calls to answer, as one RequiredAction, each time the run stops to wait for their outputs.

        source              run.in_progress  run.requires_action  run.queued
        required_actions()                   RequiredAction

    All outputs must be submitted at once, so the calls come together, in `submit_tool_outputs.tool_calls`.

    >>> for action in stream.pipe(ax.required_actions()):
    ...     print([call.function.name for call in action.submit_tool_outputs.tool_calls])
    ['weather']

    Raises:
        EventDecodeError: a run event's payload is not a JSON object; through on_error.
    """
    return operator(_required_actions)


def _required_actions(down: Sink[RequiredAction], scope: Scope[Event]) -> Callable[[Event], object]:
    waiting: dict[str, RequiredAction] = {}

    def on_event(event: Event) -> None:
        if not isinstance(event, RunEvent):
            return
        run = event.data
        action = run.required_action if run.status == "requires_action" else None
        if action is None or not is_model(action):
            waiting.pop(run.id, None)
        elif waiting.get(run.id) != action:
            waiting[run.id] = action
            down.next(action)

    return on_event


class _CallFields:
    """The identity of a call."""

    _call: CallState

    @property
    def id(self) -> str:
        """The call's id, which its output needs in `tool_call_id`; empty until the server has sent it."""
        return text_in(self._view, "id")

    @property
    def type(self) -> ToolType | str:
        """`function`, `code_interpreter`, `file_search`, or another string of the server for other tools."""
        return self._call.kind

    @property
    def name(self) -> str | None:
        """The name of the function; None for other tools, and until the server has sent it."""
        view = self._view
        return (text_in(view.function, "name") or None) if view.type == "function" else None

    @property
    def step_id(self) -> str:
        """The id of the call's step; empty if the server has not sent it."""
        return self._call.step_id

    @property
    def index(self) -> int:
        """The call's index among the step's calls."""
        return self._call.index

    @property
    def _view(self) -> ToolCall:
        return self._call.view(_NEWEST)

    def __repr__(self) -> str:
        shown = f"id={self.id!r}, type={self.type!r}, name={self.name!r}, step_id={self.step_id!r}"
        return f"{self.__class__.__name__}({shown}, index={self.index})"


class ToolCallStream(_CallFields, Stream["ToolCallDelta"]):
    """One tool call while it is written: a Stream of its deltas, like `deltas`."""

    def __init__(self, substream: Substream[CallState]) -> None:
        self._call = substream.state
        self._changes: Stream[_Change] = Stream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> Stream[ToolCallDelta]:
        """The changes of the call, as they were on the wire."""
        return self._changes.pipe(_deltas)

    @property
    def argument_deltas(self) -> Stream[str]:
        """The pieces of a function's arguments (JSON text), or of an interpreter's code."""
        return self._changes.pipe(_pieces)

    @overload
    def partial_arguments(self) -> Stream[JSONValue]: ...
    @overload
    def partial_arguments(self, model: type[M]) -> Stream[JSONValue | M]: ...
    def partial_arguments(self, model: type[BaseModel] | None = None) -> Stream[Any]:
        """Emit a function's arguments parsed so far, each time the value grows; the last value is exact.

            argument_deltas      '{"city": '  '"Par'           'is"}'
            partial_arguments()               {"city": "Par"}  {"city": "Paris"}

        A value may lack up to a tenth of the text that has arrived, so that all values together take linear time. With
        a pydantic `model`, the last item, which comes when the call is done, is a validated instance of the model.

        Raises:
            PartialArgumentsError: the complete arguments are not JSON, or not valid for the model; through on_error.
        """
        return self._changes.pipe(arguments_so_far(_piece, model))

    @property
    def outputs(self) -> Stream[CodeInterpreterOutputDelta]:
        """The outputs of an interpreter call, as they arrive. Empty for other tools."""
        return self._changes.pipe(outputs)

    @property
    def snapshots(self) -> Stream[ToolCall]:
        """The whole call so far, each time it grows, and once more when it is done."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> Stream[ToolCall]:
        """The server's finished ToolCall, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


class AsyncToolCallStream(_CallFields, AsyncStream["ToolCallDelta"]):
    """One tool call while it is written: an AsyncStream of its deltas, like `deltas`."""

    def __init__(self, substream: Substream[CallState]) -> None:
        self._call = substream.state
        self._changes: AsyncStream[_Change] = AsyncStream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> AsyncStream[ToolCallDelta]:
        """The changes of the call, as they were on the wire."""
        return self._changes.pipe(_deltas)

    @property
    def argument_deltas(self) -> AsyncStream[str]:
        """The pieces of a function's arguments (JSON text), or of an interpreter's code."""
        return self._changes.pipe(_pieces)

    @overload
    def partial_arguments(self) -> AsyncStream[JSONValue]: ...
    @overload
    def partial_arguments(self, model: type[M]) -> AsyncStream[JSONValue | M]: ...
    def partial_arguments(self, model: type[BaseModel] | None = None) -> AsyncStream[Any]:
        """Emit a function's arguments parsed so far, each time the value grows; see `ToolCallStream.partial_arguments`.

        Raises:
            PartialArgumentsError: the complete arguments are not JSON, or not valid for the model; through on_error.
        """
        return self._changes.pipe(arguments_so_far(_piece, model))

    @property
    def outputs(self) -> AsyncStream[CodeInterpreterOutputDelta]:
        """The outputs of an interpreter call, as they arrive. Empty for other tools."""
        return self._changes.pipe(outputs)

    @property
    def snapshots(self) -> AsyncStream[ToolCall]:
        """The whole call so far, each time it grows, and once more when it is done."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> AsyncStream[ToolCall]:
        """The server's finished ToolCall, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


def _delta(change: _Change) -> ToolCallDelta:
    return change.state.delta(change.event, change.position)


def _piece(change: _Change) -> str:
    event: ThreadRunStepDelta = change.event
    narrow = event.narrow
    if narrow[2]:
        return narrow[1][0][2]
    delta = _delta(change)
    if delta.type == "function":
        return text_in(delta.function, "arguments")
    return text_in(delta.code_interpreter, "input") if delta.type == "code_interpreter" else ""


def _snapshot(change: _Change) -> ToolCall:
    return change.state.view(change.version)


def _final(change: _Change) -> ToolCall:
    return change.state.view(change.version).to_model()


_deltas: Final = deltas(_delta)
_pieces: Final = deltas(_piece)
_snapshots: Final = views(_snapshot)
_done: Final = at_done(_final)

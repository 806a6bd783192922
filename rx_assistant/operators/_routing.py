"""Events → changes of messages, parts, steps and calls. Each change goes to the inlet of its state. No streams here.

`snapshots.Fold` alone decides what an event opens, changes and closes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from rx_assistant.events import (
    BY_NAME,
    MessageEvent,
    RunEvent,
    RunStepEvent,
    StreamEvent,
    ThreadMessageDelta,
    ThreadRunStepDelta,
)
from rx_assistant.snapshots import CallState, Changes, Fold, MessageState, Phase, State, StepState

S = TypeVar("S", bound=State)

Kinds = frozenset[type[StreamEvent]]


def _kinds(*families: type[StreamEvent]) -> Kinds:
    return frozenset(kind for kind in BY_NAME.values() if issubclass(kind, families))


MESSAGES: Final = _kinds(MessageEvent, ThreadMessageDelta)
"""The events about messages and their parts."""

STEPS: Final = _kinds(RunStepEvent, RunEvent, ThreadRunStepDelta)
"""The events about steps and their calls. They include run events, because these end the calls that they require."""

_RUNS: Final = _kinds(RunEvent)
_DELTAS: Final = _kinds(ThreadMessageDelta, ThreadRunStepDelta)


ChangePhase: TypeAlias = Phase | Literal["changed"]
"""The phases of a change. "changed" means that a run event has ended a call of the step."""


class StateChange(Generic[S]):
    """A change of one state by one event, and the first `version` that shows it."""

    __slots__ = ("event", "phase", "position", "state", "version")

    def __init__(self, phase: ChangePhase, state: S, position: int, version: int, event: StreamEvent) -> None:
        self.phase = phase
        self.state = state
        self.position = position
        self.version = version
        self.event: Any = event  # its class follows from the phase and the state

    @property
    def is_delta(self) -> bool:
        """Whether the event is a delta; otherwise it carries a whole object."""
        return type(self.event) in _DELTAS


class Inlet(Protocol):
    """Receives the changes of one state."""

    def announce(self) -> None:
        """Announce the state, before its first change."""

    def push(self, phase: ChangePhase, state: Any, position: int, version: int, event: StreamEvent) -> None:
        """Take the next change."""

    def end(self, error: Exception | None = None) -> None:
        """End, well or with an error."""


def _unwanted(_state: State) -> None:
    """Replaces `inlet_for` after the end: no state gets an inlet."""


class Router:
    """Events → changes. `inlet_for` returns the inlet of a new state, or None to drop its changes."""

    def __init__(self, kinds: Kinds, inlet_for: Callable[[State], Inlet | None]) -> None:
        self._kinds = kinds
        self._inlet_for = inlet_for
        self._fold = Fold()
        self.inlets: dict[State, Inlet] = {}

    def take(self, event: StreamEvent) -> None:
        """Route one event. A KeyboardInterrupt in a callback is raised after all inlets have got their changes."""
        kind = type(event)
        if kind not in self._kinds:
            return
        if kind in _RUNS and b"requires_action" not in event.raw:
            return  # it cannot close a call, so its payload is not read
        interrupt: BaseException | None = None
        for version, changes, whole in self._fold.advance(event):
            interrupt = self._push_all(version, changes, whole) or interrupt
        if interrupt is not None:
            raise interrupt

    def _push_all(self, version: int, changes: Changes, event: StreamEvent) -> BaseException | None:
        """Push the changes of one event; returns an interrupt that came in between."""
        interrupt: BaseException | None = None
        for phase, state, position in changes:
            try:
                if phase != "delta":
                    self._push_created_or_done(phase, state, version, event)
                elif state in self.inlets:
                    self.inlets[state].push(phase, state, position, version, event)
            except Exception:
                raise
            except BaseException as error:
                interrupt = error
        return interrupt

    def end(self, error: Exception | None = None) -> None:
        """End all open inlets. No further inlet is opened."""
        inlets, self.inlets = self.inlets, {}
        self._inlet_for = _unwanted
        for inlet in inlets.values():
            inlet.end(error)

    def _push_created_or_done(self, phase: ChangePhase, state: State, version: int, event: StreamEvent) -> None:
        """Push the creation or the end of a state.

        The state is closed even after an interrupt, but not after an exception: the observer that raised the exception
        must get it first.
        """
        inlet = self._open(state) if phase == "created" else self.inlets.get(state)
        interrupt: BaseException | None = None
        if inlet is not None:
            try:
                if phase == "created":
                    inlet.announce()
            except Exception:
                raise
            except BaseException as error:
                interrupt = error
            try:
                inlet.push(phase, state, -1, version, event)
            except Exception:
                raise
            except BaseException as error:
                interrupt = error
        if phase == "done":
            self._close(state, version)
            self._push_to_step(state, version, event)
        if interrupt is not None:
            raise interrupt

    def _open(self, state: State) -> Inlet | None:
        inlet = self._inlet_for(state)
        if inlet is not None:
            self.inlets[state] = inlet
        return inlet

    def _close(self, state: State, version: int) -> None:
        """End a state's inlet, and the inlets of parts and calls that its final object does not hold."""
        ended: list[State] = [state]
        if isinstance(state, MessageState):
            ended += state.parts.at(version)
        elif isinstance(state, StepState):
            ended += state.calls.at(version)
        for each in ended:
            inlet = self.inlets.pop(each, None)
            if inlet is not None:
                inlet.end()

    def _push_to_step(self, call: State, version: int, event: StreamEvent) -> None:
        """Push to a step the run event that has ended one of its calls."""
        if isinstance(call, CallState) and isinstance(event, RunEvent):
            state = self._fold.snapshot.step_state(call.step_id)
            if state is not None and state in self.inlets:
                self.inlets[state].push("changed", state, -1, version, event)

"""Fetched objects of a run → the frames that its stream would have sent since the previous fetch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rx_assistant.events import (
    DoneEvent,
    RunStepEvent,
    StreamEvent,
    ThreadRunCreated,
    ThreadRunQueued,
    ThreadRunStepDelta,
    frame,
)
from rx_assistant.lifecycle import RUN, STEP
from rx_assistant.snapshots import RunSnapshot, diff, fold
from rx_assistant.types import Message, Run, RunStep
from rx_assistant.types._inside import inside, models_in, text_in

_T = TypeVar("_T", RunStep, Message)


@dataclass(frozen=True, slots=True)
class RunObjects:
    """A run with its steps and messages, oldest first. The run was fetched first, so the others are not older."""

    run: Run
    steps: Sequence[RunStep] = ()
    messages: Sequence[Message] = ()


class RunEventEncoder:
    """Encodes the changes between two fetches of a run's objects, beginning after `snapshot`.

    With `answered`, the ids of the calls whose outputs were submitted, the events begin at that submission. Steps
    before the step with those calls belong to an earlier stream. So do steps before the first step in the snapshot.
    """

    def __init__(self, snapshot: RunSnapshot, answered: Iterable[str] = ()) -> None:
        self._snapshot = snapshot
        self._answered = frozenset(answered)
        self._continued = bool(self._answered) or (snapshot.run is None and len(snapshot.steps) > 0)
        self._answered_step: str | None = None

    def encode(self, found: RunObjects) -> bytes:
        """The frames of the changes, empty if nothing has changed. The frames of a final state end with `done`."""
        steps = self._of_this_stream(_ascending(found.steps))
        events = self._events(found.run, steps, _messages_of(found, steps))
        for event in events:
            self._snapshot = fold(self._snapshot, event)
        frames = [frame(event) for event in events]
        if self.is_final(found):
            frames.append(frame(DoneEvent()))
        return b"".join(frames)

    def is_final(self, found: RunObjects) -> bool:
        """Whether the run has ended, or requires action that was not answered yet."""
        return found.run.status in RUN.stops and not self._is_stale(found.run)

    def _events(self, run: Run, steps: Sequence[RunStep], messages: Sequence[Message]) -> list[StreamEvent]:
        shown = None if self._is_stale(run) else run
        events = diff(self._snapshot, run=shown, steps=steps, messages=messages)
        if not self._continued:
            return events
        return [sent for event in events if (sent := self._as_continued(event)) is not None]

    def _as_continued(self, event: StreamEvent) -> StreamEvent | None:
        """The event in a stream that continues a run: no run is created, and the answered step only ends."""
        if isinstance(event, ThreadRunCreated):
            return ThreadRunQueued(event.raw)
        if isinstance(event, ThreadRunStepDelta):
            return None if event.step_id == self._answered_step else event
        if isinstance(event, RunStepEvent) and event.data.id == self._answered_step:
            return event if event.data.status in STEP.terminal else None
        return event

    def _is_stale(self, run: Run) -> bool:
        """Whether the server still shows the state before it received the submitted outputs."""
        action = run.required_action if run.status == "requires_action" else None
        calls = models_in(inside(action, "submit_tool_outputs", "tool_calls"))
        return any(call.id in self._answered for call in calls)

    def _of_this_stream(self, steps: Sequence[RunStep]) -> Sequence[RunStep]:
        known = {step.id for step in self._snapshot.steps}
        for position, step in enumerate(steps):
            is_answered = not self._answered.isdisjoint(_calls_of(step))
            if is_answered:
                self._answered_step = step.id
            if is_answered or step.id in known:
                return steps[position:]
        return () if self._answered else steps


def _calls_of(step: RunStep) -> set[str]:
    details = step.step_details
    calls = inside(details, "tool_calls") if inside(details, "type") == "tool_calls" else ()
    return {call.id for call in models_in(calls) if call.id is not None}


def _messages_of(found: RunObjects, steps: Sequence[RunStep]) -> list[Message]:
    """The messages that these steps name, and the messages of the run that no step names."""
    theirs, all_steps = _message_ids(steps), _message_ids(found.steps)
    messages = _ascending(found.messages)
    return [
        message
        for message in messages
        if message.id in theirs or (message.run_id == found.run.id and message.id not in all_steps)
    ]


def _message_ids(steps: Iterable[RunStep]) -> set[str]:
    return {text_in(step.step_details, "message_creation", "message_id") for step in steps} - {""}


def _ascending(items: Sequence[_T]) -> Sequence[_T]:
    """Oldest first, even from servers that ignore `order`."""
    ends = (items[0].created_at, items[-1].created_at) if len(items) > 1 else ()
    newest_first = len(ends) > 1 and all(isinstance(end, int | float) for end in ends) and ends[0] > ends[1]
    return items[::-1] if newest_first else items

"""Fetched objects of a run → the frames that its stream would have sent since the last time."""

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
    """A run with its steps and messages, oldest first; the run was fetched first, so that the others are no older."""

    run: Run
    steps: Sequence[RunStep] = ()
    messages: Sequence[Message] = ()


class Telling:
    """Tells what is new in objects that are fetched again and again, beginning after `snapshot`.

    A run that was continued with tool outputs is told from there: `answered` are the ids of the calls whose outputs
    were submitted. Steps before the one with those calls, or before the first that the snapshot knows, were told by an
    earlier stream.
    """

    def __init__(self, snapshot: RunSnapshot, answered: Iterable[str] = ()) -> None:
        self._snapshot = snapshot
        self._answered = frozenset(answered)
        self._continued = bool(self._answered) or (snapshot.run is None and len(snapshot.steps) > 0)
        self._carried: str | None = None
        self.over = False
        """Whether the run has come to rest, and everything has been told."""

    def tell(self, found: RunObjects) -> bytes:
        """The frames of what is new; empty when nothing is."""
        steps = self._of_this_stream(_ascending(found.steps))
        events = self._events(found.run, steps, _written(found, steps))
        for event in events:
            self._snapshot = fold(self._snapshot, event)
        frames = [frame(event) for event in events]
        if found.run.status in RUN.stops and not self._is_stale(found.run):
            self.over = True
            frames.append(frame(DoneEvent()))
        return b"".join(frames)

    def _events(self, run: Run, steps: Sequence[RunStep], messages: Sequence[Message]) -> list[StreamEvent]:
        shown = None if self._is_stale(run) else run
        events = diff(self._snapshot, run=shown, steps=steps, messages=messages)
        return [told for event in events if (told := self._retold(event)) is not None] if self._continued else events

    def _retold(self, event: StreamEvent) -> StreamEvent | None:
        """How a stream that continues a run tells it: nothing is created again, and of the step whose calls were
        answered only the end is told."""
        if isinstance(event, ThreadRunCreated):
            return ThreadRunQueued(event.raw)
        if isinstance(event, ThreadRunStepDelta):
            return None if event.step_id == self._carried else event
        if isinstance(event, RunStepEvent) and event.data.id == self._carried:
            return event if event.data.status in STEP.terminal else None
        return event

    def _is_stale(self, run: Run) -> bool:
        """Whether this is the run before it got the outputs that were submitted."""
        action = run.required_action if run.status == "requires_action" else None
        calls = models_in(inside(action, "submit_tool_outputs", "tool_calls"))
        return any(call.id in self._answered for call in calls)

    def _of_this_stream(self, steps: Sequence[RunStep]) -> Sequence[RunStep]:
        known = {step.id for step in self._snapshot.steps}
        for position, step in enumerate(steps):
            carried = not self._answered.isdisjoint(_calls_of(step))
            if carried:
                self._carried = step.id
            if carried or step.id in known:
                return steps[position:]
        return () if self._answered else steps


def _calls_of(step: RunStep) -> set[str]:
    details = step.step_details
    calls = inside(details, "tool_calls") if inside(details, "type") == "tool_calls" else ()
    return {call.id for call in models_in(calls) if call.id is not None}


def _written(found: RunObjects, steps: Sequence[RunStep]) -> list[Message]:
    """The messages of these steps; and those of the run that no step at all speaks of."""
    theirs, anyones = _message_ids(steps), _message_ids(found.steps)
    messages = _ascending(found.messages)
    return [
        message
        for message in messages
        if message.id in theirs or (message.run_id == found.run.id and message.id not in anyones)
    ]


def _message_ids(steps: Iterable[RunStep]) -> set[str]:
    return {text_in(step.step_details, "message_creation", "message_id") for step in steps} - {""}


def _ascending(items: Sequence[_T]) -> Sequence[_T]:
    """Oldest first, also from servers that do not listen to `order`."""
    ends = (items[0].created_at, items[-1].created_at) if len(items) > 1 else ()
    newest_first = len(ends) > 1 and all(isinstance(end, int | float) for end in ends) and ends[0] > ends[1]
    return items[::-1] if newest_first else items

"""A snapshot as a plain model, for those who store, compare or send it."""

from __future__ import annotations

from rx_assistant.types import Message, Run, RunStep, Thread, WireModel
from rx_assistant.types._base import EMPTY, Array


class RunState(WireModel):
    """A run's state: what RunSnapshot shows, as models that need no store."""

    thread: Thread | None = None
    run: Run | None = None
    messages: Array[Message] = EMPTY
    steps: Array[RunStep] = EMPTY

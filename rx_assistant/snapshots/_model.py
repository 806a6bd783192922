"""A snapshot as a plain model, for those who store, compare or send it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

from rx_assistant.events import ThreadCreated
from rx_assistant.snapshots._diff import diff
from rx_assistant.snapshots._fold import fold
from rx_assistant.snapshots._snapshot import RunSnapshot
from rx_assistant.types import Message, Run, RunStep, Thread, WireModel
from rx_assistant.types._base import EMPTY, Array

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler


class RunState(WireModel):
    """A run's state: what RunSnapshot shows, as models that need no store."""

    thread: Thread | None = None
    run: Run | None = None
    messages: Array[Message] = EMPTY
    steps: Array[RunStep] = EMPTY


def snapshot_schema(handler: GetCoreSchemaHandler) -> CoreSchema:
    """How pydantic reads and dumps a RunSnapshot: as the RunState that it shows."""
    state = handler.generate_schema(RunState)
    dump = core_schema.plain_serializer_function_ser_schema(_dumpable, return_schema=state)
    return core_schema.no_info_wrap_validator_function(_read, state, serialization=dump)


@cache
def serializer() -> SchemaSerializer:
    """What dumps a snapshot that pydantic meets where no class is annotated."""
    dump = core_schema.plain_serializer_function_ser_schema(_dumpable)
    return SchemaSerializer(core_schema.any_schema(serialization=dump))


def _dumpable(snapshot: Any) -> Any:
    return snapshot.to_model() if isinstance(snapshot, RunSnapshot) else snapshot


def _read(value: Any, read_state: Any) -> RunSnapshot:
    return value if isinstance(value, RunSnapshot) else restored(read_state(value))


def restored(state: RunState) -> RunSnapshot:
    """A snapshot that shows this state, and may be folded onto."""
    events = [] if state.thread is None else [ThreadCreated.from_data(state.thread)]
    snapshot = RunSnapshot()
    for event in [*events, *diff(snapshot, run=state.run, steps=state.steps, messages=state.messages)]:
        snapshot = fold(snapshot, event)
    return snapshot

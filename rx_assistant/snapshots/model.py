"""A snapshot as a plain model, for storing, comparing and sending it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

from rx_assistant.types import Message, Run, RunStep, Thread, WireModel
from rx_assistant.types._base import EMPTY, Array

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

    from rx_assistant.snapshots.snapshot import RunSnapshot


class RunState(WireModel):
    """A run's state: the content of a RunSnapshot as plain models, without a store."""

    thread: Thread | None = None
    run: Run | None = None
    messages: Array[Message] = EMPTY
    steps: Array[RunStep] = EMPTY


def snapshot_schema(kind: type[RunSnapshot], handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema by which pydantic reads and dumps a RunSnapshot: as its RunState."""

    def read(value: Any, read_state: Any) -> RunSnapshot:
        return value if isinstance(value, kind) else kind._restored(read_state(value))

    state = handler.generate_schema(RunState)
    dump = core_schema.plain_serializer_function_ser_schema(_dumpable, return_schema=state)
    return core_schema.no_info_wrap_validator_function(read, state, serialization=dump)


@cache
def serializer() -> SchemaSerializer:
    """The serializer of a snapshot in a field without an annotated class."""
    dump = core_schema.plain_serializer_function_ser_schema(_dumpable)
    return SchemaSerializer(core_schema.any_schema(serialization=dump))


def _dumpable(snapshot: Any) -> Any:
    return snapshot.to_model() if hasattr(snapshot, "to_model") else snapshot

"""The payload of `thread.run.step.delta`: pieces of a step's tool calls.

As in message_delta.py, no annotation may run Python code for each field.
"""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    Array,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)
from rx_assistant.types.tool_call_delta import ToolCallDelta


class MessageCreationDelta(WireModel):
    """The message that a step writes."""

    message_id: str | None = None


class RunStepDeltaMessageDelta(WireModel):
    """The step writes a message. The API documents this model, but no recorded stream has it."""

    type: Literal["message_creation"]
    message_creation: MessageCreationDelta | None = None


class ToolCallDeltaObject(WireModel):
    """More of the step's tool calls."""

    type: Literal["tool_calls"]
    tool_calls: Array[ToolCallDelta] | None = None


class UnknownStepDetailsDelta(UnknownMember):
    """More of something that this version does not know."""

    type: Word[UnknownWord] = ABSENT


StepDetailsDelta: TypeAlias = Annotated[
    RunStepDeltaMessageDelta | ToolCallDeltaObject | UnknownStepDetailsDelta, BY_TYPE
]


class RunStepDelta(WireModel):
    """The changes of a step."""

    step_details: StepDetailsDelta | None = None


class RunStepDeltaEvent(WireModel):
    """The changes of the step with this `id`."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.run.step.delta"]] = "thread.run.step.delta"
    delta: Wire[RunStepDelta] = ABSENT

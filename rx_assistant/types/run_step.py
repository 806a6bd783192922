"""The steps of a run: a message written, or tools called."""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    EMPTY,
    Array,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)
from rx_assistant.types.run import Usage
from rx_assistant.types.shared import Metadata
from rx_assistant.types.tool_call import ToolCall

RunStepStatus: TypeAlias = Literal["in_progress", "cancelled", "failed", "completed", "expired"]
RunStepType: TypeAlias = Literal["message_creation", "tool_calls"]
RunStepInclude: TypeAlias = Literal["step_details.tool_calls[*].file_search.results[*].content"]
"""The additional data of steps that a request may include."""


class MessageCreation(WireModel):
    """The message that a step writes."""

    message_id: Wire[str] = ABSENT


class MessageCreationStepDetails(WireModel):
    """The step writes a message."""

    type: Literal["message_creation"]
    message_creation: Wire[MessageCreation] = ABSENT


class ToolCallsStepDetails(WireModel):
    """The step calls tools."""

    type: Literal["tool_calls"]
    tool_calls: Wire[Array[ToolCall]] = EMPTY


class UnknownStepDetails(UnknownMember):
    """The step does something that this version does not know."""

    type: Word[UnknownWord] = ABSENT


StepDetails: TypeAlias = Annotated[MessageCreationStepDetails | ToolCallsStepDetails | UnknownStepDetails, BY_TYPE]


class RunStepLastError(WireModel):
    """Why a step failed."""

    code: Word[Literal["server_error", "rate_limit_exceeded"]] = ABSENT
    message: Wire[str] = ABSENT


class RunStep(WireModel):
    """A step of a run. The API documents `expired_at` and `metadata`; servers send `expires_at` and no metadata."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.run.step"]] = "thread.run.step"
    created_at: Wire[int] = ABSENT
    run_id: Wire[str] = ABSENT
    assistant_id: Wire[str] = ABSENT
    thread_id: Wire[str] = ABSENT
    type: Word[RunStepType] = ABSENT
    status: Word[RunStepStatus] = ABSENT
    cancelled_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    expired_at: int | None = None
    failed_at: int | None = None
    last_error: RunStepLastError | None = None
    step_details: Wire[StepDetails] = ABSENT
    usage: Usage | None = None
    metadata: Metadata | None = None

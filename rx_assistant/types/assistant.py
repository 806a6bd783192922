"""Assistants: a model with instructions and tools."""

from typing import Literal

from rx_assistant.types._base import ABSENT, EMPTY, Array, Wire, WireModel, Word
from rx_assistant.types.shared import AssistantResponseFormatOption, Metadata, ReasoningEffort
from rx_assistant.types.tool import AssistantTool, ToolResources


class Assistant(WireModel):
    """A model with instructions and tools."""

    id: Wire[str] = ABSENT
    object: Word[Literal["assistant"]] = "assistant"
    created_at: Wire[int] = ABSENT
    name: str | None = None
    description: str | None = None
    model: Wire[str] = ABSENT
    instructions: str | None = None
    tools: Wire[Array[AssistantTool]] = EMPTY
    top_p: float | None = None
    temperature: float | None = None
    reasoning_effort: Word[ReasoningEffort] = None
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None
    response_format: AssistantResponseFormatOption | None = None


class AssistantDeleted(WireModel):
    """The reply to a request that deletes an assistant."""

    id: Wire[str] = ABSENT
    object: Word[Literal["assistant.deleted"]] = "assistant.deleted"
    deleted: Wire[bool] = ABSENT

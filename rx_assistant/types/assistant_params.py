"""Requests about assistants."""

from collections.abc import Iterable
from typing import Required

from typing_extensions import TypedDict

from rx_assistant.types.shared import ReasoningEffort
from rx_assistant.types.shared_params import AssistantResponseFormatOptionParam, PageParams
from rx_assistant.types.tool_params import AssistantToolParam, NewToolResourcesParam, ToolResourcesParam


class AssistantCreateParams(TypedDict, total=False):
    """POST /assistants."""

    model: Required[str]
    name: str | None
    description: str | None
    instructions: str | None
    reasoning_effort: ReasoningEffort
    tools: Iterable[AssistantToolParam]
    tool_resources: NewToolResourcesParam | None
    metadata: dict[str, str] | None
    temperature: float | None
    top_p: float | None
    response_format: AssistantResponseFormatOptionParam | None


class AssistantUpdateParams(TypedDict, total=False):
    """POST /assistants/{assistant_id}; fields that are left out do not change."""

    model: str
    name: str | None
    description: str | None
    instructions: str | None
    reasoning_effort: ReasoningEffort
    tools: Iterable[AssistantToolParam]
    tool_resources: ToolResourcesParam | None
    metadata: dict[str, str] | None
    temperature: float | None
    top_p: float | None
    response_format: AssistantResponseFormatOptionParam | None


class AssistantListParams(PageParams, total=False):
    """GET /assistants."""

"""Requests about threads."""

from collections.abc import Iterable

from typing_extensions import TypedDict

from rx_assistant.types.message_params import MessageCreateParams
from rx_assistant.types.tool_params import NewToolResourcesParam, ToolResourcesParam


class ThreadCreateParams(TypedDict, total=False):
    """POST /threads, and the new thread of a new run."""

    messages: Iterable[MessageCreateParams]
    tool_resources: NewToolResourcesParam | None
    metadata: dict[str, str] | None


class ThreadUpdateParams(TypedDict, total=False):
    """POST /threads/{thread_id}."""

    tool_resources: ToolResourcesParam | None
    metadata: dict[str, str] | None

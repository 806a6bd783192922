"""The request that a handler receives, and one route of the table of operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Reply
from rx_assistant.local.schema import Record, Shape
from rx_assistant.local.state import State
from rx_assistant.local.uploads import Upload


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request whose query and body have been checked. `ids` are the path's parts."""

    state: State
    ids: Mapping[str, str]
    query: Mapping[str, object]
    body: JsonObject
    upload: Upload | None = None


Handler: TypeAlias = Callable[[CheckedRequest], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: method, path, handler, and the schema of the request.

    `body=None`: no body is read. `polled`: the reply has `openai-poll-after-ms`. `upload`: the body is multipart.
    """

    method: str
    path: str
    handler: Handler
    body: Record | None = None
    query: Mapping[str, Shape] = field(default_factory=dict)
    polled: bool = False
    upload: bool = False

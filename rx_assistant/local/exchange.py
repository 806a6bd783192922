"""One request and its reply: what a handler is given, what it may answer, and the table of operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from starlette.requests import Request

from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.leg import Leg
from rx_assistant.local.schema import Record, Shape
from rx_assistant.local.state import State


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose query and body have been checked. `ids` are the path's parts."""

    state: State
    ids: Mapping[str, str]
    query: Mapping[str, object]
    body: JsonObject
    request: Request


@dataclass(frozen=True, slots=True)
class EventStream:
    """A reply that follows a leg."""

    leg: Leg


@dataclass(frozen=True, slots=True)
class FileContent:
    """A reply that is a file's bytes."""

    path: str
    filename: str


Reply: TypeAlias = JsonObject | EventStream | FileContent
Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table: a method and path, what may come, who answers.

    `body` None: none is read. `polled`: the reply carries `openai-poll-after-ms`.
    """

    method: str
    path: str
    handler: Handler
    body: Record | None = None
    query: Mapping[str, Shape] = field(default_factory=dict)
    polled: bool = False
    multipart: bool = False

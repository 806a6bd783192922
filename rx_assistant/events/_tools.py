"""What a tool does while a stream waits for it. These events are never on the wire: `stream.tool_events` emits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A call begins. `arguments` is the JSON text of the model, or of the edit that came with the approval."""

    call_id: str
    name: str
    arguments: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A tool has emitted an item: a generator has yielded it, or an Observable has pushed it."""

    call_id: str
    name: str
    item: Any
    run_id: str | None


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call is over, `duration` seconds after it began.

    `output` is the text for the model. It is None if the call was cancelled, or if its failure ends the stream. `error`
    is the exception of a call that failed.
    """

    call_id: str
    name: str
    duration: float
    output: str | None
    error: BaseException | None
    run_id: str | None


ToolEvent: TypeAlias = ToolStarted | ToolProgress | ToolFinished

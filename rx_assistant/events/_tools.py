"""The events of tools that run while a stream waits for them. `stream.tool_events` emits them; no server sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A call begins. `arguments` is the JSON text from the model, or the one that replaced it with the approval."""

    call_id: str
    name: str
    arguments: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A tool has reported progress: `item` was yielded, emitted by its Observable, or given to `ToolContext.report`."""

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

"""What a handler may answer: an object, a stream that follows a run, a file's bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.leg import Leg


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

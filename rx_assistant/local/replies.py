"""The results of a handler: an object, the event stream of a run, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from rx_assistant.local.frame_log import FrameLog
from rx_assistant.local.json_text import JsonObject


@dataclass(frozen=True, slots=True)
class EventStream:
    """A reply that sends the frames of a log as they arrive."""

    frames: FrameLog


@dataclass(frozen=True, slots=True)
class FileContent:
    """A reply with the bytes of a file."""

    path: str
    filename: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object whose JSON is ready."""

    data: bytes


Reply: TypeAlias = JsonObject | Encoded | EventStream | FileContent

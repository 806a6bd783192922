"""The unchanged events of the Assistants API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from rx_assistant.events import DoneEvent, ErrorEvent, StreamEvent, frame


class AssistantsEncoder:
    """Frames as the server sent them, then `done`, or `error`."""

    headers: ClassVar[Mapping[str, str]] = {}
    remembers: ClassVar[bool] = False

    def encode(self, event: StreamEvent) -> list[bytes]:
        """The frame of the event."""
        return [frame(event)[:-1]]

    def end(self, error: Exception | None) -> list[bytes]:
        """`done`; the server's `error` event; or an `error` event made from another error, with its class as `type`."""
        if error is None:
            return [frame(DoneEvent())[:-1]]
        event = getattr(error, "event", None)
        if not isinstance(event, ErrorEvent):
            event = ErrorEvent(json.dumps({"message": str(error), "type": type(error).__name__}).encode())
        return [frame(event)[:-1]]

"""What reads the streams for browsers here: blocks of server-sent events, and a small reader of UI messages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rx_assistant import SSEDecoder
from rx_assistant.events import StreamEvent
from rx_assistant.web import Encoder


def encoded(encoder: Encoder, events: Iterable[StreamEvent], error: Exception | None = None) -> list[bytes]:
    """All blocks of a stream."""
    blocks = [block for event in events for block in encoder.encode(event)]
    return blocks + encoder.end(error)


def payloads(blocks: Iterable[bytes]) -> list[Any]:
    """The JSON of each block, except for `[DONE]`."""
    decoder = SSEDecoder()
    found = decoder.feed(b"".join(block + b"\n" for block in blocks))
    return [json.loads(event.data) for event in found if event.data != "[DONE]"]


class UiMessage:
    """What `processUIMessageStream` of the npm package `ai` makes of chunks: it fails where that does."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self.texts: dict[str, str] = {}
        self.tools: dict[str, dict[str, Any]] = {}
        self.errors: list[str] = []
        self.ending: Any = None
        self._open: set[str] = set()
        for chunk in chunks:
            assert self.ending is None
            self._take(chunk["type"], chunk)

    def _take(self, kind: str, chunk: Any) -> None:
        if kind in ("text-start", "reasoning-start"):
            assert chunk["id"] not in self._open
            self._open.add(chunk["id"])
        elif kind in ("text-delta", "reasoning-delta"):
            assert chunk["id"] in self._open
            if kind == "text-delta":
                self.texts[chunk["id"]] = self.texts.get(chunk["id"], "") + chunk["delta"]
        elif kind in ("text-end", "reasoning-end"):
            self._open.remove(chunk["id"])
        elif kind == "finish-step":
            self._open.clear()
        elif kind == "tool-input-start":
            self.tools[chunk["toolCallId"]] = {"name": chunk["toolName"], "written": ""}
        elif kind == "tool-input-delta":
            self.tools[chunk["toolCallId"]]["written"] += chunk["inputTextDelta"]
        elif kind == "tool-input-available":
            self.tools[chunk["toolCallId"]]["input"] = chunk["input"]
        elif kind == "tool-output-available":
            self.tools[chunk["toolCallId"]]["output"] = chunk["output"]
        elif kind == "error":
            self.errors.append(chunk["errorText"])
        elif kind in ("finish", "abort"):
            self.ending = chunk

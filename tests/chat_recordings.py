"""Recorded bodies of Chat Completions, and what should be read from each."""

from __future__ import annotations

from typing import Any

from reference import SHARED

EXPECTED = sorted((SHARED / "chat" / "expected").glob("*.json"))
RESPONSES = sorted((SHARED / "wire" / "responses").glob("*.[sj][sl]*"))
"""Recorded bodies of the Responses API."""


def body(name: str) -> bytes:
    """The recorded body that an expectation belongs to."""
    chat = SHARED / "chat"
    if (lines := chat / "chunks" / f"{name}.jsonl").exists():
        return b"".join(b"data: " + line + b"\n\n" for line in lines.read_bytes().splitlines()) + b"data: [DONE]\n\n"
    path = chat / "live" / f"{name.removeprefix('live__')}.sse" if name.startswith("live__") else chat / f"{name}.sse"
    return path.read_bytes()


def status(expected: dict[str, Any]) -> str:
    """The status in which a run rests that this stream answers."""
    if expected["error"] and expected["finish_reason"] != "length":
        return "failed"
    if expected["finish_reason"] == "length":
        return "incomplete"
    if expected["tool_calls"]:
        return "requires_action"
    return "completed" if expected["text"] and (expected["finish_reason"] or expected["done"]) else "failed"

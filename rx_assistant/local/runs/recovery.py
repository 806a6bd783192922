"""The open step or message of a run when the server stopped, restored from the store and the frames of its log.

The store holds the last stored version of objects; the frames hold the events that readers have seen. If both have a
text, the longer one is right: a crash of the machine may lose the newest frames, but no stored object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from rx_assistant.local import objects
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.journal import Journal
from rx_assistant.local.runs.message_writer import MessageWriter
from rx_assistant.local.runs.tools_writer import ToolsWriter
from rx_assistant.sse import SSEDecoder


def reopened(journal: Journal) -> MessageWriter | ToolsWriter | None:
    """The writer of the run's open step, in the state that readers have seen. None if no step is open."""
    steps = journal.store.each("step", journal.run["id"])
    step = next((step for step in steps if step["status"] == "in_progress"), None)
    if step is None:
        return None
    if step["type"] == "tool_calls":
        return ToolsWriter(journal, 0, _with_calls(step, journal.frames.joined()))
    return MessageWriter(journal, 0, reopened=(step, _message(journal, step)))


def _message(journal: Journal, step: JsonObject) -> JsonObject:
    message_id = step["step_details"]["message_creation"]["message_id"]
    message = journal.store.get("message", message_id, journal.run["thread_id"])
    if message is None:  # the server stopped before it was stored
        return {**objects.answer_message(journal.run), "id": message_id}
    if message["status"] != "in_progress":
        journal.took_over(message_id)
        return message
    seen: dict[int, JsonObject] = {}
    for delta in _deltas(journal.frames.joined(), "thread.message.delta", message_id):
        for part in delta["content"]:
            _grow_part(seen, part)
    content = [seen[index] for index in sorted(seen)]
    if _length(content) >= _length(message["content"]):
        message["content"] = content
    return message


def _with_calls(step: JsonObject, frames: bytes) -> JsonObject:
    seen: dict[int, JsonObject] = {}
    for delta in _deltas(frames, "thread.run.step.delta", step["id"]):
        for call in delta["step_details"]["tool_calls"]:
            _grow_call(seen, call)
    calls = [seen[index] for index in sorted(seen)]
    if _length(calls) >= _length(step["step_details"]["tool_calls"]):
        step["step_details"] = {"type": "tool_calls", "tool_calls": calls}
    return step


def _deltas(frames: bytes, name: str, id: str) -> Iterator[JsonObject]:
    """The deltas of one object. Frames that an engine wrote as raw bytes are skipped if they are not JSON."""
    for event in SSEDecoder(max_event_bytes=len(frames) + 1).feed(frames):
        if event.event != name:
            continue
        try:
            value = json.loads(event.data)
            if value["id"] == id:
                yield value["delta"]
        except (ValueError, KeyError, TypeError):
            continue


def _grow_part(parts: dict[int, JsonObject], delta: JsonObject) -> None:
    """A content part, extended by its delta. Fields that only deltas have, an index and a quote, are left out."""
    kind = delta["type"]
    if kind == "text":
        part = parts.setdefault(delta["index"], objects.text_part(""))
        part["text"]["value"] += delta["text"].get("value", "")
        part["text"]["annotations"] += map(_annotation, delta["text"].get("annotations", ()))
    elif kind == "refusal":
        part = parts.setdefault(delta["index"], {"type": "refusal", "refusal": ""})
        part["refusal"] += delta["refusal"]
    else:
        parts[delta["index"]] = {name: value for name, value in delta.items() if name != "index"}


def _annotation(delta: JsonObject) -> JsonObject:
    annotation = {name: value for name, value in delta.items() if name != "index"}
    if "file_citation" in annotation:
        annotation["file_citation"] = {"file_id": annotation["file_citation"]["file_id"]}
    return annotation


def _grow_call(calls: dict[int, JsonObject], delta: JsonObject) -> None:
    kind, index = delta["type"], delta["index"]
    if index not in calls:
        calls[index] = {name: value for name, value in delta.items() if name != "index"}
        return
    known, more = calls[index][kind], delta[kind]
    for field in ("arguments", "input"):
        if field in more:
            known[field] += more[field]
    for output in more.get("outputs", ()):
        known["outputs"].append({name: value for name, value in output.items() if name != "index"})


def _length(value: object) -> int:
    return len(json.dumps(value))

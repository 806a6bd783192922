"""Run steps as clients see them: results of file search include their text only if `include[]` requests it."""

from __future__ import annotations

from rx_assistant.local.json_text import JsonObject


def shown_step(step: JsonObject, include_content: bool) -> JsonObject:
    """The step, without `content` in its search results unless `include_content`."""
    if include_content or step["type"] != "tool_calls":
        return step
    calls = [_shown_call(call) for call in step["step_details"]["tool_calls"]]
    return {**step, "step_details": {"type": "tool_calls", "tool_calls": calls}}


def _shown_call(call: JsonObject) -> JsonObject:
    if call["type"] != "file_search":
        return call
    search = call["file_search"]
    results = [{name: value for name, value in found.items() if name != "content"} for found in search["results"]]
    return {**call, "file_search": {**search, "results": results}}

"""The wire objects, with their fields in the service's order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence

from rx_assistant.local import json_text
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Encoded
from rx_assistant.local.store import Page, Stored

DEFAULT_RANKING = {"ranker": "default_2024_08_21", "score_threshold": 0.0}


def now() -> int:
    """Seconds since 1970, as `created_at` counts."""
    return int(time.time())


def listing(data: list[JsonObject], has_more: bool) -> JsonObject:
    """A page of a list."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def stored_listing(data: Sequence[Stored], has_more: bool) -> Encoded:
    """A page of a list, joined from the JSON of its objects."""
    ends = listing([{"id": data[0].id}, {"id": data[-1].id}] if data else [], has_more)
    before, _, after = json_text.encode({**ends, "data": "@"}).partition(b'"@"')
    items = ",".join([_sendable(item.body) for item in data])
    return Encoded(b"".join((before, b"[", items.encode(), b"]", after)))


def _sendable(body: str) -> str:
    """The JSON without halves of surrogate pairs."""
    return json_text.encode(json.loads(body)).decode() if "\\ud" in body else body


def deleted(id: str, object: str) -> JsonObject:
    """The reply to a DELETE."""
    return {"id": id, "object": object, "deleted": True}


def page_of(query: Mapping[str, object], where: Mapping[str, str] | None = None, limit: int = 20) -> Page:
    """The page that a checked query requests."""
    return Page(
        limit=int(str(query.get("limit", limit))),
        order=str(query.get("order", "desc")),
        after=_text(query.get("after")),
        before=_text(query.get("before")),
        where=where or {},
    )


def _text(value: object) -> str | None:
    return str(value) if value else None


def tools(given: Iterable[JsonObject] | None) -> list[JsonObject]:
    """Tools with the defaults that the service fills in."""
    return [_tool(tool) for tool in given or ()]


def _tool(tool: JsonObject) -> JsonObject:
    match tool["type"]:
        case "function":
            function = tool["function"]
            known = {name: function[name] for name in ("name", "description", "parameters") if name in function}
            known.setdefault("parameters", {"type": "object", "properties": {}})
            return {"type": "function", "function": {**known, "strict": bool(function.get("strict"))}}
        case "file_search":
            options = dict(tool.get("file_search") or {})
            ranking = {**DEFAULT_RANKING, **(options.pop("ranking_options", None) or {})}
            if ranking["ranker"] == "auto":
                ranking["ranker"] = DEFAULT_RANKING["ranker"]
            return {"type": "file_search", "file_search": {**options, "ranking_options": ranking}}
    return {"type": "code_interpreter"}


def assistant(body: JsonObject, resources: JsonObject) -> JsonObject:
    """A new assistant."""
    return {
        "id": new_id("asst_"),
        "object": "assistant",
        "created_at": now(),
        "name": body.get("name"),
        "description": body.get("description"),
        "model": body["model"],
        "instructions": body.get("instructions"),
        "tools": tools(body.get("tools")),
        "top_p": decimal(body.get("top_p"), 1.0),
        "temperature": decimal(body.get("temperature"), 1.0),
        "reasoning_effort": body.get("reasoning_effort"),
        "tool_resources": resources,
        "metadata": body.get("metadata") or {},
        "response_format": response_format(body.get("response_format")),
    }


def decimal(value: float | None, default: float) -> float:
    """The number as a float, because the service always writes a fraction."""
    return default if value is None else float(value)


def response_format(value: str | JsonObject | None) -> str | JsonObject:
    """`auto`, or the object that was given."""
    return "auto" if value is None else value


def thread(body: JsonObject, resources: JsonObject) -> JsonObject:
    """A new thread."""
    return {
        "id": new_id("thread_"),
        "object": "thread",
        "created_at": now(),
        "metadata": body.get("metadata") or {},
        "tool_resources": resources,
    }


def given_message(thread_id: str, body: JsonObject) -> JsonObject:
    """A message that a client wrote. Such messages have no status."""
    return {
        "id": new_id("msg_"),
        "object": "thread.message",
        "created_at": now(),
        "assistant_id": None,
        "thread_id": thread_id,
        "run_id": None,
        "role": body["role"],
        "content": _content(body["content"]),
        "attachments": [_attachment(item) for item in body.get("attachments") or ()],
        "metadata": body.get("metadata") or {},
    }


def _content(given: str | list[JsonObject]) -> list[JsonObject]:
    return [text_part(given)] if isinstance(given, str) else [_part(part) for part in given]


def _part(part: JsonObject) -> JsonObject:
    if part["type"] == "text":
        return text_part(part["text"])
    inner = dict(part[part["type"]])
    if part["type"] == "image_url":
        inner.setdefault("detail", "auto")
    return {"type": part["type"], part["type"]: inner}


def _attachment(given: JsonObject) -> JsonObject:
    return {"file_id": given["file_id"], "tools": [{"type": tool["type"]} for tool in given["tools"]]}


def text_part(value: str) -> JsonObject:
    """A text content part without annotations."""
    return {"type": "text", "text": {"value": value, "annotations": []}}


def answer_message(run: JsonObject, made: Sequence[str] = ()) -> JsonObject:
    """The message that a run begins to write, with the files that its code has made."""
    return {
        "id": new_id("msg_"),
        "object": "thread.message",
        "created_at": now(),
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "status": "in_progress",
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": None,
        "role": "assistant",
        "content": [],
        "attachments": [{"file_id": id, "tools": [{"type": "code_interpreter"}]} for id in made],
        "metadata": {},
    }


def run(assistant: JsonObject, thread: JsonObject, body: JsonObject, lifetime: float) -> JsonObject:
    """A queued run of `assistant` on `thread` with the values that the request overrides.

    It expires after `lifetime` seconds.
    """
    created = now()
    return {
        "id": new_id("run_"),
        "object": "thread.run",
        "created_at": created,
        "assistant_id": assistant["id"],
        "thread_id": thread["id"],
        "status": "queued",
        "started_at": None,
        "expires_at": created + max(1, round(lifetime)),
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": body.get("model") or assistant["model"],
        "instructions": _instructions(assistant, body),
        "tools": assistant["tools"] if body.get("tools") is None else tools(body["tools"]),
        "tool_resources": body.get("tool_resources") or thread["tool_resources"],
        "metadata": body.get("metadata") or {},
        "temperature": decimal(body.get("temperature"), assistant["temperature"]),
        "top_p": decimal(body.get("top_p"), assistant["top_p"]),
        "reasoning_effort": body.get("reasoning_effort") or assistant["reasoning_effort"],
        "max_completion_tokens": body.get("max_completion_tokens"),
        "max_prompt_tokens": body.get("max_prompt_tokens"),
        "truncation_strategy": _truncation(body.get("truncation_strategy")),
        "incomplete_details": None,
        "usage": None,
        "response_format": body.get("response_format") or assistant["response_format"],
        "tool_choice": body.get("tool_choice") or "auto",
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
    }


def search_options(run: JsonObject) -> JsonObject:
    """The options of the run's file_search tool, or the defaults."""
    for tool in run["tools"]:
        if tool["type"] == "file_search":
            options: JsonObject = tool["file_search"]
            return options
    return {"ranking_options": dict(DEFAULT_RANKING)}


def _instructions(assistant: JsonObject, body: JsonObject) -> str | None:
    override = body.get("instructions")
    own = assistant["instructions"] if override is None else override
    return "\n".join(text for text in (own, body.get("additional_instructions")) if text) or None


def _truncation(given: JsonObject | None) -> JsonObject:
    given = given or {"type": "auto"}
    return {"type": given["type"], "last_messages": given.get("last_messages")}


def step(run: JsonObject, details: JsonObject) -> JsonObject:
    """A step that a run begins."""
    return {
        "id": new_id("step_"),
        "object": "thread.run.step",
        "created_at": now(),
        "run_id": run["id"],
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "type": details["type"],
        "status": "in_progress",
        "cancelled_at": None,
        "completed_at": None,
        "expires_at": run["expires_at"],
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": None,
    }


def usage(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> JsonObject:
    """Counts of tokens. One field name has the service's spelling mistake."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_token_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def total_usage(parts: Iterable[JsonObject]) -> JsonObject:
    """The sum of several counts."""
    prompt = completion = cached = reasoning = 0
    for part in parts:
        prompt += part["prompt_tokens"]
        completion += part["completion_tokens"]
        cached += part["prompt_token_details"]["cached_tokens"]
        reasoning += part["completion_tokens_details"]["reasoning_tokens"]
    return usage(prompt, completion, cached, reasoning)

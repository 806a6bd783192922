"""A `Question` → the body of a Chat Completions request, in the `Form` that the upstream accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from rx_assistant.dialects.history import (
    AnsweredCall,
    CallRound,
    Function,
    HistoryMessage,
    ImageFilePart,
    MessagePart,
    Question,
    TextPart,
    late_text,
)

Json: TypeAlias = dict[str, Any]

ECHO: Final = "chat"
"""The key of the note in which an engine keeps a turn in the upstream's own form."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a request is written. A server that refuses the default form gets another one."""

    usage: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    parallel: bool = True
    tool_choice: Literal["function", "required", "omitted"] = "function"
    schema: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    strict: bool = True
    reasoning_effort: bool = True
    temperature: bool = True
    top_p: bool = True
    empty: Literal["", "null"] = ""
    roles: Literal["apart", "merged"] = "apart"


def chat_body(question: Question, form: Form, *, upstream: str = "") -> Json:
    """The request's body. A note of this run and `upstream` restores a turn in the upstream's own form."""
    body: Json = {"model": question.model, "messages": _messages(question, form, upstream), "stream": True}
    if form.usage:
        body["stream_options"] = {"include_usage": True}
    if question.max_completion_tokens is not None:
        body[form.limit] = question.max_completion_tokens
    body |= _tools(question, form)
    body |= _response_format(question.response_format, form)
    for name in ("temperature", "top_p"):
        value = getattr(question, name)
        if getattr(form, name) and value not in (None, 1.0):  # a run holds 1 if the application set nothing
            body[name] = value
    if form.reasoning_effort and question.reasoning_effort:
        body["reasoning_effort"] = question.reasoning_effort
    return body


def chosen(question: Question) -> tuple[Function, ...]:
    """The functions that the request offers: only the forced one, if a function is forced."""
    named = tuple(function for function in question.functions if function.name == question.tool_choice)
    return named or question.functions


def _tools(question: Question, form: Form) -> Json:
    if not question.functions or question.tool_choice == "none":
        return {}
    forced = question.tool_choice not in {"auto", "required"}
    functions = chosen(question) if forced and form.tool_choice != "function" else question.functions
    body: Json = {"tools": [_tool(function, form) for function in functions]}
    if form.parallel and not question.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    if question.tool_choice == "required" and form.tool_choice != "omitted":
        body["tool_choice"] = "required"
    elif forced and form.tool_choice == "function":
        body["tool_choice"] = {"type": "function", "function": {"name": question.tool_choice}}
    elif forced and form.tool_choice == "required":
        body["tool_choice"] = "required"
    return body


def _tool(function: Function, form: Form) -> Json:
    told: Json = {
        "name": function.name,
        "description": function.description,
        "parameters": dict(function.parameters) or {"type": "object", "properties": {}},
    }
    if function.strict and form.strict:
        told["strict"] = True
    return {"type": "function", "function": told}


def _response_format(wanted: Mapping[str, Any], form: Form) -> Json:
    kind = wanted.get("type")
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}} if form.schema != "prompt" else {}
    if kind != "json_schema" or form.schema == "prompt":
        return {}
    if form.schema == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = dict(wanted.get("json_schema") or {})
    if not form.strict:
        schema.pop("strict", None)
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _system(question: Question, form: Form) -> str:
    wanted = question.response_format
    texts = [question.system]
    if wanted.get("type") == "json_schema" and form.schema != "json_schema":
        schema = json.dumps((wanted.get("json_schema") or {}).get("schema") or {}, ensure_ascii=False)
        texts.append(f"Answer with JSON that follows this schema, and with nothing else:\n{schema}")
    elif wanted.get("type") == "json_object" and form.schema == "prompt":
        texts.append("Answer with one JSON object, and with nothing else.")
    return "\n\n".join(filter(None, texts))


# -- messages ----------------------------------------------------------------------------------------------------


def _messages(question: Question, form: Form, upstream: str) -> list[Json]:
    system = _system(question, form)
    messages = [*_told(question, form, upstream)]
    if form.roles == "apart":
        return [{"role": "system", "content": system}, *messages] if system else messages
    return _merged(system, messages)


def _told(question: Question, form: Form, upstream: str) -> Iterator[Json]:
    history = question.history
    for position, item in enumerate(history):
        following = history[position + 1] if position + 1 < len(history) else None
        if isinstance(item, CallRound):
            before = history[position - 1] if position else None
            spoken = before if isinstance(before, HistoryMessage) and _same_turn(before, item) else None
            yield from _round(item, spoken, question, form, upstream)
        elif not (isinstance(following, CallRound) and _same_turn(item, following)):
            yield {"role": item.role, "content": _content(item, question)}


def _same_turn(message: HistoryMessage, calls: CallRound) -> bool:
    """Whether a message and the calls after it are one turn of the model, which is one message in this protocol."""
    return message.role == "assistant" and message.run_id == calls.run_id


def _round(
    item: CallRound, spoken: HistoryMessage | None, question: Question, form: Form, upstream: str
) -> Iterator[Json]:
    echo = _echo(item, upstream) if item.run_id == question.run_id else None
    if echo is None:
        echo = {
            "role": "assistant",
            "content": (spoken.text if spoken else "") + late_text(item),
            "tool_calls": [_call(call) for call in item.calls],
        }
    if not echo.get("content") and form.empty == "null":
        echo = {**echo, "content": None}
    yield echo
    ids = [call["id"] for call in echo["tool_calls"]]
    for call, given_id in zip(item.calls, ids, strict=True):
        yield {"role": "tool", "tool_call_id": given_id, "content": call.output}


def _echo(item: CallRound, upstream: str) -> Json | None:
    """The turn in the upstream's own form, if a note of that upstream holds all of it."""
    for note in item.notes:
        told = note.get(ECHO) if isinstance(note, Mapping) and note.get("upstream") == upstream else None
        if isinstance(told, Mapping) and len(told.get("tool_calls") or ()) == len(item.calls):
            return dict(told)
    return None


def _call(call: AnsweredCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _content(message: HistoryMessage, question: Question) -> str | list[Json]:
    if all(isinstance(part, TextPart) for part in message.parts) or message.role == "assistant":
        return message.text
    return [_part(part, question) for part in message.parts]


def _part(part: MessagePart, question: Question) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = question.images[part.file_id] if isinstance(part, ImageFilePart) else part.url
    image: Json = {"url": url}
    if part.detail and part.detail != "auto":
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _merged(system: str, messages: list[Json]) -> list[Json]:
    """Remove system messages and join neighbours of one role, for templates that know only user and assistant."""
    merged: list[Json] = []
    for message in messages:
        if merged and _mergeable(merged[-1], message):
            content = _joined(merged[-1]["content"], message["content"])
            merged[-1] = {**merged[-1], **message, "content": content}
        else:
            merged.append(message)
    if not system:
        return merged
    first = next((place for place, message in enumerate(merged) if message["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *merged]
    merged[first] = {**merged[first], "content": _joined(system, merged[first]["content"])}
    return merged


def _mergeable(before: Json, message: Json) -> bool:
    return before["role"] == message["role"] and message["role"] in {"user", "assistant"} and "tool_calls" not in before


def _joined(before: str | list[Json] | None, after: str | list[Json] | None) -> str | list[Json]:
    if isinstance(before, list) or isinstance(after, list):
        return [*_as_parts(before), *_as_parts(after)]
    return "\n\n".join(filter(None, [before, after]))


def _as_parts(content: str | list[Json] | None) -> list[Json]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []

"""A `Question` → the body of a Responses request: stateless, with the whole history as its input.

Servers other than OpenAI's refuse `previous_response_id`, so nothing is left on the upstream, and a turn's reasoning
goes back as the items that the upstream wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rx_assistant.dialects.chat_request import chosen
from rx_assistant.dialects.history import (
    CallRound,
    HistoryMessage,
    ImageFilePart,
    MessagePart,
    Question,
    TextPart,
    late_text,
)

Json = dict[str, Any]

ECHO: Final = "responses"
"""The key of the note in which an engine keeps a turn's items in the upstream's own form."""


@dataclass(frozen=True, slots=True)
class ResponsesForm:
    """How a request is written. A member that the server refuses is left out."""

    include: bool = True
    store: bool = True
    parallel: bool = True
    tool_choice: bool = True
    schema: bool = True
    strict: bool = True
    reasoning_effort: bool = True
    temperature: bool = True
    top_p: bool = True


def responses_body(question: Question, form: ResponsesForm, *, upstream: str = "") -> Json:
    """The request's body. A note of this run and `upstream` gives that turn back as the upstream wrote it."""
    body: Json = {"model": question.model, "input": [*_input(question, upstream)], "stream": True}
    if question.system:
        body["instructions"] = question.system
    if form.store:
        body["store"] = False
    if form.include:
        body["include"] = ["reasoning.encrypted_content"]
    if question.max_completion_tokens is not None:
        body["max_output_tokens"] = question.max_completion_tokens
    body |= _tools(question, form)
    body |= _text_format(question.response_format, form)
    if form.reasoning_effort and question.reasoning_effort:
        body["reasoning"] = {"effort": question.reasoning_effort}
    for name in ("temperature", "top_p"):
        value = getattr(question, name)
        if getattr(form, name) and value not in (None, 1.0):  # a run holds 1 if the application set nothing
            body[name] = value
    return body


def _tools(question: Question, form: ResponsesForm) -> Json:
    if not question.functions or question.tool_choice == "none":
        return {}
    forced = question.tool_choice not in {"auto", "required"}
    functions = question.functions if form.tool_choice else chosen(question)
    body: Json = {"tools": []}
    for function in functions:
        parameters = dict(function.parameters) or {"type": "object", "properties": {}}
        tool = {"type": "function", "name": function.name, "description": function.description}
        strict = {"strict": bool(function.strict)} if form.strict else {}  # the default is true
        body["tools"].append({**tool, "parameters": parameters, **strict})
    if form.parallel and not question.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    if form.tool_choice and question.tool_choice == "required":
        body["tool_choice"] = "required"
    elif form.tool_choice and forced:
        body["tool_choice"] = {"type": "function", "name": question.tool_choice}
    return body


def _text_format(wanted: Mapping[str, Any], form: ResponsesForm) -> Json:
    kind = wanted.get("type")
    if not form.schema or kind not in {"json_object", "json_schema"}:
        return {}
    schema = {key: value for key, value in (wanted.get("json_schema") or {}).items() if form.strict or key != "strict"}
    return {"text": {"format": {"type": kind, **schema}}}


def _input(question: Question, upstream: str) -> Iterator[Json]:
    for item in question.history:
        if isinstance(item, CallRound):
            yield from _round(item, question, upstream)
        elif item.role == "assistant":
            yield _said(item.text)
        else:
            yield {"role": "user", "content": _content(item, question)}


def _round(item: CallRound, question: Question, upstream: str) -> Iterator[Json]:
    echo = _echo(item, upstream) if item.run_id == question.run_id else None
    if late := late_text(item):
        yield _said(late)
    if echo is not None:
        yield from echo
        ids = [told["call_id"] for told in echo if told.get("type") == "function_call"]
    else:
        ids = [call.id for call in item.calls]
        for call in item.calls:
            told = {"type": "function_call", "call_id": call.id, "name": call.name}
            yield {**told, "arguments": call.arguments or "{}"}
    for call, given_id in zip(item.calls, ids, strict=True):
        yield {"type": "function_call_output", "call_id": given_id, "output": call.output}


def _echo(item: CallRound, upstream: str) -> list[Json] | None:
    """The turn's items without its messages, which are already in the history."""
    for note in item.notes:
        told = note.get(ECHO) if isinstance(note, Mapping) and note.get("upstream") == upstream else None
        if isinstance(told, list):
            items = [one for one in told if one.get("type") in {"reasoning", "function_call"}]
            if sum(one["type"] == "function_call" for one in items) == len(item.calls):
                return items
    return None


def _said(text: str) -> Json:
    """A message of the model. llama.cpp accepts only this one of several forms."""
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def _content(message: HistoryMessage, question: Question) -> str | list[Json]:
    if all(isinstance(part, TextPart) for part in message.parts):
        return message.text
    return [_part(part, question) for part in message.parts]


def _part(part: MessagePart, question: Question) -> Json:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    url = question.images[part.file_id] if isinstance(part, ImageFilePart) else part.url
    return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}

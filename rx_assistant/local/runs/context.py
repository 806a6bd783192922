"""The context of a run for its engine: the thread within its limits, the allowed tools, the outputs so far."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rx_assistant.local import tokens
from rx_assistant.local.engine import (
    AddFile,
    ContextMessage,
    FunctionTool,
    Json,
    ReadFile,
    RunCode,
    RunContext,
    Search,
    ToolOutput,
)
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.history import Thread


class PromptTooLongError(Exception):
    """Even the newest message alone exceeds `max_prompt_tokens`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The context, and its estimated tokens."""

    context: RunContext
    tokens: int


class Access(NamedTuple):
    """The functions that an engine may call."""

    search: Search
    add_file: AddFile
    read_file: ReadFile
    run_code: RunCode | None = None
    code_files: tuple[str, ...] = ()


def build_prompt(run: JsonObject, thread: Thread, used: JsonObject, access: Access) -> Prompt:
    """The prompt of the run's next turn.

    `used` are the tokens of the turns before it. The context holds copies, so an engine cannot change the run through
    them.
    """
    outputs = _tool_outputs(thread.steps_of(run["id"]))
    fixed = tokens.count(run["instructions"] or "") + sum(
        tokens.count(item.arguments) + tokens.count(item.output) for item in outputs
    )
    room = None if run["max_prompt_tokens"] is None else run["max_prompt_tokens"] - used["prompt_tokens"] - fixed
    limit = run["max_completion_tokens"]
    messages = [_message(item) for item in thread.messages]
    kept, size = _truncate(messages, thread.round_costs(run["id"]), run["truncation_strategy"], room)
    tools = [] if run["tool_choice"] == "none" else copy.deepcopy(run["tools"])
    kinds = {tool["type"] for tool in tools}
    context = RunContext(
        run_id=run["id"],
        thread_id=run["thread_id"],
        assistant_id=run["assistant_id"],
        model=run["model"],
        instructions=run["instructions"] or "",
        messages=tuple(kept),
        turn=1 + outputs[-1].turn if outputs else 0,
        tool_outputs=tuple(outputs),
        functions=tuple(_function(tool["function"]) for tool in tools if tool["type"] == "function"),
        code_interpreter="code_interpreter" in kinds,
        file_search="file_search" in kinds,
        tool_choice=_tool_choice(run["tool_choice"]),
        parallel_tool_calls=run["parallel_tool_calls"],
        response_format=_format(copy.deepcopy(run["response_format"])),
        temperature=run["temperature"],
        top_p=run["top_p"],
        reasoning_effort=run["reasoning_effort"],
        metadata=dict(run["metadata"]),
        search=access.search,
        add_file=access.add_file,
        read_file=access.read_file,
        run_code=access.run_code if "code_interpreter" in kinds else None,
        code_files=access.code_files,
        history=thread.history(_first(run, thread, kept)),
        truncation="last_messages" if run["truncation_strategy"]["type"] == "last_messages" else "auto",
        max_completion_tokens=None if limit is None else max(limit - used["completion_tokens"], 0),
    )
    return Prompt(context, size + fixed)


def _first(run: JsonObject, thread: Thread, kept: list[ContextMessage]) -> int:
    """The position where the history begins: the first message within the limits, or the one that the run answers."""
    asked = [item["id"] for item in thread.messages if item.get("run_id") != run["id"]][-1:]
    ids = [*(message.id for message in kept[:1]), *asked]
    return min((thread.order[id] for id in ids if id in thread.order), default=0)


def _truncate(
    messages: list[ContextMessage], rounds: Mapping[str, int], strategy: JsonObject, room: int | None
) -> tuple[list[ContextMessage], int]:
    """The newest messages within the truncation strategy and the token limit, and their size with their call rounds."""
    if strategy["type"] == "last_messages":
        messages = messages[-(strategy["last_messages"] or 1) :]
    size = 0
    for index in range(len(messages) - 1, -1, -1):
        cost = tokens.count(messages[index].text) + rounds.get(messages[index].id, 0)
        if room is not None and size + cost > room:
            if index == len(messages) - 1:
                raise PromptTooLongError
            return messages[index + 1 :], size
        size += cost
    return messages, size


def _message(message: JsonObject) -> ContextMessage:
    texts = [part["text"]["value"] for part in message["content"] if part["type"] == "text"]
    files = [part["image_file"]["file_id"] for part in message["content"] if part["type"] == "image_file"]
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    attached = [item["file_id"] for item in message["attachments"]]
    return ContextMessage(message["id"], message["role"], "\n".join(texts), tuple(attached + files), tuple(urls))


def _function(function: Mapping[str, Json]) -> FunctionTool:
    parameters, strict = function.get("parameters"), function.get("strict")
    return FunctionTool(
        str(function["name"]),
        str(function.get("description") or ""),
        parameters if isinstance(parameters, Mapping) else {},
        strict if isinstance(strict, bool) else None,
    )


def _tool_choice(choice: str | JsonObject) -> str:
    if isinstance(choice, str):
        return choice
    if choice["type"] == "function":
        return str((choice.get("function") or {}).get("name", "required"))
    return str(choice["type"])


def _format(given: str | JsonObject) -> JsonObject:
    return {"type": "auto"} if isinstance(given, str) else given


def _tool_outputs(steps: Iterable[JsonObject]) -> list[ToolOutput]:
    outputs: list[ToolOutput] = []
    turn = 0
    for step in steps:
        calls = step["step_details"].get("tool_calls", ())
        answered = [call for call in calls if call["type"] == "function" and call["function"]["output"] is not None]
        for call in answered:
            function = call["function"]
            outputs.append(ToolOutput(call["id"], function["name"], function["arguments"], function["output"], turn))
        turn += bool(answered)
    return outputs

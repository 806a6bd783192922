"""An assistant that plays a scenario, delta by delta."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

from rx_assistant.local import tokens
from rx_assistant.local.engine import (
    Action,
    Arguments,
    Citation,
    CodeCall,
    CodeImage,
    CodeInput,
    CodeLogs,
    Cut,
    EndStep,
    ErrorEvent,
    Expire,
    Failure,
    FileSearch,
    FunctionCall,
    Gate,
    ImageFile,
    ImageUrl,
    Incomplete,
    NewPart,
    RawBytes,
    Refusal,
    RunContext,
    Text,
    Usage,
)
from rx_assistant.local.engines.scenario import Scenario
from rx_assistant.local.json_text import JsonObject

_PLACEHOLDER = re.compile(r"\{(message|outputs|output:([\w.-]+))\}")
_LONGEST_QUESTION = 4_000  # characters that `match` searches: some patterns take quadratic time
_WORDS: Mapping[str, Action] = {
    "new_part": NewPart(),
    "end_step": EndStep(),
    "expire": Expire(),
    "cut": Cut(),
}

Actions: TypeAlias = AsyncGenerator[Action, None]


class ScriptedError(Exception):
    """The exception of a `raise` step."""


class ScriptedEngine:
    """Plays a scenario. A run without a matching entry completes without a message."""

    def __init__(self, scenario: Scenario | Mapping[str, object] | str | Path) -> None:
        loaded = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
        self._scenario = loaded.value
        self._left = [entry.get("times") for entry in self._entries()]
        self._playing: dict[str, int] = {}
        self._file_ids: dict[str, str] = {}

    @property
    def faults(self) -> list[JsonObject]:
        """The scenario's faults, which the server sends."""
        faults: list[JsonObject] = self._scenario.get("faults", [])
        return faults

    async def run(self, context: RunContext) -> Actions:
        """One turn of the entry that matches the run."""
        turns = self._turns(context)
        if context.turn >= len(turns):
            return
        for step in turns[context.turn]:
            async with aclosing(self._step(step, context)) as actions:
                async for action in actions:
                    yield action

    def _entries(self) -> list[JsonObject]:
        entries: list[JsonObject] = self._scenario.get("runs", [])
        return entries

    def _turns(self, context: RunContext) -> list[list[str | JsonObject]]:
        """The entry of the run. A run keeps its entry for all turns."""
        if context.turn == 0 or context.run_id not in self._playing:
            chosen = self._choose(context.question)
            if chosen is None:
                return []
            self._playing[context.run_id] = chosen
        turns: list[list[str | JsonObject]] = self._entries()[self._playing[context.run_id]]["turns"]
        if context.turn >= len(turns) - 1:
            del self._playing[context.run_id]
        return turns

    def _choose(self, question: str) -> int | None:
        for index, entry in enumerate(self._entries()):
            left = self._left[index]
            if left != 0 and re.search(entry.get("match", ""), question[:_LONGEST_QUESTION], re.IGNORECASE):
                self._left[index] = None if left is None else left - 1
                return index
        return None

    async def _step(self, step: str | JsonObject, context: RunContext) -> Actions:
        if step == "hang":
            await asyncio.get_running_loop().create_future()
        elif isinstance(step, str):
            yield _WORDS[step]
        elif "calls" in step:
            async with aclosing(self._calls(step, context)) as actions:
                async for action in actions:
                    yield action
        elif "pause" in step and len(step) == 1:
            await asyncio.sleep(step["pause"])
        else:
            for action in await self._content(step, context):
                await self._breathe(step)
                yield action

    async def _content(self, step: JsonObject, context: RunContext) -> list[Action]:
        match step:
            case {"text": text}:
                return await self._text(_filled(text, context), step, context)
            case {"refusal": text}:
                return [Refusal(piece) for piece in self._cut(_filled(text, context), step)]
            case {"image_file": name}:
                return [ImageFile(await self._file_id(name, context), step.get("detail"))]
            case {"image_url": url}:
                return [ImageUrl(url, step.get("detail", "auto"))]
            case {"gate": name}:
                return [Gate(name)]
            case {"usage": counts}:
                return [Usage(**{"prompt_tokens": 0, "completion_tokens": 0, **counts})]
            case {"raise": message}:
                raise ScriptedError(message)
            case {"raw": text}:
                return [RawBytes(text.encode())]
        return [_ending(step)]

    async def _text(self, text: str, step: JsonObject, context: RunContext) -> list[Action]:
        """The text in pieces. The marker of each citation is a separate piece."""
        cited = {item["text"]: item for item in step.get("cite", ())}
        if not cited:
            return [Text(piece) for piece in self._cut(text, step)]
        actions: list[Action] = []
        for part in re.split(f"({'|'.join(re.escape(marker) for marker in cited)})", text):
            if part in cited:
                item = cited[part]
                file_id = await self._file_id(item["file"], context)
                actions.append(Text(part, (Citation(file_id, item.get("kind", "file_citation")),)))
            elif part:
                actions += [Text(piece) for piece in self._cut(part, step)]
        return actions

    async def _calls(self, step: JsonObject, context: RunContext) -> Actions:
        calls = [await self._call(index, call, step, context) for index, call in enumerate(step["calls"])]
        for action in _interleaved(calls) if step.get("interleave") else (a for call in calls for a in call):
            await self._breathe(step)
            yield action

    async def _call(self, index: int, call: JsonObject, step: JsonObject, context: RunContext) -> list[Action]:
        id = call.get("id")
        if "function" in call:
            given = call.get("arguments", {})
            text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            pieces = self._cut(text, step)
            return [FunctionCall(call["function"], index, id), *(Arguments(piece, index) for piece in pieces)]
        if "search" in call:
            found = await context.search(_filled(call["search"], context), call.get("most", 20))
            return [FileSearch(tuple(found), index, id)]
        actions: list[Action] = [CodeCall(index, id)]
        actions += [CodeInput(piece, index) for piece in self._cut(call["code"], step)]
        actions += [CodeLogs(logs, index) for logs in call.get("logs", ())]
        for name in call.get("images", ()):
            actions.append(CodeImage(await self._file_id(name, context), index))
        return actions

    def _cut(self, text: str, step: JsonObject) -> list[str]:
        match step.get("chunk", self._scenario.get("chunk", "token")):
            case "token":
                return tokens.pieces(text)
            case "whole":
                return [text] if text else []
            case int(size):
                return [text[start : start + size] for start in range(0, len(text), size)]
        return list(text)

    async def _breathe(self, step: JsonObject) -> None:
        pause = step.get("pause", self._scenario.get("pause", 0))
        if pause:
            await asyncio.sleep(pause)

    async def _file_id(self, name: str, context: RunContext) -> str:
        """The id of a file of the scenario. It is stored when it is first used. Any other name is used as an id."""
        given = self._scenario.get("files", {}).get(name)
        if given is None:
            return name
        if name not in self._file_ids:
            content = given.encode() if isinstance(given, str) else base64.b64decode(given["base64"])
            self._file_ids[name] = await context.add_file(name, content)
        return self._file_ids[name]


def _ending(step: JsonObject) -> Action:
    match step:
        case {"fail": message}:
            return Failure(message, step.get("code", "server_error"), step.get("reason", "run_failed"))
        case {"incomplete": reason}:
            return Incomplete(reason)
    return ErrorEvent(step["error_event"], step.get("code"), step.get("flat", False))


def _interleaved(calls: list[list[Action]]) -> Iterator[Action]:
    """One action of each call, in rotation."""
    for layer in zip_longest(*calls):
        for action in layer:
            if action is not None:
                yield action


def _filled(text: str, context: RunContext) -> str:
    """The text with its placeholders replaced."""
    outputs = {output.call_id: output.output for output in context.tool_outputs}
    outputs |= {output.name: output.output for output in context.tool_outputs}

    def value(found: re.Match[str]) -> str:
        if found[1] == "message":
            return context.question
        if found[1] == "outputs":
            return ", ".join(output.output for output in context.tool_outputs)
        return outputs.get(found[2], found[0])

    return _PLACEHOLDER.sub(value, text)

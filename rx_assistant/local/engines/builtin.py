"""The built-in assistant: no model, the same answer every time.

It calls the functions that the message asks for, answers from the attached files when something in them fits, and
otherwise says plainly what it is. Given a JSON response format, it answers with JSON of that schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable, Sequence

from rx_assistant.local import tokens
from rx_assistant.local.engine import (
    Action,
    Arguments,
    Citation,
    FileSearch,
    FunctionCall,
    FunctionTool,
    Json,
    RunContext,
    SearchResult,
    Text,
    ToolOutput,
)
from rx_assistant.local.engines.arguments import fill
from rx_assistant.local.engines.matching import answering, asked_for

_SENTENCE = re.compile(r"[^\n.!?]+(?:[.!?]+(?=\s|$)|[^\s])*")
_RESULTS = 4
_ARGUMENT_CHUNK = 8


class BuiltinEngine:
    """Deterministic answers; see the module's header for what it does."""

    async def run(self, context: RunContext) -> AsyncGenerator[Action, None]:
        """One turn: function calls, or the answer."""
        calls = _calls(context)
        if calls:
            for action in _call_actions(calls, context.question):
                yield action
            return
        if context.response_format["type"] in ("json_object", "json_schema"):
            for piece in tokens.pieces(json.dumps(_json_answer(context), ensure_ascii=False)):
                yield Text(piece)
            return
        if context.tool_outputs:
            for piece in tokens.pieces(_report(context.tool_outputs)):
                yield Text(piece)
            return
        results: Sequence[SearchResult] = ()
        if context.file_search and context.tool_choice not in ("none", "code_interpreter"):
            results = await context.search(context.question, _RESULTS)
            yield FileSearch(tuple(results))
        answer = _from_files(context, results) if results else _plain(context)
        for action in answer:
            yield action


def _calls(context: RunContext) -> list[FunctionTool]:
    """The functions to call in this turn."""
    called = {output.name for output in context.tool_outputs}
    wanted = [function for function in asked_for(context.question, context.functions) if function.name not in called]
    if context.turn == 0:
        forced = [function for function in context.functions if function.name == context.tool_choice]
        if forced:
            return forced[:1]
        if context.tool_choice == "required" and not wanted:
            return list(context.functions[:1])
    if context.tool_choice in ("none", "file_search", "code_interpreter"):
        return []
    return wanted if context.parallel_tool_calls else wanted[:1]


def _call_actions(calls: Iterable[FunctionTool], message: str) -> Iterable[Action]:
    for index, function in enumerate(calls):
        yield FunctionCall(function.name, index)
        text = json.dumps(fill(function.parameters, message), ensure_ascii=False)
        for start in range(0, len(text), _ARGUMENT_CHUNK):
            yield Arguments(text[start : start + _ARGUMENT_CHUNK], index)


def _report(outputs: Sequence[ToolOutput]) -> str:
    lines = [f"{output.name}: {output.output}" for output in outputs]
    if len(lines) == 1:
        return f"The answer of {lines[0]}"
    return "These are the answers of the functions.\n" + "\n".join(f"- {line}" for line in lines)


def _from_files(context: RunContext, results: Sequence[SearchResult]) -> Iterable[Action]:
    """The best sentences, each with its source; what fits less than half as well as the best is left out."""
    found = [answering(context.question, _sentences(result.text)) for result in results]
    enough = max(fit for _, fit in found) / 2
    said: set[str] = set()
    for index, (result, (sentence, fit)) in enumerate(zip(results, found, strict=True)):
        sentence = sentence.strip(" -*#\t")
        if fit > enough or (not said and index == len(results) - 1):
            if sentence in said:
                continue
            for piece in tokens.pieces(("\n" if said else "") + sentence):
                yield Text(piece)
            marker = f"【{len(context.messages)}:{index}†{result.file_name}】"
            yield Text(marker, (Citation(result.file_id),))
            said.add(sentence)


def _sentences(text: str) -> list[str]:
    return _SENTENCE.findall(text) or [text]


def _plain(context: RunContext) -> Iterable[Action]:
    question = context.question.strip()
    said = f"You said: {question}\n" if question else ""
    text = (
        f"{said}I am the built-in assistant of this local server. I call the functions that you ask for, "
        "and I answer from the files that you attach; everything else I can only repeat."
    )
    return [Text(piece) for piece in tokens.pieces(text)]


def _json_answer(context: RunContext) -> Json:
    given = context.response_format.get("json_schema")
    schema = given.get("schema") if isinstance(given, dict) else None
    if isinstance(schema, dict):
        return fill(schema, context.question)
    outputs: dict[str, Json] = {output.name: output.output for output in context.tool_outputs}
    return {"answer": context.question, **({"outputs": outputs} if outputs else {})}

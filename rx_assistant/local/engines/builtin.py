"""The built-in assistant: it has no model and gives the same answer every time.

It calls the functions that the message asks for, answers from the attached files if a passage fits, and otherwise
introduces itself. With a JSON response format, it answers with JSON of that schema. It repeats only the beginning of
long messages and outputs, and reads them in a thread.
"""

from __future__ import annotations

import asyncio
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

_SENTENCE = re.compile(r"[^\n.!?]+\S*")
_PLACE = re.compile(r"^\[((?:page|slide|sheet) [^\n]+)\]$", re.MULTILINE)
_RESULTS = 4
_ARGUMENT_CHUNK = 8
_LONGEST_REPETITION = 32_000  # characters
_SHORT, _FEW = 2_000, 20  # characters and functions that are read on the event loop


class BuiltinEngine:
    """Deterministic answers; see the module's header for what it does."""

    async def run(self, context: RunContext) -> AsyncGenerator[Action, None]:
        """One turn: function calls, or the answer."""
        size = len(context.question) + sum(len(output.output) for output in context.tool_outputs)
        is_short = size < _SHORT and len(context.functions) < _FEW
        calls = _calls(context) if is_short else await asyncio.to_thread(_calls, context)
        results: Sequence[SearchResult] = ()
        if not calls and _searches(context):
            results = await context.search(context.question, _RESULTS)
            yield FileSearch(tuple(results))
        is_short = is_short and not results
        answer = (
            _answer(context, calls, results) if is_short else await asyncio.to_thread(_answer, context, calls, results)
        )
        for action in answer:
            yield action


def _searches(context: RunContext) -> bool:
    if _wants_json(context) or context.tool_outputs:
        return False
    return context.file_search and context.tool_choice not in ("none", "code_interpreter")


def _wants_json(context: RunContext) -> bool:
    return context.response_format["type"] in ("json_object", "json_schema")


def _answer(context: RunContext, calls: Sequence[FunctionTool], results: Sequence[SearchResult]) -> Iterable[Action]:
    if calls:
        return list(_call_actions(calls, context.question))
    if _wants_json(context):
        return _said(json.dumps(_json_answer(context), ensure_ascii=False))
    if context.tool_outputs:
        return _said(_report(context.tool_outputs))
    return list(_from_files(context, results)) if results else _said(_plain(context))


def _said(text: str) -> Iterable[Action]:
    return map(Text, tokens.pieces(text))


def _beginning(text: str) -> str:
    return text if len(text) <= _LONGEST_REPETITION else f"{text[:_LONGEST_REPETITION]} …"


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
    lines = [f"{output.name}: {_beginning(output.output)}" for output in outputs]
    if len(lines) == 1:
        return f"The answer of {lines[0]}"
    return _beginning("These are the answers of the functions.\n" + "\n".join(f"- {line}" for line in lines))


def _from_files(context: RunContext, results: Sequence[SearchResult]) -> Iterable[Action]:
    """The files that could not be read, then the best sentences, each with its source.

    A sentence is left out if its score is less than half of the best score.
    """
    unread = [result.text for result in results if not result.readable]
    yield from _said("\n".join(unread))
    said = set(unread)
    found = [_best(context.question, result.text) if result.readable else ("", 0.0, "") for result in results]
    enough = max(fit for _, fit, _ in found) / 2
    for index, (result, (sentence, fit, place)) in enumerate(zip(results, found, strict=True)):
        sentence = sentence.strip(" -*#\t")
        if fit > enough or (not said and index == len(results) - 1):
            if sentence in said:
                continue
            yield from _said(("\n" if said else "") + sentence)
            marker = f"【{len(context.messages)}:{index}†{result.file_name}{place}】"
            yield Text(marker, (Citation(result.file_id),))
            said.add(sentence)


def _best(question: str, text: str) -> tuple[str, float, str]:
    """The best sentence, its score, and its page, slide or sheet."""
    parts = ["", *_PLACE.split(text)]
    found = [
        (*answering(question, _sentences(part)), place and f", {place}")
        for place, part in zip(parts[::2], parts[1::2], strict=True)
    ]
    return max(found, key=lambda entry: entry[1])


def _sentences(text: str) -> list[str]:
    return _SENTENCE.findall(text) or [text]


def _plain(context: RunContext) -> str:
    question = _beginning(context.question.strip())
    said = f"You said: {question}\n" if question else ""
    return (
        f"{said}I am the built-in assistant of this local server. I call the functions that you ask for, "
        "and I answer from the files that you attach; everything else I can only repeat."
    )


def _json_answer(context: RunContext) -> Json:
    given = context.response_format.get("json_schema")
    schema = given.get("schema") if isinstance(given, dict) else None
    if isinstance(schema, dict):
        return fill(schema, context.question)
    outputs: dict[str, Json] = {output.name: _beginning(output.output) for output in context.tool_outputs}
    return {"answer": _beginning(context.question), **({"outputs": outputs} if outputs else {})}

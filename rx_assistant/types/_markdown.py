"""Messages, runs and tool calls → Markdown, for notebooks.

Only the texts of messages are Markdown, because the model formats them. Names, arguments, ids and errors are shown as
code, so that Markdown and HTML in them have no effect. Of an image only the address or file id is shown, so nothing is
loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rx_assistant.types._inside import inside, is_model, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.types import Message, Run, Text, ToolCall


def of_text(text: Text) -> str:
    """The text with numbered citations, and the list of their sources."""
    return _joined(
        [
            text.numbered_citations(),
            "\n".join(f"- [{number}] {_place(each)}" for number, each in text.citations().items()),
        ]
    )


def of_message(message: Message) -> str:
    """The parts of a message; if it is incomplete, also the reason."""
    reason = text_in(message.incomplete_details, "reason")
    return _joined([*_parts(message), f"*incomplete:* {code(reason)}" if reason else ""])


def _parts(message: Message) -> Iterator[str]:
    for part in models_in(message.content):
        if part.type == "text" and is_model(part.text):
            yield of_text(part.text)
        elif part.type == "refusal":
            yield f"> **refused:** {text_in(part, 'refusal')}"
        else:
            yield f"▣ {_place(part)}"


def of_run(run: Run) -> str:
    """A line with status, id and tokens; then the error, and the calls whose outputs the run waits for."""
    tokens = inside(run.usage, "total_tokens")
    line = " · ".join([f"**{run.status}**", code(str(run.id)), *([f"{tokens} tokens"] if tokens else [])])
    action = run.required_action if run.status == "requires_action" else None
    waiting = models_in(inside(action, "submit_tool_outputs", "tool_calls"))
    reason = text_in(run.last_error, "message") or text_in(run.incomplete_details, "reason")
    return _joined([line, code(reason) if reason else "", *(_function(call) for call in waiting)])


def of_all(run: Run | None, tool_calls: Iterable[ToolCall], messages: Iterable[Message]) -> str:
    """A run with its tool calls and messages."""
    return _joined(
        [
            of_run(run) if run is not None else "",
            *map(of_tool_call, tool_calls),
            *(of_message(each) for each in messages),
        ]
    )


def of_tool_call(call: ToolCall) -> str:
    """A call, with its outputs so far."""
    if call.type == "function":
        output = inside(call.function, "output")
        return _joined([_function(call), "" if output is None else f"→ {code(str(output))}"])
    if call.type == "code_interpreter":
        outputs = models_in(inside(call.code_interpreter, "outputs"))
        source = text_in(call.code_interpreter, "input")
        return _joined([fenced(source, "python") if source else "", *map(_output, outputs)])
    return f"⚙ {code(str(call.type))}"


def _function(call: Any) -> str:
    return f"⚙ {code(text_in(call.function, 'name') + '(' + text_in(call.function, 'arguments') + ')')}"


def _output(output: Any) -> str:
    return fenced(text_in(output, "logs"), "text") if output.type == "logs" else f"▣ {_place(output)}"


def _place(part: Any) -> str:
    """The type of an image, citation or other part, and the id of its file or its address."""
    kind = str(part.type)
    where = inside(part, kind)
    place = text_in(where, "file_id") or text_in(where, "url")
    return f"{kind.replace('_', ' ')} {code(place)}" if place else code(kind)


def code(text: str) -> str:
    """A text as inline code, in more backticks than it contains in a row."""
    ticks = _ticks(text, 1)
    return f"{ticks} {_lines(text)} {ticks}" if "`" in text else f"{ticks}{_lines(text)}{ticks}"


def fenced(text: str, language: str) -> str:
    """A text as a block of code."""
    ticks = _ticks(text, 3)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _ticks(text: str, least: int) -> str:
    return "`" * max(least, *(len(found) + 1 for found in re.findall("`+", text)), 0)


def _lines(text: str) -> str:
    return " ".join(text.split())


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block)

"""The parts of Markdown that models and snapshots show in notebooks.

Only the texts of messages are Markdown, because the model formats them. Names, arguments, ids and errors are shown as
code, so that Markdown and HTML in them have no effect. Of an image only the address or file id is shown, so nothing is
loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rx_assistant.types._inside import inside, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.types.tool_call import ToolCall


def of_tool_call(call: ToolCall) -> str:
    """A call, with its outputs so far."""
    if call.type == "function":
        output = inside(call.function, "output")
        return joined([function_call(call), "" if output is None else f"→ {code(str(output))}"])
    if call.type == "code_interpreter":
        outputs = models_in(inside(call.code_interpreter, "outputs"))
        source = text_in(call.code_interpreter, "input")
        return joined([fenced(source, "python") if source else "", *map(_output, outputs)])
    return f"⚙ {code(str(call.type))}"


def function_call(call: Any) -> str:
    """The name and the arguments of a function call."""
    return f"⚙ {code(text_in(call.function, 'name') + '(' + text_in(call.function, 'arguments') + ')')}"


def _output(output: Any) -> str:
    return fenced(text_in(output, "logs"), "text") if output.type == "logs" else f"▣ {place(output)}"


def place(part: Any) -> str:
    """The type of an image, citation or other part, and the id of its file or its address."""
    kind = str(part.type)
    where = inside(part, kind)
    address = text_in(where, "file_id") or text_in(where, "url")
    return f"{kind.replace('_', ' ')} {code(address)}" if address else code(kind)


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


def joined(blocks: Iterable[str]) -> str:
    """The blocks that are not empty, as one text."""
    return "\n\n".join(block for block in blocks if block)

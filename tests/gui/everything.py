"""A run that says everything there is to say: refusal, pictures, citations, code and its outputs, an early end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rx_assistant.local.engine import (
    Action,
    Citation,
    CodeCall,
    CodeImage,
    CodeInput,
    CodeLogs,
    ImageFile,
    Incomplete,
    NewPart,
    Refusal,
    Text,
)

LONG = "x" * 400

EVERYTHING: tuple[Action, ...] = (
    CodeCall(),
    CodeInput("print(6 * 7)"),
    CodeLogs("42"),
    CodeImage("file-plot"),
    Text("# A heading\n\nSome **bold** and `code`, "),
    Text("【4:0†notes.txt】", (Citation("file-notes"),)),
    Text(f".\n\n- one\n- two\n\n```python\nanswer = 42\n```\n\n{LONG}\n\nשלום עולם and 👩‍🚀.\n"),
    NewPart(),
    ImageFile("file-picture"),
    Refusal("I cannot help with that."),
    Incomplete(),
)

SHOWN = (
    "print(6 * 7)",
    "42",
    "picture file-plot",
    "A heading",
    "[1]",
    "file-notes",
    "answer = 42",
    "copy",
    LONG,
    "שלום עולם and 👩‍🚀.",
    "picture file-picture",
    "I cannot help with that.",
    "max_completion_tokens",
)


async def everything(*_: object) -> AsyncIterator[Action]:
    """An engine's `run`."""
    for action in EVERYTHING:
        yield action

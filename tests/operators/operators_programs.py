"""Programs over the operators: each narrows, on both faces, also behind other operators."""

from __future__ import annotations

from pathlib import Path

from typed_programs import Programs

RIGHT = Path(__file__).with_name("operators_typing_program.py").read_text("utf-8")
HEAD = "from rx_assistant import AssistantStream, operators as ax\n\n\ndef f(stream: AssistantStream) -> None:\n"
WRONG = {
    "a name where a class is wanted": 'ax.of_type("thread.run.created")',
    "a mode that does not exist": 'ax.verify("loose")',
    "a model that is no model": "[call.partial_arguments(int) for call in stream.pipe(ax.tool_calls())]",
    "a misspelt attribute": "stream.pipe(ax.texts()).run().delta",
    "a text of what is none": "stream.pipe(ax.tool_calls()).run().message_id",
}

PROGRAMS = Programs(right=RIGHT, head=HEAD, wrong={claim: f"    {line}" for claim, line in WRONG.items()})

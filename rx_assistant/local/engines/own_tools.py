"""The tools that the server answers itself, offered to the model as functions: the search of files, and code.

Their calls become steps of their own kinds. A note holds the model's calls and their results, so that later turns of
the run can repeat them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rx_assistant.dialects.history import AnsweredCall, CallRound, Function, HistoryMessage, TextPart
from rx_assistant.local.engine import (
    Action,
    CodeCall,
    CodeFile,
    CodeImage,
    CodeInput,
    CodeLogs,
    CodeResult,
    FileSearch,
    RunContext,
)
from rx_assistant.local.engines import asking
from rx_assistant.local.engines.asking import Passages
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject

ANSWERED: Final = "answered"
"""The key of a note with the calls that the server answered, each with its `found` passages or its `output`."""

_SANDBOX: Final = "sandbox:/mnt/data/"
_SEARCH_ROUNDS: Final = 5
_CODE_ROUNDS: Final = 15


@dataclass(frozen=True, slots=True)
class OwnTools:
    """The names of the functions; None for a tool that is not offered to the model."""

    search: str | None = None
    code: str | None = None
    code_files: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: RunContext, *, search: bool) -> OwnTools:
        """The tools of a run, under names that none of its functions has."""
        taken = {function.name for function in context.functions}
        offers_search = context.file_search and search
        return cls(
            _free(("file_search", "search_files", "search_attached_files"), taken) if offers_search else None,
            None if context.run_code is None else _free(("python", "run_python", "code_interpreter"), taken),
            context.code_files,
        )

    @property
    def rounds(self) -> int:
        """How often a run may use them before the model must answer."""
        return _CODE_ROUNDS if self.code is not None else _SEARCH_ROUNDS

    def functions(self) -> Iterator[Function]:
        """The functions that are offered to the model."""
        if self.search is not None:
            yield asking.search_function(self.search)
        if self.code is not None:
            yield _code_function(self.code, self.code_files)

    def choice(self, name: str) -> str | None:
        """The function for a `tool_choice` that names a tool."""
        return {"file_search": self.search, "code_interpreter": self.code}.get(name)


@dataclass(slots=True)
class OwnCall:
    """A call of one of these functions. Its arguments arrive in pieces."""

    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        return "".join(self.pieces)


def _free(names: Sequence[str], taken: set[str]) -> str:
    return next((name for name in names if name not in taken), f"{names[0]}_{new_id('')[:6]}")


def _code_function(name: str, files: Sequence[str]) -> Function:
    code = {"type": "string", "description": "Python code. The value of a last expression is printed."}
    there = f"It has these files: {', '.join(files)}. " if files else ""
    return Function(
        name,
        "Runs Python code and gives its output. Variables are kept between calls. There is no network. Figures of"
        f" matplotlib and images are shown to the user. {there}To give the user a file, write it to the working"
        f" directory and link to it: [text]({_SANDBOX}NAME).",
        {"type": "object", "properties": {"code": code}, "required": ["code"]},
    )


async def answered(
    context: RunContext, tools: OwnTools, calls: Mapping[int, OwnCall], into: list[JsonObject]
) -> AsyncGenerator[Action, None]:
    """Answer the calls one after the other: the actions of their steps. `into` gets an entry of the note for each."""
    for index, call in enumerate(calls.values()):
        entry: JsonObject = {"id": new_id("call_"), "arguments": call.arguments}
        into.append(entry)
        if call.name == tools.search:
            found = tuple(await context.search(_argument(call, "query").strip() or context.question, asking.PASSAGES))
            entry["found"] = asking.passage_note(found)
            yield FileSearch(found, id=entry["id"])
        elif context.run_code is not None:
            code = _argument(call, "code")
            yield CodeCall(index, entry["id"])
            yield CodeInput(code, index)
            result = await context.run_code(code)
            yield CodeLogs(result.logs, index)
            for image in result.images:
                yield CodeImage(image.id, index)
            entry["output"] = _result_text(result)
            entry["files"] = [[file.name, file.id] for file in (*result.files, *result.images)]


def _argument(call: OwnCall, name: str) -> str:
    """An argument of a call. Some models write only its value instead of JSON."""
    try:
        told = json.loads(call.arguments)
    except ValueError:
        return call.arguments
    value = told.get(name) if isinstance(told, dict) else told
    return value if isinstance(value, str) else ""


def _result_text(result: CodeResult) -> str:
    """The result of code, as text for the model."""
    lines = [result.logs or "The code has printed nothing."]
    lines += [f"The user sees the image {image.name}." for image in result.images]
    lines += [f"The file {file.name} is ready: link to it as {link(file)}." for file in result.files]
    return "\n".join(lines)


def link(file: CodeFile) -> str:
    """The text that stands for a file in an answer."""
    return f"{_SANDBOX}{file.name}"


def files_of(notes: Sequence[object]) -> dict[str, str]:
    """The links to files that code has written, from the notes of a run, with the ids of the files."""
    entries = [entry for note in notes if isinstance(note, Mapping) for entry in note.get(ANSWERED, ())]
    return {link(CodeFile(id, name)): id for entry in entries for name, id in entry.get("files", ())}


def history(context: RunContext, passages: Passages, tools: OwnTools) -> list[HistoryMessage | CallRound]:
    """The history, with the calls that the server has answered in this run."""
    told: list[HistoryMessage | CallRound] = []
    for item in context.history:
        if isinstance(item, HistoryMessage):
            if any(not isinstance(part, TextPart) or part.text for part in item.parts):
                told.append(item)
            continue
        if item.run_id == context.run_id:
            told += (told_again(note, context.run_id, passages, tools) for note in item.notes if ANSWERED in note)
        if item.calls:
            told.append(replace(item, notes=tuple(note for note in item.notes if ANSWERED not in note)))
    return told


def told_again(note: Mapping[str, Any], run_id: str, passages: Passages, tools: OwnTools) -> CallRound:
    """The calls of one turn of the model with their results. Passages are numbered again, in the same order."""
    calls = tuple(
        AnsweredCall(entry["id"], tools.search or "file_search", entry["arguments"], _found(passages, entry["found"]))
        if "found" in entry
        else AnsweredCall(entry["id"], tools.code or "python", entry["arguments"], entry["output"])
        for entry in note[ANSWERED]
    )
    return CallRound(calls, run_id, (note,))


def _found(passages: Passages, found: Sequence[JsonObject]) -> str:
    return passages.add(found) or "Nothing was found."

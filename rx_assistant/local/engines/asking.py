"""A run's context → the `Question` for its model: system text, history, images, functions, passages of files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Final

from rx_assistant.dialects.history import (
    CallRound,
    Function,
    HistoryMessage,
    ImageFilePart,
    Question,
)
from rx_assistant.local import tokens
from rx_assistant.local.engine import RunContext, SearchResult
from rx_assistant.local.json_text import JsonObject

PASSAGES: Final = 8
"""The number of passages of one search. They share the model's context with the conversation."""

_KINDS: Final = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif", b"BM": "image/bmp"}
_CITE: Final = "When you use a passage, write its mark behind the sentence, such as 【1】."


@dataclass(slots=True)
class Passages:
    """The passages that the run's searches found, numbered from 1 in the order in which the model sees them."""

    files: dict[int, str] = field(default_factory=dict)
    """The file of each passage, by its number."""

    def add(self, found: Iterable[Mapping[str, Any]]) -> str:
        """Number these passages, and return their text for the model. A file that could not be read gets no number."""
        told = []
        for item in found:
            if not item["readable"]:
                told.append(item["text"])
                continue
            number = len(self.files) + 1
            self.files[number] = item["file_id"]
            told.append(f"【{number}†{item['file_name']}】\n{item['text']}")
        return "\n\n".join(told)


def passage_note(results: Sequence[SearchResult]) -> list[JsonObject]:
    """The data of a search in a note."""
    return [
        {"file_id": found.file_id, "file_name": found.file_name, "text": found.text, "readable": found.readable}
        for found in results
    ]


def system_text(context: RunContext, passages: str) -> str:
    """The instructions, with the passages that were found for the question."""
    found = f"Passages from the files of this conversation. {_CITE}\n\n{passages}" if passages else ""
    return "\n\n".join(filter(None, [context.instructions, found]))


def search_function(name: str) -> Function:
    """The search of the attached files, as a function for the model."""
    query = {"type": "string", "description": "What to look for, in a few words."}
    return Function(
        name,
        f"Searches the files of this conversation for passages about something. {_CITE}",
        {"type": "object", "properties": {"query": query}, "required": ["query"]},
    )


async def images(context: RunContext, items: Iterable[HistoryMessage | CallRound]) -> dict[str, str]:
    """The data URL of each image file in the history."""
    found: dict[str, str] = {}
    for item in items:
        for part in item.parts if isinstance(item, HistoryMessage) and item.role == "user" else ():
            if isinstance(part, ImageFilePart) and part.file_id not in found:
                found[part.file_id] = _data_url(await context.read_file(part.file_id))
    return found


def _data_url(content: bytes) -> str:
    kind = next((kind for magic, kind in _KINDS.items() if content.startswith(magic)), "image/png")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def functions(context: RunContext) -> tuple[Function, ...]:
    """The functions of the run."""
    return tuple(Function(one.name, one.description, dict(one.parameters), one.strict) for one in context.functions)


def size(question: Question) -> int:
    """An estimate of the question's tokens, without images."""
    return tokens.count(question.system) + sum(map(_size, question.history))


def _size(item: HistoryMessage | CallRound) -> int:
    if isinstance(item, HistoryMessage):
        return tokens.count(item.text)
    return sum(tokens.count(call.arguments) + tokens.count(call.output) for call in item.calls)


def shorter(question: Question, context_size: int | None, tries: int, most: int) -> Question | None:
    """The question without its oldest turns; None if only the last turn is left.

    A turn begins with a message of the user. If the size of the model's context (tokens) is known, turns are removed
    until the rest fits by the estimate of `tokens.py`; otherwise half of the turns are removed. The last of `most`
    tries keeps only the last turn.
    """
    items = question.history
    starts = [at for at, item in enumerate(items) if isinstance(item, HistoryMessage) and item.role == "user"]
    if not starts or starts[-1] == 0:
        return None
    starts = sorted({0, *starts})
    drop = len(starts) - 1 if tries >= most else max(len(starts) // 2, 1)
    if context_size is not None and tries < most:
        room = int(context_size * 0.8) - (question.max_completion_tokens or 0) - tokens.count(question.system)
        sizes = [*accumulate(map(_size, reversed(items)))][::-1]
        drop = next((turn for turn in range(1, len(starts)) if sizes[starts[turn]] <= room), len(starts) - 1)
    return replace(question, history=items[starts[drop] :])

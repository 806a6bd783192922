"""The input of a model: the thread in order, with the calls of earlier rounds in their places, and the settings.

Plain values. The local server makes them from its store; each protocol makes a request from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class ImageFilePart:
    """An image that was uploaded as a file."""

    file_id: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ImageUrlPart:
    """An image at an address."""

    url: str
    detail: str | None = None


MessagePart: TypeAlias = TextPart | ImageFilePart | ImageUrlPart


@dataclass(frozen=True, slots=True)
class HistoryMessage:
    """A message with its parts in order; `run_id` is the run that wrote it, `file_ids` are its attachments.

    `notes` are values that the engine has stored with the message, for its own use.
    """

    role: Literal["user", "assistant"]
    parts: tuple[MessagePart, ...]
    run_id: str | None = None
    file_ids: tuple[str, ...] = ()
    notes: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """The texts, joined."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A function call with the application's output."""

    id: str
    name: str
    arguments: str
    output: str


@dataclass(frozen=True, slots=True)
class CallRound:
    """The calls of one turn with their outputs. They must be sent together.

    `notes` are values that the engine has stored with the turn, for its own use. A step of other tools than functions
    has no `calls`. It is in the history only if the engine has stored a note with it.
    """

    calls: tuple[AnsweredCall, ...]
    run_id: str
    notes: tuple[Any, ...] = ()


LATE: Final = "late"
"""The key of the note in which an engine keeps text that came after a turn's calls, where no message may follow."""


def late_text(calls: CallRound) -> str:
    """The text that came after these calls in their turn."""
    return "".join(note[LATE] for note in calls.notes if isinstance(note, Mapping) and isinstance(note.get(LATE), str))


History: TypeAlias = Sequence[HistoryMessage | CallRound]


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the model may call."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything in one request to a model, independent of the form that its server expects.

    `tool_choice` is `auto`, `none`, `required` or the name of a function; `images` gives the data URL of each image
    file; `system` is the text that stands before the history.
    """

    model: str
    history: History
    run_id: str = ""
    system: str = ""
    functions: tuple[Function, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    response_format: Mapping[str, Any] = field(default_factory=lambda: {"type": "auto"})
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    images: Mapping[str, str] = field(default_factory=dict)

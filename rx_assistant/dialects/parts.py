"""The parts of a model's turn, the same for all protocols: readers make them, writers and engines use them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["completed", "requires_action", "incomplete", "failed", "cancelled"]
MessageEnd: TypeAlias = Literal["max_tokens", "content_filter", "run_failed", "run_cancelled"]
Usage: TypeAlias = dict[str, Any]
"""Counts under the names of a run's `usage`."""


class Text(NamedTuple):
    """More of the answer's text. `message` numbers the messages of a turn, `part` the parts of a message."""

    value: str
    message: str = ""
    part: int = 0


class Refusal(NamedTuple):
    """More of the text of the model's refusal."""

    value: str
    message: str = ""
    part: int = 0


class Annotation(NamedTuple):
    """An annotation of the answer's text, with the members of the Assistants API."""

    value: dict[str, Any]
    message: str = ""
    part: int = 0


class MessageDone(NamedTuple):
    """A message is finished. The turn may continue."""

    message: str = ""


class Reasoning(NamedTuple):
    """More of the model's reasoning."""

    value: str


class Call(NamedTuple):
    """The model begins to call a function. `number` counts the turn's calls from 0, in order of appearance.

    `id` is unique within the run. `given_id` is the id from the model's server, "" if it sent none.
    """

    number: int
    id: str
    given_id: str
    name: str


class Arguments(NamedTuple):
    """More of a call's arguments, which are JSON when they are complete."""

    number: int
    value: str


class HostedCall(NamedTuple):
    """The model's server begins to run one of its own tools: `code_interpreter` or `file_search`."""

    key: str
    id: str
    type: Literal["code_interpreter", "file_search"]


class HostedInput(NamedTuple):
    """More of the code that a code interpreter is to run."""

    key: str
    value: str


class HostedDone(NamedTuple):
    """A tool of the model's server is finished; `call` is the tool call in the form of the Assistants API."""

    key: str
    call: dict[str, Any]
    failed: bool = False


class LateText(NamedTuple):
    """Text after the first call. An Assistants run has no place for it; it belongs to the turn's content."""

    value: str


class Unknown(NamedTuple):
    """A payload whose content has no counterpart in an Assistants run."""

    name: str


Part: TypeAlias = (
    Text
    | Refusal
    | Annotation
    | MessageDone
    | Reasoning
    | Call
    | Arguments
    | HostedCall
    | HostedInput
    | HostedDone
    | LateText
    | Unknown
)


class Ending(NamedTuple):
    """How a turn ended. `message_end` says why an open message is incomplete.

    `code` and `message` are those of the run's `last_error` when it failed.
    """

    status: Status
    message_end: MessageEnd | None = None
    code: str = "server_error"
    message: str = ""
    usage: Usage | None = None

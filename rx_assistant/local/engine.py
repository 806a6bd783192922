"""The engine protocol: an `Engine` reads a run's `RunContext` and yields actions.

The server calls the engine again after each round of tool outputs (`context.turn` counts the rounds); `context.steps`
has the earlier rounds. An engine keeps no state between two turns, so another process can continue a run. The server
turns actions into objects and events in the order of the protocol: the first content opens a message, and the next
action that is not content closes it; adjacent tool calls share one step; function calls at the end make the run require
action.

Every action is checked before it changes anything. A field of a wrong type, or a value that is not an action, makes the
run fail with a message for the engine's author. If an engine raises an exception, the run fails with `server_error` and
a fixed message. The exception only goes to the log `rx_assistant.local`, because it may hold secrets.

A run that is cancelled, that expires or whose thread is deleted waits at most 1.5 seconds for its engine: the engine is
cancelled twice, half a second apart, and after another half second its coroutine is closed. An engine that blocks the
event loop (`time.sleep`) blocks the server: use `asyncio.to_thread`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from rx_assistant.dialects.history import CallRound, HistoryMessage

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A passage that file search found. `readable=False` means a file that could not be read; `text` has the reason."""

    file_id: str
    file_name: str
    score: float
    text: str
    attributes: Mapping[str, str | float | bool] = field(default_factory=dict)
    readable: bool = True


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the assistant may call. `strict` is None if the application did not set it."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ContextMessage:
    """A message of the thread. Messages are in order, oldest first, and include those of the run itself."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    file_ids: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A function call of this run with the client's output. Calls are in order, oldest first."""

    call_id: str
    name: str
    arguments: str
    output: str
    turn: int


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file that code has written: its id on the server, and its name in the working directory of the code."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CodeResult:
    """The output of a piece of code, the image files that it made, and its other files."""

    logs: str
    images: tuple[CodeFile, ...] = ()
    files: tuple[CodeFile, ...] = ()


Search: TypeAlias = Callable[[str, int], Awaitable[Sequence[SearchResult]]]
AddFile: TypeAlias = Callable[[str, bytes], Awaitable[str]]
ReadFile: TypeAlias = Callable[[str], Awaitable[bytes]]
RunCode: TypeAlias = Callable[[str], Awaitable[CodeResult]]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The data of a run for its engine.

    `messages` are the newest messages of the thread, oldest first, up to about 2 million characters of text and within
    the run's own limits. `history` is the same part of the thread for a model: each message with its parts in order,
    and the answered function calls of this run and earlier runs between the messages. It always includes the message
    that the run answers, even beyond the limits. `search(query, most)` searches the attached vector stores, and reports
    files that could not be read; the text of a passage begins with its page, such as `[page 3]`. `add_file` stores a
    file that the assistant made (name, content) and gives its id; `read_file` gives the content of the file with that
    id. `run_code(code)` runs Python code and gives its `CodeResult`; it is None if the server runs no code. All code of
    a run has the same variables and files. `code_files` are the names of the files that it can read.
    """

    run_id: str
    thread_id: str
    assistant_id: str
    model: str
    instructions: str
    messages: tuple[ContextMessage, ...]
    turn: int
    tool_outputs: tuple[ToolOutput, ...]
    functions: tuple[FunctionTool, ...]
    code_interpreter: bool
    file_search: bool
    tool_choice: str
    """`auto`, `none`, `required`, `code_interpreter`, `file_search`, or the name of a function."""
    parallel_tool_calls: bool
    response_format: Mapping[str, Json]
    """At least `type`: `auto`, `text`, `json_object` or `json_schema`."""
    temperature: float | None
    top_p: float | None
    reasoning_effort: str | None
    metadata: Mapping[str, str]
    search: Search
    add_file: AddFile
    read_file: ReadFile
    history: tuple[HistoryMessage | CallRound, ...] = ()
    max_completion_tokens: int | None = None
    """The number of tokens that the run may still write; None without a limit."""
    truncation: Literal["auto", "last_messages"] = "auto"
    """Whether older messages may be left out if the model's context is too small."""
    run_code: RunCode | None = None
    code_files: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The text of the last message that a user wrote, empty if there is none."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Citation:
    """An annotation of its `Text`. `start` and `end` count characters in that text; the default is the whole text."""

    file_id: str
    kind: Literal["file_citation", "file_path"] = "file_citation"
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A fragment of the message's text: one delta."""

    value: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A fragment of a refusal."""

    value: str


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file, as a separate content part."""

    file_id: str
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image URL, as a separate content part."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class NewPart:
    """The next text begins a new content part."""


@dataclass(frozen=True, slots=True)
class EndStep:
    """Close the open message or tool step. The next action opens a new one."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function call begins; `Arguments` with the same `index` follow.

    `index` counts the function calls of the step.
    """

    name: str
    index: int = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Arguments:
    """A fragment of a function call's arguments. All fragments, joined, are JSON."""

    value: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class CodeCall:
    """A code interpreter call begins; `CodeInput`, then `CodeLogs` and `CodeImage` with the same `index` follow.

    If no output follows, and the server runs code, it runs the input and adds the outputs. `index` counts the code
    calls of the step.
    """

    index: int = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class CodeInput:
    """A fragment of the code."""

    value: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class CodeLogs:
    """The output of the code."""

    value: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class CodeImage:
    """An image that the code has made."""

    file_id: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class FileSearch:
    """A search of files, with its results."""

    results: tuple[SearchResult, ...]
    index: int = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model counted: for the open step (its last `Usage` counts), or for the run if no step is open.

    The usage of a run is the sum of these values. The server estimates it only for a run without any `Usage`.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """A JSON object for later turns of the engine.

    The server keeps it with the open step, or with the next step if none is open, and never sends it to clients. Later
    turns and runs find it in `context.history`, in the `notes` of the step's message or calls.
    """

    value: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Failure:
    """End the run as failed. An open message becomes incomplete, with this `reason`."""

    message: str
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"] = "server_error"
    reason: Literal["run_failed", "content_filter"] = "run_failed"


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The run ends as incomplete."""

    reason: Literal["max_completion_tokens", "max_prompt_tokens"] = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class Gate:
    """Wait until `Server.release(name)` is called. Tests and demonstrations hold a run back with it."""

    name: str


@dataclass(frozen=True, slots=True)
class Expire:
    """End the run as expired now, before its time limit."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """End the stream with an `error` event and the run as failed.

    `flat` sends the documented shape of the event, which differs from the recorded shape.
    """

    message: str
    code: str | None = None
    flat: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Break the connections of the run's readers, without an ending. The run continues."""


@dataclass(frozen=True, slots=True)
class RawBytes:
    """Bytes that are sent to readers unchanged: a comment, an unknown event, garbage."""

    value: bytes


Action: TypeAlias = (
    Text
    | Refusal
    | ImageFile
    | ImageUrl
    | NewPart
    | EndStep
    | FunctionCall
    | Arguments
    | CodeCall
    | CodeInput
    | CodeLogs
    | CodeImage
    | FileSearch
    | Usage
    | Note
    | Failure
    | Incomplete
    | Expire
    | Gate
    | ErrorEvent
    | Cut
    | RawBytes
)


@runtime_checkable
class Engine(Protocol):
    """Answers runs. Implement it, or use a built-in engine.

    The server cuts a run's answer at `max_completion_tokens`, by its own estimate. An engine with the attribute
    `limits_itself = True` obeys `context.max_completion_tokens` itself and is not cut.
    """

    def run(self, context: RunContext) -> AsyncIterator[Action]:
        """The actions of one turn. Usually an async generator; it is closed when the run is stopped."""
        ...

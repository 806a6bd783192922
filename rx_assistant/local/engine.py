"""What answers a run: an `Engine` reads the run's `RunContext` and gives actions, one after the other.

An engine is asked anew after each round of tool outputs (`context.turn` counts them), and finds what went before in
`context.steps`. It keeps no state of its own between two turns, so that a run can be taken up by another process.
The server turns actions into objects and events in the order of the protocol: a message is opened by its first
content and closed by whatever is not its content; tool calls side by side share one step; function calls at the end
make the run require action.

Every action is checked before it changes anything: a field of a wrong type, or a value that is not an action, makes the
run fail with a sentence for the engine's author. An engine that raises anything at all makes the run fail with
`server_error` and a fixed sentence. What it raised goes to the log `rx_assistant.local` only, as it may hold secrets.

A run that is cancelled, that expires or whose thread is deleted ends without waiting long for its engine: the engine is
cancelled twice, half a second apart, and after another half second its coroutine is closed. An engine that blocks its
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
    """A passage that file search found. With `readable=False` a file that could not be read; `text` says why."""

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
    """A message of the thread, oldest first, what the run itself has written included."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    file_ids: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A function call of this run and what the client answered, oldest first."""

    call_id: str
    name: str
    arguments: str
    output: str
    turn: int


Search: TypeAlias = Callable[[str, int], Awaitable[Sequence[SearchResult]]]
AddFile: TypeAlias = Callable[[str, bytes], Awaitable[str]]
ReadFile: TypeAlias = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What an engine may know of a run.

    `messages` are the newest of the thread, oldest first, up to about 2 million characters of text and within the run's
    own limits. `history` is the same stretch of the thread as a model needs it: each message with its parts in order,
    and between the messages the answered function calls of this run and of earlier ones. It always begins before the
    run's own messages, whatever the limits are.

    `search` looks into the attached vector stores (query, how many at most), and says which files there could not be
    read; the text of a passage begins with its page, such as `[page 3]`. `add_file` stores a file that the assistant
    made (name, content) and gives its id; `read_file` gives the content of the file with that id.
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
    """How many tokens the run may still write, None without a limit."""
    truncation: Literal["auto", "last_messages"] = "auto"
    """Whether older messages may be left out if the model cannot take them all."""

    @property
    def question(self) -> str:
        """The text of the last message that a user wrote, empty if there is none."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Citation:
    """An annotation of the text that carries it. `start` and `end` count characters in that text; the whole of it
    without them."""

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
    """An image that is a file, as a content part of its own."""

    file_id: str
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image elsewhere, as a content part of its own."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class NewPart:
    """Text that follows begins a content part of its own."""


@dataclass(frozen=True, slots=True)
class EndStep:
    """Closes the open message or tool step, so that what follows begins another."""


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
    """A fragment of a function call's arguments, which are JSON in the end."""

    value: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class CodeCall:
    """A code interpreter call begins; `CodeInput`, then `CodeLogs` and `CodeImage` with the same `index` follow.

    `index` counts the code calls of the step.
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
    """What the code printed."""

    value: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class CodeImage:
    """An image that the code drew."""

    file_id: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class FileSearch:
    """A search that was made, with what it found."""

    results: tuple[SearchResult, ...]
    index: int = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model counted: for the open step, whose last `Usage` counts, or for the run if no step is open.

    A run with any `Usage` sums these alone; the server's estimates are for runs without one.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the engine wants back: a JSON object that the server keeps with the step, and never sends out.

    It belongs to the step that is open, or else to the next one. Later turns and runs find it in `context.history`, in
    `notes` of the message or of the calls that the step stands for.
    """

    value: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Failure:
    """The run ends as failed; a message that is open stays incomplete for `reason`."""

    message: str
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"] = "server_error"
    reason: Literal["run_failed", "content_filter"] = "run_failed"


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The run ends as incomplete."""

    reason: Literal["max_completion_tokens", "max_prompt_tokens"] = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class Gate:
    """Waits until `Server.release(name)` is called: for tests and demonstrations that hold a run back."""

    name: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The run ends as expired, without waiting for its time."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The stream ends with an `error` event, and the run as failed; `flat` is the documented shape, unlike the recorded
    one."""

    message: str
    code: str | None = None
    flat: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Connections that watch the run break here, without an ending; the run itself goes on."""


@dataclass(frozen=True, slots=True)
class RawBytes:
    """Bytes that go into the stream as they are: a comment, an unknown event, garbage."""

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
    """Whatever answers runs: the built-in ones, or yours.

    The server cuts a run's answer at `max_completion_tokens` by an estimate of its own. An engine with an attribute
    `limits_itself = True` keeps to `context.max_completion_tokens` by itself, and is not cut.
    """

    def run(self, context: RunContext) -> AsyncIterator[Action]:
        """The actions of one turn, usually an async generator, which is closed when the run is stopped."""
        ...

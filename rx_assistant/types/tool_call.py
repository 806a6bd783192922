"""The complete tool calls of a run step."""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    EMPTY,
    Array,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)
from rx_assistant.types.shared import Attributes


class CodeInterpreterOutputLogs(WireModel):
    """Text that the code printed."""

    type: Literal["logs"]
    logs: Wire[str] = ABSENT


class CodeInterpreterOutputImageImage(WireModel):
    """The file of a drawn image."""

    file_id: Wire[str] = ABSENT


class CodeInterpreterToolCallOutputImage(WireModel):
    """An image that the code drew. (`CodeInterpreterOutputImage` is the class of the delta, as in the SDK.)"""

    type: Literal["image"]
    image: Wire[CodeInterpreterOutputImageImage] = ABSENT


class UnknownCodeInterpreterOutput(UnknownMember):
    """An output that this version does not know."""

    type: Word[UnknownWord] = ABSENT


CodeInterpreterOutput: TypeAlias = Annotated[
    CodeInterpreterOutputLogs | CodeInterpreterToolCallOutputImage | UnknownCodeInterpreterOutput, BY_TYPE
]


class CodeInterpreter(WireModel):
    """The code and its outputs."""

    input: Wire[str] = ABSENT
    outputs: Wire[Array[CodeInterpreterOutput]] = EMPTY


class CodeInterpreterToolCall(WireModel):
    """A piece of code that was run."""

    id: Wire[str] = ABSENT
    type: Literal["code_interpreter"]
    code_interpreter: Wire[CodeInterpreter] = ABSENT


class FileSearchResultContent(WireModel):
    """A passage that was found."""

    type: Word[Literal["text"]] | None = None
    text: str | None = None


class FileSearchResult(WireModel):
    """A file in which a search found passages. `content` is there only if the request asked for it with `include`."""

    file_id: Wire[str] = ABSENT
    file_name: Wire[str] = ABSENT
    score: Wire[float] = ABSENT
    attributes: Attributes | None = None
    content: Array[FileSearchResultContent] | None = None


class FileSearchCallRankingOptions(WireModel):
    """How the results were ranked."""

    ranker: Word[Literal["auto", "default_2024_08_21"]] = ABSENT
    score_threshold: Wire[float] = ABSENT


class FileSearch(WireModel):
    """The results of a search, and its ranking options."""

    ranking_options: FileSearchCallRankingOptions | None = None
    results: Array[FileSearchResult] | None = None


class FileSearchToolCall(WireModel):
    """A search of the vector stores."""

    id: Wire[str] = ABSENT
    type: Literal["file_search"]
    file_search: Wire[FileSearch] = ABSENT


class Function(WireModel):
    """The function's name, its arguments as JSON text, and its output, which is null until it is submitted."""

    name: Wire[str] = ABSENT
    arguments: Wire[str] = ABSENT
    output: str | None = None


class FunctionToolCall(WireModel):
    """A call of a function that the caller's program runs."""

    id: Wire[str] = ABSENT
    type: Literal["function"]
    function: Wire[Function] = ABSENT


class UnknownToolCall(UnknownMember):
    """A call of a tool that this version does not know."""

    id: Wire[str] = ABSENT
    type: Word[UnknownWord] = ABSENT


ToolCall: TypeAlias = Annotated[
    CodeInterpreterToolCall | FileSearchToolCall | FunctionToolCall | UnknownToolCall, BY_TYPE
]

"""Pieces of tool calls, each for the call at its `index`. Usually only the first piece has an `id` and a name.

As in message_delta.py, no annotation may run Python code for each field.
"""

from typing import Annotated, Literal, TypeAlias

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    Array,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)
from rx_assistant.types.tool_call import FileSearch


class CodeInterpreterLogs(WireModel):
    """More of what the code printed."""

    index: Wire[int] = ABSENT
    type: Literal["logs"]
    logs: str | None = None


class Image(WireModel):
    """The file of a drawn image."""

    file_id: str | None = None


class CodeInterpreterOutputImage(WireModel):
    """An image that the code drew."""

    index: Wire[int] = ABSENT
    type: Literal["image"]
    image: Image | None = None


class UnknownCodeInterpreterOutputDelta(UnknownMember):
    """More of an output that this version does not know."""

    index: Wire[int] = ABSENT
    type: Word[UnknownWord] = ABSENT


CodeInterpreterOutputDelta: TypeAlias = Annotated[
    CodeInterpreterLogs | CodeInterpreterOutputImage | UnknownCodeInterpreterOutputDelta, BY_TYPE
]


class CodeInterpreterDelta(WireModel):
    """More code, or more outputs."""

    input: str | None = None
    outputs: Array[CodeInterpreterOutputDelta] | None = None


class CodeInterpreterToolCallDelta(WireModel):
    """More of a piece of code and its outputs."""

    index: Wire[int] = ABSENT
    id: str | None = None
    type: Literal["code_interpreter"]
    code_interpreter: CodeInterpreterDelta | None = None


class FileSearchToolCallDelta(WireModel):
    """A whole search; a later one for the same call replaces it."""

    index: Wire[int] = ABSENT
    id: str | None = None
    type: Literal["file_search"]
    file_search: Wire[FileSearch] = ABSENT


class FunctionDelta(WireModel):
    """More of a call's arguments. OpenAI always sends null as `output` in deltas."""

    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class FunctionToolCallDelta(WireModel):
    """More of a function call."""

    index: Wire[int] = ABSENT
    id: str | None = None
    type: Literal["function"]
    function: FunctionDelta | None = None


class UnknownToolCallDelta(UnknownMember):
    """More of a call of a tool that this version does not know."""

    index: Wire[int] = ABSENT
    id: str | None = None
    type: Word[UnknownWord] = ABSENT


ToolCallDelta: TypeAlias = Annotated[
    CodeInterpreterToolCallDelta | FileSearchToolCallDelta | FunctionToolCallDelta | UnknownToolCallDelta, BY_TYPE
]

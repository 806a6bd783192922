"""The tools that an assistant or a run may use, and the choice among them."""

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
from rx_assistant.types.shared import FunctionDefinition


class CodeInterpreterTool(WireModel):
    """The model may write Python code, and the server runs it."""

    type: Literal["code_interpreter"]


class HybridSearch(WireModel):
    """The weights of embeddings (meaning) and of text (words) in a search."""

    embedding_weight: Wire[float] = ABSENT
    text_weight: Wire[float] = ABSENT


class FileSearchRankingOptions(WireModel):
    """How results are ranked, and their minimum score (0 to 1)."""

    score_threshold: Wire[float] = ABSENT
    ranker: Word[Literal["auto", "default_2024_08_21"]] | None = None
    hybrid_search: HybridSearch | None = None


class FileSearchToolOptions(WireModel):
    """Limits of a file search."""

    max_num_results: int | None = None
    ranking_options: FileSearchRankingOptions | None = None


class FileSearchTool(WireModel):
    """The model may search the vector stores."""

    type: Literal["file_search"]
    file_search: FileSearchToolOptions | None = None


class FunctionTool(WireModel):
    """The model may call this function."""

    type: Literal["function"]
    function: Wire[FunctionDefinition] = ABSENT


class UnknownTool(UnknownMember):
    """A tool that this version does not know."""

    type: Word[UnknownWord] = ABSENT


AssistantTool: TypeAlias = Annotated[CodeInterpreterTool | FileSearchTool | FunctionTool | UnknownTool, BY_TYPE]


class AssistantToolChoiceFunction(WireModel):
    """The function that must be called."""

    name: Wire[str] = ABSENT


class AssistantToolChoice(WireModel):
    """The tool that must be called."""

    type: Word[Literal["function", "code_interpreter", "file_search"]] = ABSENT
    function: AssistantToolChoiceFunction | None = None


AssistantToolChoiceOption: TypeAlias = Word[Literal["none", "auto", "required"]] | AssistantToolChoice
"""Whether the model may or must call tools, or the one tool that it must call."""


class ToolResourcesCodeInterpreter(WireModel):
    """The files that code can read."""

    file_ids: Array[str] | None = None


class ToolResourcesFileSearch(WireModel):
    """The vector stores that are searched."""

    vector_store_ids: Array[str] | None = None


class ToolResources(WireModel):
    """The files and vector stores for the tools of an assistant, a thread or a run."""

    code_interpreter: ToolResourcesCodeInterpreter | None = None
    file_search: ToolResourcesFileSearch | None = None

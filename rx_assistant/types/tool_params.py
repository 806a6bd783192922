"""The tools that a request gives to an assistant or a run, their files and vector stores, and the choice of a tool."""

from collections.abc import Iterable, Sequence
from typing import Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant.types.chunking_strategy_params import FileChunkingStrategyParam
from rx_assistant.types.shared_params import FunctionDefinitionParam


class CodeInterpreterToolParam(TypedDict, total=False):
    """Let the model write Python code, and run it on the server."""

    type: Required[Literal["code_interpreter"]]


class FileSearchRankingOptionsParam(TypedDict, total=False):
    """How to rank results, and their minimum score (0 to 1)."""

    ranker: Literal["auto", "default_2024_08_21"]
    score_threshold: Required[float]


class FileSearchToolOptionsParam(TypedDict, total=False):
    """Limits of a file search; `max_num_results` is 1 to 50."""

    max_num_results: int
    ranking_options: FileSearchRankingOptionsParam


class FileSearchToolParam(TypedDict, total=False):
    """Let the model search the vector stores."""

    type: Required[Literal["file_search"]]
    file_search: FileSearchToolOptionsParam


class FunctionToolParam(TypedDict, total=False):
    """Let the model call this function."""

    type: Required[Literal["function"]]
    function: Required[FunctionDefinitionParam]


AssistantToolParam: TypeAlias = CodeInterpreterToolParam | FileSearchToolParam | FunctionToolParam


class AssistantToolChoiceFunctionParam(TypedDict, total=False):
    """The function that must be called."""

    name: Required[str]


class AssistantToolChoiceParam(TypedDict, total=False):
    """The tool that must be called."""

    type: Required[Literal["function", "code_interpreter", "file_search"]]
    function: AssistantToolChoiceFunctionParam


AssistantToolChoiceOptionParam: TypeAlias = Literal["none", "auto", "required"] | AssistantToolChoiceParam


class ToolResourcesCodeInterpreterParam(TypedDict, total=False):
    """The files that code may read, up to 20."""

    file_ids: Sequence[str]


class ToolResourcesFileSearchParam(TypedDict, total=False):
    """The vector store to search, at most one."""

    vector_store_ids: Sequence[str]


class ToolResourcesParam(TypedDict, total=False):
    """The files and vector stores for tools."""

    code_interpreter: ToolResourcesCodeInterpreterParam
    file_search: ToolResourcesFileSearchParam


class NewVectorStoreParam(TypedDict, total=False):
    """A vector store to create together with its assistant or thread."""

    file_ids: Sequence[str]
    chunking_strategy: FileChunkingStrategyParam
    metadata: dict[str, str] | None


class NewToolResourcesFileSearchParam(ToolResourcesFileSearchParam, total=False):
    """The vector store to search, or one to create; at most one in all."""

    vector_stores: Iterable[NewVectorStoreParam]


class NewToolResourcesParam(TypedDict, total=False):
    """The files and vector stores for the tools of a new assistant or thread; new vector stores may be created."""

    code_interpreter: ToolResourcesCodeInterpreterParam
    file_search: NewToolResourcesFileSearchParam

"""Every object of the Assistants API as a pydantic model, and every request body as a TypedDict.

One flat namespace under the SDK's names, loaded at first touch. Where the SDK has one name for several things,
the one that it exports keeps it. Of the others, what a finished object holds has the plain name, and the rest say
whose they are: `LastError` is a run's, `RunStepLastError` a step's; `FileCitation` is final, `FileCitationDelta`
is not; `FunctionDefinition` is a model, `FunctionDefinitionParam` a request's TypedDict.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rx_assistant.types._base import (
        UnknownMember as UnknownMember,
        WireModel as WireModel,
    )
    from rx_assistant.types._readonly import (
        ReadOnlyDict as ReadOnlyDict,
        ReadOnlyList as ReadOnlyList,
    )
    from rx_assistant.types.annotation import (
        Annotation as Annotation,
        AnnotationDelta as AnnotationDelta,
        FileCitation as FileCitation,
        FileCitationAnnotation as FileCitationAnnotation,
        FileCitationDelta as FileCitationDelta,
        FileCitationDeltaAnnotation as FileCitationDeltaAnnotation,
        FilePath as FilePath,
        FilePathAnnotation as FilePathAnnotation,
        FilePathDelta as FilePathDelta,
        FilePathDeltaAnnotation as FilePathDeltaAnnotation,
        UnknownAnnotation as UnknownAnnotation,
        UnknownDeltaAnnotation as UnknownDeltaAnnotation,
    )
    from rx_assistant.types.assistant import (
        Assistant as Assistant,
        AssistantDeleted as AssistantDeleted,
    )
    from rx_assistant.types.message import (
        Attachment as Attachment,
        AttachmentTool as AttachmentTool,
        AttachmentToolFileSearch as AttachmentToolFileSearch,
        Message as Message,
        MessageDeleted as MessageDeleted,
        MessageIncompleteDetails as MessageIncompleteDetails,
        MessageRole as MessageRole,
        MessageStatus as MessageStatus,
        UnknownAttachmentTool as UnknownAttachmentTool,
    )
    from rx_assistant.types.message_content import (
        ImageDetail as ImageDetail,
        ImageFile as ImageFile,
        ImageFileContentBlock as ImageFileContentBlock,
        ImageURL as ImageURL,
        ImageURLContentBlock as ImageURLContentBlock,
        MessageContent as MessageContent,
        RefusalContentBlock as RefusalContentBlock,
        Text as Text,
        TextContentBlock as TextContentBlock,
        UnknownContentBlock as UnknownContentBlock,
    )
    from rx_assistant.types.message_delta import (
        ImageFileDelta as ImageFileDelta,
        ImageFileDeltaBlock as ImageFileDeltaBlock,
        ImageURLDelta as ImageURLDelta,
        ImageURLDeltaBlock as ImageURLDeltaBlock,
        MessageContentDelta as MessageContentDelta,
        MessageDelta as MessageDelta,
        MessageDeltaEvent as MessageDeltaEvent,
        RefusalDeltaBlock as RefusalDeltaBlock,
        TextDelta as TextDelta,
        TextDeltaBlock as TextDeltaBlock,
        UnknownDeltaBlock as UnknownDeltaBlock,
    )
    from rx_assistant.types.run import (
        CompletionTokensDetails as CompletionTokensDetails,
        IncompleteDetails as IncompleteDetails,
        LastError as LastError,
        PromptTokenDetails as PromptTokenDetails,
        RequiredAction as RequiredAction,
        RequiredActionFunction as RequiredActionFunction,
        RequiredActionFunctionToolCall as RequiredActionFunctionToolCall,
        RequiredActionSubmitToolOutputs as RequiredActionSubmitToolOutputs,
        Run as Run,
        RunStatus as RunStatus,
        TruncationStrategy as TruncationStrategy,
        Usage as Usage,
    )
    from rx_assistant.types.run_step import (
        MessageCreation as MessageCreation,
        MessageCreationStepDetails as MessageCreationStepDetails,
        RunStep as RunStep,
        RunStepInclude as RunStepInclude,
        RunStepLastError as RunStepLastError,
        RunStepStatus as RunStepStatus,
        RunStepType as RunStepType,
        StepDetails as StepDetails,
        ToolCallsStepDetails as ToolCallsStepDetails,
        UnknownStepDetails as UnknownStepDetails,
    )
    from rx_assistant.types.run_step_delta import (
        MessageCreationDelta as MessageCreationDelta,
        RunStepDelta as RunStepDelta,
        RunStepDeltaEvent as RunStepDeltaEvent,
        RunStepDeltaMessageDelta as RunStepDeltaMessageDelta,
        StepDetailsDelta as StepDetailsDelta,
        ToolCallDeltaObject as ToolCallDeltaObject,
        UnknownStepDetailsDelta as UnknownStepDetailsDelta,
    )
    from rx_assistant.types.shared import (
        AssistantResponseFormat as AssistantResponseFormat,
        AssistantResponseFormatOption as AssistantResponseFormatOption,
        ErrorBody as ErrorBody,
        ErrorObject as ErrorObject,
        FunctionDefinition as FunctionDefinition,
        FunctionParameters as FunctionParameters,
        JSONSchema as JSONSchema,
        ListOrder as ListOrder,
        Metadata as Metadata,
        ReasoningEffort as ReasoningEffort,
        ResponseFormatJSONObject as ResponseFormatJSONObject,
        ResponseFormatJSONSchema as ResponseFormatJSONSchema,
        ResponseFormatText as ResponseFormatText,
        UnknownResponseFormat as UnknownResponseFormat,
    )
    from rx_assistant.types.thread import (
        Thread as Thread,
        ThreadDeleted as ThreadDeleted,
    )
    from rx_assistant.types.tool import (
        AssistantTool as AssistantTool,
        AssistantToolChoice as AssistantToolChoice,
        AssistantToolChoiceFunction as AssistantToolChoiceFunction,
        AssistantToolChoiceOption as AssistantToolChoiceOption,
        CodeInterpreterTool as CodeInterpreterTool,
        FileSearchRankingOptions as FileSearchRankingOptions,
        FileSearchTool as FileSearchTool,
        FileSearchToolOptions as FileSearchToolOptions,
        FunctionTool as FunctionTool,
        HybridSearch as HybridSearch,
        ToolResources as ToolResources,
        ToolResourcesCodeInterpreter as ToolResourcesCodeInterpreter,
        ToolResourcesFileSearch as ToolResourcesFileSearch,
        UnknownTool as UnknownTool,
    )
    from rx_assistant.types.tool_call import (
        CodeInterpreter as CodeInterpreter,
        CodeInterpreterOutput as CodeInterpreterOutput,
        CodeInterpreterOutputImageImage as CodeInterpreterOutputImageImage,
        CodeInterpreterOutputLogs as CodeInterpreterOutputLogs,
        CodeInterpreterToolCall as CodeInterpreterToolCall,
        CodeInterpreterToolCallOutputImage as CodeInterpreterToolCallOutputImage,
        FileSearch as FileSearch,
        FileSearchCallRankingOptions as FileSearchCallRankingOptions,
        FileSearchResult as FileSearchResult,
        FileSearchResultContent as FileSearchResultContent,
        FileSearchToolCall as FileSearchToolCall,
        Function as Function,
        FunctionToolCall as FunctionToolCall,
        ToolCall as ToolCall,
        UnknownCodeInterpreterOutput as UnknownCodeInterpreterOutput,
        UnknownToolCall as UnknownToolCall,
    )
    from rx_assistant.types.tool_call_delta import (
        CodeInterpreterDelta as CodeInterpreterDelta,
        CodeInterpreterLogs as CodeInterpreterLogs,
        CodeInterpreterOutputDelta as CodeInterpreterOutputDelta,
        CodeInterpreterOutputImage as CodeInterpreterOutputImage,
        CodeInterpreterToolCallDelta as CodeInterpreterToolCallDelta,
        FileSearchToolCallDelta as FileSearchToolCallDelta,
        FunctionDelta as FunctionDelta,
        FunctionToolCallDelta as FunctionToolCallDelta,
        Image as Image,
        ToolCallDelta as ToolCallDelta,
        UnknownCodeInterpreterOutputDelta as UnknownCodeInterpreterOutputDelta,
        UnknownToolCallDelta as UnknownToolCallDelta,
    )

_NAMES_OF = {
    "_base": "UnknownMember WireModel",
    "_readonly": "ReadOnlyDict ReadOnlyList",
    "annotation": """
        Annotation AnnotationDelta FileCitation FileCitationAnnotation FileCitationDelta
        FileCitationDeltaAnnotation FilePath FilePathAnnotation FilePathDelta FilePathDeltaAnnotation
        UnknownAnnotation UnknownDeltaAnnotation
    """,
    "assistant": "Assistant AssistantDeleted",
    "message": """
        Attachment AttachmentTool AttachmentToolFileSearch Message MessageDeleted
        MessageIncompleteDetails MessageRole MessageStatus UnknownAttachmentTool
    """,
    "message_content": """
        ImageDetail ImageFile ImageFileContentBlock ImageURL ImageURLContentBlock MessageContent
        RefusalContentBlock Text TextContentBlock UnknownContentBlock
    """,
    "message_delta": """
        ImageFileDelta ImageFileDeltaBlock ImageURLDelta ImageURLDeltaBlock MessageContentDelta
        MessageDelta MessageDeltaEvent RefusalDeltaBlock TextDelta TextDeltaBlock UnknownDeltaBlock
    """,
    "run": """
        CompletionTokensDetails IncompleteDetails LastError PromptTokenDetails RequiredAction
        RequiredActionFunction RequiredActionFunctionToolCall RequiredActionSubmitToolOutputs Run
        RunStatus TruncationStrategy Usage
    """,
    "run_step": """
        MessageCreation MessageCreationStepDetails RunStep RunStepInclude RunStepLastError RunStepStatus
        RunStepType StepDetails ToolCallsStepDetails UnknownStepDetails
    """,
    "run_step_delta": """
        MessageCreationDelta RunStepDelta RunStepDeltaEvent RunStepDeltaMessageDelta StepDetailsDelta
        ToolCallDeltaObject UnknownStepDetailsDelta
    """,
    "shared": """
        AssistantResponseFormat AssistantResponseFormatOption ErrorBody ErrorObject FunctionDefinition
        FunctionParameters JSONSchema ListOrder Metadata ReasoningEffort ResponseFormatJSONObject
        ResponseFormatJSONSchema ResponseFormatText UnknownResponseFormat
    """,
    "thread": "Thread ThreadDeleted",
    "tool": """
        AssistantTool AssistantToolChoice AssistantToolChoiceFunction AssistantToolChoiceOption
        CodeInterpreterTool FileSearchRankingOptions FileSearchTool FileSearchToolOptions FunctionTool
        HybridSearch ToolResources ToolResourcesCodeInterpreter ToolResourcesFileSearch UnknownTool
    """,
    "tool_call": """
        CodeInterpreter CodeInterpreterOutput CodeInterpreterOutputImageImage CodeInterpreterOutputLogs
        CodeInterpreterToolCall CodeInterpreterToolCallOutputImage FileSearch
        FileSearchCallRankingOptions FileSearchResult FileSearchResultContent FileSearchToolCall
        Function FunctionToolCall ToolCall UnknownCodeInterpreterOutput UnknownToolCall
    """,
    "tool_call_delta": """
        CodeInterpreterDelta CodeInterpreterLogs CodeInterpreterOutputDelta CodeInterpreterOutputImage
        CodeInterpreterToolCallDelta FileSearchToolCallDelta FunctionDelta FunctionToolCallDelta Image
        ToolCallDelta UnknownCodeInterpreterOutputDelta UnknownToolCallDelta
    """,
}

_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""The public names of `rx_assistant.types`. Type checkers read these imports; `rx_assistant.lazy` does at run time."""

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
from rx_assistant.types.assistant_params import (
    AssistantCreateParams as AssistantCreateParams,
    AssistantListParams as AssistantListParams,
    AssistantUpdateParams as AssistantUpdateParams,
)
from rx_assistant.types.chat_params import (
    ChatStreamParams as ChatStreamParams,
)
from rx_assistant.types.chunking_strategy import (
    FileChunkingStrategy as FileChunkingStrategy,
    OtherFileChunkingStrategyObject as OtherFileChunkingStrategyObject,
    StaticFileChunkingStrategy as StaticFileChunkingStrategy,
    StaticFileChunkingStrategyObject as StaticFileChunkingStrategyObject,
    UnknownFileChunkingStrategy as UnknownFileChunkingStrategy,
)
from rx_assistant.types.chunking_strategy_params import (
    AutoFileChunkingStrategyParam as AutoFileChunkingStrategyParam,
    FileChunkingStrategyParam as FileChunkingStrategyParam,
    StaticFileChunkingStrategyObjectParam as StaticFileChunkingStrategyObjectParam,
    StaticFileChunkingStrategyParam as StaticFileChunkingStrategyParam,
)
from rx_assistant.types.file import (
    FileContent as FileContent,
    FileDeleted as FileDeleted,
    FileObject as FileObject,
    FilePurpose as FilePurpose,
)
from rx_assistant.types.file_params import (
    FileCreateParams as FileCreateParams,
    FileExpiresAfterParam as FileExpiresAfterParam,
    FileListParams as FileListParams,
    FileTypes as FileTypes,
)
from rx_assistant.types.message import (
    Attachment as Attachment,
    AttachmentTool as AttachmentTool,
    AttachmentToolFileSearch as AttachmentToolFileSearch,
    Message as Message,
    MessageDeleted as MessageDeleted,
    MessageIncompleteDetails as MessageIncompleteDetails,
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
    MessageRole as MessageRole,
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
from rx_assistant.types.message_params import (
    AdditionalMessage as AdditionalMessage,
    AttachmentParam as AttachmentParam,
    AttachmentToolFileSearchParam as AttachmentToolFileSearchParam,
    AttachmentToolParam as AttachmentToolParam,
    ImageFileContentBlockParam as ImageFileContentBlockParam,
    ImageFileParam as ImageFileParam,
    ImageURLContentBlockParam as ImageURLContentBlockParam,
    ImageURLParam as ImageURLParam,
    MessageContentPartParam as MessageContentPartParam,
    MessageCreateParams as MessageCreateParams,
    MessageListParams as MessageListParams,
    MessageUpdateParams as MessageUpdateParams,
    TextContentBlockParam as TextContentBlockParam,
)
from rx_assistant.types.page import (
    ListPage as ListPage,
    VectorStoreFileContentPage as VectorStoreFileContentPage,
    VectorStoreSearchPage as VectorStoreSearchPage,
)
from rx_assistant.types.response_params import (
    ResponseStreamParams as ResponseStreamParams,
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
from rx_assistant.types.run_params import (
    RunAdditionsParams as RunAdditionsParams,
    RunAssistantParams as RunAssistantParams,
    RunCreateParams as RunCreateParams,
    RunCreateParamsBase as RunCreateParamsBase,
    RunCreateParamsNonStreaming as RunCreateParamsNonStreaming,
    RunCreateParamsStreaming as RunCreateParamsStreaming,
    RunListParams as RunListParams,
    RunOnThreadParams as RunOnThreadParams,
    RunOptionsParams as RunOptionsParams,
    RunSettingsParams as RunSettingsParams,
    RunSubmitToolOutputsParams as RunSubmitToolOutputsParams,
    RunSubmitToolOutputsParamsBase as RunSubmitToolOutputsParamsBase,
    RunSubmitToolOutputsParamsNonStreaming as RunSubmitToolOutputsParamsNonStreaming,
    RunSubmitToolOutputsParamsStreaming as RunSubmitToolOutputsParamsStreaming,
    RunUpdateParams as RunUpdateParams,
    RunWithThreadParams as RunWithThreadParams,
    StepListParams as StepListParams,
    StepRetrieveParams as StepRetrieveParams,
    ThreadCreateAndRunParams as ThreadCreateAndRunParams,
    ThreadCreateAndRunParamsBase as ThreadCreateAndRunParamsBase,
    ThreadCreateAndRunParamsNonStreaming as ThreadCreateAndRunParamsNonStreaming,
    ThreadCreateAndRunParamsStreaming as ThreadCreateAndRunParamsStreaming,
    ToolOutput as ToolOutput,
    TruncationStrategyParam as TruncationStrategyParam,
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
from rx_assistant.types.search_filter import (
    ComparisonFilter as ComparisonFilter,
    CompoundFilter as CompoundFilter,
    UnknownFilter as UnknownFilter,
    VectorStoreFilter as VectorStoreFilter,
)
from rx_assistant.types.shared import (
    AssistantResponseFormat as AssistantResponseFormat,
    AssistantResponseFormatOption as AssistantResponseFormatOption,
    Attributes as Attributes,
    ErrorBody as ErrorBody,
    ErrorObject as ErrorObject,
    FunctionDefinition as FunctionDefinition,
    FunctionParameters as FunctionParameters,
    JSONSchema as JSONSchema,
    Metadata as Metadata,
    ReasoningEffort as ReasoningEffort,
    ResponseFormatJSONObject as ResponseFormatJSONObject,
    ResponseFormatJSONSchema as ResponseFormatJSONSchema,
    ResponseFormatText as ResponseFormatText,
    UnknownResponseFormat as UnknownResponseFormat,
)
from rx_assistant.types.shared_params import (
    AssistantResponseFormatOptionParam as AssistantResponseFormatOptionParam,
    FunctionDefinitionParam as FunctionDefinitionParam,
    JSONSchemaParam as JSONSchemaParam,
    ListOrder as ListOrder,
    PageParams as PageParams,
    ResponseFormatJSONObjectParam as ResponseFormatJSONObjectParam,
    ResponseFormatJSONSchemaParam as ResponseFormatJSONSchemaParam,
    ResponseFormatTextParam as ResponseFormatTextParam,
)
from rx_assistant.types.thread import (
    Thread as Thread,
    ThreadDeleted as ThreadDeleted,
)
from rx_assistant.types.thread_params import (
    ThreadCreateParams as ThreadCreateParams,
    ThreadUpdateParams as ThreadUpdateParams,
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
from rx_assistant.types.tool_params import (
    AssistantToolChoiceFunctionParam as AssistantToolChoiceFunctionParam,
    AssistantToolChoiceOptionParam as AssistantToolChoiceOptionParam,
    AssistantToolChoiceParam as AssistantToolChoiceParam,
    AssistantToolParam as AssistantToolParam,
    CodeInterpreterToolParam as CodeInterpreterToolParam,
    FileSearchRankingOptionsParam as FileSearchRankingOptionsParam,
    FileSearchToolOptionsParam as FileSearchToolOptionsParam,
    FileSearchToolParam as FileSearchToolParam,
    FunctionToolParam as FunctionToolParam,
    NewToolResourcesFileSearchParam as NewToolResourcesFileSearchParam,
    NewToolResourcesParam as NewToolResourcesParam,
    NewVectorStoreParam as NewVectorStoreParam,
    ToolResourcesCodeInterpreterParam as ToolResourcesCodeInterpreterParam,
    ToolResourcesFileSearchParam as ToolResourcesFileSearchParam,
    ToolResourcesParam as ToolResourcesParam,
)
from rx_assistant.types.vector_store import (
    FileCounts as FileCounts,
    VectorStore as VectorStore,
    VectorStoreDeleted as VectorStoreDeleted,
    VectorStoreExpiresAfter as VectorStoreExpiresAfter,
    VectorStoreSearchContent as VectorStoreSearchContent,
    VectorStoreSearchResponse as VectorStoreSearchResponse,
    VectorStoreStatus as VectorStoreStatus,
)
from rx_assistant.types.vector_store_file import (
    FileContentResponse as FileContentResponse,
    VectorStoreFile as VectorStoreFile,
    VectorStoreFileBatch as VectorStoreFileBatch,
    VectorStoreFileDeleted as VectorStoreFileDeleted,
    VectorStoreFileLastError as VectorStoreFileLastError,
    VectorStoreFileStatus as VectorStoreFileStatus,
)
from rx_assistant.types.vector_store_file_params import (
    AttributesParam as AttributesParam,
    FileBatchCreateParams as FileBatchCreateParams,
    FileBatchListFilesParams as FileBatchListFilesParams,
    FileUpdateParams as FileUpdateParams,
    VectorStoreFileCreateParams as VectorStoreFileCreateParams,
    VectorStoreFileListParams as VectorStoreFileListParams,
    VectorStoreFileUpdateParams as VectorStoreFileUpdateParams,
)
from rx_assistant.types.vector_store_params import (
    ComparisonFilterParam as ComparisonFilterParam,
    CompoundFilterParam as CompoundFilterParam,
    VectorStoreCreateParams as VectorStoreCreateParams,
    VectorStoreExpiresAfterParam as VectorStoreExpiresAfterParam,
    VectorStoreFilterParam as VectorStoreFilterParam,
    VectorStoreListParams as VectorStoreListParams,
    VectorStoreRankingOptionsParam as VectorStoreRankingOptionsParam,
    VectorStoreSearchParams as VectorStoreSearchParams,
    VectorStoreUpdateParams as VectorStoreUpdateParams,
)

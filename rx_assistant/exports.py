"""The public names of `rx_assistant`. Type checkers read these imports; `rx_assistant.lazy` does at run time."""

from rx_assistant import (
    errors as errors,
    events as events,
    gui as gui,
    local as local,
    operators as operators,
    relay as relay,
    tools as tools,
    types as types,
    web as web,
)
from rx_assistant.api.request import (
    NOT_GIVEN as NOT_GIVEN,
    omit as omit,
)
from rx_assistant.client import (
    AssistantClient as AssistantClient,
    AsyncAssistantClient as AsyncAssistantClient,
)
from rx_assistant.client.conversation import (
    AsyncConversation as AsyncConversation,
    Conversation as Conversation,
)
from rx_assistant.errors import (
    APIConnectionError as APIConnectionError,
    APIError as APIError,
    APIResponseValidationError as APIResponseValidationError,
    APIStatusError as APIStatusError,
    APITimeoutError as APITimeoutError,
    AuthenticationError as AuthenticationError,
    BadRequestError as BadRequestError,
    ConfigurationError as ConfigurationError,
    ConflictError as ConflictError,
    ConnectTimeoutError as ConnectTimeoutError,
    CursorExpiredError as CursorExpiredError,
    EventDecodeError as EventDecodeError,
    EventTooLargeError as EventTooLargeError,
    FirstEventTimeoutError as FirstEventTimeoutError,
    IdleTimeoutError as IdleTimeoutError,
    IngestionError as IngestionError,
    InternalServerError as InternalServerError,
    InvalidArgumentError as InvalidArgumentError,
    NotAnEventStreamError as NotAnEventStreamError,
    NotFoundError as NotFoundError,
    OpenAIError as OpenAIError,
    PartialArgumentsError as PartialArgumentsError,
    PermissionDeniedError as PermissionDeniedError,
    PollTimeoutError as PollTimeoutError,
    ProtocolError as ProtocolError,
    RateLimitError as RateLimitError,
    ReadTimeoutError as ReadTimeoutError,
    RelayConnectionError as RelayConnectionError,
    RelayError as RelayError,
    RelayFencedError as RelayFencedError,
    RunCancelledError as RunCancelledError,
    RunExpiredError as RunExpiredError,
    RunFailedError as RunFailedError,
    RunIncompleteError as RunIncompleteError,
    RxAssistantError as RxAssistantError,
    ServerErrorEvent as ServerErrorEvent,
    StreamCancelledError as StreamCancelledError,
    StreamClosedError as StreamClosedError,
    StreamError as StreamError,
    StreamInterruptedError as StreamInterruptedError,
    StreamOverflowError as StreamOverflowError,
    StreamTruncatedError as StreamTruncatedError,
    ToolArgumentsError as ToolArgumentsError,
    ToolCancelledError as ToolCancelledError,
    ToolDeniedError as ToolDeniedError,
    ToolError as ToolError,
    ToolFailedError as ToolFailedError,
    ToolRoundsError as ToolRoundsError,
    ToolTimeoutError as ToolTimeoutError,
    TotalTimeoutError as TotalTimeoutError,
    UnknownToolError as UnknownToolError,
    UnprocessableEntityError as UnprocessableEntityError,
)
from rx_assistant.events import (
    AssistantStreamEvent as AssistantStreamEvent,
)
from rx_assistant.handlers import (
    AssistantEventHandler as AssistantEventHandler,
    AsyncAssistantEventHandler as AsyncAssistantEventHandler,
)
from rx_assistant.hot import (
    AsyncStream as AsyncStream,
    Stream as Stream,
)
from rx_assistant.http.dialects import (
    Azure as Azure,
    Foundry as Foundry,
)
from rx_assistant.http.timeouts import (
    Timeout as Timeout,
)
from rx_assistant.http.transports import (
    aiohttp_client as aiohttp_client,
)
from rx_assistant.loops import (
    background as background,
)
from rx_assistant.polling import (
    Backoff as Backoff,
    Polled as Polled,
    UploadProgress as UploadProgress,
    watch as watch,
    watch_async as watch_async,
)
from rx_assistant.snapshots import (
    RunSnapshot as RunSnapshot,
    fold as fold,
)
from rx_assistant.sse import (
    ServerSentEvent as ServerSentEvent,
    SSEDecoder as SSEDecoder,
)
from rx_assistant.streams import (
    AssistantStream as AssistantStream,
    AsyncAssistantStream as AsyncAssistantStream,
    from_events as from_events,
    from_response as from_response,
    replay as replay,
    replay_async as replay_async,
)
from rx_assistant.tools import (
    Approval as Approval,
    Decision as Decision,
    PendingCall as PendingCall,
    Tool as Tool,
    ToolContext as ToolContext,
    ToolSet as ToolSet,
)

"""The Assistants event stream as a hot Observable, with operators, snapshots, polling and a local server.

Names are loaded when they are first touched (PEP 562), so that importing the package costs next to nothing. The
packages `operators`, `types`, `gui` and `local` are reached the same way: `rx_assistant.local.serve()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_assistant import errors, events, gui, local, operators, tools, types
    from rx_assistant.api.request import NOT_GIVEN, omit
    from rx_assistant.client import AssistantClient, AsyncAssistantClient
    from rx_assistant.client.conversation import AsyncConversation, Conversation
    from rx_assistant.errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        ConnectTimeoutError,
        EventDecodeError,
        EventTooLargeError,
        FirstEventTimeoutError,
        IdleTimeoutError,
        IngestionError,
        InternalServerError,
        InvalidArgumentError,
        NotAnEventStreamError,
        NotFoundError,
        OpenAIError,
        PartialArgumentsError,
        PermissionDeniedError,
        PollTimeoutError,
        ProtocolError,
        RateLimitError,
        ReadTimeoutError,
        RunCancelledError,
        RunExpiredError,
        RunFailedError,
        RunIncompleteError,
        RxAssistantError,
        ServerErrorEvent,
        StreamCancelledError,
        StreamClosedError,
        StreamError,
        StreamOverflowError,
        StreamTruncatedError,
        ToolArgumentsError,
        ToolCancelledError,
        ToolDeniedError,
        ToolError,
        ToolFailedError,
        ToolRoundsError,
        ToolTimeoutError,
        TotalTimeoutError,
        UnknownToolError,
        UnprocessableEntityError,
    )
    from rx_assistant.events import AssistantStreamEvent
    from rx_assistant.handlers import AssistantEventHandler, AsyncAssistantEventHandler
    from rx_assistant.hot import AsyncStream, Stream
    from rx_assistant.http.dialects import Azure, Foundry
    from rx_assistant.http.timeouts import Timeout
    from rx_assistant.http.transports import aiohttp_client
    from rx_assistant.loops import background
    from rx_assistant.polling import Backoff, Polled, UploadProgress, watch, watch_async
    from rx_assistant.snapshots import RunSnapshot, fold
    from rx_assistant.sse import ServerSentEvent, SSEDecoder
    from rx_assistant.streams import (
        AssistantStream,
        AsyncAssistantStream,
        from_events,
        from_response,
        replay,
        replay_async,
    )
    from rx_assistant.tools import Approval, Decision, PendingCall, Tool, ToolContext, ToolSet

_HOMES: dict[str, tuple[str, ...]] = {
    "client": ("AssistantClient", "AsyncAssistantClient"),
    "client.conversation": ("AsyncConversation", "Conversation"),
    "errors": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "APIStatusError",
        "APITimeoutError",
        "AuthenticationError",
        "BadRequestError",
        "ConfigurationError",
        "ConflictError",
        "ConnectTimeoutError",
        "EventDecodeError",
        "EventTooLargeError",
        "FirstEventTimeoutError",
        "IdleTimeoutError",
        "IngestionError",
        "InternalServerError",
        "InvalidArgumentError",
        "NotAnEventStreamError",
        "NotFoundError",
        "OpenAIError",
        "PartialArgumentsError",
        "PermissionDeniedError",
        "PollTimeoutError",
        "ProtocolError",
        "RateLimitError",
        "ReadTimeoutError",
        "RunCancelledError",
        "RunExpiredError",
        "RunFailedError",
        "RunIncompleteError",
        "RxAssistantError",
        "ServerErrorEvent",
        "StreamCancelledError",
        "StreamClosedError",
        "StreamError",
        "StreamOverflowError",
        "StreamTruncatedError",
        "ToolArgumentsError",
        "ToolCancelledError",
        "ToolDeniedError",
        "ToolError",
        "ToolFailedError",
        "ToolRoundsError",
        "ToolTimeoutError",
        "TotalTimeoutError",
        "UnknownToolError",
        "UnprocessableEntityError",
    ),
    "events": ("AssistantStreamEvent",),
    "handlers": ("AssistantEventHandler", "AsyncAssistantEventHandler"),
    "hot": ("AsyncStream", "Stream"),
    "http.dialects": ("Azure", "Foundry"),
    "api.request": ("NOT_GIVEN", "omit"),
    "http.timeouts": ("Timeout",),
    "http.transports": ("aiohttp_client",),
    "loops": ("background",),
    "polling": ("Backoff", "Polled", "UploadProgress", "watch", "watch_async"),
    "snapshots": ("RunSnapshot", "fold"),
    "sse": ("SSEDecoder", "ServerSentEvent"),
    "streams": (
        "AssistantStream",
        "AsyncAssistantStream",
        "from_events",
        "from_response",
        "replay",
        "replay_async",
    ),
    "tools": ("Approval", "Decision", "PendingCall", "Tool", "ToolContext", "ToolSet"),
}
_PACKAGES = ("errors", "events", "gui", "local", "operators", "tools", "types")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "NOT_GIVEN",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "Approval",
    "AssistantClient",
    "AssistantEventHandler",
    "AssistantStream",
    "AssistantStreamEvent",
    "AsyncAssistantClient",
    "AsyncAssistantEventHandler",
    "AsyncAssistantStream",
    "AsyncConversation",
    "AsyncStream",
    "AuthenticationError",
    "Azure",
    "Backoff",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "ConnectTimeoutError",
    "Conversation",
    "Decision",
    "EventDecodeError",
    "EventTooLargeError",
    "FirstEventTimeoutError",
    "Foundry",
    "IdleTimeoutError",
    "IngestionError",
    "InternalServerError",
    "InvalidArgumentError",
    "NotAnEventStreamError",
    "NotFoundError",
    "OpenAIError",
    "PartialArgumentsError",
    "PendingCall",
    "PermissionDeniedError",
    "PollTimeoutError",
    "Polled",
    "ProtocolError",
    "RateLimitError",
    "ReadTimeoutError",
    "RunCancelledError",
    "RunExpiredError",
    "RunFailedError",
    "RunIncompleteError",
    "RunSnapshot",
    "RxAssistantError",
    "SSEDecoder",
    "ServerErrorEvent",
    "ServerSentEvent",
    "Stream",
    "StreamCancelledError",
    "StreamClosedError",
    "StreamError",
    "StreamOverflowError",
    "StreamTruncatedError",
    "Timeout",
    "Tool",
    "ToolArgumentsError",
    "ToolCancelledError",
    "ToolContext",
    "ToolDeniedError",
    "ToolError",
    "ToolFailedError",
    "ToolRoundsError",
    "ToolSet",
    "ToolTimeoutError",
    "TotalTimeoutError",
    "UnknownToolError",
    "UnprocessableEntityError",
    "UploadProgress",
    "aiohttp_client",
    "background",
    "errors",
    "events",
    "fold",
    "from_events",
    "from_response",
    "gui",
    "local",
    "omit",
    "operators",
    "replay",
    "replay_async",
    "tools",
    "types",
    "watch",
    "watch_async",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        if name == "__version__":
            from importlib.metadata import version

            return version("rx_assistant")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

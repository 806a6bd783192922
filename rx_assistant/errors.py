"""Every exception of rx_assistant, in one tree.

    RxAssistantError
    ├── ConfigurationError                 a setting is missing or contradicts another (no base_url …)
    ├── InvalidArgumentError               an argument cannot be sent: an empty id … (also a ValueError)
    ├── APIError                           the exchange with the server failed        .request .body .code .param .type
    │   ├── APIConnectionError             no reply arrived
    │   │   └── APITimeoutError            … in time (also a TimeoutError)
    │   │       ├── ConnectTimeoutError    no connection within `timeout.connect`
    │   │       ├── ReadTimeoutError       no byte within `timeout.read`
    │   │       ├── FirstEventTimeoutError no first event within `timeout.first_event`
    │   │       ├── IdleTimeoutError       no further event within `timeout.idle`
    │   │       └── TotalTimeoutError      not finished within `timeout.total`
    │   ├── APIResponseValidationError     the body of a successful reply is malformed        .content_type
    │   └── APIStatusError                 a reply with a 4xx or 5xx status           .response .status_code .request_id
    │       ├── BadRequestError 400, AuthenticationError 401, PermissionDeniedError 403, NotFoundError 404,
    │       │   ConflictError 409, UnprocessableEntityError 422, RateLimitError 429
    │       └── InternalServerError        5xx
    ├── StreamError                        a stream failed                            .snapshot .request_id
    │   ├── StreamTruncatedError           the body ended before the run did
    │   ├── StreamClosedError              this program closed the stream while a reader was waiting
    │   ├── StreamCancelledError           the task that read the stream was cancelled
    │   ├── StreamOverflowError            a reader or a buffer fell too far behind   .capacity .pending
    │   ├── StreamInterruptedError         the producer of a relayed run has stopped before the run did
    │   ├── CursorExpiredError             a relay has dropped the events after a cursor    .oldest .remaining
    │   ├── ToolRoundsError                the run required action more than `max_rounds` times   .rounds
    │   ├── ToolFailedError                a tool failed, and `on_tool_error` is "raise"   .call_id .name
    │   ├── ServerErrorEvent               the server sent an `error` event (also an APIError)   .error .event
    │   └── NotAnEventStreamError          the reply is not an event stream           .content_type .head
    ├── RelayError                         a relay refuses to publish a run           .key
    │   ├── RelayFencedError               another producer has taken over
    │   └── RelayConnectionError           the relay cannot be reached
    ├── EventTooLargeError                 one event exceeds `max_event_bytes`        .limit
    ├── EventDecodeError                   one event's payload is not a JSON object        .event
    ├── ProtocolError                      events in an order that the protocol forbids    .event
    ├── PartialArgumentsError              function arguments that do not fit the model    .arguments
    ├── ToolError                          a tool has no output; the model reads the message
    │   ├── UnknownToolError, ToolArgumentsError, ToolTimeoutError (also a TimeoutError), ToolDeniedError,
    │   │   ToolCancelledError
    ├── RunFailedError                     the run ended as failed                    .run
    │   ├── RunCancelledError, RunExpiredError, RunIncompleteError
    ├── IngestionError                     a file or batch ended as failed or cancelled    .value
    └── PollTimeoutError                   not terminal before the deadline (also a TimeoutError)   .last

Errors that the official SDK has too keep the SDK's names. An error of the transport is never raised directly: it is the
`__cause__` of one of these.

Every error survives pickle, `copy` and `deepcopy` with its fields. The copy holds no live stream, and its `request` has
no headers with credentials.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rx_assistant.events import ErrorEvent, StreamEvent
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.types import ErrorObject, Run


class RxAssistantError(Exception):
    """The base of all errors that rx_assistant defines.

    If the error ended a stream, `request_id` is the stream's and `snapshot` holds all that arrived before the error.
    """

    request_id: str | None = None
    _arrived: RunSnapshot | Callable[[], RunSnapshot] | None = None

    @property
    def snapshot(self) -> RunSnapshot | None:
        """The stream's snapshot at the time of the error; None if the error did not end a stream."""
        if callable(self._arrived):
            self._arrived = self._arrived()
        return self._arrived

    def carry(self, arrived: RunSnapshot | Callable[[], RunSnapshot] | None, request_id: str | None) -> None:
        """Attach the snapshot, or a function that computes it at the first access, and the request's id."""
        self._arrived = arrived
        if request_id is not None:
            self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self._fields())

    def _fields(self) -> dict[str, Any]:
        """The attributes of a copy. The snapshot is computed now, so that the copy does not hold the stream."""
        fields = dict(self.__dict__)
        if self._arrived is not None:
            fields["_arrived"] = self.snapshot
        return fields


def _rebuilt(kind: type[RxAssistantError], args: tuple[Any, ...], fields: dict[str, Any]) -> RxAssistantError:
    error = kind.__new__(kind, *args)
    error.args = args  # a TimeoutError sets them in __init__ only, which is not called here
    error.__dict__.update(fields)
    return error


OpenAIError = RxAssistantError
"""The official SDK's name for `RxAssistantError`."""


class ConfigurationError(RxAssistantError):
    """A setting is missing, or two of them contradict each other."""


class InvalidArgumentError(RxAssistantError, ValueError):
    """An argument cannot be sent: an empty id, a header with a line break, a number that JSON does not have."""


class EventTooLargeError(RxAssistantError):
    """One server-sent event grew past the decoder's `max_event_bytes` (bytes)."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"a server-sent event must be at most {limit} bytes, got more: pass a larger max_event_bytes to accept it"
        )
        self.limit = limit


class EventDecodeError(RxAssistantError):
    """An event's payload is not a JSON object. Reading `.data` raises this error; the stream itself continues."""

    def __init__(self, message: str, event: StreamEvent) -> None:
        super().__init__(message)
        self.event = event


class ProtocolError(RxAssistantError):
    """An event arrived that the Assistants protocol does not allow at this point."""

    def __init__(self, message: str, event: StreamEvent | None = None) -> None:
        super().__init__(message)
        self.event = event


class PartialArgumentsError(RxAssistantError):
    """Complete function arguments are not JSON, or do not match the given model."""

    def __init__(self, message: str, arguments: str) -> None:
        super().__init__(message)
        self.arguments = arguments


class ToolError(RxAssistantError):
    """A tool has no output. Raise it in a tool to tell the model why: the model reads the message."""


class UnknownToolError(ToolError):
    """The model called a tool that the tool set does not have."""


class ToolArgumentsError(ToolError):
    """The arguments of a call do not match the parameters of the tool."""


class ToolTimeoutError(ToolError, TimeoutError):
    """A tool did not finish in time."""


class ToolDeniedError(ToolError):
    """A call was not approved."""


class ToolCancelledError(ToolError):
    """A call was cancelled with its stream or run, before it had an output."""


class StreamError(RxAssistantError):
    """A stream failed. `snapshot` holds the events that arrived before; they were delivered."""

    def __init__(self, message: str, *, snapshot: RunSnapshot | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.carry(snapshot, request_id)


class StreamTruncatedError(StreamError):
    """The body ended without a `done` or `error` event, and before the run stopped."""


class StreamClosedError(StreamError):
    """The program closed the stream, by `close()` or by leaving its block, while a reader still waited for it."""


class StreamCancelledError(StreamError):
    """The task that was reading the stream, or awaiting a handler for it, was cancelled."""


class StreamOverflowError(StreamError):
    """A reader or a buffer fell further behind than allowed: `pending` of `capacity` were waiting."""

    def __init__(
        self,
        message: str,
        *,
        capacity: int,
        pending: int,
        snapshot: RunSnapshot | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, snapshot=snapshot, request_id=request_id)
        self.capacity = capacity
        self.pending = pending


class StreamInterruptedError(StreamError):
    """The producer of a relayed run has stopped, and no other process has taken over. The run itself may continue."""


class CursorExpiredError(StreamError):
    """A relay has dropped events after the follower's position. `remaining` holds the frames that are left.

    `oldest` is the cursor before the first of these frames: `follow(key, after=error.oldest)` begins there. With
    `catch_up="snapshot"` a follower begins with the state of the run instead.
    """

    def __init__(self, message: str, *, oldest: str | None = None, remaining: bytes = b"") -> None:
        super().__init__(message)
        self.oldest = oldest
        self.remaining = remaining


class ToolRoundsError(StreamError):
    """The run required action more often than `max_rounds` allows: `rounds` were answered."""

    def __init__(self, message: str, rounds: int) -> None:
        super().__init__(message)
        self.rounds = rounds


class ToolFailedError(StreamError):
    """A call of a tool failed and `on_tool_error` is "raise". The exception of the tool is the `__cause__`."""

    def __init__(self, message: str, *, call_id: str, name: str) -> None:
        super().__init__(message)
        self.call_id = call_id
        self.name = name


class NotAnEventStreamError(StreamError):
    """A successful reply is not an event stream; `head` holds the first bytes of its body."""

    def __init__(
        self,
        message: str,
        *,
        content_type: str | None,
        head: bytes,
        snapshot: RunSnapshot | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, snapshot=snapshot, request_id=request_id)
        self.content_type = content_type
        self.head = head


class RelayError(RxAssistantError):
    """A relay refuses to publish a run under `key`: the run has ended there, or another producer publishes it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class RelayFencedError(RelayError):
    """Another producer has taken over the run while this one was silent. This one publishes nothing more."""


class RelayConnectionError(RelayError):
    """The relay cannot be reached. Producers and followers try again, and fail only if this lasts too long."""


class RunFailedError(RxAssistantError):
    """A run ended without completing; `run` is its last state."""

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run


class RunCancelledError(RunFailedError):
    """The run was cancelled."""


class RunExpiredError(RunFailedError):
    """The run expired before it was finished or its tool outputs were submitted."""


class RunIncompleteError(RunFailedError):
    """The run stopped at a token limit."""


class IngestionError(RxAssistantError):
    """A vector store file or batch ended as failed or cancelled; `value` is its last state."""

    def __init__(self, message: str, value: Any) -> None:
        super().__init__(message)
        self.value = value


class PollTimeoutError(RxAssistantError, TimeoutError):
    """The deadline passed before the terminal state; `last` is the last state seen, None if there was none."""

    def __init__(self, message: str, last: Any) -> None:
        super().__init__(message)
        self.last = last


class APIError(RxAssistantError):
    """The exchange with the server failed. `body` is the parsed error of the reply, None without one."""

    def __init__(self, message: str, *, request: Any = None, body: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.body = body
        fields = body if isinstance(body, dict) else {}
        self.code = _text_of(fields.get("code"))
        self.param = _text_of(fields.get("param"))
        self.type = _text_of(fields.get("type"))

    def _fields(self) -> dict[str, Any]:
        fields = super()._fields()
        for name in ("request", "response"):
            if fields.get(name) is not None:
                fields[name] = _without_credentials(fields[name])
        return fields


class ServerErrorEvent(StreamError, APIError):
    """The server sent an `error` event, which ended the stream.

    `error` is the event's data, whatever its shape on the wire. `event` is the event, with the original bytes in `raw`.
    This class is an APIError too, as in the official SDK: `code`, `param` and `type` come from the server, or are None.
    """

    def __init__(
        self,
        error: ErrorObject,
        *,
        event: ErrorEvent | None = None,
        snapshot: RunSnapshot | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"the server sent an error event: {error.message}", snapshot=snapshot, request_id=request_id)
        self.error = error
        self.event = event
        self.body = error.model_dump(exclude_unset=True)
        self.code, self.param, self.type = _text_of(error.code), _text_of(error.param), _text_of(error.type)


class APIConnectionError(APIError):
    """No reply arrived: connecting failed, or the connection broke."""

    def __init__(self, message: str = "Connection error.", *, request: Any = None) -> None:
        super().__init__(message, request=request)


class APITimeoutError(APIConnectionError, TimeoutError):
    """No reply arrived in time."""

    def __init__(self, message: str = "Request timed out.", *, request: Any = None) -> None:
        super().__init__(message, request=request)


class ConnectTimeoutError(APITimeoutError):
    """No connection within `timeout.connect` seconds."""


class ReadTimeoutError(APITimeoutError):
    """No byte within `timeout.read` seconds."""


class FirstEventTimeoutError(APITimeoutError):
    """No first event within `timeout.first_event` seconds of the request; comments do not count."""


class IdleTimeoutError(APITimeoutError):
    """No further event within `timeout.idle` seconds; comments do not count."""


class TotalTimeoutError(APITimeoutError):
    """The stream had not ended `timeout.total` seconds after its request."""


class APIResponseValidationError(APIError):
    """A successful reply is not the object that the operation returns, for example a proxy's HTML page."""

    def __init__(self, message: str, *, body: object, content_type: str | None, request_id: str | None) -> None:
        super().__init__(message, body=body)
        self.content_type = content_type
        self.request_id = request_id


class APIStatusError(APIError):
    """A reply with a status of 4xx or 5xx."""

    def __init__(self, message: str, *, response: Any, body: object) -> None:
        super().__init__(message, request=getattr(response, "request", None), body=body)
        self.response = response
        self.status_code: int = response.status_code
        self.request_id: str | None = response.headers.get("x-request-id")


class BadRequestError(APIStatusError):
    """400: the request is malformed, or the object's state forbids it."""


class AuthenticationError(APIStatusError):
    """401: no API key, or a wrong one."""


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this."""


class NotFoundError(APIStatusError):
    """404: no such object or path."""


class ConflictError(APIStatusError):
    """409: another request is changing the object."""


class UnprocessableEntityError(APIStatusError):
    """422: the request is well-formed, but the server cannot process it."""


class RateLimitError(APIStatusError):
    """429: too many requests, or the quota is used up."""


class InternalServerError(APIStatusError):
    """5xx: the server failed."""


def _text_of(value: object) -> str | None:
    return None if value is None else str(value)


_CREDENTIAL: Final = re.compile(
    "auth|(?<!idempotency-)key|token|cookie|secret|passw|credential|signature|^sig$|^code$", re.IGNORECASE
)


def may_be_secret(name: str) -> bool:
    """Whether a header or query parameter of this name may hold a credential."""
    return _CREDENTIAL.search(name) is not None


def without_secrets(url: Any) -> Any:
    """A URL of httpx or httpx2 without user, password and the query parameters that may hold a credential."""
    if url.userinfo:
        url = url.copy_with(userinfo=b"")
    for name in [name for name in url.params if may_be_secret(name)]:
        url = url.copy_remove_param(name)
    return url


def _without_credentials(message: Any) -> Any:
    """A copy of a request or response, of httpx or httpx2, that can be stored and sent: it holds no credentials."""
    twin = copy.copy(message)
    request = getattr(message, "_request", None)
    if request is not None:  # a response
        twin.request = _without_credentials(request)
        twin.next_request = None
        twin.history = [_without_credentials(earlier) for earlier in getattr(message, "history", ())]
    elif hasattr(message, "url") and hasattr(message.headers, "multi_items"):
        kept = [(name, value) for name, value in message.headers.multi_items() if not may_be_secret(name)]
        twin.headers = type(message.headers)(kept)
        twin.url = without_secrets(message.url)
    return twin

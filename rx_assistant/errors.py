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
    │   ├── APIResponseValidationError     a successful reply that is not what it should be   .content_type
    │   └── APIStatusError                 a reply with a 4xx or 5xx status           .response .status_code .request_id
    │       ├── BadRequestError 400, AuthenticationError 401, PermissionDeniedError 403, NotFoundError 404,
    │       │   ConflictError 409, UnprocessableEntityError 422, RateLimitError 429
    │       └── InternalServerError        5xx
    ├── StreamError                        a stream ended other than well             .snapshot .request_id
    │   ├── StreamTruncatedError           the body ended before the run did
    │   ├── StreamClosedError              we closed it while someone was waiting
    │   ├── StreamCancelledError           the task that read it was cancelled
    │   ├── StreamOverflowError            a reader or a buffer fell too far behind   .capacity .pending
    │   ├── ServerErrorEvent               the server sent an `error` event (also an APIError)   .error .event
    │   └── NotAnEventStreamError          something else came instead                .content_type .head
    ├── EventTooLargeError                 one event exceeds `max_event_bytes`        .limit
    ├── EventDecodeError                   one event's payload is not a JSON object        .event
    ├── ProtocolError                      events in an order the protocol does not know   .event
    ├── PartialArgumentsError              function arguments that do not fit the model    .arguments
    ├── RunFailedError                     the run ended as failed                    .run
    │   ├── RunCancelledError, RunExpiredError, RunIncompleteError
    ├── IngestionError                     a file or batch ended as failed or cancelled    .value
    └── PollTimeoutError                   not terminal before the deadline (also a TimeoutError)   .last

What the official SDK names keeps its name. What a transport raises is always the `__cause__` of one of these, never
handed out itself.

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
    """The base of everything that rx_assistant raises on its own account.

    One that ended a stream knows that stream's `request_id` and, as `snapshot`, all that arrived before it.
    """

    request_id: str | None = None
    _arrived: RunSnapshot | Callable[[], RunSnapshot] | None = None

    @property
    def snapshot(self) -> RunSnapshot | None:
        """What the stream had folded to when this ended it; None for errors that ended no stream."""
        if callable(self._arrived):
            self._arrived = self._arrived()
        return self._arrived

    def carry(self, arrived: RunSnapshot | Callable[[], RunSnapshot] | None, request_id: str | None) -> None:
        """Attach what arrived before, or what will tell it when asked, and the request's id."""
        self._arrived = arrived
        if request_id is not None:
            self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self._fields())

    def _fields(self) -> dict[str, Any]:
        """What a copy has: all attributes, and the snapshot in place of the stream that would compute it."""
        fields = dict(self.__dict__)
        if self._arrived is not None:
            fields["_arrived"] = self.snapshot
        return fields


def _rebuilt(kind: type[RxAssistantError], args: tuple[Any, ...], fields: dict[str, Any]) -> RxAssistantError:
    error = kind.__new__(kind, *args)
    error.args = args  # which a TimeoutError takes from __init__ only
    error.__dict__.update(fields)
    return error


OpenAIError = RxAssistantError
"""The name that the official SDK has for it."""


class ConfigurationError(RxAssistantError):
    """A setting is missing, or two of them contradict each other."""


class InvalidArgumentError(RxAssistantError, ValueError):
    """An argument cannot be sent: an empty id, a header with a line break, a number that JSON does not have."""


class EventTooLargeError(RxAssistantError):
    """One server-sent event grew past the decoder's `max_event_bytes` (bytes)."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"a server-sent event is larger than {limit} bytes; raise max_event_bytes if the server means it"
        )
        self.limit = limit


class EventDecodeError(RxAssistantError):
    """An event's payload is not a JSON object. Reading `.data` raises it; the stream itself goes on."""

    def __init__(self, message: str, event: StreamEvent) -> None:
        super().__init__(message)
        self.event = event


class ProtocolError(RxAssistantError):
    """An event arrived that the Assistants protocol does not allow at this point."""

    def __init__(self, message: str, event: StreamEvent | None = None) -> None:
        super().__init__(message)
        self.event = event


class PartialArgumentsError(RxAssistantError):
    """Function arguments, complete now, are not JSON or do not fit the given model."""

    def __init__(self, message: str, arguments: str) -> None:
        super().__init__(message)
        self.arguments = arguments


class StreamError(RxAssistantError):
    """A stream ended other than well. What arrived before is in `snapshot` and was delivered."""

    def __init__(self, message: str, *, snapshot: RunSnapshot | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.carry(snapshot, request_id)


class StreamTruncatedError(StreamError):
    """The body ended, but neither the run nor the server said that this is the end."""


class StreamClosedError(StreamError):
    """The stream was closed here, by `close()` or by leaving its block, while someone still waited for it."""


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


class NotAnEventStreamError(StreamError):
    """A successful reply that is no event stream; `head` holds the first bytes of what came instead."""

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
    """The exchange with the server failed. `body` is the parsed error, as far as there was one."""

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

    `error` is what it says, whatever its shape; `event` is the event itself, with the bytes as they came in `raw`.
    It is an APIError too, as in the official SDK: `code`, `param` and `type` are the server's words, or None.
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
    """No reply: the connection could not be made, or broke."""

    def __init__(self, message: str = "Connection error.", *, request: Any = None) -> None:
        super().__init__(message, request=request)


class APITimeoutError(APIConnectionError, TimeoutError):
    """No reply in time."""

    def __init__(self, message: str = "Request timed out.", *, request: Any = None) -> None:
        super().__init__(message, request=request)


class ConnectTimeoutError(APITimeoutError):
    """No connection within `timeout.connect` seconds."""


class ReadTimeoutError(APITimeoutError):
    """Not a byte within `timeout.read` seconds."""


class FirstEventTimeoutError(APITimeoutError):
    """No first event within `timeout.first_event` seconds of the request; comments are no events."""


class IdleTimeoutError(APITimeoutError):
    """No further event within `timeout.idle` seconds; comments are no events."""


class TotalTimeoutError(APITimeoutError):
    """The stream had not ended `timeout.total` seconds after its request."""


class APIResponseValidationError(APIError):
    """A successful reply that is not the object which the operation gives: HTML of a proxy, say."""

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
    """409: the object is being changed by someone else."""


class UnprocessableEntityError(APIStatusError):
    """422: well-formed, and yet impossible."""


class RateLimitError(APIStatusError):
    """429: too many requests, or the quota is used up."""


class InternalServerError(APIStatusError):
    """5xx: the server's own fault."""


def _text_of(value: object) -> str | None:
    return None if value is None else str(value)


_CREDENTIAL: Final = re.compile("auth|key|token|cookie|secret|password|credential", re.IGNORECASE)
"""The names of headers and query parameters that may hold one."""


def _without_credentials(message: Any) -> Any:
    """A copy of a request or response, of httpx or httpx2, that can be stored and sent: it holds no credentials."""
    twin = copy.copy(message)
    request = getattr(message, "_request", None)
    if request is not None:  # a response
        twin.request = _without_credentials(request)
        twin.next_request = None
        twin.history = [_without_credentials(earlier) for earlier in getattr(message, "history", ())]
    elif hasattr(message, "url") and hasattr(message.headers, "multi_items"):
        kept = [(name, value) for name, value in message.headers.multi_items() if not _CREDENTIAL.search(name)]
        twin.headers = type(message.headers)(kept)
        twin.url = message.url.copy_with(userinfo=b"")
        for name in [name for name in twin.url.params if _CREDENTIAL.search(name)]:
            twin.url = twin.url.copy_remove_param(name)
    return twin

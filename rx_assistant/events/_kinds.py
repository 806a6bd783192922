"""One class for each event name of the Assistants protocol, under the SDK's names.

The base classes `RunEvent`, `RunStepEvent` and `MessageEvent` are for `isinstance`: they match each event that carries
the whole object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from rx_assistant.errors import EventDecodeError
from rx_assistant.events._base import Name, StreamEvent
from rx_assistant.events._deltas import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.events._errors import read_error
from rx_assistant.events._json_text import text_of

if TYPE_CHECKING:
    from typing import Self

    from rx_assistant.types import ErrorObject, Message, Run, RunStep, Thread  # noqa: F401 (quoted below)


class ThreadCreated(StreamEvent[Literal["thread.created"], "Thread"], model="Thread"):
    """A thread was created for the run that follows."""

    __slots__ = ()


class RunEvent(StreamEvent[Name, "Run"], model="Run"):
    """Any event that carries the whole run.

    Read the run's status from the data. The event's name may be wrong: servers have sent `thread.run.completed` for
    runs that are incomplete.
    """

    __slots__ = ()


class RunStepEvent(StreamEvent[Name, "RunStep"], model="RunStep"):
    """Any event that carries a whole run step."""

    __slots__ = ()


class MessageEvent(StreamEvent[Name, "Message"], model="Message"):
    """Any event that carries a whole message."""

    __slots__ = ()


class ThreadRunCreated(RunEvent[Literal["thread.run.created"]]):
    """The run was created."""

    __slots__ = ()


class ThreadRunQueued(RunEvent[Literal["thread.run.queued"]]):
    """The run waits for its turn."""

    __slots__ = ()


class ThreadRunInProgress(RunEvent[Literal["thread.run.in_progress"]]):
    """The run is being worked on."""

    __slots__ = ()


class ThreadRunRequiresAction(RunEvent[Literal["thread.run.requires_action"]]):
    """The run waits for the outputs of function calls."""

    __slots__ = ()


class ThreadRunCompleted(RunEvent[Literal["thread.run.completed"]]):
    """The run completed. Some servers also send this event for a run that stopped at a token limit."""

    __slots__ = ()


class ThreadRunIncomplete(RunEvent[Literal["thread.run.incomplete"]]):
    """The run stopped at a token limit."""

    __slots__ = ()


class ThreadRunFailed(RunEvent[Literal["thread.run.failed"]]):
    """The run failed; its `last_error` says why."""

    __slots__ = ()


class ThreadRunCancelling(RunEvent[Literal["thread.run.cancelling"]]):
    """The run is about to be cancelled."""

    __slots__ = ()


class ThreadRunCancelled(RunEvent[Literal["thread.run.cancelled"]]):
    """The run was cancelled."""

    __slots__ = ()


class ThreadRunExpired(RunEvent[Literal["thread.run.expired"]]):
    """The run expired."""

    __slots__ = ()


class ThreadRunStepCreated(RunStepEvent[Literal["thread.run.step.created"]]):
    """A step was created."""

    __slots__ = ()


class ThreadRunStepInProgress(RunStepEvent[Literal["thread.run.step.in_progress"]]):
    """A step is being worked on."""

    __slots__ = ()


class ThreadRunStepCompleted(RunStepEvent[Literal["thread.run.step.completed"]]):
    """A step completed, and now holds its outputs."""

    __slots__ = ()


class ThreadRunStepFailed(RunStepEvent[Literal["thread.run.step.failed"]]):
    """A step failed."""

    __slots__ = ()


class ThreadRunStepCancelled(RunStepEvent[Literal["thread.run.step.cancelled"]]):
    """A step was cancelled."""

    __slots__ = ()


class ThreadRunStepExpired(RunStepEvent[Literal["thread.run.step.expired"]]):
    """A step expired with its run."""

    __slots__ = ()


class ThreadMessageCreated(MessageEvent[Literal["thread.message.created"]]):
    """A message was created."""

    __slots__ = ()


class ThreadMessageInProgress(MessageEvent[Literal["thread.message.in_progress"]]):
    """A message is being written."""

    __slots__ = ()


class ThreadMessageCompleted(MessageEvent[Literal["thread.message.completed"]]):
    """A message is finished."""

    __slots__ = ()


class ThreadMessageIncomplete(MessageEvent[Literal["thread.message.incomplete"]]):
    """A message stopped early."""

    __slots__ = ()


class ErrorEvent(StreamEvent[Literal["error"], "ErrorObject"], model="ErrorObject"):
    """The server failed during the stream. This event ends a stream: readers get it as the `event` of an error.

    `data` is the error, whatever its shape on the wire: an object, flat or inside `error`, a text, a list. Its
    `message` is never empty. Reading `data` never raises.
    """

    __slots__ = ()

    @classmethod
    def _find_reader(cls) -> Callable[[bytes | str], ErrorObject]:
        return read_error


class DoneEvent(StreamEvent[Literal["done"], str]):
    """The server has sent all events. This event ends a stream: readers do not get it. `data` is the text `[DONE]`."""

    __slots__ = ()

    def __init__(self, raw: bytes = b"[DONE]") -> None:
        super().__init__(raw)

    @classmethod
    def from_data(cls, data: str = "[DONE]") -> Self:
        """The event with this text."""
        return cls(data.encode())

    @classmethod
    def _from_json(cls, name: str, data: Any) -> StreamEvent:
        return cls(str(data).encode())

    def _decode(self) -> str:
        return text_of(self._raw)

    def _plain_data(self) -> str:
        return self.data

    def _identity(self) -> Any:
        return self._raw


_DELTAS: Final = ("thread.message.delta", "thread.run.step.delta")


def misnamed(event: StreamEvent) -> str | None:
    """The name of the delta event that the payload's `object` names, if the event has another name; None otherwise."""
    others = [word for word in _DELTAS if word != event.event and word.encode() in event.raw]
    if not others:
        return None
    try:
        payload = event.json()
    except EventDecodeError:
        return None
    word = payload.get("object") if isinstance(payload, dict) else None
    return word if word in others else None


class UnknownEvent(StreamEvent[Literal["<unknown>"], object]):
    """An event that this version does not know. `event` is its name on the wire, `data` its JSON as read-only values.

    For type checkers `event` is a literal that no other event has, so comparing it narrows. Frames without an event
    name get the name `message`, as in the WHATWG standard for server-sent events.
    """

    __slots__ = ("_name",)

    def __init__(self, event: str, raw: bytes) -> None:
        if event in BY_NAME or not event or "\n" in event or "\r" in event:
            raise ValueError(f"event must be a name that this version does not know, got {event!r}")
        super().__init__(raw)
        self._name = event

    if not TYPE_CHECKING:

        @property
        def event(self) -> str:
            return self._name

    @classmethod
    def _from_json(cls, name: str, data: Any) -> StreamEvent:
        from rx_assistant.events._pydantic import payload

        return cls(name, payload(data))

    def _decode(self) -> object:
        from rx_assistant.types._readonly import freeze

        return freeze(self.json())

    @property
    def misnamed(self) -> str | None:
        """The name of the delta event that the payload's `object` names; None if it names none.

        Such an event has lost its own name on the way from the server.
        """
        return misnamed(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._name, self._raw)

    def __repr__(self) -> str:
        return super().__repr__().replace("(", f"({self._name!r}, ", 1)


class ReasoningDelta(UnknownEvent):
    """New reasoning text of the model, translated from a stream of another protocol.

    Assistants servers do not send it. For type checkers and `verify` it is an unknown event with the name
    `thread.run.reasoning.delta`.
    """

    __slots__ = ()

    def __init__(self, raw: bytes) -> None:
        super().__init__("thread.run.reasoning.delta", raw)

    @property
    def text(self) -> str:
        """The piece of reasoning; "" if the payload holds none. Raises EventDecodeError if the payload is not JSON."""
        value = self.json()
        delta = value.get("delta") if isinstance(value, dict) else None
        return delta if isinstance(delta, str) else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._raw,)


AssistantStreamEvent: TypeAlias = (
    ThreadCreated
    | ThreadRunCreated
    | ThreadRunQueued
    | ThreadRunInProgress
    | ThreadRunRequiresAction
    | ThreadRunCompleted
    | ThreadRunIncomplete
    | ThreadRunFailed
    | ThreadRunCancelling
    | ThreadRunCancelled
    | ThreadRunExpired
    | ThreadRunStepCreated
    | ThreadRunStepInProgress
    | ThreadRunStepDelta
    | ThreadRunStepCompleted
    | ThreadRunStepFailed
    | ThreadRunStepCancelled
    | ThreadRunStepExpired
    | ThreadMessageCreated
    | ThreadMessageInProgress
    | ThreadMessageDelta
    | ThreadMessageCompleted
    | ThreadMessageIncomplete
    | UnknownEvent
)
"""Any item of a stream; comparing `event`, `isinstance` and `match` narrow it.

`DoneEvent` and `ErrorEvent` end a stream: it completes, or fails with a `ServerErrorEvent` that holds the `event`.
"""

_ALL: tuple[Any, ...] = (*get_args(AssistantStreamEvent), ErrorEvent, DoneEvent)

BY_NAME: Final[Mapping[str, type[StreamEvent]]] = {kind.event: kind for kind in _ALL if kind is not UnknownEvent}
"""The class for each event name of the protocol, `done` and `error` included."""

"""The state of each message, content part, step and tool call in a store, at every version.

A state knows its identity, but not its owner. `view(version)` is the wire object at that version: a view that reads
this state, or the server's final object once it has arrived. Only the fold writes, under the store's lock. `ended` and
the members without a version are for the fold only.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rx_assistant.snapshots import shapes
from rx_assistant.snapshots.history import History, Members
from rx_assistant.snapshots.pieces import PieceLog
from rx_assistant.snapshots.text import TextLog
from rx_assistant.types._inside import text_in

if TYPE_CHECKING:
    from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
    from rx_assistant.types import (
        Message,
        MessageContent,
        MessageContentDelta,
        MessageDelta,
        RunStep,
        RunStepDelta,
        Text,
        TextDelta,
        ToolCall,
        ToolCallDelta,
    )

TEXTUAL: Final = ("text", "refusal")
RUNNABLE: Final = ("function", "code_interpreter")


@cache
def _views() -> Any:
    """The module of views. It loads the models, so it is imported when a snapshot is first read."""
    from rx_assistant.snapshots import views

    return views


@cache
def _delta_views() -> Any:
    """The module of delta views. It loads the models too."""
    from rx_assistant.snapshots import delta_views

    return delta_views


class PartState:
    """A part of a message's content. `kind` is its type on the wire; `log` is the text of a text or refusal."""

    __slots__ = ("annotations", "ended", "final", "index", "kind", "log", "message_id", "pieces")

    def __init__(self, message_id: str, index: int, kind: str) -> None:
        self.message_id = message_id
        self.index = index
        self.kind = kind
        self.log = TextLog()
        self.annotations = PieceLog(shapes.ANNOTATION)
        self.pieces = PieceLog(shapes.CONTENT)
        self.final: History[MessageContent] = History()
        self.ended = False

    @property
    def key(self) -> tuple[str, int]:
        """Message id and content index."""
        return self.message_id, self.index

    def kind_at(self, version: int) -> str:
        """The part's type: from the final object, else from the deltas."""
        final = self.final.at(version) if self.ended else None
        return self.kind if final is None else text_in(final, "type")

    def view(self, version: int) -> MessageContent:
        """The part, with its type."""
        view: MessageContent = _views().part_view(self, version)
        return view

    def text(self, version: int) -> Text:
        """The text of a text part."""
        view: Text = _views().text_view(self, version)
        return view

    def delta(self, event: ThreadMessageDelta, position: int) -> MessageContentDelta:
        """The event's piece of this part. `position` is that of the Change."""
        delta: MessageContentDelta = _delta_views().content_delta(event, position)
        return delta

    def text_delta(self, event: ThreadMessageDelta, position: int) -> TextDelta:
        """The text of the event's piece of this text part."""
        delta: TextDelta = _delta_views().text_delta(event, position)
        return delta

    def copy(self, version: int) -> PartState:
        """A copy up to `version`, independent of this one."""
        copied = PartState(self.message_id, self.index, self.kind)
        copied.log = self.log.copy(version)
        copied.annotations = self.annotations.copy(version)
        copied.pieces = self.pieces.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        return copied


class CallState:
    """A tool call. `kind` is its type on the wire; `log` is a function's arguments or an interpreter's code.

    `answered` is true for a function call that already had its output when it first appeared. An earlier stream
    reported such a call, so this stream shows it in its step, and reports no changes of it.
    """

    __slots__ = (
        "answered",
        "dropped",
        "ended",
        "final",
        "identity",
        "index",
        "kind",
        "log",
        "name",
        "output",
        "outputs",
        "pieces",
        "step_id",
    )

    def __init__(self, step_id: str, index: int, kind: str, answered: bool = False) -> None:
        self.step_id = step_id
        self.index = index
        self.kind = kind
        self.answered = answered
        self.identity: History[str] = History()
        self.name: History[str] = History()
        self.output: History[str] = History()
        self.log = TextLog()
        self.outputs = PieceLog(shapes.OUTPUT)
        self.pieces = PieceLog(shapes.SEARCH if kind == "file_search" else shapes.CALL)
        self.final: History[ToolCall] = History()
        self.ended = False
        self.dropped: int | None = None  # the version from which the call is missing in the step's final object

    def is_dropped(self, version: int) -> bool:
        """Whether the step's final object has arrived without this call."""
        return self.dropped is not None and self.dropped <= version

    @property
    def key(self) -> tuple[str, int]:
        """Step id and tool-call index."""
        return self.step_id, self.index

    def view(self, version: int) -> ToolCall:
        """The call."""
        view: ToolCall = _views().call_view(self, version)
        return view

    def delta(self, event: ThreadRunStepDelta, position: int) -> ToolCallDelta:
        """The event's piece of this call. `position` is that of the Change."""
        delta: ToolCallDelta = _delta_views().call_delta(event, position)
        return delta

    def copy(self, version: int) -> CallState:
        """A copy up to `version`, independent of this one."""
        copied = CallState(self.step_id, self.index, self.kind, self.answered)
        copied.identity = self.identity.copy(version)
        copied.name = self.name.copy(version)
        copied.output = self.output.copy(version)
        copied.log = self.log.copy(version)
        copied.outputs = self.outputs.copy(version)
        copied.pieces = self.pieces.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        copied.dropped = self.dropped if self.is_dropped(version) else None
        return copied


class MessageState:
    """A message: the newest whole object from the server, and the parts that its deltas have built."""

    __slots__ = ("ended", "final", "id", "parts", "role", "since", "whole")

    def __init__(self, message_id: str, since: int) -> None:
        self.id = message_id
        self.since = since
        self.role: History[str] = History()
        self.parts: Members[PartState] = Members()
        self.whole: History[Message] = History()
        self.final: History[Message] = History()
        self.ended = False

    def view(self, version: int) -> Message:
        """The message."""
        view: Message = _views().message_view(self, version)
        return view

    def text(self, version: int) -> str:
        """The message's texts, joined; those of the final object once it has arrived."""
        held = [part for part in self.parts.at(version) if not self._drops(part, version)]
        return "".join(text_in(part.text(version), "value") for part in held if part.kind_at(version) == "text")

    def part(self, index: int, version: int) -> PartState | None:
        """The part at `index`; None if the final object does not hold it."""
        part = self.parts.find(index, version)
        return None if part is None or self._drops(part, version) else part

    def _drops(self, part: PartState, version: int) -> bool:
        return self.ended and self.final.at(version) is not None and part.final.at(version) is None

    def delta(self, event: ThreadMessageDelta, _position: int = -1) -> MessageDelta:
        """The event's changes of the message."""
        delta: MessageDelta = _delta_views().message_delta(event)
        return delta

    def copy(self, version: int) -> MessageState:
        """A copy up to `version`, independent of this one."""
        copied = MessageState(self.id, self.since)
        copied.role = self.role.copy(version)
        copied.parts = self.parts.copy(version)
        copied.whole = self.whole.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        return copied


class StepState:
    """A run step: the newest whole object from the server, and the calls that its deltas have built."""

    __slots__ = ("calls", "details", "details_type", "ended", "final", "id", "since", "whole")

    def __init__(self, step_id: str, since: int) -> None:
        self.id = step_id
        self.since = since
        self.details_type: History[str] = History()
        self.calls: Members[CallState] = Members()
        self.details = PieceLog(shapes.DETAILS)
        self.whole: History[RunStep] = History()
        self.final: History[RunStep] = History()
        self.ended = False

    def view(self, version: int) -> RunStep:
        """The step."""
        view: RunStep = _views().step_view(self, version)
        return view

    def call(self, index: int, version: int) -> CallState | None:
        """The call at `index`; None if the final object does not hold it."""
        call = self.calls.find(index, version)
        return None if call is None or call.is_dropped(version) else call

    def delta(self, event: ThreadRunStepDelta, _position: int = -1) -> RunStepDelta:
        """The event's changes of the step."""
        delta: RunStepDelta = _delta_views().step_delta(event)
        return delta

    def copy(self, version: int) -> StepState:
        """A copy up to `version`, independent of this one."""
        copied = StepState(self.id, self.since)
        copied.details_type = self.details_type.copy(version)
        copied.calls = self.calls.copy(version)
        copied.details = self.details.copy(version)
        copied.whole = self.whole.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        return copied

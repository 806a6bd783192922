"""What a store keeps of each message, content part, step and tool call, at every version.

Each knows its identity and nothing above it. `view(version)` is the wire object as it was then: a view that reads
from here, or the server's own final object once that has arrived. Only the fold writes, under the store's lock;
`ended` and the members of a list that were not there yet at a version are its own affair.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rx_assistant.snapshots import _shapes
from rx_assistant.snapshots._history import History, Members
from rx_assistant.snapshots._pieces import PieceLog
from rx_assistant.snapshots._text import TextLog
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
    """The module of views, which loads the models, once somebody looks at a snapshot."""
    from rx_assistant.snapshots import _views

    return _views


@cache
def _delta_views() -> Any:
    """The module of delta views, likewise."""
    from rx_assistant.snapshots import _delta_views

    return _delta_views


class PartState:
    """A part of a message's content. `kind` is its type on the wire; `log` is the text of a text or refusal."""

    __slots__ = ("annotations", "ended", "final", "index", "kind", "log", "message_id", "pieces")

    def __init__(self, message_id: str, index: int, kind: str) -> None:
        self.message_id = message_id
        self.index = index
        self.kind = kind
        self.log = TextLog()
        self.annotations = PieceLog(_shapes.ANNOTATION)
        self.pieces = PieceLog(_shapes.CONTENT)
        self.final: History[MessageContent] = History()
        self.ended = False

    @property
    def key(self) -> tuple[str, int]:
        """Message id and content index."""
        return self.message_id, self.index

    def kind_at(self, version: int) -> str:
        """Its type: what the final object says, or what deltas said before."""
        final = self.final.at(version) if self.ended else None
        return self.kind if final is None else text_in(final, "type")

    def view(self, version: int) -> MessageContent:
        """The part, with its type."""
        view: MessageContent = _views().part_view(self, version)
        return view

    def text(self, version: int) -> Text:
        """What is inside a text part."""
        view: Text = _views().text_view(self, version)
        return view

    def delta(self, event: ThreadMessageDelta, position: int) -> MessageContentDelta:
        """The event's piece of this part; `position` is what the change says."""
        delta: MessageContentDelta = _delta_views().content_delta(event, position)
        return delta

    def text_delta(self, event: ThreadMessageDelta, position: int) -> TextDelta:
        """What is inside the event's piece of this text part."""
        delta: TextDelta = _delta_views().text_delta(event, position)
        return delta

    def copy(self, version: int) -> PartState:
        """The same up to `version`, to be continued on its own."""
        copied = PartState(self.message_id, self.index, self.kind)
        copied.log = self.log.copy(version)
        copied.annotations = self.annotations.copy(version)
        copied.pieces = self.pieces.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        return copied


class CallState:
    """A tool call. `kind` is its type on the wire; `log` is a function's arguments or an interpreter's code.

    `answered`: a function call whose output was there when it was first seen. An earlier stream has told it, so this
    one shows it in its step and makes no changes of it (law L5).
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
        self.outputs = PieceLog(_shapes.OUTPUT)
        self.pieces = PieceLog(_shapes.SEARCH if kind == "file_search" else _shapes.CALL)
        self.final: History[ToolCall] = History()
        self.ended = False
        self.dropped: int | None = None  # the version since which the step's final object does not hold it

    def is_dropped(self, version: int) -> bool:
        """Whether the step's final object has arrived and does not hold it."""
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
        """The event's piece of this call; `position` is what the change says."""
        delta: ToolCallDelta = _delta_views().call_delta(event, position)
        return delta

    def copy(self, version: int) -> CallState:
        """The same up to `version`, to be continued on its own."""
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
    """A message: the newest whole object that the server sent, and the parts that its deltas have built."""

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
        """Its texts, joined; those of the final object once that has arrived."""
        held = [part for part in self.parts.at(version) if not self._drops(part, version)]
        return "".join(text_in(part.text(version), "value") for part in held if part.kind_at(version) == "text")

    def part(self, index: int, version: int) -> PartState | None:
        """The part at `index`, unless the final object does not hold it."""
        part = self.parts.find(index, version)
        return None if part is None or self._drops(part, version) else part

    def _drops(self, part: PartState, version: int) -> bool:
        return self.ended and self.final.at(version) is not None and part.final.at(version) is None

    def delta(self, event: ThreadMessageDelta, _position: int = -1) -> MessageDelta:
        """What the event changes in the message."""
        delta: MessageDelta = _delta_views().message_delta(event)
        return delta

    def copy(self, version: int) -> MessageState:
        """The same up to `version`, to be continued on its own."""
        copied = MessageState(self.id, self.since)
        copied.role = self.role.copy(version)
        copied.parts = self.parts.copy(version)
        copied.whole = self.whole.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        return copied


class StepState:
    """A run step: the newest whole object that the server sent, and the calls that its deltas have built."""

    __slots__ = ("calls", "details", "details_type", "ended", "final", "id", "since", "whole")

    def __init__(self, step_id: str, since: int) -> None:
        self.id = step_id
        self.since = since
        self.details_type: History[str] = History()
        self.calls: Members[CallState] = Members()
        self.details = PieceLog(_shapes.DETAILS)
        self.whole: History[RunStep] = History()
        self.final: History[RunStep] = History()
        self.ended = False

    def view(self, version: int) -> RunStep:
        """The step."""
        view: RunStep = _views().step_view(self, version)
        return view

    def call(self, index: int, version: int) -> CallState | None:
        """The call at `index`, unless the final object does not hold it."""
        call = self.calls.find(index, version)
        return None if call is None or call.is_dropped(version) else call

    def delta(self, event: ThreadRunStepDelta, _position: int = -1) -> RunStepDelta:
        """What the event changes in the step."""
        delta: RunStepDelta = _delta_views().step_delta(event)
        return delta

    def copy(self, version: int) -> StepState:
        """The same up to `version`, to be continued on its own."""
        copied = StepState(self.id, self.since)
        copied.details_type = self.details_type.copy(version)
        copied.calls = self.calls.copy(version)
        copied.details = self.details.copy(version)
        copied.whole = self.whole.copy(version)
        copied.final = self.final.copy(version)
        copied.ended = copied.final.at(version) is not None
        return copied

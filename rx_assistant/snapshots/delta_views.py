"""The deltas that callbacks get: a view if the narrow reading has the usual fields, else the event's model."""

from __future__ import annotations

from typing import Any

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots.pieces import Node
from rx_assistant.snapshots.shapes import validate
from rx_assistant.snapshots.view import View, around, holder_of, maker_of
from rx_assistant.types import (
    CodeInterpreterDelta,
    CodeInterpreterToolCallDelta,
    FunctionDelta,
    FunctionToolCallDelta,
    MessageContentDelta,
    MessageDelta,
    ReadOnlyList,
    RunStepDelta,
    TextDelta,
    ToolCallDelta,
)
from rx_assistant.types._inside import is_model


class _DeltaView(View):
    """A view of a part of an event. The event's model fills the other fields on demand."""

    __slots__ = ()

    def to_model(self) -> Any:
        return type(self)._base(self)


def _text_of(view: Any) -> Any:
    return view._source.data.delta.content[view._at].text


def _text_in(view: Any) -> Node:
    text: Node = view._source.payload["delta"]["content"][view._at]["text"]
    return text


def _annotations_in(view: Any) -> Any:
    annotations = _text_in(view).get("annotations")
    if annotations is None:
        return None
    build = validate("AnnotationDelta")
    return ReadOnlyList([build(annotation) for annotation in annotations if annotation is not None])


def _call_of(view: Any) -> Any:
    return view._source.data.delta.step_details.tool_calls[view._at]


def _index(view: Any) -> int:
    index: int = view._source.narrow[1][0][0]
    return index


_plain_text = holder_of(TextDelta, "value", {}, base=_text_of, kind=_DeltaView)
_text = maker_of(
    TextDelta,
    {"value": lambda view: _text_in(view).get("value"), "annotations": _annotations_in},
    base=_text_of,
    kind=_DeltaView,
)
_function = holder_of(FunctionDelta, "arguments", {}, base=lambda view: _call_of(view).function, kind=_DeltaView)
_code = holder_of(CodeInterpreterDelta, "input", {}, base=lambda view: _call_of(view).code_interpreter, kind=_DeltaView)
_function_call = around(
    FunctionToolCallDelta,
    "function",
    {"index": _index, "type": lambda view: "function"},
    base=_call_of,
    kind=_DeltaView,
)
_code_call = around(
    CodeInterpreterToolCallDelta,
    "code_interpreter",
    {"index": _index, "type": lambda view: "code_interpreter"},
    base=_call_of,
    kind=_DeltaView,
)


def message_delta(event: ThreadMessageDelta) -> MessageDelta:
    """The changes of the event's message; an empty delta if `delta` is not an object."""
    delta = event.data.delta
    return delta if is_model(delta) else MessageDelta()


def step_delta(event: ThreadRunStepDelta) -> RunStepDelta:
    """The changes of the event's step; an empty delta if `delta` is not an object."""
    delta = event.data.delta
    return delta if is_model(delta) else RunStepDelta()


def content_delta(event: ThreadMessageDelta, position: int) -> MessageContentDelta:
    """The piece of content at `position` of the event's list."""
    content = event.data.delta.content or ()
    return content[position]


def text_delta(event: ThreadMessageDelta, position: int) -> TextDelta:
    """The text of the piece at `position` of the event's list."""
    narrow = event._narrow or event.narrow  # usually the fold has read it already
    if narrow[2]:
        return _plain_text(event, position, narrow[1][0][1])
    if narrow[3] is not None:
        return _text.view(event, position)
    piece = event.payload["delta"]["content"][position]
    return _text.view(event, position) if piece.get("text") else TextDelta()


def call_delta(event: ThreadRunStepDelta, position: int) -> ToolCallDelta:
    """The piece of a tool call at `position` of the event's list."""
    narrow = event._narrow or event.narrow
    if narrow[2]:
        _, kind, text = narrow[1][0]
        if kind == "function":
            return _function_call(_function(event, position, text))
        return _code_call(_code(event, position, text))
    # the caller has found the call in the event
    call: ToolCallDelta = event.data.delta.step_details.tool_calls[position]  # type: ignore[union-attr,index]
    return call

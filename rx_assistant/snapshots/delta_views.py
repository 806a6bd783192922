"""The deltas that callbacks get: a view if the narrow reading has the usual fields, else the event's model."""

from __future__ import annotations

from typing import Any

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots.pieces import Node
from rx_assistant.snapshots.shapes import validate
from rx_assistant.snapshots.view import View, maker_of
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


# A plain delta's view is created right after the narrow reading, so `_narrow` is set.


def _index(view: Any) -> int:
    index: int = view._source._narrow[1][0][0]
    return index


def _appended(view: Any) -> str:
    text: str = view._source._narrow[1][0][-1]
    return text


_plain_text = maker_of(TextDelta, {"value": _appended}, base=_text_of, kind=_DeltaView)
_text = maker_of(
    TextDelta,
    {"value": lambda view: _text_in(view).get("value"), "annotations": _annotations_in},
    base=_text_of,
    kind=_DeltaView,
)
_function = maker_of(
    FunctionDelta, {"arguments": _appended}, base=lambda view: _call_of(view).function, kind=_DeltaView
)
_code = maker_of(
    CodeInterpreterDelta, {"input": _appended}, base=lambda view: _call_of(view).code_interpreter, kind=_DeltaView
)
_function_call = maker_of(
    FunctionToolCallDelta,
    {"index": _index, "type": lambda view: "function", "function": _function.inside},
    base=_call_of,
    kind=_DeltaView,
)
_code_call = maker_of(
    CodeInterpreterToolCallDelta,
    {"index": _index, "type": lambda view: "code_interpreter", "code_interpreter": _code.inside},
    base=_call_of,
    kind=_DeltaView,
)


_view_plain_text, _view_function, _view_code = _plain_text.view, _function_call.view, _code_call.view


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
        return _view_plain_text(event, position)
    if narrow[3] is not None:
        return _text.view(event, position)
    piece = event.payload["delta"]["content"][position]
    return _text.view(event, position) if piece.get("text") else TextDelta()


def call_delta(event: ThreadRunStepDelta, position: int) -> ToolCallDelta:
    """The piece of a tool call at `position` of the event's list."""
    narrow = event._narrow or event.narrow
    if narrow[2]:
        return (_view_function if narrow[1][0][1] == "function" else _view_code)(event, position)
    # the caller has found the call in the event
    call: ToolCallDelta = event.data.delta.step_details.tool_calls[position]  # type: ignore[union-attr,index]
    return call

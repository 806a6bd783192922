"""The views of messages, their parts, steps and tool calls: the source of each field in a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rx_assistant.snapshots.view import Getter, around, maker_of
from rx_assistant.types import (
    CodeInterpreter,
    CodeInterpreterToolCall,
    Function,
    FunctionToolCall,
    Message,
    MessageContent,
    ReadOnlyList,
    RefusalContentBlock,
    RunStep,
    StepDetails,
    Text,
    TextContentBlock,
    ToolCall,
    ToolCallsStepDetails,
    WireModel,
)
from rx_assistant.types._inside import is_model

if TYPE_CHECKING:
    from rx_assistant.snapshots.states import CallState, MessageState, PartState, StepState


def _constant(value: object) -> Getter:
    return lambda view: value


def _log(view: Any) -> str:
    text: str = view._source.log.at(view._at)
    return text


def _newest_whole(view: Any) -> WireModel | None:
    whole: WireModel | None = view._source.whole.at(view._at)
    return whole


def _at(name: str) -> Getter:
    """A getter that reads the history of that name."""
    return lambda view: getattr(view._source, name).at(view._at)


def _list_at(name: str) -> Getter:
    """A getter that reads the piece log of that name."""
    return lambda view: getattr(view._source, name).at(view._at)


_text = maker_of(Text, {"value": _log, "annotations": _list_at("annotations")})
_text_block = maker_of(TextContentBlock, {"type": _constant("text"), "text": _text.inside})
_refusal_block = maker_of(RefusalContentBlock, {"type": _constant("refusal"), "refusal": _log})
_view_text = _text.view


def text_view(part: PartState, version: int) -> Text:
    """The text of a text part; the server's final object once the message has ended."""
    if part.ended:
        final = part.final.at(version)
        if final is not None and final.type == "text" and is_model(final.text):
            return final.text
    return _view_text(part, version)


def part_view(part: PartState, version: int) -> MessageContent:
    """A part; the server's final object once the message has ended."""
    final = part.final.at(version) if part.ended else None
    if final is not None:
        return final
    if part.kind == "text":
        return _text_block.view(part, version)
    if part.kind == "refusal":
        return _refusal_block.view(part, version)
    block: MessageContent = part.pieces.at(version)[0]
    return block


_function = maker_of(Function, {"name": _at("name"), "arguments": _log, "output": _at("output")}).view
_code = maker_of(CodeInterpreter, {"input": _log, "outputs": _list_at("outputs")}).view
_function_call = around(FunctionToolCall, "function", {"id": _at("identity"), "type": _constant("function")})
_code_call = around(
    CodeInterpreterToolCall, "code_interpreter", {"id": _at("identity"), "type": _constant("code_interpreter")}
)


def call_view(call: CallState, version: int) -> ToolCall:
    """A call; the server's final object once it has ended."""
    final = call.final.at(version) if call.ended else None
    if final is not None:
        return final
    if call.kind == "function":
        return _function_call(_function(call, version))
    if call.kind == "code_interpreter":
        return _code_call(_code(call, version))
    other: ToolCall = call.pieces.at(version)[0]
    return other


def _role(view: Any) -> Any:
    whole = _newest_whole(view)
    return getattr(whole, "role", None) or view._source.role.at(view._at)


def _content(view: Any) -> Any:
    version = view._at
    return ReadOnlyList([part_view(part, version) for part in view._source.parts.at(version)])


def _identity(view: Any) -> str | None:
    return view._source.id or None


_message = maker_of(Message, {"id": _identity, "role": _role, "content": _content}, base=_newest_whole)


def message_view(message: MessageState, version: int) -> Message:
    """A message; the server's final object once it has ended."""
    final = message.final.at(version) if message.ended else None
    return _message.view(message, version) if final is None else final


def _calls(view: Any) -> Any:
    version = view._at
    return ReadOnlyList([call_view(call, version) for call in view._source.calls.at(version)])


_calls_details = maker_of(ToolCallsStepDetails, {"type": _constant("tool_calls"), "tool_calls": _calls})


def _details(view: Any) -> StepDetails | None:
    step, version = view._source, view._at
    if step.details_type.at(version) == "tool_calls":
        return _calls_details.view(step, version)
    details: Sequence[StepDetails] = step.details.at(version)
    return details[0] if details else None


def _step_type(view: Any) -> Any:
    whole = _newest_whole(view)
    return getattr(whole, "type", None) or view._source.details_type.at(view._at) or None


_step = maker_of(RunStep, {"id": _identity, "type": _step_type, "step_details": _details}, base=_newest_whole)


def step_view(step: StepState, version: int) -> RunStep:
    """A step; the server's final object once it has ended."""
    final = step.final.at(version) if step.ended else None
    return _step.view(step, version) if final is None else final

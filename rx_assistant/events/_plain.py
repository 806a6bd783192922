"""The bytes of a plain delta → its model, built without validation.

Nearly all deltas append one text and hold nothing else. msgspec decodes them into the types below, which refuse every
other field and every other type, and the models are built from the decoded values. This takes half as long as
validation. All other payloads are validated.

The invariant: a built model and a validated one are equal in everything that a program can read: types, values, the
order of the fields, the fields that were set, equality, dumps, copies and pickles. It follows from three facts:

* What the types below accept, the models accept unchanged: strings, integers, nulls, an empty list.
* A model consists of its `__dict__` and of the other slots of BaseModel. `reader` compares their names, because a later
  pydantic may add one.
* Models are read-only, and pydantic copies the set of their fields and the dict of their unknown fields before it
  changes them. Therefore all models of a shape share one set, and all models share one empty dict.

How a model is built: the models refuse assignments, in Python code. A blank is an object of a subclass with the same
layout and with the assignment of plain objects, which CPython runs as single stores. It gets the fields in the model's
order and the other slots, and then the class of the model. Setting the slots of a model through their descriptors takes
1.5 times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Decoder
from pydantic import BaseModel

from rx_assistant.events._base import Reader
from rx_assistant.events._narrow import UNREADABLE
from rx_assistant.types import (
    CodeInterpreterDelta,
    CodeInterpreterToolCallDelta,
    FunctionDelta,
    FunctionToolCallDelta,
    MessageDelta,
    MessageDeltaEvent,
    RunStepDelta,
    RunStepDeltaEvent,
    TextDelta,
    TextDeltaBlock,
    ToolCallDeltaObject,
)
from rx_assistant.types._base import EMPTY, WireModel
from rx_assistant.types._readonly import ReadOnlyList

_SLOTS: Final = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_REST: Final = 3  # after a payload that is not plain, so many are validated without a try: a failed try takes 1 µs


# -- the shapes --------------------------------------------------------------------------------------------------------


class _Strict(Struct, gc=False, forbid_unknown_fields=True):
    pass


class _Text(_Strict):
    value: str
    annotations: tuple[()] | UnsetType = UNSET


class _Part(_Strict):
    index: int
    type: Literal["text"]
    text: _Text


class _Content(_Strict):
    content: tuple[_Part]
    role: str | UnsetType | None = UNSET


class _Message(_Strict):
    id: str
    delta: _Content
    object: str | UnsetType = UNSET


class _Arguments(_Strict):
    arguments: str
    name: str | UnsetType | None = UNSET
    output: UnsetType | None = UNSET


class _Function(_Strict, tag_field="type", tag="function"):
    index: int
    function: _Arguments
    id: str | UnsetType | None = UNSET


class _Input(_Strict):
    input: str
    outputs: tuple[()] | UnsetType = UNSET


class _Code(_Strict, tag_field="type", tag="code_interpreter"):
    index: int
    code_interpreter: _Input
    id: str | UnsetType | None = UNSET


class _Calls(_Strict):
    type: Literal["tool_calls"]
    tool_calls: tuple[_Function | _Code]


class _Details(_Strict):
    step_details: _Calls


class _Step(_Strict):
    id: str
    delta: _Details
    object: str | UnsetType = UNSET


# -- the models --------------------------------------------------------------------------------------------------------


def _blank(model: type[WireModel]) -> Any:
    """A class with the layout of `model` and with the assignment of plain objects."""
    plain = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return type.__new__(type(model), model.__name__, (model,), plain)


_new: Final[Any] = object.__new__
_no_extra: Final[dict[str, Any]] = {}

_blank_message, _blank_content = _blank(MessageDeltaEvent), _blank(MessageDelta)
_blank_part, _blank_text = _blank(TextDeltaBlock), _blank(TextDelta)

_EVENT: Final = {"id", "object", "delta"}
_EVENT_WITHOUT_OBJECT: Final = {"id", "delta"}
_CONTENT: Final = {"content"}
_CONTENT_AND_ROLE: Final = {"role", "content"}
_PART: Final = {"index", "type", "text"}
_VALUE: Final = {"value"}
_VALUE_AND_ANNOTATIONS: Final = {"value", "annotations"}


def _message(found: _Message) -> Any:
    event, delta = _new(_blank_message), _new(_blank_content)
    content = found.delta
    if content.role is UNSET:
        delta.role = None
        delta.__pydantic_fields_set__ = _CONTENT
    else:
        delta.role = content.role
        delta.__pydantic_fields_set__ = _CONTENT_AND_ROLE
    delta.content = ReadOnlyList((_text_part(content.content[0]),))

    event.id = found.id
    if found.object is UNSET:
        event.object = "thread.message.delta"
        event.__pydantic_fields_set__ = _EVENT_WITHOUT_OBJECT
    else:
        event.object = found.object
        event.__pydantic_fields_set__ = _EVENT
    event.delta = delta

    event.__pydantic_extra__ = delta.__pydantic_extra__ = _no_extra
    event.__pydantic_private__ = delta.__pydantic_private__ = None
    delta.__class__ = MessageDelta
    event.__class__ = MessageDeltaEvent
    return event


def _text_part(found: _Part) -> Any:
    part, text = _new(_blank_part), _new(_blank_text)
    value = found.text
    text.value = value.value
    if value.annotations is UNSET:
        text.annotations = None
        text.__pydantic_fields_set__ = _VALUE
    else:
        text.annotations = EMPTY
        text.__pydantic_fields_set__ = _VALUE_AND_ANNOTATIONS

    part.index = found.index
    part.type = "text"
    part.text = text
    part.__pydantic_fields_set__ = _PART

    part.__pydantic_extra__ = text.__pydantic_extra__ = _no_extra
    part.__pydantic_private__ = text.__pydantic_private__ = None
    text.__class__ = TextDelta
    part.__class__ = TextDeltaBlock
    return part


_blank_step, _blank_step_delta = _blank(RunStepDeltaEvent), _blank(RunStepDelta)
_blank_details = _blank(ToolCallDeltaObject)
_blank_function_call, _blank_function = _blank(FunctionToolCallDelta), _blank(FunctionDelta)
_blank_code_call, _blank_code = _blank(CodeInterpreterToolCallDelta), _blank(CodeInterpreterDelta)

_STEP: Final = {"step_details"}
_DETAILS: Final = {"type", "tool_calls"}
_FUNCTION_CALL: Final = {"index", "type", "function"}
_ARGUMENTS: Final = {"arguments"}
_CODE_CALL: Final = {"index", "type", "code_interpreter"}
_INPUT: Final = {"input"}
_INPUT_AND_OUTPUTS: Final = {"input", "outputs"}


def _step(found: _Step) -> Any:
    event, delta, details = _new(_blank_step), _new(_blank_step_delta), _new(_blank_details)
    call = found.delta.step_details.tool_calls[0]
    details.type = "tool_calls"
    details.tool_calls = ReadOnlyList((_function_call(call) if isinstance(call, _Function) else _code_call(call),))
    details.__pydantic_fields_set__ = _DETAILS

    delta.step_details = details
    delta.__pydantic_fields_set__ = _STEP

    event.id = found.id
    if found.object is UNSET:
        event.object = "thread.run.step.delta"
        event.__pydantic_fields_set__ = _EVENT_WITHOUT_OBJECT
    else:
        event.object = found.object
        event.__pydantic_fields_set__ = _EVENT
    event.delta = delta

    event.__pydantic_extra__ = delta.__pydantic_extra__ = details.__pydantic_extra__ = _no_extra
    event.__pydantic_private__ = delta.__pydantic_private__ = details.__pydantic_private__ = None
    details.__class__ = ToolCallDeltaObject
    delta.__class__ = RunStepDelta
    event.__class__ = RunStepDeltaEvent
    return event


def _function_call(found: _Function) -> Any:
    call, function = _new(_blank_function_call), _new(_blank_function)
    call.index = found.index
    call.id = None if found.id is UNSET else found.id
    call.type = "function"
    call.function = function
    call.__pydantic_fields_set__ = _FUNCTION_CALL if found.id is UNSET else _FUNCTION_CALL | {"id"}

    value = found.function
    function.name = None if value.name is UNSET else value.name
    function.arguments = value.arguments
    function.output = None
    function.__pydantic_fields_set__ = _ARGUMENTS
    if value.name is not UNSET:
        function.__pydantic_fields_set__ = _ARGUMENTS | {"name"}
    if value.output is not UNSET:
        function.__pydantic_fields_set__ = function.__pydantic_fields_set__ | {"output"}

    call.__pydantic_extra__ = function.__pydantic_extra__ = _no_extra
    call.__pydantic_private__ = function.__pydantic_private__ = None
    function.__class__ = FunctionDelta
    call.__class__ = FunctionToolCallDelta
    return call


def _code_call(found: _Code) -> Any:
    call, code = _new(_blank_code_call), _new(_blank_code)
    call.index = found.index
    call.id = None if found.id is UNSET else found.id
    call.type = "code_interpreter"
    call.code_interpreter = code
    call.__pydantic_fields_set__ = _CODE_CALL if found.id is UNSET else _CODE_CALL | {"id"}

    value = found.code_interpreter
    code.input = value.input
    if value.outputs is UNSET:
        code.outputs = None
        code.__pydantic_fields_set__ = _INPUT
    else:
        code.outputs = EMPTY
        code.__pydantic_fields_set__ = _INPUT_AND_OUTPUTS

    call.__pydantic_extra__ = code.__pydantic_extra__ = _no_extra
    call.__pydantic_private__ = code.__pydantic_private__ = None
    code.__class__ = CodeInterpreterDelta
    call.__class__ = CodeInterpreterToolCallDelta
    return call


# -- reading -----------------------------------------------------------------------------------------------------------

_BUILT: Final[dict[str, tuple[Reader, Callable[[Any], Any]]]] = {
    "MessageDeltaEvent": (Decoder(_Message).decode, _message),
    "RunStepDeltaEvent": (Decoder(_Step).decode, _step),
}


def reader(model: str, validate: Reader) -> Reader:
    """The function that reads the bytes of a delta into its model. `validate` reads deltas that are not plain."""
    if BaseModel.__slots__ != _SLOTS:
        return validate
    decode, build = _BUILT[model]
    rest = 0

    def read(raw: bytes | str) -> Any:
        nonlocal rest
        if rest > 0:  # two threads may count at once: then a delta is validated too often or too seldom, never wrongly
            rest -= 1
        else:
            try:
                found = decode(raw)
            except UNREADABLE:
                rest = _REST
            else:
                return build(found)
        return validate(raw)

    return read

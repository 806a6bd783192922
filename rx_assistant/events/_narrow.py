"""The narrow reading: the bytes of a delta → its id and the text that it appends.

Nine in ten events of a stream only append a text to a part. The decoder reads the fields of the types below, in any
order and layout, and skips all other fields. For a payload of another shape the result is None, and `_deltas` reads it
as plain JSON.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

TextFragment: TypeAlias = tuple[int, str]
"""Content index, text to append."""

InputFragment: TypeAlias = tuple[int, str, str]
"""Tool-call index, type of the call (`function` or `code_interpreter`), text to append to its arguments or code."""

NarrowMessage: TypeAlias = tuple[str, tuple[TextFragment, ...], bool, int | None, str | None]
"""Message id; text fragments; whether the event only appends one text; the index of the annotation, if the event only
appends one text with one annotation; the role, if the event is of one of these two kinds and the server repeats it."""

NarrowStep: TypeAlias = tuple[str, tuple[InputFragment, ...], bool, str | None]
"""Step id; input fragments; whether the event only appends one text; and then the id of the call, if it is repeated."""


class _Annotation(Struct, gc=False):
    index: int


class _Text(Struct, gc=False):
    value: str
    annotations: Annotated[list[_Annotation], Meta(max_length=1)] | None = None


class _Part(Struct, gc=False):
    index: int
    type: Literal["text"]
    text: _Text


class _MessageDelta(Struct, gc=False):
    content: tuple[_Part]
    role: str | None = None


class _MessageDeltaEvent(Struct, gc=False):
    id: str
    delta: _MessageDelta


class _Function(Struct, gc=False):
    arguments: str
    name: None = None
    output: None = None


class _Code(Struct, gc=False):
    input: str
    outputs: Annotated[list[None], Meta(max_length=0)] | None = None


class _Call(Struct, gc=False):
    index: int
    type: Literal["function", "code_interpreter"]
    function: _Function | None = None
    code_interpreter: _Code | None = None
    id: str | None = None


class _Details(Struct, gc=False):
    type: Literal["tool_calls"]
    tool_calls: tuple[_Call]


class _StepDelta(Struct, gc=False):
    step_details: _Details


class _StepDeltaEvent(Struct, gc=False):
    id: str
    delta: _StepDelta


_message: Final = Decoder(_MessageDeltaEvent).decode
_step: Final = Decoder(_StepDeltaEvent).decode

_SHORT: Final = 400  # bytes; the skipped fields of a payload up to this size cannot hold what the models refuse
_LONG: Final = 4_000  # bytes; the skipped fields of a longer payload may hold a very long number
_DEEP: Final = 200  # levels of nesting that the models accept

UNREADABLE: Final = (DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions that the decoders raise."""


def read_message(raw: bytes) -> NarrowMessage | None:
    """The narrow reading of a delta that appends one text, with at most one annotation; None for any other delta."""
    if len(raw) > _SHORT and _is_unusual(raw):
        return None
    try:
        event = _message(raw)
    except UNREADABLE:
        return None
    delta = event.delta
    part = delta.content[0]
    text = part.text
    if text.annotations:
        return event.id, ((part.index, text.value),), False, text.annotations[0].index, delta.role
    return event.id, ((part.index, text.value),), True, None, delta.role


def read_step(raw: bytes) -> NarrowStep | None:
    """The narrow reading of a delta that appends to one call's arguments or code; None for any other delta."""
    if len(raw) > _SHORT and _is_unusual(raw):
        return None
    try:
        event = _step(raw)
    except UNREADABLE:
        return None
    call = event.delta.step_details.tool_calls[0]
    if call.type == "function":
        if call.function is None:
            return None
        text = call.function.arguments
    elif call.code_interpreter is None:
        return None
    else:
        text = call.code_interpreter.input
    return event.id, ((call.index, call.type, text),), True, call.id


def _is_unusual(raw: bytes) -> bool:
    """Whether skipped fields may hold what the models refuse: more than 200 levels of nesting, or very long numbers."""
    return len(raw) > _LONG or raw.count(b"[") + raw.count(b"{") > _DEEP

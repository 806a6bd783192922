"""The two delta events, and a narrow reading of them: whose delta it is, and which texts it appends.

Nine in ten events of a stream say nothing but "append this text to that part", always in the same few bytes. Those are
taken apart by one regular expression, which accepts exactly one JSON shape with all its tokens in place; an escaped
text in it goes through the JSON parser. Everything else becomes plain dicts, without the values that are off. Both
readings, the narrow one and the model, are made at most once, on demand, and agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from rx_assistant.events._base import Data, Name, StreamEvent, json_reader
from rx_assistant.events._json_text import has_halves
from rx_assistant.events._payloads import MESSAGE, STEP, Shape, conformed, fits

if TYPE_CHECKING:
    from rx_assistant.types import MessageDeltaEvent, RunStepDeltaEvent  # noqa: F401 (quoted below)

TextFragment: TypeAlias = tuple[int, str]
"""Content index, text to append."""

InputFragment: TypeAlias = tuple[int, str, str]
"""Tool-call index, type of the call (`function` or `code_interpreter`), text to append to its arguments or code."""

NarrowMessage: TypeAlias = tuple[str, tuple[TextFragment, ...], bool, int | None]
"""Message id, text fragments, whether they are all that the event says; and if all the rest is one annotation of the
one fragment, that annotation's index."""

NarrowStep: TypeAlias = tuple[str, tuple[InputFragment, ...], bool]
"""Step id, input fragments, whether they are all that the event says."""

_BACKSLASH: Final = 0x5C
_ID = rb'"([^"\\\x00-\x1f]++)"'
_INDEX = rb"(0|[1-9]\d{0,5})"
_TEXT = rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"'

_STRING = rb'"[^"\\\x00-\x1f]*+"'
_NUMBER = rb"(?:0|[1-9]\d{0,8})"
_MARK = (
    rb'\{"index":' + _INDEX + rb',"type":"file_(?:citation|path)","text":' + _STRING + rb',"start_index":' + _NUMBER +
    rb',"end_index":' + _NUMBER + rb',"file_(?:citation|path)":\{"file_id":' + _STRING + rb'(?:,"quote":' + _STRING +
    rb")?\}\}"
)  # fmt: skip

_match_text: Final = re.compile(
    rb'\{"id":' + _ID + rb',"object":"thread\.message\.delta","delta":\{"content":\[\{"index":' + _INDEX +
    rb',"type":"text","text":\{"value":' + _TEXT + rb'(?:,"annotations":\[(?:' + _MARK + rb")?\])?\}\}\]\}\}"
).fullmatch  # fmt: skip

_match_input: Final = re.compile(
    rb'\{"id":' + _ID + rb',"object":"thread\.run\.step\.delta","delta":\{"step_details":\{"type":"tool_calls",'
    rb'"tool_calls":\[\{"index":' + _INDEX + rb',"type":"(?:function","function":\{"(arguments)|'
    rb'code_interpreter","code_interpreter":\{"input)":' + _TEXT + rb"\}\}\]\}\}\}"
).fullmatch  # fmt: skip


class _Delta(StreamEvent[Name, Data]):
    """What both deltas have in common: a narrow reading and a payload beside the model."""

    __slots__ = ("_narrow", "_payload")
    _shape: ClassVar[Shape]

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._data = None
        self._narrow: Any = None
        self._payload: dict[str, Any] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it says nothing but that one text is to be appended."""
        plain: bool = (self._narrow or self._read())[2]
        return plain

    @property
    def is_torn(self) -> bool:
        """Whether a text in it begins or ends inside a character, as servers send that cut UTF-16."""
        return not self.is_plain and has_halves(self._raw)

    @property
    def payload(self) -> dict[str, Any]:
        """The payload as plain JSON, without values that are off; not to be changed. Raises EventDecodeError."""
        payload = self._payload
        if payload is None:
            payload = self._payload = self._plain_json()
        return payload

    def _plain_json(self) -> dict[str, Any]:
        payload: Any
        try:
            payload = json_reader()(self._raw)
        except ValueError:
            payload = self.json()
        if self._narrow is not None:  # what the regular expression has read does fit
            read: dict[str, Any] = payload
            return read
        return self.in_shape(payload)

    def in_shape(self, payload: Any) -> dict[str, Any]:
        """A payload of this kind without the values that are off. Raises EventDecodeError if it is not an object."""
        if fits(payload, self._shape):
            found: dict[str, Any] = payload
            return found
        if not isinstance(payload, dict):
            raise self._malformed(TypeError(f"got {type(payload).__name__}"))
        return conformed(payload, self._shape)

    def _read(self) -> Any:
        raise NotImplementedError


class ThreadMessageDelta(_Delta[Literal["thread.message.delta"], "MessageDeltaEvent"], model="MessageDeltaEvent"):
    """More of a message. Carries a MessageDeltaEvent; `message_id` and `text_fragments` are there without it."""

    __slots__ = ()
    _shape = MESSAGE

    @property
    def message_id(self) -> str:
        """The id of the message that this is more of; empty when the server gives none."""
        message_id: str = (self._narrow or self._read())[0]
        return message_id

    @property
    def text_fragments(self) -> tuple[TextFragment, ...]:
        """What is appended to the message's texts: (content index, text) for each fragment, in wire order."""
        fragments: tuple[TextFragment, ...] = (self._narrow or self._read())[1]
        return fragments

    @property
    def narrow(self) -> NarrowMessage:
        """All of this at once, see NarrowMessage."""
        narrow: NarrowMessage = self._narrow or self._read()
        return narrow

    def _read(self) -> NarrowMessage:
        match = _match_text(self._raw)
        if match is not None:
            message_id, index, value, mark = match.groups()
            text = value.decode("utf-8", "replace") if _BACKSLASH not in value else _unescaped(value)
            if text is not None:
                at = 0 if index == b"0" else int(index)
                fragments, whose = ((at, text),), message_id.decode("utf-8", "replace")
                plain: NarrowMessage = (
                    (whose, fragments, True, None) if mark is None else (whose, fragments, False, int(mark))
                )
                self._narrow = plain
                return plain
        payload = self.payload
        self._narrow = narrow = (payload.get("id") or "", tuple(_text_fragments(payload)), False, None)
        return narrow


class ThreadRunStepDelta(_Delta[Literal["thread.run.step.delta"], "RunStepDeltaEvent"], model="RunStepDeltaEvent"):
    """More of a run step. Carries a RunStepDeltaEvent; `step_id` and `input_fragments` are there without it."""

    __slots__ = ()
    _shape = STEP

    @property
    def step_id(self) -> str:
        """The id of the step that this is more of; empty when the server gives none."""
        step_id: str = (self._narrow or self._read())[0]
        return step_id

    @property
    def input_fragments(self) -> tuple[InputFragment, ...]:
        """What is appended to arguments and code: (tool-call index, type, text) for each fragment, in wire order."""
        fragments: tuple[InputFragment, ...] = (self._narrow or self._read())[1]
        return fragments

    @property
    def narrow(self) -> NarrowStep:
        """All of this at once, see NarrowStep."""
        narrow: NarrowStep = self._narrow or self._read()
        return narrow

    def _read(self) -> NarrowStep:
        match = _match_input(self._raw)
        if match is not None:
            step_id, index, arguments, value = match.groups()
            text = value.decode("utf-8", "replace") if _BACKSLASH not in value else _unescaped(value)
            if text is not None:
                at = 0 if index == b"0" else int(index)
                kind = "code_interpreter" if arguments is None else "function"
                self._narrow = plain = (step_id.decode("utf-8", "replace"), ((at, kind, text),), True)
                return plain
        payload = self.payload
        self._narrow = narrow = (payload.get("id") or "", tuple(_input_fragments(payload)), False)
        return narrow


def _unescaped(escaped: bytes) -> str | None:
    """The text of a JSON string's inside, or None if it is none (the model will say why)."""
    try:
        text: str = json_reader()(b'"' + escaped + b'"')
    except ValueError:
        return None
    return text


def index_of(piece: dict[str, Any], position: int) -> int:
    """The index that a piece names; where it stands in its list, if it names none."""
    index = piece.get("index")
    return position if index is None else index


def pieces_of(container: dict[str, Any] | None, key: str) -> list[tuple[int, dict[str, Any]]]:
    """The objects in the array under `key` with their places; none where there is no array."""
    pieces = (container.get(key) if container else None) or ()
    if None in pieces:  # in place of what is no object
        return [(position, piece) for position, piece in enumerate(pieces) if piece is not None]
    return list(enumerate(pieces))


def _text_fragments(payload: dict[str, Any]) -> Iterator[TextFragment]:
    for position, part in pieces_of(payload.get("delta"), "content"):
        text = part.get("text") if part.get("type") == "text" else None
        if text and text.get("value") is not None:
            yield index_of(part, position), text["value"]


def _input_fragments(payload: dict[str, Any]) -> Iterator[InputFragment]:
    details = (payload.get("delta") or {}).get("step_details") or {}
    if details.get("type") != "tool_calls":
        return
    for position, call in pieces_of(details, "tool_calls"):
        kind = call.get("type") or ""
        key = INPUT_OF.get(kind, "")
        inside = call.get(kind) if key else None
        if inside and inside.get(key) is not None:
            yield index_of(call, position), kind, inside[key]


INPUT_OF: Final = {"function": "arguments", "code_interpreter": "input"}
"""By the type of a call: what its fragments are appended to."""

"""The two delta events, and a narrow reading of them: whose delta it is, and which texts it appends.

Nine in ten events of a stream say nothing but "append this text to that part", always in the same few bytes. Those are
taken apart by one regular expression, which accepts exactly one JSON shape with all its tokens in place; an escaped
text in it goes through the JSON parser. Everything else is read from the model. So an event is parsed at most twice,
each time at most once, and both readings agree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from rx_assistant.events._base import StreamEvent, json_reader

if TYPE_CHECKING:
    from rx_assistant.types import MessageDeltaEvent, RunStepDeltaEvent

TextFragment: TypeAlias = tuple[int, str]
"""Content index, text to append."""

InputFragment: TypeAlias = tuple[int, str, str]
"""Tool-call index, type of the call (`function` or `code_interpreter`), text to append to its arguments or code."""

_NarrowMessage: TypeAlias = tuple[str, tuple[TextFragment, ...], bool]
_NarrowStep: TypeAlias = tuple[str, tuple[InputFragment, ...], bool]

_BACKSLASH: Final = 0x5C
_ID = rb'"([^"\\\x00-\x1f]++)"'
_INDEX = rb"(0|[1-9]\d{0,5})"
_TEXT = rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"'

_match_text: Final = re.compile(
    rb'\{"id":' + _ID + rb',"object":"thread\.message\.delta","delta":\{"content":\[\{"index":' + _INDEX +
    rb',"type":"text","text":\{"value":' + _TEXT + rb'(?:,"annotations":\[\])?\}\}\]\}\}'
).fullmatch  # fmt: skip

_match_input: Final = re.compile(
    rb'\{"id":' + _ID + rb',"object":"thread\.run\.step\.delta","delta":\{"step_details":\{"type":"tool_calls",'
    rb'"tool_calls":\[\{"index":' + _INDEX + rb',"type":"(?:function","function":\{"(arguments)|'
    rb'code_interpreter","code_interpreter":\{"input)":' + _TEXT + rb"\}\}\]\}\}\}"
).fullmatch  # fmt: skip


class ThreadMessageDelta(StreamEvent[Literal["thread.message.delta"], "MessageDeltaEvent"], model="MessageDeltaEvent"):
    """More of a message. Carries a MessageDeltaEvent; `message_id` and `text_fragments` are there without it."""

    __slots__ = ("_narrow",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._data = None
        self._narrow: _NarrowMessage | None = None

    @property
    def message_id(self) -> str:
        """The id of the message that this is more of; empty when the server gives none."""
        return (self._narrow or self._read())[0]

    @property
    def text_fragments(self) -> tuple[TextFragment, ...]:
        """What is appended to the message's texts: (content index, text) for each fragment, in wire order."""
        return (self._narrow or self._read())[1]

    @property
    def is_plain(self) -> bool:
        """Whether `text_fragments` is all that the event says."""
        return (self._narrow or self._read())[2]

    @property
    def narrow(self) -> _NarrowMessage:
        """The three above at once: whose delta it is, its text fragments, and whether they are all it says."""
        return self._narrow or self._read()

    def _read(self) -> _NarrowMessage:
        match = _match_text(self._raw)
        if match is not None:
            message_id, index, value = match.groups()
            text = value.decode("utf-8", "replace") if _BACKSLASH not in value else _unescaped(value)
            if text is not None:
                at = 0 if index == b"0" else int(index)
                self._narrow = narrow = (message_id.decode("utf-8", "replace"), ((at, text),), True)
                return narrow
        self._narrow = self.data.id or "", _text_fragments(self.data), False
        return self._narrow


class ThreadRunStepDelta(StreamEvent[Literal["thread.run.step.delta"], "RunStepDeltaEvent"], model="RunStepDeltaEvent"):
    """More of a run step. Carries a RunStepDeltaEvent; `step_id` and `input_fragments` are there without it."""

    __slots__ = ("_narrow",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._data = None
        self._narrow: _NarrowStep | None = None

    @property
    def step_id(self) -> str:
        """The id of the step that this is more of; empty when the server gives none."""
        return (self._narrow or self._read())[0]

    @property
    def input_fragments(self) -> tuple[InputFragment, ...]:
        """What is appended to arguments and code: (tool-call index, type, text) for each fragment, in wire order."""
        return (self._narrow or self._read())[1]

    @property
    def is_plain(self) -> bool:
        """Whether `input_fragments` is all that the event says."""
        return (self._narrow or self._read())[2]

    @property
    def narrow(self) -> _NarrowStep:
        """The three above at once: whose delta it is, its input fragments, and whether they are all it says."""
        return self._narrow or self._read()

    def _read(self) -> _NarrowStep:
        match = _match_input(self._raw)
        if match is not None:
            step_id, index, arguments, value = match.groups()
            text = value.decode("utf-8", "replace") if _BACKSLASH not in value else _unescaped(value)
            if text is not None:
                at = 0 if index == b"0" else int(index)
                kind = "code_interpreter" if arguments is None else "function"
                self._narrow = narrow = (step_id.decode("utf-8", "replace"), ((at, kind, text),), True)
                return narrow
        self._narrow = self.data.id or "", _input_fragments(self.data), False
        return self._narrow


def _unescaped(escaped: bytes) -> str | None:
    """The text of a JSON string's inside, or None if it is none (the model will say why)."""
    try:
        text: str = json_reader()(b'"' + escaped + b'"')
    except ValueError:
        return None
    return text


def _text_fragments(data: MessageDeltaEvent) -> tuple[TextFragment, ...]:
    found: list[TextFragment] = []
    for position, part in enumerate((data.delta and data.delta.content) or ()):
        if part.type == "text" and part.text and part.text.value is not None:
            found.append((position if part.index is None else part.index, part.text.value))
    return tuple(found)


def _input_fragments(data: RunStepDeltaEvent) -> tuple[InputFragment, ...]:
    details = data.delta and data.delta.step_details
    found: list[InputFragment] = []
    if not details or details.type != "tool_calls":
        return ()
    for position, call in enumerate(details.tool_calls or ()):
        index = position if call.index is None else call.index
        if call.type == "function" and call.function and call.function.arguments is not None:
            found.append((index, call.type, call.function.arguments))
        if call.type == "code_interpreter" and call.code_interpreter and call.code_interpreter.input is not None:
            found.append((index, call.type, call.code_interpreter.input))
    return tuple(found)

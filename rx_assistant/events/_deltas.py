"""The two delta events: the id of the message or step, and the texts to append, without building the model.

The narrow reading (`_narrow`) knows the shape of nearly all deltas. All others become plain dicts, without malformed
values. The narrow reading and the model are each built at most once, on demand, and agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from rx_assistant.events._base import Data, Name, Reader, StreamEvent, json_reader, validator
from rx_assistant.events._json_text import has_halves
from rx_assistant.events._narrow import (
    InputFragment,
    NarrowMessage,
    NarrowStep,
    TextFragment,
    read_message,
    read_step,
)
from rx_assistant.events._payloads import MESSAGE, STEP, Shape, conformed, fits

if TYPE_CHECKING:
    from rx_assistant.types import MessageDeltaEvent, RunStepDeltaEvent  # noqa: F401 (quoted below)


class _Delta(StreamEvent[Name, Data]):
    """The base of both deltas: a narrow reading and a plain payload, in addition to the model."""

    __slots__ = ("_narrow", "_payload")
    _shape: ClassVar[Shape]

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._data = None
        self._narrow = None
        self._payload: dict[str, Any] | None = None

    @classmethod
    def _find_reader(cls) -> Reader:
        from rx_assistant.events._plain import reader  # imported here, because it loads the package of the models

        read = reader(cls._model, validator(cls._model))
        cls._reader = staticmethod(read)
        return read

    @property
    def is_plain(self) -> bool:
        """Whether the event changes a snapshot in one way only: it appends one text."""
        plain: bool = (self._narrow or self._read())[2]
        return plain

    @property
    def is_torn(self) -> bool:
        """Whether one of its texts begins or ends inside a character, because a server cut UTF-16 text there."""
        return not self.is_plain and has_halves(self._raw)

    @property
    def payload(self) -> dict[str, Any]:
        """The payload as plain JSON, without malformed values; do not change it. Raises EventDecodeError."""
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
        return self.in_shape(payload)

    def in_shape(self, payload: Any) -> dict[str, Any]:
        """A payload of this class without malformed values. Raises EventDecodeError if it is not an object."""
        if fits(payload, self._shape):
            found: dict[str, Any] = payload
            return found
        if not isinstance(payload, dict):
            raise self._malformed(TypeError(f"got {type(payload).__name__}"))
        return conformed(payload, self._shape)


class ThreadMessageDelta(_Delta[Literal["thread.message.delta"], "MessageDeltaEvent"], model="MessageDeltaEvent"):
    """New content of a message, as a MessageDeltaEvent. `message_id` and `text_fragments` do not build the model."""

    __slots__ = ()
    _shape = MESSAGE

    @property
    def message_id(self) -> str:
        """The id of the message; empty when the server sends none."""
        message_id: str = (self._narrow or self._read())[0]
        return message_id

    @property
    def text_fragments(self) -> tuple[TextFragment, ...]:
        """The texts to append to the message: (content index, text) for each fragment, in wire order."""
        fragments: tuple[TextFragment, ...] = (self._narrow or self._read())[1]
        return fragments

    @property
    def narrow(self) -> NarrowMessage:
        """Id, texts and more, in one tuple: see NarrowMessage."""
        narrow: NarrowMessage = self._narrow or self._read()
        return narrow

    def _read(self) -> NarrowMessage:
        narrow = read_message(self._raw)
        if narrow is None:
            payload = self.payload
            narrow = (payload.get("id") or "", tuple(_text_fragments(payload)), False, None, None)
        self._narrow = narrow
        return narrow


class ThreadRunStepDelta(_Delta[Literal["thread.run.step.delta"], "RunStepDeltaEvent"], model="RunStepDeltaEvent"):
    """New content of a run step, as a RunStepDeltaEvent. `step_id` and `input_fragments` do not build the model."""

    __slots__ = ()
    _shape = STEP

    @property
    def step_id(self) -> str:
        """The id of the step; empty when the server sends none."""
        step_id: str = (self._narrow or self._read())[0]
        return step_id

    @property
    def input_fragments(self) -> tuple[InputFragment, ...]:
        """The texts to append to arguments and code: (tool-call index, type, text) per fragment, in wire order."""
        fragments: tuple[InputFragment, ...] = (self._narrow or self._read())[1]
        return fragments

    @property
    def narrow(self) -> NarrowStep:
        """Id, texts and more, in one tuple: see NarrowStep."""
        narrow: NarrowStep = self._narrow or self._read()
        return narrow

    def _read(self) -> NarrowStep:
        narrow = read_step(self._raw)
        if narrow is None:
            payload = self.payload
            narrow = (payload.get("id") or "", tuple(_input_fragments(payload)), False, None)
        self._narrow = narrow
        return narrow


def index_of(piece: dict[str, Any], position: int) -> int:
    """The `index` of a piece; its position in the list if it has none."""
    index = piece.get("index")
    return position if index is None else index


def pieces_of(container: dict[str, Any] | None, key: str) -> list[tuple[int, dict[str, Any]]]:
    """The objects in the array under `key`, with their positions; empty if there is no array."""
    pieces = (container.get(key) if container else None) or ()
    if None in pieces:  # null replaces an item that is not an object
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
"""The field to which the fragments of a call are appended, by the type of the call."""

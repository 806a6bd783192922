"""Deltas of a run step → function calls, each as soon as its arguments are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rx_assistant.types._inside import inside, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.events import ThreadRunStepDelta


class Written(NamedTuple):
    """A call whose arguments are a complete JSON object."""

    call_id: str
    name: str
    arguments: str


class _Growing:
    """A call that is being written."""

    __slots__ = ("_depth", "_in_text", "_pieces", "_skip", "call_id", "is_written", "name")

    def __init__(self) -> None:
        self.call_id = self.name = ""
        self.is_written = False
        self._pieces: list[str] = []
        self._depth = 0
        self._in_text = self._skip = False

    @property
    def arguments(self) -> str:
        return "".join(self._pieces)

    def add(self, piece: str) -> None:
        """Append a piece; `is_written` is true when the object is closed. Each character is read once."""
        self._pieces.append(piece)
        for character in piece:
            if self._skip:
                self._skip = False
            elif self._in_text:
                self._skip = character == "\\"
                self._in_text = character != '"'
            elif character == '"':
                self._in_text = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                self.is_written = self.is_written or self._depth == 0


class Writing:
    """The calls of a round, known by their step and index."""

    def __init__(self) -> None:
        self._calls: dict[tuple[object, object], _Growing] = {}

    def take(self, event: ThreadRunStepDelta) -> list[Written]:
        """The calls that this delta completes."""
        data = event.data
        completed: list[Written] = []
        for delta in models_in(inside(data, "delta", "step_details", "tool_calls")):
            if inside(delta, "type") != "function":
                continue
            call = self._calls.setdefault((data.id, inside(delta, "index")), _Growing())
            call.call_id = text_in(delta, "id") or call.call_id
            call.name = text_in(delta, "function", "name") or call.name
            was_written = call.is_written
            call.add(text_in(delta, "function", "arguments"))
            if call.is_written and not was_written and call.call_id and call.name:
                completed.append(Written(call.call_id, call.name, call.arguments))
        return completed

"""The kinds of pieces: their place in a delta's payload, how two of one index merge, and their model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots.pieces import Delta, Node

_Place = tuple[int, int]


@cache
def validate(name: str) -> Callable[[Any], Any]:
    """The function that reads JSON values into the model or union of that name in `rx_assistant.types`."""
    from pydantic import TypeAdapter

    import rx_assistant.types as types

    return TypeAdapter(getattr(types, name)).validator.validate_python


def merged(old: Node, new: Node) -> Node:
    """`old`, updated with the fields of `new`. Inner objects are updated in the same way, other values are replaced."""
    both = dict(old)
    for key, value in new.items():
        before = both.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            both[key] = merged(before, value)
        elif value is not None or key not in both:
            both[key] = value
    return both


class _Updated:
    """Pieces that update an earlier piece of the same type, and replace a piece of another type."""

    def __init__(self, event: type[Delta], model: str) -> None:
        self.event = event
        self._model = model

    def merge(self, old: Node, new: Node) -> Node:
        return merged(old, new) if old.get("type") == new.get("type") else new

    def build(self, node: Node) -> Any:
        return validate(self._model)(node)


class _Annotation(_Updated):
    def find(self, payload: Any, place: _Place) -> Node:
        part, position = place
        node: Node = payload["delta"]["content"][part]["text"]["annotations"][position]
        return node


class _Content(_Updated):
    def find(self, payload: Any, place: _Place) -> Node:
        node: Node = payload["delta"]["content"][place[0]]
        return node


class _Call(_Updated):
    def find(self, payload: Any, place: _Place) -> Node:
        node: Node = payload["delta"]["step_details"]["tool_calls"][place[0]]
        return node


class _Search(_Call):
    """A search: a later piece replaces an earlier one but keeps its id, because only the first piece has the id."""

    def merge(self, old: Node, new: Node) -> Node:
        return {**old, **{key: value for key, value in new.items() if value is not None}}


class _Output(_Updated):
    """A code output: logs are appended, an image is updated."""

    def find(self, payload: Any, place: _Place) -> Node:
        call, position = place
        calls = payload["delta"]["step_details"]["tool_calls"]
        node: Node = calls[call]["code_interpreter"]["outputs"][position]
        return node

    def merge(self, old: Node, new: Node) -> Node:
        both = super().merge(old, new)
        return {**both, "logs": _joined(old, new)} if both is not new and both.get("type") == "logs" else both


def _joined(old: Node, new: Node) -> str:
    return (old.get("logs") or "") + (new.get("logs") or "")


class _Details(_Updated):
    def find(self, payload: Any, place: _Place) -> Node:
        node: Node = payload["delta"]["step_details"]
        return node


ANNOTATION: Final = _Annotation(ThreadMessageDelta, "Annotation")
CONTENT: Final = _Content(ThreadMessageDelta, "MessageContent")
CALL: Final = _Call(ThreadRunStepDelta, "ToolCall")
SEARCH: Final = _Search(ThreadRunStepDelta, "ToolCall")
OUTPUT: Final = _Output(ThreadRunStepDelta, "CodeInterpreterOutput")
DETAILS: Final = _Details(ThreadRunStepDelta, "StepDetails")

"""The arguments of a function call, parsed while they arrive: JSON text in pieces → the value so far."""

from __future__ import annotations

from collections.abc import Callable
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, TypeVar

from reactivex import Observable

from rx_assistant.errors import PartialArgumentsError
from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.operators._routing import StateChange
from rx_assistant.partial_json import JSONValue, PartialJSON, parse_partial
from rx_assistant.snapshots import CallState
from rx_assistant.types._inside import text_in

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


def arguments_so_far(
    piece: Callable[[StateChange[CallState]], str], model: type[M] | None
) -> Callable[[Observable[StateChange[CallState]]], Observable[JSONValue | M]]:
    """Emit each new value of the arguments so far. When they are complete, emit the exact value, or the model.

    `piece` returns the text that a delta appends. For calls other than function calls nothing is emitted.
    """

    def start(down: Sink[JSONValue | M], scope: Scope[StateChange[CallState]]) -> Hooks:
        reading = _Reading(down, model)

        def on_change(change: StateChange[CallState]) -> None:
            if change.state.kind != "function":
                return
            if change.phase == "delta":
                reading.push(piece(change))
            elif change.phase == "done":
                reading.finish(_arguments(change))
            elif not change.is_delta:
                reading.push(_arguments(change))

        def on_completed() -> None:
            reading.break_off()
            down.completed()

        return Hooks(on_change, completed=on_completed)

    return operator(start)


def _arguments(change: StateChange[CallState]) -> str:
    call = change.state.view(change.version)
    return text_in(call.function, "arguments") if call.type == "function" else ""


class _Reading:
    """Parses the arguments of one call for one subscription."""

    def __init__(self, down: Sink[Any], model: type[BaseModel] | None) -> None:
        self._down = down
        self._model = model
        self._parser = PartialJSON()
        self._last: object = None
        self._shown = False
        self._finished = False

    def push(self, piece: str) -> None:
        """Take the next piece of text, and emit the value if it is new. Malformed text raises in `finish`."""
        if not piece:
            return
        self._parser.push(piece)
        try:
            value = self._parser.value
        except JSONDecodeError:
            return
        if value is not self._last:
            self._show(value)

    def break_off(self) -> None:
        """Emit the value of the whole text, because the stream has ended without the complete arguments."""
        if not self._finished:
            try:
                value = parse_partial(self._parser.text)
            except JSONDecodeError:
                return
            if value != self._last:
                self._show(value)

    def finish(self, arguments: str) -> None:
        """Emit the value of the complete text. Raises PartialArgumentsError if it is not JSON, or not valid for the
        model."""
        self._finished = True
        try:
            value = self._exact(arguments)
        except ValueError as error:  # pydantic's ValidationError is one
            raise PartialArgumentsError(_refusal(arguments, self._model, error), arguments) from error
        was_shown = self._shown and arguments == self._parser.text and value == self._last
        if not was_shown:
            self._down.next(value)

    def _show(self, value: Any) -> None:
        self._last, self._shown = value, True
        self._down.next(value)

    def _exact(self, arguments: str) -> Any:
        if self._model is not None:
            return self._model.model_validate_json(arguments)
        parser = PartialJSON()
        parser.push(arguments)
        return parser.finish()


def _refusal(arguments: str, model: type[BaseModel] | None, error: ValueError) -> str:
    shown = arguments if len(arguments) <= 200 else arguments[:200] + "..."
    wanted = "JSON" if model is None else model.__name__
    return f"the arguments must be {wanted}, got {shown!r}: {error}"

"""The history of a thread for a model: its messages in order, with the answered function calls between them."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rx_assistant.dialects.history import (
    AnsweredCall,
    CallRound,
    HistoryMessage,
    ImageFilePart,
    ImageUrlPart,
    MessagePart,
    TextPart,
)
from rx_assistant.local import tokens
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.store import Placed


@dataclass(frozen=True, slots=True)
class Thread:
    """The newest messages of a thread, oldest first, and the steps of its runs since the first of these messages.

    `order` has the position of each message, by id. Messages and steps share one count of positions.
    """

    messages: Sequence[JsonObject]
    order: Mapping[str, int]
    steps: Sequence[Placed]

    def history(self, first: int) -> tuple[HistoryMessage | CallRound, ...]:
        """The messages and call rounds from the position `first` on."""
        notes = {
            step.value["step_details"]["message_creation"]["message_id"]: _notes(step)
            for step in self.steps
            if step.value["type"] == "message_creation"
        }
        placed: list[tuple[int, HistoryMessage | CallRound]] = [
            (self.order[message["id"]], _message(message, notes.get(message["id"], ())))
            for message in self.messages
            if message["id"] in self.order
        ]
        placed += [(step.place, told) for step in self.steps if (told := _round(step)) is not None]
        return tuple(item for place, item in sorted(placed, key=lambda one: one[0]) if place >= first)

    def steps_of(self, run_id: str) -> list[JsonObject]:
        """The steps of one run, oldest first."""
        return [step.value for step in self.steps if step.value["run_id"] == run_id]

    def round_costs(self, without: str) -> dict[str, int]:
        """The tokens of the call rounds of each message, by its id, without those of the run `without`.

        A round belongs to the message before it, so that both are left out together.
        """
        places = sorted((place, id) for id, place in self.order.items())
        costs: dict[str, int] = {}
        for step in self.steps:
            found = _round(step)
            if found is not None and found.run_id != without and places:
                _, id = places[max(bisect(places, (step.place, "")) - 1, 0)]
                costs[id] = costs.get(id, 0) + sum(map(_cost, found.calls))
        return costs


def _cost(call: AnsweredCall) -> int:
    return tokens.count(call.arguments) + tokens.count(call.output)


def _message(message: JsonObject, notes: tuple[object, ...]) -> HistoryMessage:
    return HistoryMessage(
        message["role"],
        tuple(_parts(message["content"])),
        message.get("run_id"),
        tuple(item["file_id"] for item in message["attachments"] or ()),
        notes,
    )


def _parts(content: Sequence[JsonObject]) -> Iterator[MessagePart]:
    for part in content:
        match part["type"]:
            case "text":
                yield TextPart(part["text"]["value"])
            case "refusal":
                yield TextPart(part["refusal"])
            case "image_file":
                yield ImageFilePart(part["image_file"]["file_id"], part["image_file"].get("detail"))
            case "image_url":
                yield ImageUrlPart(part["image_url"]["url"], part["image_url"].get("detail"))


def _round(step: Placed) -> CallRound | None:
    """The answered function calls of a step. If there are none, the step itself, if the engine left a note with it."""
    if step.value["type"] != "tool_calls":
        return None
    functions = [call for call in step.value["step_details"]["tool_calls"] if call["type"] == "function"]
    calls = tuple(
        AnsweredCall(call["id"], call["function"]["name"], call["function"]["arguments"], call["function"]["output"])
        for call in functions
        if call["function"]["output"] is not None
    )
    if len(calls) < len(functions) or not (calls or _notes(step)):
        return None
    return CallRound(calls, step.value["run_id"], _notes(step))


def _notes(step: Placed) -> tuple[object, ...]:
    return tuple(step.notes.get("engine", ()))

"""Deltas whose texts were cut inside a character → the same deltas with whole characters.

Servers that cut UTF-16 send an emoji as two halves, each escaped in a separate delta: `"\\ud83d"`, `"\\ude00"`. A first
half at the end of a delta waits, and is put in front of the next delta of the same text. A delta that contains nothing
else is left out. If the text ends with a half, a separate delta brings U+FFFD. So the texts of the deltas, joined, are
the text that a snapshot shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from rx_assistant.events._base import StreamEvent
from rx_assistant.events._deltas import INPUT_OF, ThreadMessageDelta, ThreadRunStepDelta, index_of, pieces_of
from rx_assistant.events._json_text import text_of
from rx_assistant.events._kinds import (
    RunEvent,
    ThreadMessageCompleted,
    ThreadMessageIncomplete,
    ThreadRunStepCancelled,
    ThreadRunStepCompleted,
    ThreadRunStepExpired,
    ThreadRunStepFailed,
)

FINAL_MESSAGE: Final = (ThreadMessageCompleted, ThreadMessageIncomplete)
FINAL_STEP: Final = (ThreadRunStepCompleted, ThreadRunStepFailed, ThreadRunStepCancelled, ThreadRunStepExpired)

_Delta: TypeAlias = ThreadMessageDelta | ThreadRunStepDelta
_DELTAS: Final = (ThreadMessageDelta, ThreadRunStepDelta)
_LONE: Final = re.compile("[\ud800-\udfff]")
_GIVEN_UP: Final = "\ufffd"


class Cut(NamedTuple):
    """The key of one text in a stream.

    `kind` is the class of its deltas, `owner` the id of its message or step, `at` the index of its part or call,
    `type` the type of that part or call. `output` is the index of a code output, and -1 for all other texts.
    """

    kind: type[_Delta]
    owner: str
    at: int
    output: int
    type: str


Held: TypeAlias = dict[Cut, str]
"""The first halves of characters that wait for the second half, by the text that ends with them."""


class _Place(NamedTuple):
    """The place of a text in a delta's payload: `container[key]`."""

    cut: Cut
    container: dict[str, Any]
    key: str


def whole(event: StreamEvent, held: Held) -> tuple[StreamEvent, ...]:
    """The event with whole characters; empty if the event was only half a character.

    If the event ends texts whose last half was never completed, a delta with U+FFFD for each of them comes first.
    `held` holds the halves of earlier events, and is changed. Nearly always the result is the unchanged event.
    """
    if isinstance(event, _DELTAS):
        if not event.is_torn and not any(cut.owner == event.narrow[0] for cut in held):
            return (event,)
        mended = _mend(event, held)
        return () if mended is None else (mended,)
    return (*_give_up(event, held), event)


def _mend(event: _Delta, held: Held) -> _Delta | None:
    payload = event.in_shape(json.loads(text_of(event.raw)))
    payload = json.loads(json.dumps(payload))  # a copy, because it is changed below
    emptied = False
    for cut, container, key in _places(type(event), payload):
        text, half = _split(held.pop(cut, "") + container[key])
        if half:
            held[cut] = half
        container[key] = text
        if half and not text:
            del container[key]
            emptied = True
    return _event(type(event), payload) if not emptied or _drop_bare(payload) else None


def bare(event: _Delta) -> _Delta:
    """An empty delta of the same object."""
    return _event(type(event), {"id": event.narrow[0], "delta": {}})


def _split(text: str) -> tuple[str, str]:
    """The text with pairs of halves joined, and the first half of a pair that it ends with."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return (joined[:-1], joined[-1]) if joined and "\ud800" <= joined[-1] <= "\udbff" else (joined, "")


def _places(kind: type[_Delta], payload: dict[str, Any]) -> Iterator[_Place]:
    """The places in a delta's payload that append text, each with the key of its text."""
    owner = payload.get("id") or ""
    for position, piece in _pieces(payload):
        index, word = index_of(piece, position), piece.get("type") or ""
        piece["index"] = index
        within = piece.get(word)
        if word == "text" and within and within.get("value"):
            yield _Place(Cut(kind, owner, index, -1, word), within, "value")
        elif word == "refusal" and within:
            yield _Place(Cut(kind, owner, index, -1, word), piece, "refusal")
        elif word in INPUT_OF and within:
            if within.get(INPUT_OF[word]):
                yield _Place(Cut(kind, owner, index, -1, word), within, INPUT_OF[word])
            for at, output in pieces_of(within, "outputs"):
                if output.get("logs"):
                    yield _Place(Cut(kind, owner, index, index_of(output, at), word), output, "logs")


def _pieces(payload: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    delta = payload.get("delta") or {}
    return pieces_of(delta, "content") or pieces_of(delta.get("step_details"), "tool_calls")


def _drop_bare(payload: dict[str, Any]) -> bool:
    """Remove the pieces that became empty. Returns whether anything is left."""
    delta = payload["delta"]
    for _, piece in _pieces(payload):
        code = piece.get("code_interpreter") or {}
        _drop_empty(code, "outputs")
    container, key = (delta, "content") if delta.get("content") else (delta["step_details"], "tool_calls")
    _drop_empty(container, key)
    return key in container or bool(delta.get("role"))


def _drop_empty(container: dict[str, Any], key: str) -> None:
    """Remove the pieces under `key` that have no content; if none is left, remove the key too."""
    kept = [piece for _, piece in pieces_of(container, key) if any(piece[name] for name in piece.keys() - _LABELS)]
    if kept:
        container[key] = kept
    else:
        container.pop(key, None)


_LABELS: Final = frozenset(("index", "type"))
"""The members that identify a piece and are not content."""


def _give_up(event: StreamEvent, held: Held) -> Iterator[_Delta]:
    """A delta with U+FFFD for each half whose text ends with `event`."""
    for cut in [cut for cut in held if _ends(event, cut)]:
        del held[cut]
        yield _event(cut.kind, {"id": cut.owner, "delta": _delta_of(cut)})


def _ends(event: StreamEvent, cut: Cut) -> bool:
    if cut.kind is ThreadMessageDelta:
        return isinstance(event, FINAL_MESSAGE) and event.data.id == cut.owner
    if isinstance(event, RunEvent):
        return cut.type == "function" and event.data.status == "requires_action"
    return isinstance(event, FINAL_STEP) and event.data.id == cut.owner


def _delta_of(cut: Cut) -> dict[str, Any]:
    inner: Any = _GIVEN_UP
    if cut.type == "text":
        inner = {"value": _GIVEN_UP}
    elif cut.output >= 0:
        inner = {"outputs": [{"index": cut.output, "type": "logs", "logs": _GIVEN_UP}]}
    elif cut.type in INPUT_OF:
        inner = {INPUT_OF[cut.type]: _GIVEN_UP}
    piece = {"index": cut.at, "type": cut.type, cut.type: inner}
    if cut.kind is ThreadMessageDelta:
        return {"content": [piece]}
    return {"step_details": {"type": "tool_calls", "tool_calls": [piece]}}


def _event(kind: type[_Delta], payload: dict[str, Any]) -> _Delta:
    written = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return kind(_LONE.sub(_GIVEN_UP, written).encode())

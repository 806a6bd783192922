"""Deltas whose texts were cut inside a character → the same deltas with whole characters.

Servers that cut UTF-16 send an emoji as two halves, each escaped in a delta of its own: `"\\ud83d"`, `"\\ude00"`. The
first half at the end of a text is held back. The next delta of the same text begins with it; a delta that says nothing
else is left out. When the text ends with a half, that becomes U+FFFD, in a delta of its own. So the texts of the
deltas add up to what a snapshot shows.
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
    """One text of a stream: of which event's kind and object, at which index, and for an output at which of its own."""

    kind: type[_Delta]
    whose: str
    place: int
    output: int
    type: str


Held: TypeAlias = dict[Cut, str]
"""The halves that were held back, by the text that they end."""


class _Place(NamedTuple):
    cut: Cut
    container: dict[str, Any]
    key: str


def whole(event: StreamEvent, held: Held) -> tuple[StreamEvent, ...]:
    """The event with whole characters, after deltas for the halves that end with it; nothing for half a character.

    `held` is what earlier events left, and is changed. Nearly always the event comes back as it is.
    """
    if isinstance(event, _DELTAS):
        if not event.is_torn and not any(cut.whose == event.narrow[0] for cut in held):
            return (event,)
        mended = _mend(event, held)
        return () if mended is None else (mended,)
    return (*_give_up(event, held), event)


def _mend(event: _Delta, held: Held) -> _Delta | None:
    payload = event.in_shape(json.loads(text_of(event.raw)))
    payload = json.loads(json.dumps(payload))  # which is ours to change
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
    """A delta of the same object that says nothing."""
    return _event(type(event), {"id": event.narrow[0], "delta": {}})


def _split(text: str) -> tuple[str, str]:
    """The text with pairs of halves joined, and the first half of a pair that it ends with."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return (joined[:-1], joined[-1]) if joined and "\ud800" <= joined[-1] <= "\udbff" else (joined, "")


def _places(kind: type[_Delta], payload: dict[str, Any]) -> Iterator[_Place]:
    """Where a delta's payload appends text, and to which text."""
    whose = payload.get("id") or ""
    for position, piece in _pieces(payload):
        index, word = index_of(piece, position), piece.get("type") or ""
        piece["index"] = index
        within = piece.get(word)
        if word == "text" and within and within.get("value"):
            yield _Place(Cut(kind, whose, index, -1, word), within, "value")
        elif word == "refusal" and within:
            yield _Place(Cut(kind, whose, index, -1, word), piece, "refusal")
        elif word in INPUT_OF and within:
            if within.get(INPUT_OF[word]):
                yield _Place(Cut(kind, whose, index, -1, word), within, INPUT_OF[word])
            for at, output in pieces_of(within, "outputs"):
                if output.get("logs"):
                    yield _Place(Cut(kind, whose, index, index_of(output, at), word), output, "logs")


def _pieces(payload: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    delta = payload.get("delta") or {}
    return pieces_of(delta, "content") or pieces_of(delta.get("step_details"), "tool_calls")


def _drop_bare(payload: dict[str, Any]) -> bool:
    """Leave out the pieces that say nothing any more; whether the payload still says anything."""
    delta = payload["delta"]
    for _, piece in _pieces(payload):
        code = piece.get("code_interpreter") or {}
        _keep_telling(code, "outputs")
    container, key = (delta, "content") if delta.get("content") else (delta["step_details"], "tool_calls")
    _keep_telling(container, key)
    return key in container or bool(delta.get("role"))


def _keep_telling(container: dict[str, Any], key: str) -> None:
    """Keep the pieces under `key` that say more than where they belong; where there are none, not even the key."""
    kept = [piece for _, piece in pieces_of(container, key) if any(piece[name] for name in piece.keys() - _LABELS)]
    if kept:
        container[key] = kept
    else:
        container.pop(key, None)


_LABELS: Final = frozenset(("index", "type"))
"""What a piece says of itself."""


def _give_up(event: StreamEvent, held: Held) -> Iterator[_Delta]:
    """A delta with U+FFFD for each half whose text ends with `event`."""
    for cut in [cut for cut in held if _ends(event, cut)]:
        del held[cut]
        yield _event(cut.kind, {"id": cut.whose, "delta": _delta_of(cut)})


def _ends(event: StreamEvent, cut: Cut) -> bool:
    if cut.kind is ThreadMessageDelta:
        return isinstance(event, FINAL_MESSAGE) and event.data.id == cut.whose
    if isinstance(event, RunEvent):
        return cut.type == "function" and event.data.status == "requires_action"
    return isinstance(event, FINAL_STEP) and event.data.id == cut.whose


def _delta_of(cut: Cut) -> dict[str, Any]:
    inner: Any = _GIVEN_UP
    if cut.type == "text":
        inner = {"value": _GIVEN_UP}
    elif cut.output >= 0:
        inner = {"outputs": [{"index": cut.output, "type": "logs", "logs": _GIVEN_UP}]}
    elif cut.type in INPUT_OF:
        inner = {INPUT_OF[cut.type]: _GIVEN_UP}
    piece = {"index": cut.place, "type": cut.type, cut.type: inner}
    if cut.kind is ThreadMessageDelta:
        return {"content": [piece]}
    return {"step_details": {"type": "tool_calls", "tool_calls": [piece]}}


def _event(kind: type[_Delta], payload: dict[str, Any]) -> _Delta:
    written = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return kind(_LONE.sub(_GIVEN_UP, written).encode())

"""The events so far → few events that fold to an equal snapshot, also together with all events that follow.

Nine in ten events only append a text. The texts of one part or call become one delta, at the place of the first of
them. A delta of another kind for the same message or step ends that delta, and the next text begins a new one. Events
that change no snapshot are left out. So is a run event if a later one has the same name, except `requires_action`.
All other events stay unchanged, so that the order and the indices of objects stay the same. The memory depends on the
size of the run's state, not on the number of events.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any, Final, TypeAlias

from rx_assistant.errors import EventDecodeError
from rx_assistant.events import (
    MessageEvent,
    RunEvent,
    RunStepEvent,
    StreamEvent,
    ThreadCreated,
    ThreadMessageDelta,
    ThreadRunRequiresAction,
    ThreadRunStepDelta,
)
from rx_assistant.snapshots.changes import FINAL, key_of

_Owner: TypeAlias = tuple[bool, str]
"""Whether the owner of a text is a step (else it is a message), and its id."""


class _Texts:
    """Texts of one part or call that become one delta. `label` is the role of the message, or the id of the call."""

    __slots__ = ("_fragment", "_owner", "is_kept", "label", "text")

    def __init__(self, owner: _Owner, fragment: tuple[Any, ...], label: str | None) -> None:
        self._owner = owner
        self._fragment = fragment
        self.label = label
        self.is_kept = False
        self.text = StringIO()

    def event(self) -> StreamEvent:
        is_step, identity = self._owner
        index, text = self._fragment[0], self.text.getvalue()
        if not is_step:
            part = {"index": index, "type": "text", "text": {"value": text}}
            payload = {"id": identity, "object": "thread.message.delta", "delta": {"content": [part]}}
            return ThreadMessageDelta(_json(payload))
        kind = self._fragment[1]
        call = {"index": index, "type": kind, kind: {"arguments" if kind == "function" else "input": text}}
        details = {"type": "tool_calls", "tool_calls": [call]}
        delta = {"id": identity, "object": "thread.run.step.delta", "delta": {"step_details": details}}
        return ThreadRunStepDelta(_json(delta))


class Compactor:
    """Takes events in order; `events()` returns the compacted ones."""

    def __init__(self) -> None:
        self._kept: dict[int, StreamEvent | _Texts] = {}
        self._count = 0
        self._open: dict[_Owner, dict[tuple[Any, ...], _Texts]] = {}  # the texts that may grow
        self._ended: set[_Owner] = set()
        self._runs: dict[type[StreamEvent], int] = {}

    def add(self, event: StreamEvent) -> None:
        """Take the next event. An event that cannot be read changes no snapshot, and is left out."""
        try:
            self._add(event)
        except EventDecodeError:
            pass

    def events(self) -> list[StreamEvent]:
        """The events that give the state so far."""
        return [kept.event() if isinstance(kept, _Texts) else kept for kept in self._kept.values()]

    def _add(self, event: StreamEvent) -> None:
        if isinstance(event, ThreadMessageDelta | ThreadRunStepDelta):
            self._add_delta(event)
        elif isinstance(event, RunEvent):
            event.data  # noqa: B018  # raises if it cannot be read
            before = None if isinstance(event, ThreadRunRequiresAction) else self._runs.get(type(event))
            if before is not None:
                del self._kept[before]
            self._runs[type(event)] = self._keep(event)
        elif isinstance(event, MessageEvent | RunStepEvent):
            owner = (isinstance(event, RunStepEvent), key_of(event.data))
            self._keep(event)
            if isinstance(event, FINAL):
                self._ended.add(owner)  # later deltas change nothing
                self._open.pop(owner, None)
        elif isinstance(event, ThreadCreated):
            event.data  # noqa: B018
            self._keep(event)

    def _add_delta(self, event: ThreadMessageDelta | ThreadRunStepDelta) -> None:
        owner = (isinstance(event, ThreadRunStepDelta), event.narrow[0])
        if owner in self._ended or not owner[1]:
            return
        if not event.is_plain:
            self._open.pop(owner, None)
            self._keep(event)
            return
        fragment: tuple[Any, ...] = event.narrow[1][0]
        place, label = fragment[:-1], event.narrow[-1]
        texts = self._open.get(owner, {}).get(place)
        if texts is None or label not in (None, texts.label):
            self._begin(owner, fragment, label, event)
            return
        if not texts.is_kept:
            texts.is_kept = True
            self._keep(texts)
        texts.text.write(fragment[-1])

    def _begin(
        self,
        owner: _Owner,
        fragment: tuple[Any, ...],
        label: str | None,
        event: ThreadMessageDelta | ThreadRunStepDelta,
    ) -> None:
        """Store the first text of a part or call. Its delta stays unchanged if it holds more than the text."""
        texts = _Texts(owner, fragment, label)
        texts.text.write(fragment[-1])
        texts.is_kept = texts.event().json() == event.json()
        if not texts.is_kept:
            texts.text = StringIO()
        self._open.setdefault(owner, {})[fragment[:-1]] = texts
        self._keep(texts if texts.is_kept else event)

    def _keep(self, event: StreamEvent | _Texts) -> int:
        self._count += 1
        self._kept[self._count] = event
        return self._count


_COMPACT: Final = (",", ":")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=_COMPACT).encode()

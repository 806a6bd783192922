"""AG-UI events → fewer events that mean the same: the rules of `compactEvents` in `@ag-ui/client`.

    source     START(m) CONTENT(m, "It ") CUSTOM CONTENT(m, "is")   END(m)
    compact()                                                       START(m) CONTENT(m, "It is") END(m) CUSTOM

Texts and arguments become one event each, the states of a run become one snapshot. Other events that come in between
follow the text or call that was open.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from reactivex import Observable

from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.web.ag_ui.json_patch import patched
from rx_assistant.web.ag_ui.models import core as ag

_log = logging.getLogger("rx_assistant")

_TEXT: Final = ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END")
_CALL: Final = ("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END")
_STATES: Final = ("STATE_SNAPSHOT", "STATE_DELTA")
_RUN: Final = ("RUN_STARTED", "RUN_FINISHED", "RUN_ERROR")


def compact() -> Callable[[Observable[ag.Event]], Observable[ag.Event]]:
    """Emit fewer events with the same meaning, for storing and replaying runs.

    A text or call is emitted when it ends, the state before its run ends. What is open when the stream ends, or fails,
    is emitted before the ending.
    """

    def start(down: Sink[ag.Event], scope: Scope[ag.Event]) -> Hooks:
        compacting = _Compacting()

        def on_event(event: ag.Event) -> None:
            for each in compacting.take(event):
                down.next(each)

        def on_error(error: Exception) -> None:
            for each in compacting.rest():
                down.next(each)
            down.error(error)

        def on_completed() -> None:
            for each in compacting.rest():
                down.next(each)
            down.completed()

        return Hooks(on_event, on_error, on_completed)

    return operator(start)


class _Growing:
    """A text or call that has not ended."""

    def __init__(self) -> None:
        self.start: Any = None
        self.pieces: list[Any] = []
        self.later: list[Any] = []  # other events that came meanwhile
        self.metadata: dict[str, Any] | None = None

    def begin(self, event: Any) -> None:
        """Take a start. A repeated one keeps the metadata of the first."""
        if self.pieces:
            self._merge(event)
            before = None if self.start is None else self.start.metadata
            self.start = event.model_copy(update={"metadata": before})
        elif self.start is not None and self.start.metadata is not None:
            merged = {**self.start.metadata, **(event.metadata or {})}
            self.start = event.model_copy(update={"metadata": merged})
        else:
            self.start = event

    def grow(self, event: Any) -> None:
        self.pieces.append(event)
        self._merge(event)

    def _merge(self, event: Any) -> None:
        if event.metadata is not None:
            self.metadata = {**(self.metadata or {}), **event.metadata}

    def events(self, end: Any = None) -> Iterator[Any]:
        if self.start is not None:
            yield self.start
        if self.pieces:
            delta = "".join([piece.delta for piece in self.pieces])
            first = self.pieces[0]
            yield first.model_copy(update={"delta": delta, "metadata": self.metadata, "raw_event": None})
        if end is not None:
            yield end
        yield from self.later


class _Compacting:
    def __init__(self) -> None:
        self._texts: dict[str, _Growing] = {}
        self._calls: dict[str, _Growing] = {}
        self._states: list[Any] = []

    def take(self, event: Any) -> Iterator[Any]:
        kind = event.type.value
        if kind in _TEXT:
            yield from self._grow(self._texts, event.message_id, _TEXT.index(kind), event)
        elif kind in _CALL:
            yield from self._grow(self._calls, event.tool_call_id, _CALL.index(kind), event)
        elif kind in _STATES:
            self._states.append(event)
        elif kind in _RUN:
            yield from self._state()
            yield event
        else:
            begun = [each for each in (*self._texts.values(), *self._calls.values()) if each.start is not None]
            if begun:
                begun[0].later.append(event)
            else:
                yield event

    def _grow(self, growing: dict[str, _Growing], key: str, act: int, event: Any) -> Iterator[Any]:
        one = growing.setdefault(key, _Growing())
        if act == 0:
            one.begin(event)
        elif act == 1:
            one.grow(event)
        else:
            del growing[key]
            yield from one.events(event)

    def rest(self) -> Iterator[Any]:
        for one in (*self._texts.values(), *self._calls.values()):
            yield from one.events()
        self._texts.clear()
        self._calls.clear()
        yield from self._state()

    def _state(self) -> Iterator[Any]:
        """One snapshot of the states so far; deltas without a snapshot before them stay as they are."""
        states, self._states = self._states, []
        snapshots = [index for index, event in enumerate(states) if event.type.value == "STATE_SNAPSHOT"]
        if not snapshots:
            yield from states
            return
        document: Any = copy.deepcopy(states[snapshots[-1]].snapshot)
        for event in states[snapshots[-1] + 1 :]:
            try:
                document = patched(document, [change.model_dump(by_alias=True) for change in event.delta])
            except ValueError as error:
                _log.warning("a STATE_DELTA was left out of the compacted state: %s", error)
        metadata: dict[str, Any] = {}
        for event in states:
            metadata.update(event.metadata or {})
        yield ag.StateSnapshotEvent(snapshot=document, metadata=metadata or None)

"""AG-UI events → the same events, while their order follows the protocol. The rules are those of `@ag-ui/client`.

a run        RUN_STARTED first; RUN_FINISHED when nothing is open; RUN_ERROR at any time; then another RUN_STARTED
an entity    opened once, continued and closed while it is open, by the subagent that opened it
the end      not in the middle of a run
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from reactivex import Observable

from rx_assistant.errors import ProtocolError
from rx_assistant.operators._verify import in_order
from rx_assistant.web.ag_ui.models import core as ag


class _Rule(NamedTuple):
    entity: str
    key: str  # the field that identifies the entity
    act: str  # open, go on, close


_RULES: Final = {
    f"{name}_{suffix}": _Rule(entity, key, act)
    for name, entity, key, suffixes in (
        ("TEXT_MESSAGE", "text message", "message_id", ("START", "CONTENT", "END")),
        ("TOOL_CALL", "tool call", "tool_call_id", ("START", "ARGS", "END")),
        ("REASONING_MESSAGE", "reasoning message", "message_id", ("START", "CONTENT", "END")),
        ("REASONING", "reasoning", "message_id", ("START", "", "END")),
        ("STEP", "step", "step_name", ("STARTED", "", "FINISHED")),
        ("SUBAGENT", "subagent", "subagent_run_id", ("STARTED", "", "FINISHED")),
    )
    for suffix, act in zip(suffixes, ("open", "go on", "close"), strict=True)
    if suffix
} | {"SUBAGENT_ERROR": _Rule("subagent", "subagent_run_id", "close")}

_OWNED: Final = ("text message", "tool call", "reasoning message", "reasoning")
_Key = tuple[str, ...]


def verify() -> Callable[[Observable[ag.Event]], Observable[ag.Event]]:
    """Emit the same events, or a ProtocolError instead of the first event that AG-UI does not allow.

        source    RUN_STARTED  TEXT_MESSAGE_CONTENT
        verify()  RUN_STARTED  X ProtocolError

    `TEXT_MESSAGE_CHUNK` and `TOOL_CALL_CHUNK` pass: they open and close what they need. A stream that completes in the
    middle of a run is an error too; one that fails keeps its error.

    Raises:
        ProtocolError: names the event and what was expected; through on_error.
    """
    return in_order(_Order)


class _Order:
    """What is open, and which subagent owns it."""

    def __init__(self) -> None:
        self._state = "before its first run"
        self._forget()

    def _forget(self) -> None:
        self._open: dict[_Key, None] = {}
        self._owners: dict[_Key, str | None] = {}
        self._closed: set[_Key] = set()  # subagents: an id is used only once

    def take(self, event: ag.Event) -> None:
        kind = event.type.value
        if kind == "RUN_STARTED":
            if self._state == "in a run":
                raise ProtocolError("event 'RUN_STARTED': the run before must end first, with 'RUN_FINISHED'")
            self._state = "in a run"
            self._forget()
        elif kind == "RUN_ERROR":
            if self._state == "after a run that failed":
                raise ProtocolError("event 'RUN_ERROR': the run has failed already; expected 'RUN_STARTED'")
            self._state = "after a run that failed"
        elif self._state != "in a run":
            raise ProtocolError(f"event {kind!r} came {self._state}; expected 'RUN_STARTED'")
        elif kind == "RUN_FINISHED":
            self._finish_run()
        elif kind in _RULES:
            self._apply(kind, _RULES[kind], event)

    def _finish_run(self) -> None:
        if self._open:
            still = ", ".join(" ".join((entity, repr(key))) for entity, _, key in self._open)
            raise ProtocolError(f"event 'RUN_FINISHED': everything must have ended before, got open: {still}")
        self._state = "after a run that finished"

    def _apply(self, kind: str, rule: _Rule, event: Any) -> None:
        owner, key = getattr(event, "subagent_run_id", None), getattr(event, rule.key)
        is_step = rule.entity == "step"  # two subagents may have steps of one name
        place = (rule.entity, str(owner) if is_step and owner is not None else "", key)
        if rule.act == "open":
            if place in self._open or place in self._closed:
                raise ProtocolError(f"event {kind!r}: {rule.entity} {key!r} was begun before; each begins once")
            parent = getattr(event, "parent_subagent_run_id", None)
            if parent is not None and ("subagent", "", parent) not in self._open.keys() | self._closed:
                raise ProtocolError(f"event {kind!r}: subagent {parent!r}, its parent, must have been begun before")
            self._open[place] = None
        elif place not in self._open:
            raise ProtocolError(f"event {kind!r}: {rule.entity} {key!r} must have been begun, and not have ended")
        if rule.entity in _OWNED:
            self._check_owner(kind, rule, place, owner)
        if rule.act == "close":
            del self._open[place]
            if rule.entity == "subagent":
                self._closed.add(place)

    def _check_owner(self, kind: str, rule: _Rule, place: _Key, owner: str | None) -> None:
        before = self._owners.setdefault(place, owner)
        if owner is not None and owner != before:
            raise ProtocolError(
                f"event {kind!r}: {rule.entity} {place[2]!r} belongs to {before or 'the main agent'!r}, "
                f"got subagent_run_id {owner!r}"
            )

    def finish(self) -> None:
        if self._state == "in a run":
            raise ProtocolError("the stream ended in the middle of a run; expected 'RUN_FINISHED' or 'RUN_ERROR'")

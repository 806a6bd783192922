"""Which neighbours `coalesce` joins, and how: text with text, deltas of one part, snapshots of one object.

A rule is a pair: `may_join(earlier, later)` is called for each item as it arrives, `joined(items)` once per frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.operators._text import TextSnapshot
from rx_assistant.snapshots import RunSnapshot

T = TypeVar("T")


class Rule(NamedTuple):
    """The rule for items of one type."""

    may_join: Callable[[Any, Any], bool]
    joined: Callable[[Sequence[Any]], Any]


def may_join(earlier: object, later: object) -> bool:
    """Return whether two neighbours can be joined: texts, deltas of one part or call, or snapshots of one object."""
    kind = type(later)
    if type(earlier) is not kind:
        return False
    if kind is str:
        return True
    rule = _RULES.get(kind)
    return rule is not None and rule.may_join(earlier, later)


def joined(items: Sequence[T]) -> T:
    """Return one item that replaces `items`, where each item may be joined with the next.

    Raises TypeError for items that no rule can join.
    """
    kind = type(items[0])
    if kind is str:
        return "".join(items)  # type: ignore[return-value, arg-type]  # T is str here
    rule = _RULES.get(kind)
    if rule is None:
        raise TypeError(f"joining items of type {kind.__name__} needs a function: pass `join` with `adjacent`")
    whole: T = rule.joined(items)
    return whole


def grows(item: object) -> bool:
    """Return whether joining items of this type makes a larger item, instead of keeping the newest."""
    return type(item) in _GROWING


def gives_way(item: object) -> bool:
    """Return whether a later item of this type makes this one obsolete."""
    return type(item) in _NEWEST


def newest(items: Sequence[T]) -> T:
    """Return the last item, which contains all earlier ones."""
    return items[-1]


# -- deltas of messages ----------------------------------------------------------------------------------------------


def _same_part(earlier: ThreadMessageDelta, later: ThreadMessageDelta) -> bool:
    message, fragments, plain, _ = earlier.narrow
    other, others, also_plain, _ = later.narrow
    return plain and also_plain and message == other and fragments[0][0] == others[0][0]


def _longer_message_delta(items: Sequence[ThreadMessageDelta]) -> ThreadMessageDelta:
    message, fragments, _, _ = items[0].narrow
    text = "".join([item.narrow[1][0][1] for item in items])
    part = {"index": fragments[0][0], "type": "text", "text": {"value": text}}
    return ThreadMessageDelta(_delta(message, "thread.message.delta", {"content": [part]}))


# -- deltas of run steps ---------------------------------------------------------------------------------------------

_INPUT = {"function": "arguments", "code_interpreter": "input"}


def _same_call(earlier: ThreadRunStepDelta, later: ThreadRunStepDelta) -> bool:
    step, fragments, plain = earlier.narrow
    other, others, also_plain = later.narrow
    return plain and also_plain and step == other and fragments[0][:2] == others[0][:2]


def _longer_step_delta(items: Sequence[ThreadRunStepDelta]) -> ThreadRunStepDelta:
    step, fragments, _ = items[0].narrow
    index, kind, _ = fragments[0]
    text = "".join([item.narrow[1][0][2] for item in items])
    call = {"index": index, "type": kind, kind: {_INPUT[kind]: text}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    return ThreadRunStepDelta(_delta(step, "thread.run.step.delta", {"step_details": details}))


def _delta(about: str, kind: str, delta: object) -> bytes:
    """The compact JSON that servers write. The narrow reading of a delta accepts only this form."""
    whole = {"id": about, "object": kind, "delta": delta}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


# -- snapshots -------------------------------------------------------------------------------------------------------


def _same_status(earlier: RunSnapshot, later: RunSnapshot) -> bool:
    """Return whether two snapshots have the same run status. A snapshot with a new status must not wait for a frame."""
    return earlier.status == later.status


def _same_text(earlier: TextSnapshot, later: TextSnapshot) -> bool:
    return earlier.index == later.index and earlier.message_id == later.message_id


_GROWING: Final = frozenset((str, ThreadMessageDelta, ThreadRunStepDelta))
_NEWEST: Final = frozenset((RunSnapshot, TextSnapshot))
_RULES: Final[dict[type, Rule]] = {
    ThreadMessageDelta: Rule(_same_part, _longer_message_delta),
    ThreadRunStepDelta: Rule(_same_call, _longer_step_delta),
    RunSnapshot: Rule(_same_status, newest),
    TextSnapshot: Rule(_same_text, newest),
}

"""The rules of `coalesce`: which adjacent items are joined, and into what. Texts, deltas of one part, and snapshots of
one object are joined.

A rule is a pair: `may_join(earlier, later)` is called for each item as it arrives, `joined(items)` once per frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.events._deltas import INPUT_OF
from rx_assistant.operators._text import TextSnapshot
from rx_assistant.snapshots import RunSnapshot

T = TypeVar("T")


class Rule(NamedTuple):
    """The rule for items of one type."""

    may_join: Callable[[Any, Any], bool]
    joined: Callable[[Sequence[Any]], Any]


def may_join(earlier: object, later: object) -> bool:
    """Return whether two adjacent items can be joined: texts, deltas of one part or call, snapshots of one object."""
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
        raise TypeError(f"items must be texts, deltas or snapshots, got {kind.__name__}: pass `join` with `adjacent`")
    whole: T = rule.joined(items)
    return whole


def grows(item: object) -> bool:
    """Return whether joining items of this type makes a larger item, instead of keeping the newest."""
    return type(item) in _GROWING


def is_replaced(item: object) -> bool:
    """Return whether a later item of this type replaces this one."""
    return type(item) in _NEWEST


def newest(items: Sequence[T]) -> T:
    """Return the last item, which contains all earlier ones."""
    return items[-1]


# -- deltas of messages ----------------------------------------------------------------------------------------------


def _same_part(earlier: ThreadMessageDelta, later: ThreadMessageDelta) -> bool:
    return _both_append(earlier, later) and _around_text(earlier, "") == _around_text(later, "")


def _longer_message_delta(items: Sequence[ThreadMessageDelta]) -> ThreadMessageDelta:
    text = "".join([item.narrow[1][0][1] for item in items])
    return ThreadMessageDelta(_written(_around_text(items[0], text)))


def _around_text(event: ThreadMessageDelta, text: str) -> dict[str, Any]:
    """The payload of a plain delta with another text."""
    payload = event.payload
    delta = payload["delta"]
    part = delta["content"][0]
    part = {**part, "text": _filled(part["text"], "value", text)}
    return {**payload, "delta": {**delta, "content": [part]}}


# -- deltas of run steps ---------------------------------------------------------------------------------------------


def _same_call(earlier: ThreadRunStepDelta, later: ThreadRunStepDelta) -> bool:
    return _both_append(earlier, later) and _around_input(earlier, "") == _around_input(later, "")


def _longer_step_delta(items: Sequence[ThreadRunStepDelta]) -> ThreadRunStepDelta:
    text = "".join([item.narrow[1][0][2] for item in items])
    return ThreadRunStepDelta(_written(_around_input(items[0], text)))


def _around_input(event: ThreadRunStepDelta, text: str) -> dict[str, Any]:
    """The payload of a plain delta with other arguments or code."""
    payload = event.payload
    delta = payload["delta"]
    details = delta["step_details"]
    call = details["tool_calls"][0]
    kind = call["type"]
    call = {**call, kind: _filled(call[kind], INPUT_OF[kind], text)}
    return {**payload, "delta": {**delta, "step_details": {**details, "tool_calls": [call]}}}


def _both_append(earlier: Any, later: Any) -> bool:
    """Whether both only append a text to one object. The payloads show whether they differ in anything else."""
    first, second = earlier.narrow, later.narrow
    return bool(first[2] and second[2] and first[0] == second[0] and first[1][0][0] == second[1][0][0])


def _filled(container: dict[str, Any], key: str, text: str) -> dict[str, Any]:
    """The object with the text under `key`, and without empty members, such as `"annotations": []`."""
    return {**{name: value for name, value in container.items() if value}, key: text}


def _written(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


# -- snapshots -------------------------------------------------------------------------------------------------------


def _same_status(earlier: RunSnapshot, later: RunSnapshot) -> bool:
    """Return whether two snapshots have the same run status. A new status must be delivered at once."""
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

"""Programs over events and snapshots: names narrow, matching is exhaustive, nothing can be assigned."""

from __future__ import annotations

from collections.abc import Iterator

from typed_programs import Programs

from rx_assistant.events import BY_NAME, DoneEvent, ErrorEvent

RIGHT = """
from typing import assert_never, assert_type
from rx_assistant import events as ev, types as t
from rx_assistant.snapshots import Fold, RunSnapshot, fold


def families(event: ev.AssistantStreamEvent, snapshot: RunSnapshot) -> RunSnapshot:
    if isinstance(event, ev.RunEvent):
        assert_type(event.data, t.Run)
    elif isinstance(event, ev.MessageEvent):
        assert_type(event.data, t.Message)
    assert_type(ev.ThreadRunCreated.from_data(t.Run(id="run_1")), ev.ThreadRunCreated)
    base: ev.StreamEvent = event
    name: str = base.event
    print(name, base.raw, fold(snapshot, base).status)
    for message in snapshot.messages:
        for part in message.content:
            if part.type == "text":
                assert_type(part.text.value, str)
    call = snapshot.tool_calls[-1]
    if call.type == "function":
        assert_type(call.function.arguments, str)
    text: t.Text | None = snapshot.text_part("msg_1", 0)
    assert_type(snapshot.run, t.Run | None)
    assert_type(snapshot.usage, t.Usage | None)
    reader = Fold(snapshot)
    ((version, changes, _),) = reader.advance(event)
    print([phase for phase, _, _ in changes], version, text)
    return reader.snapshot
"""

WRONG = {
    "a name that no event has": 'def f(e: ev.AssistantStreamEvent) -> bool: return e.event == "thread.lost"',
    "an ending, which is no item": 'def f(e: ev.AssistantStreamEvent) -> bool: return e.event == "done"',
    "a failure, which is no item": 'def f(e: ev.AssistantStreamEvent) -> bool: return e.event == "error"',
    "data without narrowing": "def f(e: ev.AssistantStreamEvent) -> None: e.data.status",
    "an event that is changed": 'def f(e: ev.ThreadRunCreated) -> None: e.event = "thread.run.created"',
    "a payload that is changed": "def f(e: ev.ThreadRunCreated) -> None: e.data = e.data",
    "a snapshot that is changed": "def f(s: RunSnapshot) -> None: s.run = None",
    "a list that is changed": "def f(s: RunSnapshot) -> None: s.messages[0] = s.messages[1]",
}


ITEMS = {name: kind for name, kind in BY_NAME.items() if kind not in (DoneEvent, ErrorEvent)}


def matching() -> Iterator[str]:
    """Comparing each name, and matching each class, to the end of the union."""
    yield "\n\ndef names(event: ev.AssistantStreamEvent) -> None:"
    for number, (name, kind) in enumerate(ITEMS.items()):
        yield f'    {"el" if number else ""}if event.event == "{name}":'
        yield f"        assert_type(event, ev.{kind.__name__})"
        model = type(kind(b"{}").data).__name__
        yield f"        assert_type(event.data, t.{model})"
    yield "    else:\n        assert_type(event, ev.UnknownEvent)\n        assert_type(event.data, object)"
    yield "\n\ndef classes(event: ev.AssistantStreamEvent) -> object:\n    match event:"
    for kind in ITEMS.values():
        yield f"        case ev.{kind.__name__}(data):\n            return data"
    yield "        case ev.UnknownEvent(data):\n            return data"
    yield "        case _:\n            assert_never(event)\n"


PROGRAMS = Programs(
    right="\n".join([RIGHT, *matching()]),
    head="from rx_assistant import events as ev\nfrom rx_assistant.snapshots import RunSnapshot\n\n",
    wrong=WRONG,
)

"""Bodies of other protocols, read by a translator, and what its events say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rx_assistant.dialects.chat import ChatTranslator
from rx_assistant.dialects.frames import ChatFrames
from rx_assistant.events import ReasoningDelta, StreamEvent, ThreadMessageDelta, UnknownEvent
from rx_assistant.lifecycle import Grammar
from rx_assistant.types import Run


@dataclass
class Read:
    """What the events of one turn add up to."""

    events: list[StreamEvent]
    run: Run
    text: str = ""
    late: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """The calls that the run waits for, each as (id, name, arguments)."""


def chat(body: bytes, cuts: Iterable[int] = (), **options: Any) -> Read:
    """A Chat Completions body, which arrives in chunks that end at `cuts`."""
    numbers = itertools.count()
    translator = ChatTranslator(new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1, **options)
    frames, events = ChatFrames(), list[StreamEvent]()
    edges = [0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]
    for start, end in itertools.pairwise(edges):
        for name, payload in frames.push(body[start:end]):
            events += translator.feed(payload, name)
    for name, payload in frames.end():
        events += translator.feed(payload, name)
    return read([*events, *translator.end()])


def read(events: list[StreamEvent]) -> Read:
    """What the events say. They pass the strict grammar of the protocol, or this raises ProtocolError."""
    grammar = Grammar("strict")
    for event in events:
        grammar.feed(event.event, **_identity(event))
    grammar.feed("done")
    grammar.finish()
    run = events[-1].data
    assert isinstance(run, Run)
    found = Read(events, run)
    for event in events:
        match event:
            case ThreadMessageDelta():
                found.text += "".join(text for _, text in event.text_fragments)
            case ReasoningDelta():
                found.reasoning += event.text
            case UnknownEvent() if event.event == "model.late_text":
                found.late += json.loads(event.raw)["text"]
    if run.required_action is not None:
        asked = run.required_action.submit_tool_outputs.tool_calls
        found.calls = [(call.id, call.function.name, call.function.arguments) for call in asked]
    return found


def _identity(event: StreamEvent) -> dict[str, Any]:
    if isinstance(event, UnknownEvent | ReasoningDelta):
        return {}
    value = json.loads(event.raw)
    return {"id": value["id"], "status": value.get("status"), "run_id": value.get("run_id")}

"""Function arguments that are read while they are written."""

from __future__ import annotations

import json
import random

import rx_assistant
from benchmarks._measure import Row, race
from benchmarks._streams import arguments_delta, chunks, frame, run, step
from rx_assistant import operators as ax

SIZE = 100_000


def document() -> str:
    """About 100 KB of JSON: a list of small objects."""
    chance = random.Random(7)
    items = []
    length = 0
    while length < SIZE:
        items.append({"id": len(items), "name": f"item {chance.randrange(10**6)}", "tags": ["a", "b"], "price": 1.5})
        length += len(json.dumps(items[-1])) + 2
    return json.dumps({"items": items})


def rows() -> list[Row]:
    """The row of this table."""
    text = document()
    fragments = [text[start : start + 5] for start in range(0, len(text), 5)]
    first = {
        "id": "step_bench000000000000000000",
        "object": "thread.run.step.delta",
        "delta": {
            "step_details": {
                "type": "tool_calls",
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_bench",
                        "type": "function",
                        "function": {"name": "buy", "arguments": "", "output": None},
                    }
                ],
            }
        },
    }
    created = step("tool_calls", "in_progress", {"type": "tool_calls", "tool_calls": []})
    events = [frame("thread.run.created", run("queued")), frame("thread.run.step.created", created)]
    events.append(frame("thread.run.step.delta", first))
    events += [frame("thread.run.step.delta", arguments_delta(fragment)) for fragment in fragments]
    events += [frame("thread.run.requires_action", run("requires_action")), frame("done", "[DONE]")]
    pieces = chunks(iter(events))

    def partial() -> None:
        values: list[object] = []
        stream = rx_assistant.replay(pieces)

        def watch(call: ax.ToolCallStream) -> None:
            call.partial_arguments().subscribe(lambda value: values.append(value) if len(values) < 1 else None)

        stream.pipe(ax.tool_calls()).subscribe(watch)
        stream.until_done()
        assert values

    def plain() -> None:
        stream = rx_assistant.replay(pieces)
        stream.pipe(ax.tool_calls()).subscribe(lambda call: call.argument_deltas.subscribe(len))
        stream.until_done()

    ours, without, whole = race(partial, plain, lambda: json.loads(text))
    each = (ours - without) / len(fragments) * 1e6
    return [
        Row(
            f"partial arguments, {len(text) // 1000} KB in 5-byte deltas, read at each",
            f"{each:.2f} µs",
            f"one json.loads of the whole {whole * 1e3:.2f} ms",
            f"with decoding and delivery {ours / len(fragments) * 1e6:.2f} µs",
            "≤ 3 µs",
            each <= 3,
        )
    ]

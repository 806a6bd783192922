"""Folding: a snapshot after every delta, one scalar and the newest fragment read from it, as streams grow."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks._measure import Row, no_collector
from rx_assistant.events import StreamEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots import Fold, RunSnapshot, fold

SIZES = (100, 1_000, 10_000, 100_000)
TEXT = (
    '{"id":"msg_abc123","object":"thread.message.delta","delta":{"content":'
    '[{"index":0,"type":"text","text":{"value":"abcd "%s}}]}}'
)
MARK = (
    ',"annotations":[{"index":%d,"type":"file_citation","text":"【4:0†source】","start_index":0,"end_index":12,'
    '"file_citation":{"file_id":"file-4Zpm5VXPDRPpZqU1VtU13K","quote":""}}]'
)
STEP = (
    '{"id":"step_abc123","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":'
    '[{"index":%d,"type":"%s","%s":{"%s":"abcd "}}]}}}'
)


@dataclass(frozen=True)
class Kind:
    """One kind of stream."""

    name: str
    kind: type[StreamEvent]
    payload: Callable[[int], str]
    newest: Callable[[Any, int], object]
    whole: Callable[[RunSnapshot], object]
    sizes: tuple[int, ...] = SIZES


KINDS = [
    Kind(
        "text",
        ThreadMessageDelta,
        lambda at: TEXT % "",
        lambda part, at: part.log.newest(at),
        lambda snapshot: snapshot.messages[0].content[0].model_dump(),
    ),
    Kind(
        "one annotation per delta",
        ThreadMessageDelta,
        lambda at: TEXT % (MARK % at),
        lambda part, at: part.annotations.newest(at),
        lambda snapshot: snapshot.messages[0].content[0].model_dump(),
    ),
    Kind(
        "code input",
        ThreadRunStepDelta,
        lambda at: STEP % (0, "code_interpreter", "code_interpreter", "input"),
        lambda call, at: call.log.newest(at),
        lambda snapshot: snapshot.tool_calls[0].model_dump(),
    ),
    Kind(
        "arguments",
        ThreadRunStepDelta,
        lambda at: STEP % (0, "function", "function", "arguments"),
        lambda call, at: call.log.newest(at),
        lambda snapshot: snapshot.tool_calls[0].model_dump(),
    ),
    Kind(
        "N/10 tool calls",
        ThreadRunStepDelta,
        lambda at: STEP % (at // 10, "function", "function", "arguments"),
        lambda call, at: call.log.newest(at),
        lambda snapshot: snapshot.steps[0].model_dump(),
        sizes=SIZES[:-1],
    ),
]


def payloads_of(growth: Kind, count: int) -> list[bytes]:
    """The bytes of `count` deltas."""
    return [growth.payload(at).encode() for at in range(count)]


def fold_all(growth: Kind, payloads: list[bytes]) -> RunSnapshot:
    """The timed region: from an event's bytes to what a reader of each snapshot sees."""
    reader, kind, newest = Fold(), growth.kind, growth.newest
    for payload in payloads:
        ((version, changes, _),) = reader.advance(kind(payload))
        _ = reader.snapshot.status
        newest(changes[-2][1], version)
    return reader.snapshot


def microseconds(growth: Kind, count: int) -> float:
    """CPU time per delta (nothing here waits), the best of some rounds; after each the last snapshot is read whole."""
    payloads = payloads_of(growth, count)
    best = float("inf")
    for _ in range(max(2, min(20, 20_000 // count))):
        with no_collector():  # it walks the models that a long stream's readers have made: their growth, not the fold's
            begun = time.process_time()
            last = fold_all(growth, payloads)
            best = min(best, time.process_time() - begun)
        growth.whole(last)
    return best / count * 1e6


def used_bytes(payloads: list[bytes], *, keep: bool) -> int:
    """What a fold holds in memory, its snapshots kept, every hundredth of them read, or not."""
    gc.collect()
    tracemalloc.start()
    snapshot, kept = RunSnapshot(), []
    for at, payload in enumerate(payloads):
        snapshot = fold(snapshot, ThreadMessageDelta(payload))
        if keep:
            kept.append(snapshot)
            if at % 100 == 0:
                _ = snapshot.messages[0].content[0].model_dump()
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used


def rows() -> list[Row]:
    """The table."""
    found = []
    for growth in KINDS:
        costs = {size: microseconds(growth, size) for size in growth.sizes}
        ratio = costs[growth.sizes[-1]] / costs[1_000]
        shown = " · ".join(f"{cost:.2f}" for cost in costs.values())
        sizes = " · ".join(f"{size:,}" for size in growth.sizes)
        found.append(Row(growth.name, f"{shown} µs", f"at N = {sizes}", f"{ratio:.2f}", "≤ 1.5", ratio <= 1.5))
    payloads = payloads_of(KINDS[0], 10_000)
    used_bytes(payloads, keep=True)
    cost = (used_bytes(payloads, keep=True) - used_bytes(payloads, keep=False)) / 1e6
    found.append(Row("10,000 snapshots kept, 100 read", f"{cost:.2f} MB", "none kept", "", "≤ 2 MB", cost <= 2))
    return found

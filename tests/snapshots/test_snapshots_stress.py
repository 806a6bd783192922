"""Malformed frames, and what keeping snapshots costs in memory."""

from __future__ import annotations

import gc
import tracemalloc

import mutated
import pytest

from rx_assistant.events import ThreadMessageDelta
from rx_assistant.snapshots import RunSnapshot, fold

MEGABYTE = 1_000_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_frames_cause_nothing_but_typed_errors(seed: int) -> None:
    seen = mutated.run(1500, seed)
    assert seen["refused"] > 100
    assert seen["read"] > 100


def delta(at: int) -> ThreadMessageDelta:
    return ThreadMessageDelta(
        b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":'
        b'[{"index":0,"type":"text","text":{"value":"%05d"}}]}}' % at
    )


def test_a_long_message_and_many_kept_snapshots_stay_small() -> None:
    fold(RunSnapshot(), delta(0)).messages[0].content[0].model_dump()  # loads everything
    gc.collect()
    tracemalloc.start()
    try:
        snapshot, kept = RunSnapshot(), []
        for at in range(100_000):
            snapshot = fold(snapshot, delta(at))
            if at % 10 == 0:
                kept.append(snapshot)
        for each in kept[::100]:
            assert each.text_part("msg_1", 0).value.startswith("00000")
        assert snapshot.text[-5:] == "99999"
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
        kept.clear()
        gc.collect()
        without = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used < 3 * 500_000 + 3 * MEGABYTE
    assert used - without < 2 * MEGABYTE

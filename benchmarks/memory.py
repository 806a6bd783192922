"""What 100 000 deltas of one message keep in memory."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Literal

import rx_assistant
from benchmarks._measure import Row
from benchmarks._streams import text_events, words
from rx_assistant import RunSnapshot, operators as ax

N = 100_000
MB = 10**6


def kept(replay: Literal["all", "none"]) -> tuple[int, int]:
    """Bytes of memory after the stream, a snapshot kept every 10 deltas; and bytes received."""
    received = 0

    def source():
        nonlocal received
        batch: list[bytes] = []
        for event in text_events(N):
            batch.append(event)
            if len(batch) == 100:
                chunk = b"".join(batch)
                received += len(chunk)
                batch.clear()
                yield chunk
        yield b"".join(batch)

    warm = rx_assistant.replay(b"".join(text_events(300)), replay=replay)
    warm.pipe(ax.snapshots()).subscribe(lambda snapshot: snapshot.text)
    warm.until_done()
    pieces = words(N)  # the generator's own list is not the stream's memory
    del pieces
    chunks = iter(list(source()))  # the bytes themselves are made beforehand, and not counted
    gc.collect()
    tracemalloc.start()
    snapshots: list[RunSnapshot] = []
    stream = rx_assistant.replay(chunks, replay=replay)

    seen = 0

    def keep(snapshot: RunSnapshot) -> None:
        nonlocal seen
        seen += 1
        if seen % 10 == 0:
            snapshots.append(snapshot)

    stream.pipe(ax.snapshots()).subscribe(keep)
    stream.until_done()
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(snapshots) > N // 10 - 1
    return used, received


def rows() -> list[Row]:
    """The rows of this table."""
    text = sum(len(piece) for piece in words(N))
    used, received = kept("none")
    limit = 3 * text + 3 * MB
    found = [
        Row(
            "100 000 deltas, a snapshot kept every 10, replay='none'",
            f"{used / MB:.1f} MB",
            f"text {text / MB:.1f} MB",
            f"{(used - 3 * MB) / text:.2f} × the text + 3 MB",
            f"≤ {limit / MB:.1f} MB",
            used <= limit,
        )
    ]
    used, received = kept("all")
    limit = 2 * received + 3 * MB
    found.append(
        Row(
            "the same, replay='all'",
            f"{used / MB:.1f} MB",
            f"received {received / MB:.1f} MB",
            f"{used / received:.2f} × the bytes",
            f"≤ {limit / MB:.1f} MB",
            used <= limit,
        )
    )
    return found

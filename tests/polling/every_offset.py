"""Cuts every recorded stream at every byte, resumes it by polling, and checks law L5 and the snapshot.

    python tests/polling/every_offset.py [script ...]

Takes minutes; the suite cuts at frame boundaries and at a sample.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from polling_recorded import SCRIPTS, Recorded, check_once, events_of, recorded_streams, resumed  # noqa: E402

from rx_assistant.errors import StreamTruncatedError  # noqa: E402
from rx_assistant.events import StreamEvent  # noqa: E402


def check(recorded: Recorded, offset: int) -> None:
    """One cut."""
    stream = resumed(recorded, offset)
    events: list[StreamEvent] = []
    stream.subscribe(events.append, lambda _: None)
    if offset < recorded.start:
        try:
            stream.until_done()
        except StreamTruncatedError:
            return
        raise AssertionError(f"{recorded.name}: there was nothing to resume at {offset}")
    stream.until_done()
    arrived = events_of(recorded.body[:offset])
    assert events[: len(arrived)] == arrived
    check_once(events, recorded)


def main(names: list[str]) -> None:
    """Check the scripts named, or all of them."""
    total, started = 0, time.perf_counter()
    for name in names or SCRIPTS:
        for recorded in recorded_streams(name):
            for offset in range(len(recorded.body) + 1):
                check(recorded, offset)
            total += len(recorded.body) + 1
            print(f"{recorded.name}: {len(recorded.body) + 1} offsets", flush=True)
    print(f"{total} offsets in {time.perf_counter() - started:.0f} s: nothing lost, nothing told twice")


if __name__ == "__main__":
    main(sys.argv[1:])

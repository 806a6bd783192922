"""Cuts every stream of `polling_legs` at every single byte, resumes it by polling, and checks law L5 and the snapshot.

    python tests/polling/every_offset.py [script ...]

Takes minutes; the suite cuts at frame boundaries and at a sample.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from polling_legs import SCRIPTS, Leg, check_once, events_of, legs, resumed  # noqa: E402

from rx_assistant.errors import StreamTruncatedError  # noqa: E402
from rx_assistant.events import StreamEvent  # noqa: E402


def check(leg: Leg, offset: int) -> None:
    """One cut."""
    stream = resumed(leg, offset)
    events: list[StreamEvent] = []
    stream.subscribe(events.append, lambda _: None)
    if offset < leg.start:
        try:
            stream.until_done()
        except StreamTruncatedError:
            return
        raise AssertionError(f"{leg.name}: there was nothing to resume at {offset}")
    stream.until_done()
    arrived = events_of(leg.body[:offset])
    assert events[: len(arrived)] == arrived
    check_once(events, leg)


def main(names: list[str]) -> None:
    """Check the scripts named, or all of them."""
    total, started = 0, time.perf_counter()
    for name in names or SCRIPTS:
        for leg in legs(name):
            for offset in range(len(leg.body) + 1):
                check(leg, offset)
            total += len(leg.body) + 1
            print(f"{leg.name}: {len(leg.body) + 1} offsets", flush=True)
    print(f"{total} offsets in {time.perf_counter() - started:.0f} s: nothing lost, nothing told twice")


if __name__ == "__main__":
    main(sys.argv[1:])

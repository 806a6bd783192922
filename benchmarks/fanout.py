"""One event to a hundred subscribers, and one parse for any number of substreams."""

from __future__ import annotations

import reactivex.subject

import rx_assistant
from benchmarks._measure import Row, race
from benchmarks._streams import chunks, text_events
from rx_assistant import operators as ax

N = 2_000
OBSERVERS = 100


def rows() -> list[Row]:
    """The rows of this table."""
    pieces = chunks(text_events(N))
    events = list(rx_assistant.replay(pieces))
    count = len(events)

    def ignore(_event: object) -> None:
        """A plain subscriber."""

    def subject() -> None:
        hub: reactivex.subject.Subject[object] = reactivex.subject.Subject()
        for _ in range(OBSERVERS):
            hub.subscribe(ignore)
        for event in events:
            hub.on_next(event)

    def hot(observers: int) -> None:
        stream = rx_assistant.replay(pieces)
        for _ in range(observers):
            stream.subscribe(ignore)
        stream.until_done()

    with_all, with_one, theirs = race(lambda: hot(OBSERVERS), lambda: hot(1), subject)
    ours = (with_all - with_one) / count * 1e6 * OBSERVERS / (OBSERVERS - 1)
    other = theirs / count * 1e6
    found = [
        Row(
            f"one event to {OBSERVERS} subscribers",
            f"{ours:.2f} µs",
            f"reactivex Subject {other:.2f} µs",
            f"{ours / other:.2f}",
            "≤ 1",
            ours <= other,
        )
    ]

    def texts(observers: int) -> None:
        stream = rx_assistant.replay(pieces)
        for _ in range(observers):
            stream.pipe(ax.text_deltas()).subscribe(ignore)
        stream.until_done()

    one, ten = race(lambda: texts(1), lambda: texts(10))
    found.append(
        Row(
            "text_deltas() ten times on one stream",
            f"{ten / count * 1e6:.2f} µs",
            f"once: {one / count * 1e6:.2f} µs",
            f"{ten / one:.2f} × for 10 ×",
        )
    )
    return found

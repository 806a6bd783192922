"""Substreams read from several threads while another one pumps: no gap, no duplicate, one ending."""

from __future__ import annotations

import threading
from typing import Any

from guard import GUARD
from operators_wire import DONE, Seen, message, run, seen, text

from rx_assistant import from_events, operators as ax

PIECES = [(number % 3, f"{number} ") for number in range(300)]
WHOLE = ["".join(piece for index, piece in PIECES if index == part) for part in range(3)]
EVENTS = [
    run("in_progress"),
    *[text(piece, index) for index, piece in PIECES],
    message("completed", *WHOLE),
    run("completed"),
    DONE,
]


def together(*works: Any) -> None:
    """Run each on a thread of its own, from the same moment on."""
    start = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def act(work: Any) -> None:
        start.wait(GUARD)
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=act, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def test_loops_inside_loops_on_many_threads_each_read_everything() -> None:
    stream = from_events(EVENTS)
    found: list[list[str]] = []

    def read() -> None:
        found.append(["".join(part) for part in stream.pipe(ax.texts())])

    together(*[read] * 4)
    assert found == [WHOLE] * 4


def test_loops_inside_the_loop_read_everything_while_a_thread_of_the_streams_own_pumps() -> None:
    with from_events(EVENTS) as stream:
        subscribed: list[Seen] = []
        stream.pipe(ax.texts()).subscribe(lambda part: subscribed.append(seen(part)))
        stream.connect()
        assert ["".join(part) for part in stream.pipe(ax.texts())] == WHOLE
        stream.until_done()
    assert ["".join(notes.items) for notes in subscribed] == WHOLE
    assert [notes.endings for notes in subscribed] == [[None]] * 3


def test_subscribers_who_come_and_go_on_other_threads_miss_nothing() -> None:
    for _ in range(5):
        stream = from_events(EVENTS)
        parts: list[Any] = []
        appeared = threading.Event()

        def note(part: Any, parts: list[Any] = parts, appeared: threading.Event = appeared) -> None:
            parts.append(part)
            if len(parts) == 3:
                appeared.set()

        outer = stream.pipe(ax.texts()).subscribe(note)
        kept: list[Seen] = []

        def come_and_go(
            parts: list[Any] = parts, kept: list[Seen] = kept, appeared: threading.Event = appeared
        ) -> None:
            assert appeared.wait(GUARD)
            for _ in range(20):
                for part in parts:
                    part.subscribe(lambda _: None, lambda _: None).dispose()
            kept.extend(seen(part) for part in parts)

        def leave(outer: Any = outer, appeared: threading.Event = appeared) -> None:
            assert appeared.wait(GUARD)
            outer.dispose()

        together(stream.until_done, come_and_go, come_and_go, leave)
        assert sorted("".join(notes.items) for notes in kept) == sorted(WHOLE * 2)
        assert [notes.endings for notes in kept] == [[None]] * 6

"""The life of a log: its states, what moves it from one to the next, and who may do so.

           end, cut             deliver                 release
    OPEN ────────────▶ ENDED ─────────────▶ DELIVERED ────────────▶ RELEASED
                       │   ▲
                       └───┘ cut

    OPEN        Items are appended and delivered.
    ENDED       The ending is decided, and nothing is appended any more. Items, and the ending itself, may still have to
                be delivered.
    DELIVERED   Every seat has had the ending. The thread that delivered it still has the turn to deliver.
    RELEASED    That thread has given the turn back. Waiters go on, and a late subscriber is served on its own thread.

`end` and `cut` come from the reader of the stream, or from `close()`, on any thread, under the log's mutex. `cut` drops
what was not delivered, and may replace an ending that was decided but not reached. `deliver` comes from the thread that
has the turn to deliver, after the last seat. `release` comes from the thread that looks last, when the turn is free.

A signal that the table does not have in a state does nothing: a second `end` finds the log ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

State: TypeAlias = int
Signal: TypeAlias = Literal["end", "cut", "deliver", "release"]

OPEN: Final = 0
ENDED: Final = 1
DELIVERED: Final = 2
RELEASED: Final = 3

MOVES: Final[Mapping[tuple[State, Signal], State]] = {
    (OPEN, "end"): ENDED,
    (OPEN, "cut"): ENDED,
    (ENDED, "cut"): ENDED,
    (ENDED, "deliver"): DELIVERED,
    (DELIVERED, "release"): RELEASED,
}
"""States only grow, so `state >= ENDED` asks whether the ending is decided."""

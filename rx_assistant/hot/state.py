"""The states of a log, and the signals that move it from one state to the next.

           end, cut             deliver                 release
    OPEN ────────────▶ ENDED ─────────────▶ DELIVERED ────────────▶ RELEASED
                       │   ▲
                       └───┘ cut

    OPEN        Items are appended and delivered.
    ENDED       The ending is decided, and nothing is appended any more. Items, and the ending itself, may still have to
                be delivered.
    DELIVERED   Every subscriber has had the ending. The thread that delivered it still holds the delivery lock.
    RELEASED    That thread has released the lock. Waiters continue; a late subscriber is served on its own thread.

    signal      sent by
    end, cut    the reader of the stream, or `close()`, on any thread, under the storage's mutex
    deliver     the thread that holds the delivery lock, after the last subscriber
    release     the thread that finds nothing more to deliver, and the lock free

`cut` drops the items that were not delivered. It may replace an ending that was decided but not delivered. A signal
that the table does not have for a state has no effect, such as a second `end`.

The pump, the body and recordings have no states of their own for the end of a stream: they use these four.
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

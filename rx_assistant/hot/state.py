"""The life of a log: its states, and the signals that move it from one to the next.

           end, cut             deliver                 release
    OPEN ────────────▶ ENDED ─────────────▶ DELIVERED ────────────▶ RELEASED
                       │   ▲
                       └───┘ cut

    OPEN        Items are appended and delivered.
    ENDED       The ending is decided, and nothing is appended any more. Items, and the ending itself, may still have to
                be delivered.
    DELIVERED   Every seat has had the ending. The thread that delivered it still holds the delivery lock.
    RELEASED    That thread has given the lock back. Waiters continue; a late subscriber is served on its own thread.

    signal      sent by
    end, cut    the reader of the stream, or `close()`, on any thread, under the storage's mutex
    deliver     the thread that holds the delivery lock, after the last seat
    release     the thread that finds the lock free after its last look

`cut` drops what was not delivered. It may replace an ending that was decided and not reached yet. A signal that the
table does not have in a state does nothing: a second `end` finds the log ended.

Pump, body and recordings name the end of a stream with these four words, and have no further states for it.
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

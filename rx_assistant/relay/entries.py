"""Entries of a relay's log: whole frames, numbered by the events before them.

An event's number is its place in the run, counted from 0 over all responses and all producers. The id of an entry is
`<number after its last event>-<generation>`: it does not depend on any clock. It is also the cursor after which a
follower continues. A cursor inside an entry is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["open", "paused", "interrupted", "ended"]
"""`paused`: the run requires action, and a response will follow. `interrupted`: the producer has stopped early."""

END_OF_FRAME = b"\n\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """Some frames, one after the other: the events from number `start` up to, but without, number `end`.

    An entry without frames says that the state of the run has changed. `is_last`: the frame is `done` or an `error`.
    """

    start: int
    end: int
    generation: int
    frames: bytes
    is_last: bool = False

    @property
    def cursor(self) -> str:
        """The place after this entry."""
        return cursor_at(self.end, self.generation)

    def after(self, position: int) -> Entry:
        """The part of the entry from event number `position` on."""
        if position <= self.start:
            return self
        at = 0
        for _ in range(position - self.start):
            at = self.frames.index(END_OF_FRAME, at) + len(END_OF_FRAME)
        return Entry(position, self.end, self.generation, self.frames[at:], self.is_last)


@dataclass(frozen=True, slots=True)
class RelayState:
    """How far a run has been published. `is_alive`: its producer has given a sign of life within the lease."""

    status: Status
    generation: int
    count: int
    is_alive: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A request of a follower to the producer, such as `Command("cancel")`; `data` is plain JSON."""

    type: str
    data: object = None


def checked_key(key: object) -> str:
    """The key of a run. TypeError or ValueError for a value that not every relay can use as a key."""
    if not isinstance(key, str):
        raise TypeError(f"the key of a run must be a str, got {key!r:.60}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the key of a run must be text that UTF-8 can encode, got {key!r:.60}") from None
    return key


def cursor_at(position: int, generation: int) -> str:
    """The cursor before event number `position`."""
    return f"{position}-{generation}"


def position_of(cursor: str | None) -> int:
    """The number of the event after the cursor; 0 without a cursor. ValueError or TypeError for any other value."""
    if cursor is None:
        return 0
    if not isinstance(cursor, str):
        raise TypeError(f"after must be a cursor of the relay, a text such as '17-0', got {cursor!r:.60}")
    number, dash, generation = cursor.partition("-")
    if not (dash and number.isdecimal() and generation.isdecimal() and cursor.isascii() and len(cursor) <= 40):
        raise ValueError(f"a cursor must be '<number>-<generation>', as a relay gives it, got {cursor!r:.60}")
    return int(number)

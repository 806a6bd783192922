"""Random scripts for `coalesce` on virtual time, and what happened when one was played."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reactivex import Observable, Subject, abc
from reactivex.scheduler import VirtualTimeScheduler

MS = 0.001


class Piece(NamedTuple):
    """Text of a part: joins its neighbour of the same part. Part 0 is no text and joins nothing."""

    part: int
    numbers: tuple[int, ...]


def adjacent(earlier: Piece, later: Piece) -> bool:
    return earlier.part == later.part != 0


def join(pieces: Sequence[Piece]) -> Piece:
    assert len({piece.part for piece in pieces}) == 1
    return Piece(pieces[0].part, tuple(number for piece in pieces for number in piece.numbers))


class Clock(VirtualTimeScheduler):
    """Virtual time that knows which of its timers are still pending."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self._timers: list[abc.DisposableBase] = []
        self._done: set[int] = set()

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        number = len(self._timers)

        def act(scheduler: abc.SchedulerBase, inner: Any = None) -> abc.DisposableBase | None:
            self._done.add(number)
            result: abc.DisposableBase | None = action(scheduler, inner)
            return result

        timer = super().schedule_relative(duetime, act, state)
        self._timers.append(timer)
        return timer

    @property
    def pending(self) -> int:
        """How many timers are set that were neither cancelled nor run."""
        return sum(not timer.is_disposed for n, timer in enumerate(self._timers) if n not in self._done)

    @property
    def timers(self) -> int:
        """How many timers were ever set."""
        return len(self._timers)


@dataclass
class Played:
    """What went in and what came out, with times in seconds."""

    pushed: list[tuple[float, Piece]] = field(default_factory=list)
    groups: list[tuple[float, Piece]] = field(default_factory=list)
    timers: list[tuple[int, bool]] = field(default_factory=list)  # pending timers, whether anything waited
    ending: tuple[float, Exception | None] | None = None
    stopped: tuple[float, str] = (0.0, "")


def play(seed: int, operator: Callable[[Observable[Any]], Observable[Any]], burst: float) -> Played:
    """Play the script of `seed`: pieces of several parts, in bursts, then an ending or a disposal."""
    chance = random.Random(seed)
    clock, source, played = Clock(), Subject[Piece](), Played()

    def now() -> float:
        return clock.to_seconds(clock.clock)

    def on_end(error: Exception | None = None) -> None:
        played.ending = now(), error

    subscription = source.pipe(operator).subscribe(
        lambda group: played.groups.append((now(), group)), on_end, on_end, scheduler=clock
    )

    def look() -> None:
        waiting = sum(len(g.numbers) for _, g in played.groups) < len(played.pushed)
        played.timers.append((clock.pending, waiting))

    at, part = 0, 1
    for number in range(chance.randrange(40)):
        at += 0 if chance.random() < burst else chance.choice((1, 2, 5, 20, 100))
        if chance.random() < 0.25:
            part = chance.randrange(4)
        clock.advance_to(at * MS)
        look()
        played.pushed.append((at * MS, Piece(part, (number,))))
        source.on_next(Piece(part, (number,)))
        look()
    at += chance.choice((0, 1, 7, 60))
    clock.advance_to(at * MS)
    how = chance.choice(("completed", "error", "dispose", "idle"))
    played.stopped = at * MS, how
    {
        "completed": source.on_completed,
        "error": lambda: source.on_error(OSError("gone")),
        "dispose": subscription.dispose,
        "idle": lambda: clock.advance_to((at + 200) * MS),
    }[how]()
    if how == "dispose":
        source.on_next(Piece(1, (-1,)))
    clock.advance_to((at + 1000) * MS)
    played.timers.append((clock.pending, False))
    return played

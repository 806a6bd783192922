"""Fair timing on a noisy machine: contestants in turn, medians, ratios from the same run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done, ours and the other's figure, and the target if there is one."""

    work: str
    ours: str
    other: str = ""
    result: str = ""
    target: str = ""
    met: bool | None = None


@contextmanager
def no_collector() -> Iterator[None]:
    """Collect before, not during: for what shall be told without the collector's share."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes. The garbage collector is on, as in applications, and starts with nothing to collect."""
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def race(*contestants: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Median seconds of each contestant; each is warmed up once, then all run in turn."""
    for contestant in contestants:
        contestant()
    laps = [[seconds(contestant) for contestant in contestants] for _ in range(rounds)]
    return [statistics.median(lap[place] for lap in laps) for place in range(len(contestants))]


def microseconds(total: float, count: int) -> str:
    """A time per item."""
    return f"{total / count * 1e6:.2f} µs"


def times_faster(work: str, ours: float, other: float, count: int, *, name: str, at_least: float | None = None) -> Row:
    """A row that says how many times faster ours is."""
    ratio = other / ours
    return Row(
        work,
        microseconds(ours, count),
        f"{name} {microseconds(other, count)}",
        f"{ratio:.1f} ×",
        "" if at_least is None else f"≥ {at_least:g} ×",
        None if at_least is None else ratio >= at_least,
    )


def at_most(work: str, ours: float, other: float, *, unit: str, name: str, limit: float) -> Row:
    """A row that says how ours relates to a floor or limit that it should stay near."""
    ratio = ours / other
    return Row(work, f"{ours:.2f} {unit}", f"{name} {other:.2f} {unit}", f"{ratio:.2f}", f"≤ {limit:g}", ratio <= limit)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

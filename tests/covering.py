"""Samples of a product of axes, in which every combination of the values of a few axes still occurs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import combinations, product
from typing import Any


def covering(
    *axes: Sequence[Hashable], size: int = 2, allowed: Callable[..., bool] = lambda *case: True
) -> list[tuple[Any, ...]]:
    """Cases of the product: each possible combination of the values of any `size` axes is in at least one of them.

    `allowed` says which cases of the product exist. The algorithm is greedy: it takes the case with the most new
    combinations, the earliest of several, until no combination is left. The result is always the same.
    """
    cases = [case for case in product(*axes) if allowed(*case)]
    numbers: dict[Hashable, int] = {}
    masks = [sum(1 << numbers.setdefault(key, len(numbers)) for key in _combinations(case, size)) for case in cases]
    left = (1 << len(numbers)) - 1
    chosen: list[int] = []
    # What a case adds only shrinks. The heap has what each added when it was last counted, negated.
    heap = [(-mask.bit_count(), place) for place, mask in enumerate(masks)]
    heapify(heap)
    while left:
        now = (-(masks[heap[0][1]] & left).bit_count(), heap[0][1])
        if now == heap[0]:
            chosen.append(now[1])
            left &= ~masks[now[1]]
            heappop(heap)
        else:
            heapreplace(heap, now)
    return [cases[place] for place in sorted(chosen)]


def _combinations(case: tuple[Hashable, ...], size: int) -> list[Hashable]:
    return [(places, tuple(case[place] for place in places)) for places in combinations(range(len(case)), size)]


def name_of(case: Sequence[object]) -> str:
    """A test id for a case."""
    return "-".join(str(getattr(value, "__name__", value)) for value in case)

"""The samples of products that stand for the whole product in large tables of tests."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from covering import covering

AXES = (range(7), "abcd", (True, False), (None, 1, 2))


def odd(number: int, letter: str, flag: bool, value: int | None) -> bool:
    """Some cases do not exist, and with them some pairs."""
    return not (letter == "a" and flag) and not (number == 3 and value == 2)


@pytest.mark.parametrize("size", [2, 3])
def test_every_combination_of_the_product_is_in_the_sample(size: int) -> None:
    whole, sample = [case for case in product(*AXES) if odd(*case)], covering(*AXES, size=size, allowed=odd)
    assert set(sample) <= set(whole)
    assert len(sample) < len(whole) / (2 if size == 2 else 1)
    for places in combinations(range(len(AXES)), size):
        assert {tuple(case[place] for place in places) for case in sample} == {
            tuple(case[place] for place in places) for case in whole
        }

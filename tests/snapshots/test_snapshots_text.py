"""TextLog: a growing text reads the same at each version, in any order of the readings and across its blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import accumulate
from random import Random

import pytest

from rx_assistant.snapshots.text import TextLog

WORDS = [f"{number}é " for number in range(700)]  # more than two blocks
WHOLE = ["", *accumulate(WORDS)]


def grown(count: int) -> TextLog:
    """A text with one fragment for each version from 1 on."""
    log = TextLog()
    for version, word in enumerate(WORDS[:count], 1):
        log.append(version, word)
    return log


ORDERS: dict[str, Callable[[list[int]], None]] = {
    "forwards": lambda versions: None,
    "backwards": lambda versions: versions.reverse(),
    "at random": Random(1).shuffle,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 512, 700])
def test_a_text_reads_the_same_at_each_version_in_any_order(count: int, order: str) -> None:
    log, versions = grown(count), list(range(count + 1))
    ORDERS[order](versions)
    for version in versions:
        assert log.length(version) == len(WHOLE[version])
        assert log.at(version) == WHOLE[version]
        assert log.newest(version) == ("" if version == 0 else WORDS[version - 1])
        assert log.copy(version).at(version) == WHOLE[version]


def test_a_copy_grows_on_by_itself() -> None:
    log = grown(300)
    copied = log.copy(299)
    copied.append(300, "other")
    assert (copied.at(300), copied.length(300)) == (WHOLE[299] + "other", len(WHOLE[299]) + 5)
    assert log.at(300) == WHOLE[300]


def test_a_text_that_a_reader_keeps_never_changes() -> None:
    log, kept = TextLog(), []
    for version, word in enumerate(WORDS, 1):
        log.append(version, word)
        kept.append(log.at(version))
    assert kept == WHOLE[1:]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="extending a string in place belongs to CPython")
def test_reading_a_growing_text_again_and_again_copies_it_seldom() -> None:
    log, moves, before = TextLog(), 0, 0
    for version in range(1, 2_000):
        log.append(version, "0123456789" * 10)
        text = log.at(version)
        moves += id(text) != before
        before = id(text)
        del text
    assert log.at(1_999) == "0123456789" * 19_990
    assert moves < 1_000

"""The rules of coalescing (contract C32), each over 5 000 random scripts on virtual time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from pacing_script import MS, Piece, Played, adjacent, join, play

from rx_assistant.operators import coalesce

CASES = 5_000
BATCHES = 10
EPSILON = 1e-5  # virtual clocks round to microseconds


@pytest.fixture(scope="module", params=range(BATCHES))
def cases(request: pytest.FixtureRequest) -> list[tuple[int, float, bool, Played]]:
    """A batch of played scripts: seed, interval (seconds), leading, what happened."""
    first = request.param * CASES // BATCHES
    played = []
    for seed in range(first, first + CASES // BATCHES):
        chance = random.Random(-seed - 1)
        interval, leading = chance.choice((3, 10, 33)) * MS, chance.random() < 0.7
        operator = coalesce(interval, adjacent=adjacent, join=join, leading=leading)
        played.append((seed, interval, leading, play(seed, operator, chance.choice((0.1, 0.5, 0.9)))))
    return played


def numbers(played: Played) -> list[int]:
    return [number for _, group in played.groups for number in group.numbers]


def with_out_times(played: Played) -> Iterator[tuple[int, float, Piece, float | None]]:
    """Each item pushed: its number, its time, itself, the time at which it came out."""
    out = {number: at for at, group in played.groups for number in group.numbers}
    for number, (at, piece) in enumerate(played.pushed):
        yield number, at, piece, out.get(number)


def is_barrier(played: Played, number: int) -> bool:
    piece = played.pushed[number][1]
    return not adjacent(played.pushed[max(number - 1, 0)][1], piece)


def test_nothing_is_lost_and_the_order_is_kept(cases: list[tuple[int, float, bool, Played]]) -> None:
    for seed, _, _, played in cases:
        expected = list(range(len(played.pushed)))
        if played.stopped[1] == "dispose":
            expected = expected[: len(numbers(played))]
        assert numbers(played) == expected, seed


def test_a_group_holds_neighbours_that_may_be_joined_and_nothing_else(
    cases: list[tuple[int, float, bool, Played]],
) -> None:
    for seed, _, _, played in cases:
        for _, group in played.groups:
            assert {played.pushed[number][1].part for number in group.numbers} == {group.part}, seed
            assert group.part != 0 or len(group.numbers) == 1, seed


def test_a_barrier_and_all_before_it_are_out_at_once(cases: list[tuple[int, float, bool, Played]]) -> None:
    barriers = 0
    for seed, _, _, played in cases:
        for number, at, _, out in with_out_times(played):
            if is_barrier(played, number):
                barriers += 1
                assert out == pytest.approx(at, abs=EPSILON), (seed, number)
    assert barriers > len(cases)


def test_groups_keep_an_interval_unless_a_barrier_or_the_ending_hurries_them(
    cases: list[tuple[int, float, bool, Played]],
) -> None:
    kept = 0
    for seed, interval, _, played in cases:
        hurried = {round(at, 6) for number, at, _, _ in with_out_times(played) if is_barrier(played, number)}
        hurried.add(round(played.stopped[0], 6))
        times = [at for at, _ in played.groups]
        for before, after in itertools.pairwise(times):
            if round(after, 6) not in hurried:
                kept += 1
                assert after - before >= interval - EPSILON, seed
    assert kept > len(cases)


def test_nothing_waits_longer_than_an_interval(cases: list[tuple[int, float, bool, Played]]) -> None:
    for seed, interval, _, played in cases:
        for number, at, _, out in with_out_times(played):
            if out is not None:
                assert out - at <= interval + EPSILON, (seed, number)


def test_the_first_after_idle_goes_out_at_once_when_leading_and_else_waits_an_interval(
    cases: list[tuple[int, float, bool, Played]],
) -> None:
    seen = {True: 0, False: 0}
    for seed, interval, leading, played in cases:
        last: float | None = -1.0  # when the item before came out, if it did
        for number, at, _, out in with_out_times(played):
            idle = last is not None and last < at and at - last >= interval + EPSILON
            last = out
            if idle and out is not None and not is_barrier(played, number) and out < played.stopped[0] - EPSILON:
                seen[leading] += 1
                barriers = [t for n, t, _, _ in with_out_times(played) if n > number and is_barrier(played, n)]
                due = at if leading else min([at + interval, *barriers])
                assert out == pytest.approx(due, abs=EPSILON), (seed, number)
    assert min(seen.values()) > len(cases) / 4


def test_there_is_never_more_than_one_timer_and_none_while_nothing_waits(
    cases: list[tuple[int, float, bool, Played]],
) -> None:
    for seed, _, _, played in cases:
        for pending, waiting in played.timers:
            assert pending == (1 if waiting else 0), seed


def test_what_waits_goes_out_before_the_ending_and_in_its_turn(
    cases: list[tuple[int, float, bool, Played]],
) -> None:
    for seed, _, _, played in cases:
        at, how = played.stopped
        if how in ("completed", "error"):
            assert played.ending is not None, seed
            assert played.ending[0] == pytest.approx(at, abs=EPSILON), seed
            assert (str(played.ending[1]) == "gone") == (how == "error"), seed
        else:
            assert played.ending is None, seed


def test_nothing_comes_out_after_disposal(cases: list[tuple[int, float, bool, Played]]) -> None:
    disposed = 0
    for seed, _, _, played in cases:
        at, how = played.stopped
        if how == "dispose":
            disposed += 1
            assert all(time <= at + EPSILON for time, _ in played.groups), seed
            assert -1 not in numbers(played), seed
    assert disposed > 50

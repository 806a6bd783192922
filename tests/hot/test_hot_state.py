"""The table of a log's life holds what its picture says."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from rx_assistant.errors import StreamClosedError
from rx_assistant.hot import FOREVER, HotLog
from rx_assistant.hot.state import DELIVERED, ENDED, MOVES, OPEN, RELEASED, Signal

STATES = (OPEN, ENDED, DELIVERED, RELEASED)


def in_state(state: int) -> HotLog[int]:
    """A log that got there by itself, with one item."""
    log: HotLog[int] = HotLog()
    log.append([int], [1])
    if state >= ENDED:
        log.end()
    if state >= DELIVERED:
        log.want(FOREVER)
    assert log.state in (state, RELEASED)
    log.storage.state = state  # DELIVERED lasts only while the thread that delivered has the turn
    return log


@pytest.mark.parametrize(("state", "signal"), [*product(STATES, get_args(Signal))])
def test_states_only_grow_and_only_cut_stays_where_it_is(state: int, signal: Signal) -> None:
    after = MOVES.get((state, signal))
    assert after is None or after > state or (state, signal) == (ENDED, "cut")


@pytest.mark.parametrize("state", STATES)
def test_a_log_ends_and_is_cut_where_the_table_says_so(state: int) -> None:
    assert in_state(state).end() is ((state, "end") in MOVES)
    assert in_state(state).cut(StreamClosedError("closed")) is ((state, "cut") in MOVES)


@pytest.mark.parametrize("state", STATES)
def test_a_log_takes_items_only_while_it_is_open(state: int) -> None:
    log = in_state(state)
    assert log.append([int], [2]) is (state == OPEN)
    assert (log.ended, log.delivered, log.released) == (state >= ENDED, state >= DELIVERED, state >= RELEASED)


def test_a_log_that_was_ended_well_can_still_be_cut_but_not_once_all_items_were_delivered() -> None:
    log = in_state(ENDED)
    assert log.cut(StreamClosedError("closed")) is True
    assert isinstance(log.failure, StreamClosedError)
    log = in_state(ENDED)
    log.take_alone(0)
    assert log.cut(StreamClosedError("closed")) is False
    assert log.failure is None


def test_an_ending_goes_through_every_state() -> None:
    seen: list[int] = []
    log: HotLog[int] = HotLog()
    log.listen(lambda: seen.append(log.state))
    log.push(1)
    log.end()
    log.want(FOREVER)
    assert seen == [OPEN, ENDED, RELEASED]

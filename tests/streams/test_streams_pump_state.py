"""The pump's pure state: which step each caller gets, and what follows a broken body."""

from __future__ import annotations

from typing import Any

import pytest
from streams_bodies import FedBody, answer

from rx_assistant.errors import APIConnectionError, StreamClosedError, StreamTruncatedError
from rx_assistant.hot import FOREVER
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import AssistantStream
from rx_assistant.streams.body import OPEN_BODIES
from rx_assistant.streams.pump_state import DELIVER, END, READ, WAIT, Close, PumpState, Resume


def made(*, resumes: bool = False) -> tuple[PumpState[Any], FedBody]:
    """The state of a stream whose first body is open, and has given all but the ending."""
    body = FedBody(*answer("a"))
    driver = AssistantStream(lambda: body).driver
    state = driver._state
    state.resumes = resumes
    state.hold(body)
    for chunk in answer("a")[:3]:
        state.feed.take(chunk)
    return state, body


def test_a_caller_reads_when_the_turn_is_free_and_waits_when_it_is_taken() -> None:
    state, _ = made()
    arrived = state.log.length
    assert state.arrival(arrived, True) is READ
    state.turn[0] = object()
    assert state.arrival(arrived, True) is WAIT
    assert state.delivery(True, over=False, behind=False, inside=False) is WAIT


def test_a_caller_that_may_not_read_waits_although_the_turn_is_free() -> None:
    state, _ = made()
    assert state.arrival(state.log.length, False) is WAIT


def test_what_has_arrived_needs_no_step() -> None:
    state, _ = made()
    assert state.arrival(state.log.length - 1, True) is END
    assert state.opening(True) is END


def test_delivery_comes_before_reading_on() -> None:
    state, _ = made()
    assert state.log.is_behind
    assert state.delivery(True, over=False, behind=True, inside=False) is DELIVER
    state.log.want(FOREVER)
    assert not state.log.is_behind
    assert state.delivery(True, over=False, behind=False, inside=False) is READ


@pytest.mark.parametrize(("inside", "step"), [(True, END), (False, WAIT)])
def test_after_the_ending_only_a_caller_inside_the_delivery_leaves(inside: bool, step: str) -> None:
    state, _ = made()
    state.cut()
    assert isinstance(state.log.failure, StreamClosedError)
    assert state.delivery(True, over=False, behind=False, inside=inside) == step


def test_a_broken_body_is_closed_and_the_next_one_is_held() -> None:
    state, body = made(resumes=True)
    steps = state.recovery(APIConnectionError("reset"))
    first = next(steps)
    assert isinstance(first, Close)
    assert first.body is body
    second = next(steps)
    assert isinstance(second, Resume)
    assert isinstance(second.snapshot, RunSnapshot)
    assert isinstance(steps.throw(APIConnectionError("refused")), Resume)
    following = FedBody()
    with pytest.raises(StopIteration):
        steps.send(following)
    assert state.body is following
    assert OPEN_BODIES[id(following)] is following
    assert not state.log.ended
    state.forget()


def test_without_a_way_to_resume_a_broken_body_ends_the_log() -> None:
    state, _ = made()
    assert [*state.recovery(APIConnectionError("reset"))] == []
    assert isinstance(state.log.failure, StreamTruncatedError)
    state.forget()

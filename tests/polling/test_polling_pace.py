"""How long to wait until the next fetch: the interval, the server's header, backoff, and nonsense in each of them."""

from __future__ import annotations

import math

import pytest

from rx_assistant.polling import Backoff, Polled, PollSettings, poll_after
from rx_assistant.polling.pace import Pace


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1000", 1.0), ("250", 0.25), ("0", 0.0), (" 1500 ", 1.5), ("12.5", 0.0125), ("86400000", 86400.0)],
)
def test_the_header_counts_milliseconds(text: str, seconds: float) -> None:
    assert poll_after({"openai-poll-after-ms": text}) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "-0.5", "soon", "1,000", "1_000", "1e3", "0x10", "NaN", "inf", "1000 ms", "٣", "9" * 400, "1\n2"],
)
def test_garbage_in_the_header_is_ignored(text: str) -> None:
    assert poll_after({"openai-poll-after-ms": text}) is None
    assert poll_after({}) is None


def pace_of(interval: float | None, backoff: Backoff | None) -> Pace:
    return Pace(PollSettings(interval=interval, backoff=backoff))


def waits(pace: Pace, *asked: float | None) -> list[float]:
    return [pace.after(Polled("state", wait)) for wait in asked]


def test_each_reply_sets_the_next_wait_where_there_is_no_interval() -> None:
    assert waits(pace_of(None, None), None, 0.2, None, 7, 0) == [1.0, 0.2, 1.0, 7, 0]


def test_an_interval_of_ones_own_wins_over_the_server() -> None:
    assert waits(pace_of(0.5, None), None, 0.2, 30) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("asked", [-1, math.nan, math.inf, "2", object()])
def test_a_wait_that_is_none_is_ignored(asked: object) -> None:
    assert waits(pace_of(None, None), asked) == [1.0]  # type: ignore[arg-type]


def test_backoff_grows_by_its_factor_up_to_its_cap() -> None:
    assert waits(pace_of(1, Backoff(2, cap=5)), *[None] * 5) == [1, 2, 4, 5, 5]
    assert waits(pace_of(None, Backoff(2, cap=5)), *[None] * 4) == [1, 2, 4, 5]
    assert waits(pace_of(10, Backoff(2, cap=5)), None) == [5]


def test_backoff_for_ever_neither_overflows_nor_exceeds_the_cap() -> None:
    pace = pace_of(1, Backoff(10, cap=30))
    assert waits(pace, *[None] * 1000)[-1] == 30


def test_jitter_shortens_by_its_share_at_most() -> None:
    draws = iter([0.0, 0.5, 0.999])
    assert waits(pace_of(2, Backoff(1, jitter=0.5, random=lambda: next(draws))), *[None] * 3) == [
        2,
        1.5,
        pytest.approx(1.001),
    ]
    assert all(0.5 <= wait <= 1 for wait in waits(pace_of(1, Backoff(1, jitter=0.5)), *[None] * 100))


def test_a_server_that_says_when_is_not_backed_off_from() -> None:
    assert waits(pace_of(None, Backoff(2, cap=60)), 3, None, 3, None) == [3, 1, 3, 2]


@pytest.mark.parametrize(
    "wrong", [{"factor": 0.5}, {"cap": 0}, {"jitter": 1.5}, {"jitter": -0.1}, {"factor": math.nan}]
)
def test_an_impossible_backoff_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Backoff(**wrong)


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, "1"])
def test_an_impossible_interval_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        PollSettings(interval=wrong)


def test_a_deadline_may_be_past_or_never_but_not_nan() -> None:
    assert PollSettings(deadline=-3).deadline == -3
    assert PollSettings(deadline=math.inf).deadline is None
    with pytest.raises(ValueError, match="longest wait"):
        PollSettings(deadline=math.nan)

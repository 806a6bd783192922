"""Retries, on a course that is driven by hand: no network, no clock."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from rx_assistant import errors
from rx_assistant.api import runs, threads
from rx_assistant.api.request import Request
from rx_assistant.http.call import prepare
from rx_assistant.http.exchange import Clock, FetchKey, Incoming, Send, Wait, exchange
from rx_assistant.http.options import CallOptions
from rx_assistant.http.retries import asked_wait, backoff, is_retryable
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout
from rx_assistant.http.transports import translated

URL = "http://server.test/v1"
NOW = 1_800_000_000.0


class Driver:
    """Plays the session: answers each `Send` with the next outcome, and keeps a clock that only waiting moves."""

    def __init__(self, *outcomes: object, random: float = 0.0, **settings: Any) -> None:
        self.now = 0.0
        self.sent: list[Send] = []
        self.waits: list[float] = []
        self._outcomes = [*outcomes]
        self._settings = Settings(base_url=URL, **settings)
        self._random = random

    def run(self, request: Request, options: CallOptions | None = None) -> Incoming:
        clock = Clock(lambda: self.now, lambda: NOW + self.now, lambda: self._random)
        course = exchange(prepare(request, self._settings, options or CallOptions()), clock)
        answer: object = None
        while True:
            try:
                step = course.send(answer)
            except StopIteration as end:
                return end.value
            match step:
                case Send():
                    self.sent.append(step)
                    answer = self._outcome(step)
                case Wait():
                    self.waits.append(step.seconds)
                    self.now += step.seconds
                    answer = None
                case FetchKey():
                    answer = step.provider()

    def _outcome(self, step: Send) -> object:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, float):
            self.now += outcome
            return translated(httpx.ReadTimeout("slow"), "no reply")
        if isinstance(outcome, Exception):
            return translated(outcome, "no reply")
        status, headers, body = outcome if isinstance(outcome, tuple) else (outcome, {}, None)
        request = httpx.Request(step.outgoing.method, step.outgoing.url)
        response = httpx.Response(status, headers=headers, json=body, request=request)
        return Incoming(response, None if step.stream and status == 200 else response.content)


def status(code: int, **headers: str) -> tuple[int, Mapping[str, str], object]:
    return code, {name.replace("_", "-"): value for name, value in headers.items()}, {"error": {"message": "no"}}


THREAD = threads.create({})


@pytest.mark.parametrize("code", [408, 409, 429, 500, 502, 503, 504, 529])
def test_these_statuses_are_tried_again(code: int) -> None:
    driver = Driver(status(code), 200)
    assert driver.run(THREAD).status == 200
    assert len(driver.sent) == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (418, errors.APIStatusError),
        (422, errors.UnprocessableEntityError),
    ],
)
def test_these_statuses_are_final(code: int, error: type[Exception]) -> None:
    driver = Driver(status(code))
    with pytest.raises(error) as caught:
        driver.run(THREAD)
    assert type(caught.value) is error
    assert driver.waits == []


@pytest.mark.parametrize(
    ("code", "error"),
    [(409, errors.ConflictError), (429, errors.RateLimitError), (500, errors.InternalServerError)],
)
def test_after_the_last_try_its_error_is_raised(code: int, error: type[Exception]) -> None:
    driver = Driver(*[status(code)] * 3)
    with pytest.raises(error):
        driver.run(THREAD)
    assert len(driver.sent) == 3
    assert driver.waits == [0.5, 1.0]


@pytest.mark.parametrize(
    "cause",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout(""),
        httpx.ReadError("reset"),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError("garbage"),
        httpx.WriteError(""),
        httpx.PoolTimeout(""),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_connection_errors_are_tried_again(cause: Exception) -> None:
    driver = Driver(cause, 200)
    assert driver.run(THREAD).status == 200
    assert driver.waits == [0.5]


def untrusted() -> httpx.ConnectError:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError()
    return error


@pytest.mark.parametrize(
    "cause",
    [httpx.UnsupportedProtocol(""), httpx.InvalidURL(""), httpx.LocalProtocolError(""), untrusted()],
    ids=lambda cause: type(cause).__name__,
)
def test_what_can_only_fail_again_is_not_tried_again(cause: Exception) -> None:
    driver = Driver(cause)
    with pytest.raises(errors.APIConnectionError):
        driver.run(THREAD)
    assert driver.waits == []


def test_a_token_provider_that_gives_no_text_is_a_configuration_error() -> None:
    with pytest.raises(errors.ConfigurationError, match="NoneType"):
        Driver(200, api_key=lambda: None).run(THREAD)


def test_each_try_of_a_post_carries_the_same_idempotency_key_and_each_call_its_own() -> None:
    keys = []
    for _ in range(2):
        driver = Driver(status(500), httpx.ReadError(""), 200)
        driver.run(THREAD)
        mine = {step.outgoing.headers["idempotency-key"] for step in driver.sent}
        assert len(mine) == 1
        keys.append(mine.pop())
    assert keys[0] != keys[1]


def test_a_get_carries_no_idempotency_key() -> None:
    driver = Driver(200)
    driver.run(threads.retrieve("t"))
    assert "idempotency-key" not in driver.sent[0].outgoing.headers


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after_ms": "125"}, 0.125),
        ({"retry_after_ms": "125", "retry_after": "7"}, 0.125),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": formatdate(NOW + 12, usegmt=True)}, 12.0),
        ({"retry_after": formatdate(NOW - 12, usegmt=True)}, 0.0),
        ({"retry_after": "soon"}, 0.5),
        ({"retry_after": "-3"}, 0.5),
        ({"retry_after_ms": "nan"}, 0.5),
        ({"retry_after_ms": "x", "retry_after": "2"}, 2.0),
        ({}, 0.5),
    ],
    ids=str,
)
def test_the_wait_is_what_the_server_asks_for_or_grows(headers: dict[str, str], wait: float) -> None:
    driver = Driver(status(429, **headers), 200)
    driver.run(THREAD)
    assert driver.waits == [pytest.approx(wait)]


def test_a_server_that_asks_for_more_than_a_minute_is_not_asked_again() -> None:
    driver = Driver(status(429, retry_after="61"))
    with pytest.raises(errors.RateLimitError):
        driver.run(THREAD)
    assert driver.waits == []


@pytest.mark.parametrize(("code", "word", "sent"), [(400, "true", 2), (500, "false", 1), (500, "maybe", 2)])
def test_x_should_retry_overrides_the_status(code: int, word: str, sent: int) -> None:
    driver = Driver(status(code, x_should_retry=word), 200)
    if sent == 1:
        with pytest.raises(errors.APIStatusError):
            driver.run(THREAD)
    else:
        driver.run(THREAD)
    assert len(driver.sent) == sent


def test_waits_double_up_to_eight_seconds_and_jitter_only_shortens_them() -> None:
    assert [backoff(tries) for tries in range(1, 7)] == [0.5, 1, 2, 4, 8, 8]
    longest, shortest = Driver(status(500), 200), Driver(status(500), 200, random=1.0)
    longest.run(THREAD)
    shortest.run(THREAD)
    assert (longest.waits, shortest.waits) == ([0.5], [0.375])


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_max_retries_counts_the_tries_after_the_first(retries: int) -> None:
    driver = Driver(*[status(503)] * (retries + 1), max_retries=retries)
    with pytest.raises(errors.InternalServerError):
        driver.run(THREAD)
    assert len(driver.sent) == retries + 1


def test_a_token_provider_is_called_for_every_try() -> None:
    tokens = iter(["one-token", "two-token"])
    driver = Driver(status(500), 200, api_key=lambda: next(tokens))
    driver.run(THREAD)
    assert [step.outgoing.headers["authorization"] for step in driver.sent] == ["Bearer one-token", "Bearer two-token"]


SUBMIT = runs.submit_tool_outputs("r", "t", {"tool_outputs": [{"tool_call_id": "c", "output": "1"}]})
ASKS = (200, {}, {"status": "requires_action"})
WENT_ON = (200, {}, {"status": "in_progress", "id": "r"})


@pytest.mark.parametrize(
    "failure",
    [httpx.ReadError("reset"), httpx.ReadTimeout(""), status(502), status(408)],
    ids=["reset", "late", "502", "408"],
)
class TestASubmitThatMayHaveArrived:
    def test_is_repeated_only_after_the_run_was_seen_asking(self, failure: object) -> None:
        driver = Driver(failure, ASKS, 200)
        driver.run(SUBMIT)
        assert [step.outgoing.method for step in driver.sent] == ["POST", "GET", "POST"]

    def test_is_answered_by_the_run_itself_when_it_went_on(self, failure: object) -> None:
        driver = Driver(failure, WENT_ON)
        assert driver.run(SUBMIT).response.json() == WENT_ON[2]
        assert [step.outgoing.method for step in driver.sent] == ["POST", "GET"]

    def test_raises_when_its_events_are_lost(self, failure: object) -> None:
        driver = Driver(failure, WENT_ON)
        with pytest.raises(errors.APIError) as caught:
            driver.run(SUBMIT.streamed())
        assert "arrived" in caught.value.__notes__[0]
        assert len(driver.sent) == 2

    def test_raises_its_own_error_when_the_run_cannot_be_fetched(self, failure: object) -> None:
        driver = Driver(failure, status(404))
        with pytest.raises(errors.APIError) as caught:
            driver.run(SUBMIT)
        assert isinstance(caught.value.__cause__, errors.NotFoundError)
        assert not isinstance(caught.value, errors.NotFoundError)


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError(""), httpx.ConnectTimeout(""), status(429)], ids=["refused", "late", "429"]
)
def test_a_submit_that_cannot_have_arrived_is_simply_repeated(failure: object) -> None:
    driver = Driver(failure, 200)
    driver.run(SUBMIT)
    assert [step.outgoing.method for step in driver.sent] == ["POST", "POST"]


class TestLimitsOnTheWholeCall:
    def test_total_shortens_each_read_and_ends_the_tries(self) -> None:
        driver = Driver(4.0, 5.5, timeout=Timeout(read=600, total=10))
        with pytest.raises(errors.TotalTimeoutError, match="10 s"):
            driver.run(THREAD)
        assert [step.read for step in driver.sent] == [10, 5.5]

    def test_no_try_is_waited_for_beyond_total(self) -> None:
        driver = Driver(status(429, retry_after="30"), timeout=Timeout(total=10))
        with pytest.raises(errors.RateLimitError):
            driver.run(THREAD)
        assert driver.waits == []

    def test_first_event_limits_the_head_of_a_stream_and_nothing_else(self) -> None:
        driver = Driver(2.0, timeout=Timeout(first_event=2))
        with pytest.raises(errors.FirstEventTimeoutError):
            driver.run(runs.create("t", {}).streamed())
        driver = Driver(200, timeout=Timeout(first_event=2))
        driver.run(THREAD)
        assert driver.sent[0].read == 600


def test_a_body_that_cannot_be_sent_twice_is_sent_once() -> None:
    from rx_assistant.api import files

    class Pipe:
        def read(self, size: int = -1) -> bytes:
            return b""

    driver = Driver(status(500))
    with pytest.raises(errors.InternalServerError):
        driver.run(files.create(Pipe(), {"purpose": "assistants"}))  # type: ignore[arg-type]
    assert len(driver.sent) == 1


@pytest.mark.parametrize(("code", "expected"), [(200, False), (399, False), (407, False), (408, True), (599, True)])
def test_the_bare_rule(code: int, expected: bool) -> None:
    assert is_retryable(code, {}) is expected


def test_an_impossible_date_is_no_wait() -> None:
    assert asked_wait({"retry-after": "Fri, 99 Foo 99999999 00:00:00 GMT"}, NOW) is None

"""The requests of one fetch, read from their generators; nothing is sent."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from rx_assistant.api import runs
from rx_assistant.client import polling, split_batches
from rx_assistant.client.params import PollParams, RunCreateAndPoll, poll_params
from rx_assistant.client.run_events import Resuming
from rx_assistant.client.runs import started_run
from rx_assistant.errors import TotalTimeoutError
from rx_assistant.http.options import NO_OPTIONS, CallOptions
from rx_assistant.http.session import Reply, Session
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout
from rx_assistant.polling import DeadlinePassed, PollSettings
from rx_assistant.snapshots import RunSnapshot


def reply(**fields: Any) -> Reply:
    return Reply(200, {}, json.dumps(fields).encode())


def state(requests: Any, answer: Reply) -> Any:
    """The state that a fetch returns for its last reply."""
    with pytest.raises(StopIteration) as end:
        requests.send(answer)
    return end.value.value.value


def test_the_request_that_starts_a_run_is_sent_once_and_only_the_polls_have_the_deadline() -> None:
    params = {"assistant_id": "asst_1", "max_wait_seconds": 5, "extra_body": {"x": 1}}
    call = poll_params(params, RunCreateAndPoll)
    fetch = polling.object_requests(started_run(runs.create("thread_1", call.body)), call, Timeout())
    requests = fetch()
    request, options = next(requests)
    assert (request.method, options.extra_body, options) == ("POST", {"x": 1}, call.options)
    state(requests, reply(id="run_1", thread_id="thread_1", status="queued"))
    for status in ("in_progress", "completed"):
        requests = fetch()
        request, options = next(requests)
        assert (request.method, request.path) == ("GET", "/threads/thread_1/runs/run_1")
        assert options.extra_body == {}
        assert isinstance(options.timeout, Timeout)
        assert options.timeout.total is not None
        assert 0 < options.timeout.total <= 5
        assert state(requests, reply(id="run_1", thread_id="thread_1", status=status)).status == status


def test_a_time_limit_of_the_request_itself_is_not_the_deadline() -> None:
    call = PollParams(body={}, options=NO_OPTIONS, settings=PollSettings(deadline=60))
    requests = polling.object_requests(polling.PollTarget(*_run()), call, Timeout())()
    next(requests)
    with pytest.raises(TotalTimeoutError):
        requests.throw(TotalTimeoutError("no reply"))


def test_a_deadline_that_has_passed_sends_no_poll() -> None:
    call = PollParams(body={}, options=NO_OPTIONS, settings=PollSettings(deadline=0))
    with pytest.raises(DeadlinePassed):
        next(polling.object_requests(polling.PollTarget(*_run()), call, Timeout())())


def _run() -> tuple[Any, Any, Any]:
    target = started_run(runs.retrieve("run_1", "thread_1"))
    return target.model, target.lifecycle, target.request


def test_a_fetch_that_was_interrupted_between_two_batches_creates_only_the_missing_one() -> None:
    call = PollParams(
        body={"file_ids": [f"file-{number}" for number in range(2001)]}, options=NO_OPTIONS, settings=PollSettings()
    )
    fetch = split_batches.batch_requests(split_batches.create_requests("vs_1", call.body), call, Timeout())
    requests = fetch()
    assert len((next(requests)[0].body or {})["file_ids"]) == 2000
    requests.send(reply(id="vsfb_1", vector_store_id="vs_1", status="in_progress"))
    requests.close()  # a KeyboardInterrupt while the second request was under way
    requests = fetch()
    assert (next(requests)[0].body or {})["file_ids"] == ["file-2000"]
    batch = state(requests, reply(id="vsfb_2", vector_store_id="vs_1", status="in_progress"))
    assert batch.id == "vsfb_1,vsfb_2"


def test_a_request_that_cannot_be_sent_again_in_time_ends_with_the_total_timeout() -> None:
    options = CallOptions(timeout=Timeout(total=1e-9))
    request = runs.create("thread_1", {"assistant_id": "asst_1"})
    resuming = Resuming(request, options, Timeout(), None, None)
    session = Session(Settings(base_url="http://localhost"))
    with closing(session), pytest.raises(TotalTimeoutError, match=r"timeout\.total"):
        resuming.with_session(session)(None, RunSnapshot())

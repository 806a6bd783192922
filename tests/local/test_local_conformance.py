"""Document, recordings and our table of operations agree, except for deviations of which none is needless."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from local.conformance import (
    DEVIATIONS,
    Conformance,
    Deviation,
    document,
    recorded_events,
    recorded_replies,
    template_of,
    templates,
)
from rx_assistant.local.application import OPERATIONS

Judgement = Callable[[Conformance], list[str]]


@pytest.fixture(scope="module")
def shared_or_skip(conformance: Conformance | None) -> None:
    if conformance is None:
        pytest.skip("the reference data is not beside this checkout")


@pytest.fixture(scope="module")
def misfits(shared_or_skip: None) -> list[Judgement]:
    """One recorded value of each kind that does not fit the unchanged document."""
    strict = Conformance(())
    found: dict[object, Judgement] = {}

    def consider(kind: object, judge: Judgement) -> None:
        faults = judge(strict)
        if faults:
            found.setdefault((kind, frozenset(re.sub(r"\d+", "N", fault) for fault in faults)), judge)

    for method, path, status, body in recorded_replies():
        judge = _reply(method, path, status, body)
        consider((method, template_of(method, path)), judge)
    for name, data in recorded_events():
        consider(name, _event(name, data))
    return list(found.values())


def _reply(method: str, path: str, status: int, body: object) -> Judgement:
    return lambda conformance: conformance.reply_faults(method, path, status, body)


def _event(name: str, data: bytes) -> Judgement:
    return lambda conformance: conformance.event_faults(name, data)


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=[deviation.says for deviation in DEVIATIONS])
def test_recordings_need_each_deviation(deviation: Deviation, conformance: Conformance, misfits: list[Judgement]):
    without = Conformance(tuple(other for other in DEVIATIONS if other is not deviation))
    assert any(set(judge(without)) - set(judge(conformance)) for judge in misfits)


@pytest.mark.usefixtures("shared_or_skip")
def test_the_server_has_the_44_operations_of_the_document():
    ours = sorted((row.method, row.path) for row in OPERATIONS)
    assert ours == sorted((method, path) for method, path, _ in templates())
    assert len(ours) == 44


@pytest.mark.usefixtures("shared_or_skip")
def test_query_parameters_are_those_of_the_document():
    for row in OPERATIONS:
        operation = document()["paths"][row.path][row.method.lower()]
        wanted = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
        assert set(row.query) == wanted, (row.method, row.path)


@pytest.mark.usefixtures("shared_or_skip")
def test_the_judge_of_all_these_tests_notices_what_is_wrong(play, judged):
    def said(step: object) -> str:
        api = play([step])
        api.http.post("/threads/runs", json={"assistant_id": api.assistant(), "stream": True})
        api.server.stop()
        verdicts = "\n".join(judged)
        judged.clear()
        return verdicts

    assert said({"text": "a"}) == ""
    assert "not in the document" in said({"raw": "event: thread.future\ndata: {}\n\n"})
    assert "'thread_id' is a required property" in said({"raw": 'event: thread.run.completed\ndata: {"id": "x"}\n\n'})
    assert "event 'thread.message.delta'" in said({"raw": "event: thread.message.delta\ndata: {}\n\n"})

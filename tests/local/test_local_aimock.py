"""A model server that was not written here, `@copilotkit/aimock`, between the local server and the official SDKs.

Needs node and the packages of `node/package.json`, as `test_local_node.py` does. `python tests/local/aimock.py 500`
makes more runs of the last test.
"""

from __future__ import annotations

import pytest

from local.aimock import ASKING, CHAOS, MODULES, TEXTS, is_true, served

pytestmark = [
    pytest.mark.unjudged,
    pytest.mark.skipif(
        not (MODULES / "@copilotkit" / "aimock").is_dir(),
        reason="the npm package @copilotkit/aimock is missing: run `npm install` in tests/local/node",
    ),
]

RUNS = 6


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_text_reasoning_and_calls_arrive(protocol, ask) -> None:
    with served(protocol) as url:
        told = ask(url, RUNS)
    assert sorted((one.question, one.status, one.text) for one in told) == sorted(
        (question, "completed", text) for question, text in TEXTS.items() for _ in range(RUNS // len(TEXTS))
    )


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_whatever_the_model_server_does_each_run_has_a_true_ending(protocol, ask) -> None:
    with served(protocol, **CHAOS) as url:
        told = ask(url, RUNS)
    assert len(told) == RUNS
    assert [one for one in told if not is_true(one)] == []

"""C1–C25 and C31 for what operators make: a flat stream of text, and a substream."""

from __future__ import annotations

from typing import Any

import pytest
from hot.contract import Contract
from hot.hot_rigs import AsyncRoot, Rig, SyncRoot
from operators_wire import arguments, text

from rx_assistant import operators as ax


def rig_of(root: Any, observable: Any, make: Any) -> Rig:
    rig = root.rig(observable, read=int, many=2_000)
    rig.emit = lambda number: root.log.push(make(f"{number} "))
    return rig


@pytest.fixture(params=[SyncRoot, AsyncRoot], ids=["sync", "async"])
def root(request: pytest.FixtureRequest) -> Any:
    return request.param()


class TestTextDeltas(Contract):
    @pytest.fixture
    def rig(self, root: Any) -> Rig:
        return rig_of(root, root.pipe(ax.text_deltas()), text)


class TestNumberedCitations(Contract):
    @pytest.fixture
    def rig(self, root: Any) -> Rig:
        return rig_of(root, root.pipe(ax.text_deltas(), ax.numbered_citations()), text)


class TestTextStreams(Contract):
    @pytest.fixture
    def rig(self, root: Any) -> Rig:
        found: list[Any] = []
        subscription = root.pipe(ax.texts()).subscribe(found.append)
        root.log.push(text(""))
        subscription.dispose()  # only later subscribers feed it now
        root.left.clear()
        return rig_of(root, found[0], text)


class TestArgumentDeltas(Contract):
    @pytest.fixture
    def rig(self, root: Any) -> Rig:
        found: list[Any] = []
        root.pipe(ax.tool_calls()).subscribe(found.append)
        root.log.push(arguments("", id="call_1", name="f"))
        return rig_of(root, found[0].argument_deltas, arguments)

    def test_c25_the_idle_hook_fires_once_when_the_last_one_leaves(self, rig: Rig) -> None:
        """Who leaves a substream is not the last while the outer subscriber stays."""
        subscriptions = [rig.observable.subscribe(lambda _: None) for _ in range(3)]
        rig.emit(1)
        for subscription in subscriptions:
            subscription.dispose()
        assert rig.left == []

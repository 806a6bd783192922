"""Laws L3 (fold = final), L4 (immutability) and L10 (flat cost), over every recording and over generated streams."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from generated import Generated, generate, lossy_streams, messy_streams, streams
from hypothesis import given, settings, strategies as st
from reference import RECORDINGS

from rx_assistant.events import (
    StreamEvent,
    ThreadMessageCompleted,
    ThreadMessageDelta,
    ThreadMessageIncomplete,
    ThreadRunStepCancelled,
    ThreadRunStepCompleted,
    ThreadRunStepDelta,
    ThreadRunStepExpired,
    ThreadRunStepFailed,
    classify,
)
from rx_assistant.snapshots import Fold, RunSnapshot, fold
from rx_assistant.sse import SSEDecoder

FINAL_MESSAGE = (ThreadMessageCompleted, ThreadMessageIncomplete)
FINAL_STEP = (ThreadRunStepCompleted, ThreadRunStepFailed, ThreadRunStepCancelled, ThreadRunStepExpired)
EVERY_RECORDING = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem[:70])


def events_of(path: Path) -> list[StreamEvent]:
    found: list[StreamEvent] = []

    def emit(frame: tuple[bytes, bytes]) -> None:
        kind, payload = classify(*frame)
        found.append(kind(payload))

    SSEDecoder().push(path.read_bytes(), emit)
    return found


def folds(events: list[StreamEvent]) -> list[RunSnapshot]:
    """The snapshot after each event."""
    snapshots, snapshot = [], RunSnapshot()
    for event in events:
        snapshot = fold(snapshot, event)
        snapshots.append(snapshot)
    return snapshots


# -- L3 ---------------------------------------------------------------------------------------------------------------

SIDES = {
    "citation quote": "a citation's `quote` comes with the delta only",
    "search results": "the results of a search come with the final step only",
    "function output": "the output of a call comes with the final step only",
}
EXCEPTIONS = {
    ("openai-dotnet__2025-09-25_a777478b_FileSearchStreamingWorks.3.create_run", "citation quote"),
    ("openai-dotnet__2025-09-25_a777478b_FileSearchStreamingWorks.3.create_run", "search results"),
    ("openai-dotnet__2025-10-30_aa5213ff_FileSearchStreamingWorksAsync.3.create_run", "citation quote"),
    ("openai-dotnet__2025-10-30_aa5213ff_FileSearchStreamingWorksAsync.3.create_run", "search results"),
    ("langchain-openai-api-bridge-1.0.0__tool", "function output"),
    ("litellm-1.106.2-over-langchain-bridge__tool", "function output"),
}
"""Where a recording's final object holds what its deltas do not, or the other way round."""


def bare(node: Any, dropped: set[str]) -> Any:
    """JSON without what SIDES says of one side only."""
    if isinstance(node, list):
        return [bare(item, dropped) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: bare(value, dropped) for key, value in node.items()}
    if "citation quote" in dropped and "file_id" in node:
        node.pop("quote", None)
    if "search results" in dropped and "ranking_options" in node:
        node.pop("results", None)
    if "function output" in dropped and "arguments" in node:
        node.pop("output", None)
    return node


def pairs(events: list[StreamEvent], snapshots: list[RunSnapshot]) -> Iterator[tuple[Any, Any]]:
    """What deltas have built, and what the final object then says: for every message and step that had any."""
    built: set[str] = set()
    for event, before in zip(events, [RunSnapshot(), *snapshots], strict=False):
        if isinstance(event, ThreadMessageDelta):
            built.add(event.message_id)
        if isinstance(event, ThreadRunStepDelta):
            built.add(event.step_id)
        if isinstance(event, FINAL_MESSAGE) and event.data.id in built:
            yield dump(before.message(event.data.id))["content"], dump(event.data)["content"]
        if isinstance(event, FINAL_STEP) and (step := before.step(event.data.id)) is not None:
            yield dump(step)["step_details"], dump(event.data)["step_details"]


def dump(model: Any) -> Any:
    return model.model_dump(exclude_none=True)


@EVERY_RECORDING
def test_in_every_recording_the_deltas_add_up_to_the_final_objects(path: Path) -> None:
    events = events_of(path)
    compared = list(pairs(events, folds(events)))
    listed = {side for name, side in EXCEPTIONS if name == path.stem}
    assert bare([ours for ours, _ in compared], listed) == bare([theirs for _, theirs in compared], listed)
    for side in listed:
        rest = listed - {side}
        assert bare([ours for ours, _ in compared], rest) != bare([theirs for _, theirs in compared], rest), side


def test_the_recordings_hold_final_objects_to_compare_with() -> None:
    if not RECORDINGS:
        pytest.skip("the reference data is not beside this checkout")
    assert sum(len(list(pairs(events, folds(events)))) for events in map(events_of, RECORDINGS)) >= 45


@settings(deadline=None)
@given(st.one_of(streams(), messy_streams()))
def test_in_generated_streams_the_deltas_add_up_to_the_final_objects(stream: Generated) -> None:
    events = stream.events
    for ours, theirs in pairs(events, folds(events)):
        assert bare(ours, {"function output"}) == bare(theirs, {"function output"})


@settings(deadline=None)
@given(st.one_of(streams(), messy_streams(), lossy_streams()))
def test_after_the_final_objects_the_snapshot_is_those_objects(stream: Generated) -> None:
    last = folds(stream.events)[-1]
    for message_id, final in stream.messages.items():
        assert last.message(message_id).model_dump(exclude_unset=True) == final
    for step_id, final in stream.steps.items():
        assert last.step(step_id).model_dump(exclude_unset=True) == final
    assert last.run.model_dump(exclude_unset=True) == stream.run


# -- L4 ---------------------------------------------------------------------------------------------------------------


def check_kept(events: list[StreamEvent], rng: Random) -> None:
    """Half of the kept snapshots are read at once, half for the first time after the end, in random order."""
    kept: list[tuple[int, RunSnapshot, Any]] = []
    snapshot = RunSnapshot()
    for at, event in enumerate(events):
        snapshot = fold(snapshot, event)
        kept.append((at, snapshot, seen(snapshot) if rng.random() < 0.5 else None))
    rng.shuffle(kept)
    for at, snapshot, then in kept[:8]:
        fresh = folds(events[: at + 1])[-1]
        assert seen(snapshot) == seen(fresh)
        assert then is None or then == seen(snapshot)
        assert snapshot == fresh
        assert hash(snapshot) == hash(fresh)


def seen(snapshot: RunSnapshot) -> Any:
    """Everything there is to read."""
    calls = [call.model_dump() for call in snapshot.tool_calls]
    return snapshot.model_dump(), calls, snapshot.text, snapshot.status, repr(snapshot)


@EVERY_RECORDING
def test_a_kept_snapshot_equals_a_fresh_fold_of_its_prefix(path: Path) -> None:
    check_kept(events_of(path), Random(path.stem))


@settings(deadline=None, max_examples=50)
@given(st.one_of(messy_streams(), lossy_streams()), st.randoms(use_true_random=False))
def test_a_kept_snapshot_never_changes(stream: Generated, rng: Random) -> None:
    check_kept(stream.events, rng)


@settings(deadline=None, max_examples=40)
@given(lossy_streams(), st.randoms(use_true_random=False))
def test_folding_onto_an_old_snapshot_disturbs_neither_branch(stream: Generated, rng: Random) -> None:
    events = stream.events
    snapshots = folds(events)
    for _ in range(3):
        at = rng.randrange(len(events))
        rest = [event for event in events[at + 1 :] if rng.random() < 0.7]
        branch = snapshots[at]
        for event in rest:
            branch = fold(branch, event)
        assert seen(branch) == seen(folds(events[: at + 1] + rest)[-1])
        assert seen(snapshots[-1]) == seen(folds(events)[-1])


@settings(deadline=None, max_examples=40)
@given(lossy_streams())
def test_a_reader_that_folds_and_folds_onto_its_snapshots_disturb_each_other_never(stream: Generated) -> None:
    events, reader, branches = stream.events, Fold(), []
    for event in events:
        reader.advance(event)
        branches.append(fold(reader.snapshot, events[0]))
    assert seen(reader.snapshot) == seen(folds(events)[-1])
    for snapshot, branch in zip(folds(events), branches, strict=True):
        assert seen(branch) == seen(fold(snapshot, events[0]))
    assert seen(Fold(reader.snapshot).snapshot) == seen(reader.snapshot)


def both(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Runs both at once, and raises what either raised."""
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("seed", range(15))
def test_two_threads_may_read_one_snapshot(seed: int) -> None:
    events = generate(Random(seed), messy=True).events
    expected = [seen(snapshot) for snapshot in folds(events)]
    shared = folds(events)

    def read(order: Random) -> None:
        for at in order.sample(range(len(shared)), len(shared)):
            assert seen(shared[at]) == expected[at]

    both(lambda: read(Random(1)), lambda: read(Random(2)))


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("writer", ["fold", "Fold"])
@pytest.mark.parametrize("seed", range(15))
def test_one_thread_may_fork_and_read_old_versions_while_another_folds_on(seed: int, writer: str) -> None:
    rng = Random(seed)
    events = generate(rng, lossy=True).events
    expected = [seen(snapshot) for snapshot in folds(events)]
    folded: list[RunSnapshot] = [RunSnapshot()]

    def fold_on() -> None:
        reader = Fold()
        for event in events:
            if writer == "Fold":
                reader.advance(event)
                folded.append(reader.snapshot)
            else:
                folded.append(fold(folded[-1], event))

    def fork() -> None:
        while len(folded) <= len(events):
            at = rng.randrange(len(folded))
            if at:
                assert seen(folded[at]) == expected[at - 1]
                branch = fold(folded[at - 1], events[at - 1])
                assert seen(branch) == expected[at - 1]

    both(fold_on, fork)
    assert [seen(snapshot) for snapshot in folded[1:]] == expected


@pytest.mark.usefixtures("switching")
def test_two_threads_folding_onto_one_snapshot_get_a_branch_each() -> None:
    start = folds([text_event("a")])[-1]
    branches: dict[str, RunSnapshot] = {}

    def branch(name: str) -> None:
        snapshot = start
        for _ in range(600):
            snapshot = fold(snapshot, text_event(name))
        branches[name] = snapshot

    both(lambda: branch("x"), lambda: branch("y"))
    assert (branches["x"].text, branches["y"].text) == ("a" + "x" * 600, "a" + "y" * 600)


# -- L10 --------------------------------------------------------------------------------------------------------------


def text_event(value: str, annotation: int | None = None) -> StreamEvent:
    mark = f'{{"index":{annotation},"type":"file_citation","file_citation":{{"file_id":"file_1"}}}}'
    annotations = "" if annotation is None else f',"annotations":[{mark}]'
    raw = (
        '{"id":"msg_1","object":"thread.message.delta","delta":{"content":'
        f'[{{"index":0,"type":"text","text":{{"value":"{value}"{annotations}}}}}]}}}}'
    )
    return ThreadMessageDelta(raw.encode())


def call_event(value: str, index: int = 0, step: str = "step_1") -> StreamEvent:
    raw = (
        f'{{"id":"{step}","object":"thread.run.step.delta","delta":{{"step_details":{{"type":"tool_calls","tool_calls":'
        f'[{{"index":{index},"type":"function","function":{{"arguments":"{value}"}}}}]}}}}}}'
    )
    return ThreadRunStepDelta(raw.encode())


def calls_made(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, are called by `work`."""
    count = 0

    def profile(frame: object, kind: str, argument: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    gc.disable()  # whose callbacks would be counted
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


GROWING = {
    "text": (lambda at: text_event("abcde"), lambda s: (s.status, s.text_part("msg_1", 0).value)),
    "annotations": (lambda at: text_event("a", at), lambda s: (s.status, s.text_part("msg_1", 0).annotations)),
    "arguments": (lambda at: call_event("abcde"), lambda s: s.tool_call("step_1", 0).function.arguments),
    "calls": (lambda at: call_event("abcde", at), lambda s: s.tool_calls[-1].function.arguments),
    "steps": (lambda at: call_event("abcde", 0, f"step_{at}"), lambda s: (s.steps[-1].id, s.tool_calls[-1].type)),
    "parts": (
        lambda at: ThreadMessageDelta(text_event("a").raw.replace(b'"index":0', b'"index":%d' % at)),
        lambda s: s.messages[-1].status,
    ),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_delta_costs_the_same_however_much_there_is(name: str) -> None:
    make, read = GROWING[name]
    snapshot = RunSnapshot()
    costs: dict[int, int] = {}
    for at in range(2100):
        event = make(at)
        if at % 1000 in range(90, 100):
            made: list[RunSnapshot] = []
            cost = calls_made(lambda: made.append(fold(snapshot, event)) or read(made[0]))  # noqa: B023
            costs[at // 1000] = max(cost, costs.get(at // 1000, 0))
            snapshot = made[0]
        else:
            snapshot = fold(snapshot, event)
            read(snapshot)
    assert costs[2] <= costs[0]


def test_a_snapshot_that_nobody_reads_costs_nothing_to_keep() -> None:
    snapshot = folds([text_event("a")])[-1]
    events = [text_event("abcde") for _ in range(2)]
    one = calls_made(lambda: fold(snapshot, events[0]))
    kept = folds([text_event("abcde") for _ in range(3000)])
    assert calls_made(lambda: fold(kept[-1], events[1])) <= one

"""A late follower's compacted state: folding what it gets is folding everything, wherever it comes in."""

from __future__ import annotations

import json
from collections.abc import Iterable

from generated import Generated, generate, lossy_streams, messy_streams, streams
from hypothesis import given, settings, strategies as st
from relay_runs import folded, written

from rx_assistant.events import DoneEvent, StreamEvent, ThreadMessageDelta, UnknownEvent, frame
from rx_assistant.relay import MemoryRelay
from rx_assistant.snapshots import Compactor, fold

ANY = st.one_of(streams(), messy_streams(), lossy_streams())


def compacted(events: Iterable[StreamEvent]) -> list[StreamEvent]:
    """What a late follower gets of these events."""
    state = Compactor()
    for event in events:
        state.add(event)
    return state.events()


@settings(max_examples=60)
@given(ANY, st.data())
def test_compacted_events_and_all_that_follow_fold_to_the_same(generated: Generated, data: st.DataObject) -> None:
    events = generated.events[:-1]
    cut = data.draw(st.integers(0, len(events)))
    early = compacted(events[:cut])
    assert folded(early) == folded(events[:cut])
    snapshot = folded(early)
    for event in events[cut:]:
        snapshot = fold(snapshot, event)
    assert snapshot == folded(events)


@settings(max_examples=40)
@given(ANY, st.data())
def test_compacting_twice_gives_the_same_as_once(generated: Generated, data: st.DataObject) -> None:
    events = generated.events[:-1]
    cut = data.draw(st.integers(0, len(events)))
    once = compacted(events)
    assert folded(compacted([*compacted(events[:cut]), *events[cut:]])) == folded(once)
    assert folded(compacted(once)) == folded(once)


@settings(max_examples=25)
@given(ANY, st.data())
def test_a_late_follower_folds_to_what_all_others_have(generated: Generated, data: st.DataObject) -> None:
    events = generated.events[:-1]
    cut = data.draw(st.integers(0, len(events)))
    relay = MemoryRelay()
    generation = written(relay, "k", list(map(frame, events[:cut])))
    with relay.follow("k", catch_up="snapshot") as late:
        late.driver.enter()
        items = iter(late)
        early = [next(items) for _ in range(len(compacted(events[:cut])))]
        assert folded(early) == folded(events[:cut])
        for at in range(cut, len(events)):
            relay.append("k", generation, at, [frame(events[at])])
        relay.seal("k", generation, len(events), frame(DoneEvent()))
        assert not early or list(items) == events[cut:], "then come the live ones"
        late.until_done()
        assert late.snapshot == folded(events)
    relay.close()


def test_what_is_held_does_not_grow_with_the_number_of_texts() -> None:
    first = ThreadMessageDelta(_text("a"))
    assert len(compacted([first] * 10_000)) == 1
    assert compacted([first] * 3) == [ThreadMessageDelta(_text("aaa"))]


def test_events_that_change_no_snapshot_and_that_cannot_be_read_are_left_out() -> None:
    events = [UnknownEvent("odd", b"{}"), ThreadMessageDelta(b"not json"), ThreadMessageDelta(_text("a"))]
    assert compacted(events) == events[2:]


def test_the_texts_of_a_late_follower_are_those_of_the_others() -> None:
    from random import Random

    import rx_assistant as rx

    for seed in range(20):
        events = generate(Random(seed)).events[:-1]
        for cut in (len(events) // 2, len(events)):
            late = rx.from_events(iter([*compacted(events[:cut]), *events[cut:]]))
            assert "".join(late.text_deltas) == "".join(rx.from_events(iter(events)).text_deltas)


def _text(text: str) -> bytes:
    part = {"index": 0, "type": "text", "text": {"value": text}}
    payload = {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [part]}}
    return json.dumps(payload, separators=(",", ":")).encode()

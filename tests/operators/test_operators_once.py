"""Law L5, once: each message, part, step and call is created once, then its deltas, then done at most once.

Over generated streams, in order and in disorder, and over every recording; for early and late subscribers, and for
loops inside loops.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cases import in_one_test
from generated import Generated, lossy_streams, messy_streams, streams
from hypothesis import given, settings, strategies as st
from operators_wire import Seen, cut, finish, seen
from reactivex import operators as ops
from reference import RECORDINGS

from rx_assistant import AssistantStream, operators as ax, replay
from rx_assistant.events import MessageEvent, RunStepEvent, StreamEvent
from rx_assistant.lifecycle import EVENTS, MESSAGE, STEP

EVERY_RECORDING = in_one_test("path", RECORDINGS, ids=lambda path: path.stem)
LAW = settings(max_examples=40, deadline=None)
ANY = st.one_of(streams(), messy_streams(), lossy_streams())


class Told(NamedTuple):
    """What a substream told: its identity, its items, what each snapshot said, what was done; how these ended."""

    key: tuple[Any, ...]
    items: list[Any]
    snapshots: list[Any]
    done: list[Any]
    endings: list[Any]


def text_parts(stream: AssistantStream) -> Any:
    return stream.pipe(ax.texts())


def messages(stream: AssistantStream) -> Any:
    return stream.pipe(ax.message_streams())


def calls(stream: AssistantStream) -> Any:
    return stream.pipe(ax.tool_calls())


def steps(stream: AssistantStream) -> Any:
    return stream.pipe(ax.run_steps())


KINDS = [text_parts, messages, calls, steps]


def key_of(inner: Any) -> tuple[Any, ...]:
    if isinstance(inner, ax.TextStream):
        return inner.message_id, inner.index
    if isinstance(inner, ax.ToolCallStream):
        return inner.step_id, inner.index, inner.type
    return (inner.id,)


def plain(item: Any) -> Any:
    if isinstance(item, ax.TextSnapshot):
        return item.value, [dump(each) for each in item.annotations]
    return dump(item) if hasattr(item, "model_dump") else item


def dump(model: Any) -> Any:
    return model.model_dump(exclude_unset=True, by_alias=True)


# -- three ways to read the substreams of a stream --------------------------------------------------------------------


def told_live(stream: AssistantStream, kind: Callable[[AssistantStream], Any]) -> list[Told]:
    """By subscribing to each inside the outer on_next."""
    notes: list[tuple[Any, list[Any]]] = []
    kind(stream).subscribe(
        lambda inner: notes.append((inner, [seen(inner), seen(inner.snapshots), seen(inner.done)])), lambda _: None
    )
    finish(stream)
    return [told(inner, *each) for inner, each in notes]


def told_late(stream: AssistantStream, kind: Callable[[AssistantStream], Any]) -> list[Told]:
    """By subscribing after the end to what was given at the start."""
    inners: list[Any] = []
    kind(stream).subscribe(inners.append, lambda _: None)
    finish(stream)
    return [told(inner, seen(inner), seen(inner.snapshots), seen(inner.done)) for inner in inners]


def told_in_loops(stream: AssistantStream, kind: Callable[[AssistantStream], Any]) -> list[Told]:
    """By a loop inside the loop."""
    return [
        Told(
            key_of(inner),
            [plain(item) for item in inner],
            [plain(item) for item in inner.snapshots],
            [plain(item) for item in inner.done],
            [None] * 3,
        )
        for inner in kind(stream)
    ]


def told(inner: Any, *notes: Any) -> Told:
    items, snapshots, done = [[plain(item) for item in note.items] for note in notes]
    endings = [ending and type(ending) for note in notes for ending in note.endings]
    return Told(key_of(inner), items, snapshots, done, endings)


# -- what has to come out ----------------------------------------------------------------------------------------------


class Expected(NamedTuple):
    """By key: what deltas say, and the final object; computed from the frames without any of our code."""

    items: dict[tuple[Any, ...], list[Any]]
    final: dict[tuple[Any, ...], Any]


def expected_texts(stream: Generated) -> Expected:
    return expected_members(stream, "message", "content", lambda piece: piece["type"] == "text")


def expected_calls(stream: Generated) -> Expected:
    return expected_members(stream, "step", "tool_calls", lambda piece: True)


def expected_members(stream: Generated, owner: str, member: str, wanted: Callable[[Any], bool]) -> Expected:
    """Members of lists: their pieces by owner's id and index; their final objects by rank of the index."""
    items: dict[tuple[Any, ...], list[Any]] = {}
    ranks: dict[str, set[int]] = {}
    for name, payload in stream.frames:
        if name.endswith(f"{owner}.delta"):
            delta = payload["delta"]
            for piece in delta.get(member) or delta.get("step_details", {}).get(member, ()):
                ranks.setdefault(payload["id"], set()).add(piece["index"])
                if wanted(piece):
                    key = payload["id"], piece["index"]
                    items.setdefault(key if owner == "message" else (*key, piece["type"]), []).append(piece)
    final: dict[tuple[Any, ...], Any] = {}
    for each in (stream.messages if owner == "message" else stream.steps).values():
        members = each.get(member) or each.get("step_details", {}).get(member, ())
        for index, whole in zip(sorted(ranks.get(each["id"], ())), members, strict=False):
            if wanted(whole):
                final[(each["id"], index) if owner == "message" else (each["id"], index, whole["type"])] = whole
    return Expected(items, final)


@LAW
@given(st.one_of(streams(), messy_streams()))
def test_each_text_part_is_created_once_told_whole_and_done_once(generated: Generated) -> None:
    expected = expected_texts(generated)
    parts = told_live(replay(generated.body), text_parts)
    assert sorted(part.key for part in parts) == sorted(expected.items)
    for part in parts:
        written = [piece["text"]["value"] for piece in expected.items[part.key]]
        assert part.items == [fragment for fragment in written if fragment]
        assert part.done == [expected.final[part.key]["text"]]
        assert part.snapshots[-1] == (part.done[0]["value"], part.done[0]["annotations"])
        assert part.endings == [None, None, None]


@LAW
@given(st.one_of(streams(), messy_streams()))
def test_each_tool_call_is_created_once_told_whole_and_done_once(generated: Generated) -> None:
    expected = expected_calls(generated)
    required = any(name == "thread.run.requires_action" for name, _ in generated.frames)
    found = told_live(replay(generated.body), calls)
    assert sorted(call.key for call in found) == sorted(expected.items)
    for call in found:
        assert call.items == expected.items[call.key]
        [done] = call.done
        final = expected.final[call.key]
        if required and final["type"] == "function" and done != final:  # done before its output was known
            final = {**final, "function": {**final["function"], "output": None}}
        assert done == final
        assert call.snapshots[-1] == done
        assert call.endings == [None, None, None]


@LAW
@given(st.one_of(streams(), messy_streams()))
def test_each_message_and_step_is_created_once_and_done_with_the_servers_object(generated: Generated) -> None:
    for kind, finals in ((messages, generated.messages), (steps, generated.steps)):
        found = told_live(replay(generated.body), kind)
        assert sorted(each.key for each in found) == sorted((key,) for key in finals)
        for each in found:
            assert each.done == [finals[each.key[0]]]
            assert each.snapshots[-1] == each.done[0]
            assert each.endings == [None, None, None]


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(generated=ANY)
def test_nothing_is_created_or_done_twice_whatever_arrives(
    kind: Callable[[AssistantStream], Any], generated: Generated
) -> None:
    found = told_live(replay(generated.body), kind)
    keys = [each.key for each in found]
    assert len(set(keys)) == len(keys)
    finals = set(map(canonical, [*generated.messages.values(), *generated.steps.values()]))
    for each in found:
        assert len(each.done) <= 1
        assert each.endings == [None, None, None]
        if kind in (messages, steps) and each.done:
            assert canonical(each.done[0]) in finals


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(generated=ANY)
def test_early_late_and_looping_readers_are_told_the_same(
    kind: Callable[[AssistantStream], Any], generated: Generated
) -> None:
    live = told_live(replay(generated.body), kind)
    assert told_late(replay(generated.body), kind) == live
    assert told_in_loops(replay(generated.body), kind) == live


@LAW
@given(generated=ANY, data=st.data())
def test_what_is_open_when_the_stream_breaks_ends_with_its_error_and_all_else_well(
    generated: Generated, data: st.DataObject
) -> None:
    whole = generated.events
    head = whole[: data.draw(st.integers(0, len(whole) - 2), label="events before the break")]
    kind = data.draw(st.sampled_from(KINDS), label="substreams")
    stream = cut(*head)
    notes: list[tuple[Any, list[Seen]]] = []
    outer = seen(kind(stream).pipe(ops.do_action(lambda each: notes.append((each, [seen(each), seen(each.done)])))))
    finish(stream)
    failure = stream.log.failure
    assert outer.endings == [failure]
    ended = {payload["id"] for event in head if (payload := final_of(event)) is not None}
    for inner, (items, done) in notes:
        if done.items or owner_of(inner) in ended:
            assert items.endings == done.endings == [None]
        else:
            assert items.endings == done.endings == [failure]


def final_of(event: StreamEvent) -> Any:
    status = EVENTS[event.event].status
    is_final = isinstance(event, RunStepEvent | MessageEvent) and status in STEP.terminal | MESSAGE.terminal
    return event.json() if is_final else None


def owner_of(inner: Any) -> str:
    return inner.message_id if isinstance(inner, ax.TextStream) else getattr(inner, "step_id", None) or inner.id


@EVERY_RECORDING
@in_one_test("kind", KINDS)
def test_recordings_are_told_the_same_to_early_late_and_looping_readers(
    path: Path, kind: Callable[[AssistantStream], Any]
) -> None:
    live = told_live(replay(path), kind)
    assert told_late(replay(path), kind) == live
    keys = [each.key for each in live]
    assert len(set(keys)) == len(keys)
    stream = replay(path)
    finish(stream)
    if stream.log.failure is None:
        assert told_in_loops(replay(path), kind) == live
        assert all(each.endings == [None] * 3 for each in live)
    else:
        assert all(ending is type(stream.log.failure) for each in live for ending in each.endings)


def test_the_recordings_hold_substreams_of_every_kind() -> None:
    if not RECORDINGS:
        pytest.skip("the reference data is not beside this checkout")
    counts = [sum(len(told_live(replay(path), kind)) for path in RECORDINGS) for kind in KINDS]
    assert min(counts) >= 15, counts


def canonical(node: Any) -> str:
    return json.dumps(node, sort_keys=True)

"""The operators on the asynchronous face, on asyncio and trio: the same events, the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cases import in_one_test
from operators_wire import DONE, arguments, function, message, requires, run, seen, step, text
from pydantic import BaseModel
from reactivex import operators as ops
from reference import RECORDINGS

from rx_assistant import AsyncAssistantStream, StreamTruncatedError, operators as ax, replay, replay_async
from rx_assistant.events import frame
from rx_assistant.hot import AsyncStream

pytestmark = pytest.mark.anyio

EVENTS = [
    run("in_progress"),
    step("created"),
    arguments("", id="call_1", name="f"),
    arguments('{"a": '),
    arguments("1}"),
    requires(function("call_1", '{"a": 1}')),
    step("completed", function("call_1", '{"a": 1}', output="5")),
    text("a"),
    text("x", 1),
    text("b"),
    text("y", 1),
    message("completed", "ab", "xy"),
    text("c", of="msg_2"),
    message("completed", "c", of="msg_2"),
    run("completed"),
]


class Arguments(BaseModel):
    a: int


def stream_of(*events: Any, **options: Any) -> AsyncAssistantStream:
    return replay_async(b"".join(map(frame, events)), **options)


async def listed(stream: AsyncStream[Any]) -> list[Any]:
    return [item async for item in stream]


async def test_loops_inside_the_loop_lose_nothing_and_may_be_repeated() -> None:
    stream = stream_of(*EVENTS, DONE)
    found = []
    async for part in stream.pipe(ax.texts()):
        assert isinstance(part, ax.AsyncTextStream)
        pieces = ["".join(await listed(part)), "".join(await listed(part.deltas))]
        found.append([*pieces, (await part.snapshots).value, (await part.done).value])
    assert found == [["ab"] * 4, ["xy"] * 4, ["c"] * 4]


async def test_calls_are_read_in_loops_inside_the_loop() -> None:
    stream = stream_of(*EVENTS, DONE)
    found = [
        (each.id, call.id, await listed(call.argument_deltas), await listed(call.partial_arguments(Arguments)))
        async for each in stream.pipe(ax.run_steps())
        async for call in each.tool_calls
    ]
    assert found == [("step_1", "call_1", ['{"a": ', "1}"], [{}, {"a": 1}, Arguments(a=1)])]
    nested = [
        (each.id, [await listed(part) async for part in each.texts]) async for each in stream.pipe(ax.message_streams())
    ]
    assert nested == [("msg_1", [["a", "b"], ["x", "y"]]), ("msg_2", [["c"]])]


async def test_subscribers_and_loops_and_late_ones_are_told_the_same() -> None:
    stream = stream_of(*EVENTS, DONE)
    live: list[Any] = []
    kept: list[Any] = []

    def watch(part: Any) -> None:
        kept.append(part)
        live.append(seen(part))

    stream.pipe(ax.texts()).subscribe(watch)
    await stream.until_done()
    assert [(notes.items, notes.endings) for notes in live] == [
        (["a", "b"], [None]),
        (["x", "y"], [None]),
        (["c"], [None]),
    ]
    assert [seen(part).items for part in kept] == [notes.items for notes in live]
    assert [await listed(part) for part in kept] == [notes.items for notes in live]


async def test_one_that_was_taken_lives_on() -> None:
    stream = stream_of(*EVENTS, DONE)
    taken = stream.pipe(ax.texts(), ops.take(1), ops.flat_map(lambda part: part.deltas))
    notes = seen(taken)
    assert await listed(taken) == ["a", "b"]
    await stream.until_done()
    assert (notes.items, notes.endings) == (["a", "b"], [None])


async def test_the_streams_error_ends_what_is_open() -> None:
    stream = stream_of(text("a"), message("completed", "a"), text("b", of="msg_2"))
    found: list[Any] = []
    with pytest.raises(StreamTruncatedError) as broken:
        await stream.pipe(ax.texts(), ops.do_action(found.append))
    assert await listed(found[0]) == ["a"]
    with pytest.raises(StreamTruncatedError) as inner:
        await listed(found[1])
    assert inner.value is broken.value


async def test_without_replay_loops_inside_the_loop_are_told_all() -> None:
    many = [text(f"{number} ", number % 3) for number in range(1000)]
    stream = stream_of(*many, message("completed", "…", "…", "…"), DONE, replay="none", chunk_size=500)
    assert [len(await listed(part)) async for part in stream.pipe(ax.texts())] == [334, 333, 333]


async def test_the_wrong_kind_of_loop_says_what_to_write() -> None:
    part = await stream_of(*EVENTS, DONE).pipe(ax.texts(), ops.first())
    with pytest.raises(TypeError, match="async for item in stream"):
        list(part)
    with pytest.raises(TypeError, match="async for item in stream"):
        list(part.snapshots)


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:70])
async def test_both_faces_give_the_same_for_every_recording(path: Path) -> None:
    flat = [ax.text_deltas, ax.messages, ax.completed_tool_calls, ax.completed_run_steps, ax.run_statuses, ax.runs]
    ours, theirs = replay_async(path), replay(path)
    for operator in (*flat, ax.text_snapshots, ax.required_actions, ax.snapshots):
        one, other = seen(ours.pipe(operator())), seen(theirs.pipe(operator()))
        for stream in (ours, theirs):
            try:
                waiting = stream.until_done()
                if waiting is not None:
                    await waiting
            except Exception as error:
                if error is not stream.log.failure:
                    raise
        assert one.items == other.items
        assert [type(ending) for ending in one.endings] == [type(ending) for ending in other.endings]

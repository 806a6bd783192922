"""What every relay promises, in memory, on a Redis server and on a cluster of three."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest
from generated import generate
from loopback import ended
from relay_runs import GUARD, Finished, folded, until, written

import rx_assistant as rx
from rx_assistant import operators as ax
from rx_assistant.errors import (
    CursorExpiredError,
    EventTooLargeError,
    RelayError,
    RelayFencedError,
    ServerErrorEvent,
    StreamInterruptedError,
)
from rx_assistant.events import BY_NAME, DoneEvent, ErrorEvent, ThreadMessageDelta, frame
from rx_assistant.relay import Command, MemoryRelay, Relay, Tail

MakeRelay = Callable[..., Relay]


def published(relay: Relay, key: str, events: list[Any]) -> None:
    """Publish events from their first to their last."""
    with rx.from_events(iter(events)) as stream:
        publication = relay.publish(stream, key)
        stream.until_done()
        assert publication.wait(GUARD)


def failing(events: list[Any], error: Exception | None = None) -> Any:
    """Events, and then a source that breaks off."""
    yield from events
    raise error or ConnectionError("the source is gone")


# -- following -------------------------------------------------------------------------------------------------------


def test_a_follower_gets_the_same_events_and_the_same_ending(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    published(relay, "k", run.events)
    with make_relay().follow("k") as stream:
        assert list(stream) == run.events
        assert stream.get_final_run().status == "completed"
        assert stream.snapshot == run.whole


def test_followers_that_come_first_get_events_while_they_are_published(make_relay: MakeRelay, run: Finished) -> None:
    relay, others = make_relay(), make_relay()
    go_on = threading.Event()
    seen: list[list[Any]] = [[] for _ in range(5)]

    def follow(number: int) -> None:
        with others.follow("k", patience=GUARD) as stream:
            for event in stream:
                seen[number].append(event)

    def slowly() -> Any:
        yield from run.events[:5]
        assert go_on.wait(GUARD)
        yield from run.events[5:]

    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(follow, number) for number in range(5)]
        stream = rx.from_events(slowly())
        publication = relay.publish(stream, "k")
        stream.connect()
        until(lambda: all(len(events) == 5 for events in seen))
        go_on.set()
        for job in jobs:
            job.result(GUARD)
        stream.until_done()
        assert publication.wait(GUARD)
    assert seen == [run.events] * 5


@pytest.mark.anyio
async def test_a_follower_on_an_event_loop(make_relay: MakeRelay, run: Finished, anyio_backend: str) -> None:
    relay = make_relay()
    state = relay.claim("k")
    assert state is not None
    relay.append("k", state.generation, 0, run.frames[:5])
    async with make_relay().follow_async("k") as stream:
        events = aiter(stream)
        found = [await anext(events) for _ in range(5)]
        relay.append("k", state.generation, 5, run.frames[5:])
        relay.seal("k", state.generation, len(run.frames), frame(DoneEvent()))
        found += [event async for event in events]
        assert found == run.events
        assert (await stream.get_final_run()).status == "completed"


def test_operators_and_handlers_work_on_a_followed_stream(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    published(relay, "k", run.events)
    with make_relay().follow("k") as stream:
        assert "".join(stream.text_deltas) == run.whole.text
        calls = [call.type for call in stream.pipe(ax.completed_tool_calls())]
    assert calls == ["code_interpreter"]


def test_the_bytes_of_the_frames_are_kept(make_relay: MakeRelay) -> None:
    raw = b'{"id":"msg_1", "object" :"thread.message.delta","delta":{"content":[]},"odd":1.50}'
    events = [BY_NAME["thread.run.created"](b'{ "id" : "run_1" }'), ThreadMessageDelta(raw)]
    relay = make_relay()
    published(relay, "k", events)
    frames = b"".join(entry.frames for entry in make_relay().tail("k"))
    assert frames == b"".join(map(frame, [*events, DoneEvent()]))


def test_the_operator_publishes_events_on_their_way(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    with rx.from_events(iter(run.events)) as stream:
        passed = list(stream.pipe(relay.publish("k"), ax.of_type(ThreadMessageDelta)))
    assert passed == [event for event in run.events if isinstance(event, ThreadMessageDelta)]
    with make_relay().follow("k", patience=GUARD) as followed:
        assert list(followed) == run.events


# -- cursors ---------------------------------------------------------------------------------------------------------


def test_a_stream_goes_on_after_each_of_its_cursors(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(flush_interval=0.0)
    state = relay.claim("k")
    assert state is not None
    relay.append("k", state.generation, 0, run.frames)  # one entry: every cursor is inside
    relay.seal("k", state.generation, len(run.frames), frame(DoneEvent()))
    with relay.follow("k") as stream:
        cursors = [stream.cursor for _ in stream]
    other = make_relay()
    for number, cursor in enumerate(cursors):
        with other.follow("k", after=cursor) as stream:
            assert list(stream) == run.events[number + 1 :]
            assert stream.log.failure is None


@pytest.mark.parametrize("cursor", ["", "x", "1", "-1", "1-", "1-2-3", "٣-1", "1.5-1", " 1-1"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="a cursor must be"):
        MemoryRelay().follow("k", after=cursor)


def test_the_tail_of_an_entry_gives_the_cursors_of_whole_batches(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    written(relay, "k", run.frames, batch=4)
    state = relay.state("k")
    assert state is not None
    relay.seal("k", state.generation, state.count, frame(DoneEvent()))
    entries = list(make_relay().tail("k"))
    assert [entry.start for entry in entries[1:]] == [entry.end for entry in entries[:-1]]
    other = make_relay()
    for at, entry in enumerate(entries):
        rest = list(other.tail("k", after=entry.cursor))
        assert rest == (entries[at + 1 :] or entries[-1:]), "after the last cursor the ending comes again"


# -- endings ---------------------------------------------------------------------------------------------------------


def test_the_error_event_of_the_server_is_the_ending_byte_for_byte(make_relay: MakeRelay, run: Finished) -> None:
    raw = b'{"error": {"message":"too much",  "code":"rate_limit_exceeded"}}'
    relay = make_relay()
    with rx.from_events(iter([*run.events[:4], ErrorEvent(raw)])) as stream:
        publication = relay.publish(stream, "k")
        with pytest.raises(ServerErrorEvent):
            stream.until_done()
        assert publication.wait(GUARD)
    with make_relay().follow("k") as stream, pytest.raises(ServerErrorEvent, match="too much") as caught:
        stream.until_done()
    assert caught.value.event is not None
    assert caught.value.event.raw == raw
    assert caught.value.snapshot == folded(run.events[:4])


def test_the_status_is_written_before_the_ending(make_relay: MakeRelay, run: Finished) -> None:
    relay, other = make_relay(), make_relay()
    told: list[Any] = []
    stop = other.listen(
        "k", 0, lambda entries: told.extend((entry, other.state("k")) for entry in entries if entry.is_last)
    )
    published(relay, "k", run.events)
    until(lambda: told)
    stop()
    [(_, state)] = told
    assert state.status == "ended"


def test_a_run_that_has_ended_is_not_published_again(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    published(relay, "k", run.events)
    with rx.from_events(iter(run.events)) as stream:
        publication = relay.publish(stream, "k")
        stream.until_done()
        with pytest.raises(RelayError, match="has ended or is being published") as caught:
            publication.wait(GUARD)
    assert caught.value.key == "k"
    assert len(list(make_relay().follow("k"))) == len(run.events)


def test_a_run_that_requires_action_is_paused_and_its_legs_share_one_key(make_relay: MakeRelay) -> None:
    first = [
        BY_NAME["thread.run.created"](b'{"id":"run_1","thread_id":"t","status":"queued"}'),
        BY_NAME["thread.run.requires_action"](b'{"id":"run_1","thread_id":"t","status":"requires_action"}'),
    ]
    second = [
        BY_NAME["thread.run.queued"](b'{"id":"run_1","thread_id":"t","status":"queued"}'),
        BY_NAME["thread.run.completed"](b'{"id":"run_1","thread_id":"t","status":"completed"}'),
    ]
    relay, other = make_relay(), make_relay()
    seen: list[Any] = []
    with other.follow("k", patience=GUARD) as stream, ThreadPoolExecutor() as pool:
        reading = pool.submit(lambda: [seen.append(event) for event in stream])
        published(relay, "k", first)
        until(lambda: len(seen) == 2)
        state = relay.state("k")
        assert state is not None
        assert (state.status, state.count) == ("paused", 2)
        assert not stream.log.ended
        published(other, "k", second)
        reading.result(GUARD)
    assert seen == [*first, *second]
    assert list(make_relay().follow("k", after="1-1")) == [*first, *second][1:]


def test_a_stream_that_breaks_off_interrupts_the_run_at_once(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=1.0)
    stream = rx.from_events(failing(run.events[:6]))
    relay.publish(stream, "k")
    stream.connect()
    with make_relay(lease=1.0).follow("k", patience=GUARD) as followed:
        with pytest.raises(StreamInterruptedError, match="the source is gone") as caught:
            followed.until_done()
        assert followed.log.length == 6
    assert caught.value.snapshot == folded(run.events[:6])


def test_a_silent_producer_interrupts_its_followers_with_what_arrived(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=0.3)
    written(relay, "k", run.frames[:7])
    with make_relay(lease=0.3).follow("k") as stream, pytest.raises(StreamInterruptedError, match="no sign") as caught:
        stream.until_done()
    assert caught.value.snapshot == folded(run.events[:7])


def test_a_run_that_had_ended_without_its_last_frame_ends_well(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(lease=0.3)
    written(relay, "k", run.frames)
    with make_relay(lease=0.3).follow("k") as stream:
        assert list(stream) == run.events
        stream.until_done()


def test_a_run_that_nobody_begins_is_not_waited_for_forever(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with relay.follow("nothing", patience=0.05) as stream, pytest.raises(StreamInterruptedError, match="has begun it"):
        stream.until_done()
    late = relay.follow("nothing", after="7-1", patience=0.05)
    with late as stream, pytest.raises(CursorExpiredError, match="no longer has any"):
        stream.until_done()


# -- one producer ----------------------------------------------------------------------------------------------------


def test_of_many_claims_exactly_one_is_accepted(make_relay: MakeRelay) -> None:
    relays = [make_relay(lease=GUARD) for _ in range(3)]
    first = relays[0].claim("k")
    assert first is not None
    assert relays[1].claim("k") is None
    assert relays[1].claim("k", taking=first.generation) is None, "the producer is alive"
    assert relays[2].release("k", first.generation, "interrupted") == "ok"
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: relays[n % 3].claim("k", taking=first.generation), range(12)))
    [taken] = [state for state in found if state is not None]
    assert taken.generation == first.generation + 1


def test_a_producer_that_was_replaced_writes_nothing_more(make_relay: MakeRelay, run: Finished) -> None:
    relay, other = make_relay(), make_relay()
    go_on = threading.Event()

    def slowly() -> Any:
        yield from run.events[:5]
        assert go_on.wait(GUARD)
        yield from run.events[5:]

    stream = rx.from_events(slowly())
    publication = relay.publish(stream, "k")
    stream.connect()
    until(lambda: (state := other.state("k")) is not None and state.count == 5)
    state = other.state("k")
    assert state is not None
    assert other.release("k", state.generation, "interrupted") == "ok"  # as if its lease had run out
    taken = other.claim("k", taking=state.generation)
    assert taken is not None
    go_on.set()
    stream.until_done()
    with pytest.raises(RelayFencedError):
        publication.wait(GUARD)
    assert other.state("k").count == 5  # type: ignore[union-attr]
    assert other.append("k", state.generation, 5, [run.frames[5]]) == "fenced"
    assert other.seal("k", state.generation, 5, b"") == "fenced"
    assert other.beat("k", state.generation) == "fenced"
    assert other.append("k", taken.generation, 5, [run.frames[5]]) == "ok"


def test_writing_the_same_again_changes_nothing(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    state = relay.claim("k")
    assert state is not None
    for _ in range(2):
        assert relay.append("k", state.generation, 0, run.frames[:3]) == "ok"
    assert relay.append("k", state.generation, 5, run.frames[5:6]) == "behind"
    for _ in range(2):
        assert relay.seal("k", state.generation, 3, frame(DoneEvent())) == "ok"
    assert relay.append("k", state.generation, 4, run.frames[3:4]) == "ended"
    assert [entry.end for entry in relay.read("k", 0, 10)] == [3, 4]


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_a_cursor_that_is_older_than_the_log_expires(make_relay: MakeRelay) -> None:
    relay = make_relay(max_entries=100)
    run = generated(400)
    generation = written(relay, "k", list(map(frame, run)), batch=1)
    relay.seal("k", generation, len(run), frame(DoneEvent()))
    with make_relay(max_entries=100).follow("k") as stream, pytest.raises(CursorExpiredError) as caught:
        stream.until_done()
    error = caught.value
    assert error.oldest is not None
    oldest = int(error.oldest.split("-")[0])
    assert 0 < oldest <= 301
    assert error.remaining == b"".join(map(frame, [*run[oldest:], DoneEvent()]))
    assert list(make_relay(max_entries=100).follow("k", after=error.oldest)) == run[oldest:]


def test_a_late_follower_gets_the_state_of_a_log_that_was_cut(make_relay: MakeRelay) -> None:
    run = generated(700)
    relay = make_relay(max_entries=100, flush_interval=0.0, max_batch_bytes=1)
    published(relay, "k", run)
    assert relay.read("k", 0, 1)[0].start > 0, "the log was cut"
    with make_relay().follow("k", catch_up="snapshot") as stream:
        events = list(stream)
        assert stream.snapshot == folded(run)
    assert len(events) < 100


def generated(count: int) -> list[Any]:
    """A run with so many events, most of them text."""
    events = [
        BY_NAME["thread.run.created"](b'{"id":"run_1","thread_id":"thread_1","status":"queued"}'),
        BY_NAME["thread.message.created"](b'{"id":"msg_1","role":"assistant","status":"in_progress","content":[]}'),
    ]
    for number in range(count - 3):
        text = b'{"index":0,"type":"text","text":{"value":"w%d "}}' % number
        payload = b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":[' + text + b"]}}"
        events.append(ThreadMessageDelta(payload))
    return [*events, BY_NAME["thread.run.completed"](b'{"id":"run_1","thread_id":"thread_1","status":"completed"}')]


def test_an_event_over_the_limit_is_not_published(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay(max_event_bytes=4000, lease=1.0)
    large = ThreadMessageDelta(b'{"id":"m","pad":"' + b"x" * 4000 + b'"}')
    with rx.from_events(iter([*run.events[:3], large, *run.events[3:]])) as stream:
        publication = relay.publish(stream, "k")
        stream.until_done()
        with pytest.raises(EventTooLargeError):
            publication.wait(GUARD)
    with make_relay(lease=1.0).follow("k") as followed, pytest.raises(StreamInterruptedError, match="EventTooLarge"):
        followed.until_done()


# -- commands --------------------------------------------------------------------------------------------------------


class Cancellable:
    """A stream that waits until it was cancelled."""

    def __init__(self, events: list[Any]) -> None:
        self.cancelled = threading.Event()
        self.calls = 0
        self.stream = rx.from_events(self._events(events))
        self.stream.cancel = self._cancel  # type: ignore[method-assign, assignment]

    def _events(self, events: list[Any]) -> Any:
        yield from events
        assert self.cancelled.wait(GUARD)
        yield BY_NAME["thread.run.cancelled"](b'{"id":"run_1","thread_id":"t","status":"cancelled"}')

    def _cancel(self) -> None:
        self.calls += 1
        self.cancelled.set()


def test_a_follower_cancels_the_run_of_the_producer_once(make_relay: MakeRelay, run: Finished) -> None:
    relay, other = make_relay(), make_relay()
    source = Cancellable(run.events[:5])
    publication = relay.publish(source.stream, "k")
    source.stream.connect()
    with other.follow("k", patience=GUARD) as stream:
        stream.cancel()
        stream.cancel()
        assert stream.get_final_run().status == "cancelled"
    assert publication.wait(GUARD)
    assert source.calls == 1


def test_a_cancel_that_came_before_the_producer_listened_is_not_lost(make_relay: MakeRelay, run: Finished) -> None:
    relay, other = make_relay(), make_relay()
    source = Cancellable(run.events[:5])
    state = other.claim("k")
    assert state is not None
    other.send("k", Command("cancel"))
    other.release("k", state.generation, "interrupted")
    publication = relay.publish(source.stream, "k")
    source.stream.connect()
    assert publication.wait(GUARD)
    assert source.calls == 1


def test_other_commands_reach_the_producer_with_their_data(make_relay: MakeRelay, run: Finished) -> None:
    relay, other = make_relay(), make_relay()
    source = Cancellable(run.events[:5])
    got: list[Command] = []
    relay.publish(source.stream, "k", on_command=got.append)
    source.stream.connect()
    until(lambda: other.state("k") is not None)
    outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "18 °C 😀"}]}
    other.send("k", Command("tool_outputs", outputs))
    until(lambda: got)
    assert got == [Command("tool_outputs", outputs)]
    other.send("k", Command("cancel"))
    source.stream.until_done()


# -- leaving ---------------------------------------------------------------------------------------------------------


def test_closing_a_relay_ends_its_threads_and_gives_up_its_runs(make_relay: MakeRelay, run: Finished) -> None:
    before = set(threading.enumerate())
    relay = make_relay(lease=1.0)
    source = Cancellable(run.events[:5])
    publication = relay.publish(source.stream, "k")
    source.stream.connect()
    tail = relay.tail("k", patience=GUARD)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(lambda: list(tail))
        until(lambda: tail.position == 5)
        relay.close()
        reading.result(GUARD)
    assert publication.is_over
    source.cancelled.set()
    source.stream.until_done()
    for thread in set(threading.enumerate()) - before:
        assert not thread.name.startswith("rx-assistant-relay") or ended(thread, GUARD), thread
    with pytest.raises(RuntimeError, match="was closed"):
        relay.publish(rx.from_events(iter(run.events)), "other")


def test_a_follower_that_leaves_is_forgotten(make_relay: MakeRelay, run: Finished) -> None:
    relay = make_relay()
    written(relay, "k", run.frames[:5])
    for _ in range(3):
        with relay.follow("k") as stream:
            next(iter(stream))
    tail: Tail
    for tail in [relay.tail("k"), relay.tail("k")]:
        for _ in tail:
            break
    assert not relay._hubs._hubs


def test_generated_runs_come_through_unchanged(make_relay: MakeRelay) -> None:
    from random import Random

    relay, other = make_relay(), make_relay()
    for seed in range(12):
        events = generate(Random(seed), lossy=True).events[:-1]
        published(relay, f"run {seed}", events)
        assert list(other.follow(f"run {seed}")) == events
        with other.follow(f"run {seed}", catch_up="snapshot") as stream:
            stream.until_done()
            assert stream.snapshot == folded(events)


def test_inside_the_compacted_state_there_is_no_cursor_and_after_it_there_is(
    make_relay: MakeRelay, run: Finished
) -> None:
    relay = make_relay()
    published(relay, "k", run.events)
    with make_relay().follow("k", catch_up="snapshot") as stream:
        cursors = [stream.cursor for _ in stream]
    assert cursors[:-1] == [None] * (len(cursors) - 1)
    assert cursors[-1] == f"{len(run.events)}-1"
    generation = written(relay, "live", run.frames[:9])
    with relay.follow("live", catch_up="snapshot") as stream:
        events = iter(stream)
        while stream.cursor is None:
            next(events)
        relay.append("live", generation, 9, run.frames[9:11])
        next(events)
        assert stream.cursor == "10-1"
    relay.seal("live", generation, 11, frame(DoneEvent()))
    assert list(relay.follow("live", after="10-1")) == run.events[10:11]


@pytest.mark.anyio
async def test_a_stream_of_an_event_loop_is_published(make_relay: MakeRelay, run: Finished, anyio_backend: str) -> None:
    async def source() -> Any:
        for event in run.events:
            yield event

    relay = make_relay()
    async with rx.from_events(source()) as stream:
        publication = relay.publish(stream, "k")
        await stream.until_done()
    async with make_relay().follow_async("k", patience=GUARD) as followed:
        assert [event async for event in followed] == run.events
    assert publication.wait(GUARD)


@pytest.mark.anyio
async def test_many_followers_of_one_event_loop(make_relay: MakeRelay, run: Finished, anyio_backend: str) -> None:
    relay, other = make_relay(), make_relay()
    found: list[list[Any]] = []

    async def follow() -> None:
        async with other.follow_async("k", patience=GUARD) as stream:
            found.append([event async for event in stream])

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(follow)
        await anyio.to_thread.run_sync(published, relay, "k", run.events)
    assert found == [run.events] * 20


@pytest.mark.anyio
async def test_entries_of_an_event_loop_hold_the_frames(
    make_relay: MakeRelay, run: Finished, anyio_backend: str
) -> None:
    published(make_relay(), "k", run.events)
    tail = make_relay().tail("k")
    frames = [entry.frames async for entry in tail]
    assert b"".join(frames) == b"".join([*run.frames, frame(DoneEvent())])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lease": 0}, "lease must be"),
        ({"ttl": -1}, "ttl must be"),
        ({"max_entries": 0}, "max_entries must be"),
    ],
)
def test_limits_that_are_no_limits_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryRelay(**options)


def test_what_cannot_be_published_or_followed_is_refused() -> None:
    relay = MemoryRelay()
    with pytest.raises(TypeError, match="a stream and a key"):
        relay.publish(rx.from_events(iter([])), 7)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="catch_up must be"):
        relay.follow("k", catch_up="all")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a policy must be one of"):
        relay.follow("k", reply="none")

"""Loops over streams and over what is made of them: they connect by themselves, start over, nest, and let go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
import reactivex
from cases import in_one_test
from faces import last, listed
from reactivex import Observable, operators as ops
from reactivex.scheduler import ImmediateScheduler
from streams_bodies import (
    DONE,
    GUARD,
    AsyncFedBody,
    FedBody,
    StreamFace,
    answer,
    async_stream,
    delta,
    elsewhere,
    joined,
    message,
    names,
    on_every_face,
    run,
    sync_stream,
)

from rx_assistant import operators as ax
from rx_assistant.errors import StreamCancelledError, StreamClosedError, StreamOverflowError, StreamTruncatedError
from rx_assistant.hot import AsyncStream, Stream

Texts = Any

TEXTS = ("a", "b", "c", "d")

NAMES = ["run.created", "run.in_progress", "message.created"] + ["message.delta"] * 4
NAMES += ["message.completed", "run.completed"]


def twice(text: str) -> Observable[str]:
    return reactivex.of(text, text)


STOCK: dict[str, tuple[Callable[[Texts], Any], list[Any]]] = {
    "map": (lambda s: s.pipe(ops.map(str.upper)), ["A", "B", "C", "D"]),
    "filter": (lambda s: s.pipe(ops.filter(lambda t: t != "b")), ["a", "c", "d"]),
    "take": (lambda s: s.pipe(ops.take(2)), ["a", "b"]),
    "take_last": (lambda s: s.pipe(ops.take_last(2)), ["c", "d"]),
    "skip": (lambda s: s.pipe(ops.skip(3)), ["d"]),
    "scan": (lambda s: s.pipe(ops.scan(lambda a, b: a + b)), ["a", "ab", "abc", "abcd"]),
    "reduce": (lambda s: s.pipe(ops.reduce(lambda a, b: a + b)), ["abcd"]),
    "to_list": (lambda s: s.pipe(ops.to_list()), [["a", "b", "c", "d"]]),
    "count": (lambda s: s.pipe(ops.count()), [4]),
    "pairwise": (lambda s: s.pipe(ops.pairwise()), [("a", "b"), ("b", "c"), ("c", "d")]),
    "start_with": (lambda s: s.pipe(ops.start_with("x")), ["x", *TEXTS]),
    "concat": (lambda s: s.pipe(ops.concat(reactivex.of("x"))), [*TEXTS, "x"]),
    "concat with itself": (lambda s: s.pipe(ops.concat(s)), [*TEXTS, *TEXTS]),
    "zip": (lambda s: s.pipe(ops.zip(reactivex.of(1, 2, 3, 4))), [("a", 1), ("b", 2), ("c", 3), ("d", 4)]),
    "zip with itself": (lambda s: s.pipe(ops.zip(s)), [(t, t) for t in TEXTS]),
    "repeat": (lambda s: s.pipe(ops.repeat(2)), [*TEXTS, *TEXTS]),
    "flat_map": (lambda s: s.pipe(ops.flat_map(twice)), ["a", "a", "b", "b", "c", "c", "d", "d"]),
    "concat_map": (lambda s: s.pipe(ops.concat_map(twice)), ["a", "a", "b", "b", "c", "c", "d", "d"]),
    "map and merge_all": (lambda s: s.pipe(ops.map(reactivex.just), ops.merge_all()), [*TEXTS]),
    "switch_latest": (lambda s: s.pipe(ops.map(reactivex.just), ops.switch_latest()), [*TEXTS]),
    "buffer": (lambda s: s.pipe(ops.buffer_with_count(3)), [["a", "b", "c"], ["d"]]),
    "buffer with time": (lambda s: s.pipe(ops.buffer_with_time(GUARD)), [[*TEXTS]]),
    "window": (
        lambda s: s.pipe(ops.window_with_count(3), ops.flat_map(lambda w: w.pipe(ops.to_list()))),
        [["a", "b", "c"], ["d"]],
    ),
    "group_by": (
        lambda s: s.pipe(
            ops.group_by(lambda t: t in "ac"), ops.flat_map(lambda g: g.pipe(ops.map(lambda t: (g.key, t))))
        ),
        [(True, "a"), (False, "b"), (True, "c"), (False, "d")],
    ),
    "timeout": (lambda s: s.pipe(ops.timeout(GUARD)), [*TEXTS]),
    "delay": (lambda s: s.pipe(ops.delay(0.005)), [*TEXTS]),
    "debounce": (lambda s: s.pipe(ops.debounce(GUARD)), ["d"]),
    "throttle_first": (lambda s: s.pipe(ops.throttle_first(GUARD)), ["a"]),
    "delay_subscription": (lambda s: s.pipe(ops.delay_subscription(0.005)), [*TEXTS]),
    "take_until": (lambda s: s.pipe(ops.take_until(reactivex.timer(GUARD))), [*TEXTS]),
    "timestamp": (lambda s: s.pipe(ops.timestamp(), ops.map(lambda stamped: stamped.value)), [*TEXTS]),
    "publish with a selector": (lambda s: s.pipe(ops.publish(lambda p: p.pipe(ops.zip(p)))), [(t, t) for t in TEXTS]),
    "observe_on": (lambda s: s.pipe(ops.observe_on(ImmediateScheduler())), [*TEXTS]),
    "subscribe_on": (lambda s: s.pipe(ops.subscribe_on(ImmediateScheduler())), [*TEXTS]),
    "materialize": (lambda s: s.pipe(ops.materialize(), ops.dematerialize()), [*TEXTS]),
    "default_if_empty": (lambda s: s.pipe(ops.filter(lambda t: False), ops.default_if_empty("x")), ["x"]),
    "retry": (lambda s: s.pipe(ops.retry(2)), [*TEXTS]),
    "to_iterable": (lambda s: s.pipe(ops.to_iterable(), ops.map(list)), [[*TEXTS]]),
    "with_latest_from": (lambda s: s.pipe(ops.with_latest_from(reactivex.of(1))), [(t, 1) for t in TEXTS]),
    "slice": (lambda s: s[1:3], ["b", "c"]),
    "plus": (lambda s: s + reactivex.of("x"), [*TEXTS, "x"]),
    "fluent": (lambda s: s.map(str.upper).filter(lambda t: t != "B").take(2), ["A", "C"]),
    "first": (lambda s: s.first(), ["a"]),
    "last": (lambda s: s.last(), ["d"]),
}


@on_every_face
@in_one_test(("make", "expected"), STOCK.values(), ids=STOCK)
async def test_a_loop_over_what_stock_operators_make_connects_by_itself_and_starts_over(
    face: StreamFace, make: Callable[[Texts], Any], expected: list[Any]
) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        derived = make(stream.text_deltas)
        assert isinstance(derived, Stream if face.name == "threads" else AsyncStream)
        assert await listed(derived) == expected
        assert await listed(derived) == expected
        assert await last(derived) == expected[-1]
        assert await listed(stream.text_deltas) == [*TEXTS]
        assert stream.log.delivered
    assert stream.log.holders == 0


# What is shared by design has one subscription upstream: its first loop is fed, a later one finds the ending.
SHARED: dict[str, tuple[Callable[[Texts], Any], list[Any]]] = {
    "share": (lambda s: s.share(), [*TEXTS]),
    "partition": (lambda s: s.partition(lambda t: t < "c")[1], ["c", "d"]),
    "publish and ref_count": (lambda s: s.publish().pipe(ops.ref_count()), [*TEXTS]),
    "replay and ref_count": (lambda s: s.pipe(ops.replay(), ops.ref_count()), [*TEXTS]),
}


@on_every_face
@in_one_test("name", SHARED)
async def test_a_loop_over_what_is_shared_is_fed(face: StreamFace, name: str) -> None:
    make, expected = SHARED[name]
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        derived = make(stream.text_deltas)
        assert isinstance(derived, Stream if face.name == "threads" else AsyncStream)
        assert await listed(derived) == expected


# -- several streams ---------------------------------------------------------------------------------------------------

TOGETHER: dict[str, tuple[Callable[[Texts, Texts], Any], list[Any]]] = {
    "merge": (lambda a, b: a.pipe(ops.merge(b)), ["1", "2", "a", "b"]),
    "concat": (lambda a, b: a.pipe(ops.concat(b)), ["a", "b", "1", "2"]),
    "zip": (lambda a, b: a.pipe(ops.zip(b)), [("a", "1"), ("b", "2")]),
    "fork_join": (lambda a, b: a.pipe(ops.fork_join(b)), [("b", "2")]),
    "flat_map": (lambda a, b: a.pipe(ops.take(1), ops.flat_map(lambda _: b)), ["1", "2"]),
    "take_until": (lambda a, b: a.pipe(ops.concat(reactivex.never()), ops.take_until(b.pipe(ops.last()))), None),
}


@on_every_face
@in_one_test("name", TOGETHER)
async def test_a_loop_reads_several_streams(face: StreamFace, name: str) -> None:
    make, expected = TOGETHER[name]
    one, other = face.over(face.body(*answer("a", "b"))), face.over(face.body(*answer("1", "2")))
    async with face.block(one), face.block(other):
        items = await listed(make(one.text_deltas, other.text_deltas))
    if expected is None:
        assert items in ([], ["a"], ["a", "b"])
    else:
        assert (sorted(items) if name == "merge" else items) == expected


# -- nesting -----------------------------------------------------------------------------------------------------------


@on_every_face
async def test_loops_over_one_stream_nest(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a", "b")))) as stream:
        texts = stream.text_deltas
        pairs = [(outer, inner) async for outer in face.each(texts) async for inner in face.each(texts)]
    assert pairs == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]


@on_every_face
async def test_substreams_are_looped_over_inside_the_outer_loop_and_nothing_is_lost(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a", "b")))) as stream:
        live: list[str] = []
        stream.text_deltas.subscribe(live.append)
        assert [await listed(text) async for text in face.each(stream.pipe(ax.texts()))] == [["a", "b"]]
        assert live == ["a", "b"]


@pytest.mark.parametrize("pump", ["loop", "wait", "connect"])
def test_a_loop_inside_on_next_reads_ahead_and_siblings_get_the_events_in_order_afterwards(pump: str) -> None:
    ahead: list[str] = []
    order: list[str] = []

    def act(text: str) -> None:
        if not ahead:
            ahead.extend(stream.text_deltas)
            order.append("ahead")

    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        stream.text_deltas.subscribe(act)
        stream.text_deltas.subscribe(order.append)
        drive(stream, pump)
    assert ahead == [*TEXTS]
    assert order == ["ahead", *TEXTS]


@pytest.mark.parametrize("pump", ["loop", "wait", "connect"])
def test_waiting_inside_on_next_reads_ahead(pump: str) -> None:
    found: list[Any] = []
    order: list[str] = []

    def act(_: str) -> None:
        if not found:
            stream.until_done()
            found.append(stream.get_final_run().status)

    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        stream.text_deltas.subscribe(act)
        stream.text_deltas.subscribe(order.append)
        drive(stream, pump)
    assert found == ["completed"]
    assert order == [*TEXTS]


def drive(stream: Any, pump: str) -> None:
    if pump == "loop":
        for _ in stream:
            pass
    else:
        if pump == "connect":
            stream.connect()
        stream.until_done()


def test_a_loop_inside_the_body_of_a_loop_leaves_the_current_event_of_the_outer_one_alone() -> None:
    with sync_stream(FedBody(*answer("a"))) as stream:
        for event in stream:
            assert stream.current_event is event
        outer = iter(stream)
        first = next(outer)
        assert stream.current_event == first


def test_what_a_substream_leads_to_inside_a_loop_is_fed_by_that_loop() -> None:
    with sync_stream(FedBody(*answer("a", "b"))) as one, sync_stream(FedBody(*answer("1", "2"))) as other:

        def of_the_other(_: str) -> Any:
            return other.text_deltas

        inner = ops.flat_map(lambda text: text.pipe(ops.take(1), ops.flat_map(of_the_other)))
        assert list(one.pipe(ax.texts(), inner)) == ["1", "2"]


# -- what a loop does to others ----------------------------------------------------------------------------------------


def test_what_a_subscriber_subscribes_to_while_a_loop_pumps_stays_when_the_loop_is_over() -> None:
    late: list[str] = []

    def act(text: str) -> None:
        if text == "a":
            stream.text_deltas.subscribe(late.append)

    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        stream.text_deltas.subscribe(act)
        for text in stream.text_deltas:
            if text == "b":
                break
        assert late == ["a", "b"]
        stream.until_done()
    assert late == [*TEXTS]


@pytest.mark.anyio
async def test_what_a_task_subscribes_to_that_a_subscriber_started_while_a_loop_pumped_is_seated(
    anyio_backend: str,
) -> None:
    late: list[str] = []

    async def subscribe() -> None:
        stream.text_deltas.subscribe(late.append)

    async with async_stream(AsyncFedBody(*answer(*TEXTS))) as stream, anyio.create_task_group() as group:
        stream.text_deltas.pipe(ops.take(1)).subscribe(lambda _: group.start_soon(subscribe))
        async for text in stream.text_deltas:
            if text == "b":
                await anyio.lowlevel.checkpoint()
                break
        await stream.until_done()
    assert late == [*TEXTS]


def test_what_the_body_of_a_loop_subscribes_to_is_hot() -> None:
    late: list[str] = []
    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        for _ in stream.text_deltas:
            stream.text_deltas.subscribe(late.append)
            break
        assert late == ["a"]
        stream.until_done()
    assert late == [*TEXTS]


def test_a_loop_pumps_no_further_than_it_has_to() -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body) as stream:
        for text in stream.text_deltas:
            if text == "b":
                break
        assert body.reads == 5
        assert stream.log.position == 5


# -- the wrong kind of loop --------------------------------------------------------------------------------------------


def test_a_for_over_an_async_stream_says_what_to_write() -> None:
    for stream in (async_stream(AsyncFedBody()), async_stream(AsyncFedBody()).pipe(ops.map(str))):
        with pytest.raises(TypeError, match="async for item in stream"):
            iter(stream)
        with pytest.raises(TypeError, match="await stream"):
            stream.run()


@pytest.mark.anyio
async def test_an_async_for_over_a_sync_stream_says_what_to_write(anyio_backend: str) -> None:
    for stream in (sync_stream(FedBody()), sync_stream(FedBody()).pipe(ops.map(str)), sync_stream(FedBody())[:3]):
        with pytest.raises(TypeError, match=r"for item in stream.*without"):
            async for _ in stream:
                pass
        with pytest.raises(TypeError, match=r"stream\.run\(\)"):
            await stream


# -- leaving and going on ----------------------------------------------------------------------------------------------


@on_every_face
async def test_break_leaves_the_stream_at_once(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)), on_idle="close")) as stream:
        async for _ in face.each(stream.pipe(ops.map(str), ops.filter(bool))):
            break
        assert stream.log.holders == 0
        assert isinstance(stream.log.failure, StreamClosedError)


@on_every_face
async def test_an_exhausted_iterator_stays_so(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a")))) as stream:
        texts = face.each(stream.text_deltas)
        assert [text async for text in texts] == ["a"]
        assert [text async for text in texts] == []
        assert stream.log.holders == 0


@on_every_face
async def test_a_broken_stream_raises_from_every_loop_after_its_items_and_once_an_iterator(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a", "b")[:-3], over=True))) as stream:
        for _ in range(2):
            texts = face.each(stream.text_deltas)
            assert [await anext(texts), await anext(texts)] == ["a", "b"]
            with pytest.raises(StreamTruncatedError):
                await anext(texts)
            assert [text async for text in texts] == []


class Interrupted(FedBody):
    """A body whose second read is interrupted once."""

    def read(self) -> bytes:
        if self.reads == 1:
            self.reads += 1
            raise KeyboardInterrupt
        return super().read()


def test_an_iterator_survives_an_interrupt_while_it_reads() -> None:
    with sync_stream(Interrupted(*answer(*TEXTS))) as stream:
        events = iter(stream)
        next(events)
        with pytest.raises(KeyboardInterrupt):
            next(events)
        assert names(events) == NAMES[1:]


def test_an_iterator_survives_an_interrupt_in_a_subscriber() -> None:
    calm: list[None] = []
    live: list[str] = []

    def act(_: object) -> None:
        if stream.log.emitting == 1 and not calm:
            calm.append(None)
            raise KeyboardInterrupt

    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        stream.subscribe(act)
        stream.pipe(ops.map(lambda event: event.event)).subscribe(live.append)
        events = iter(stream)
        next(events)
        with pytest.raises(KeyboardInterrupt):
            next(events)
        assert names(events) == NAMES[1:]
        assert [name.removeprefix("thread.") for name in live] == NAMES


def test_subscribers_go_on_in_a_loop_after_a_wait_was_interrupted() -> None:
    live: list[str] = []
    with sync_stream(Interrupted(*answer(*TEXTS))) as stream:
        stream.text_deltas.subscribe(live.append, on_completed=lambda: live.append("completed"))
        with pytest.raises(KeyboardInterrupt):
            stream.until_done()
        assert list(stream.text_deltas) == [*TEXTS]
        assert live == [*TEXTS, "completed"]


@pytest.mark.anyio
async def test_an_async_iterator_may_be_cancelled_freely_while_a_task_of_the_streams_reads(anyio_backend: str) -> None:
    body = AsyncFedBody()
    async with async_stream(body) as stream:
        await stream.connect()
        texts = aiter(stream.text_deltas)
        with anyio.move_on_after(0.01) as scope:
            await anext(texts)
        assert scope.cancelled_caught
        body.feed(*answer(*TEXTS))
        with anyio.fail_after(GUARD):
            assert [text async for text in texts] == [*TEXTS]


@pytest.mark.anyio
async def test_an_async_iterator_that_is_cancelled_while_it_reads_ends_with_a_typed_error(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS)[:4])
    async with async_stream(body) as stream:
        texts = aiter(stream.text_deltas)
        assert await anext(texts) == "a"
        with anyio.move_on_after(0.01) as scope:
            await anext(texts)
        assert scope.cancelled_caught
        with pytest.raises(StreamCancelledError):
            await anext(texts)


# -- replay="none" -----------------------------------------------------------------------------------------------------


def test_a_loop_over_a_stream_that_keeps_nothing_starts_at_the_present() -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), replay="none") as stream:
        first = iter(stream)
        for _ in range(4):
            next(first)
        second = iter(stream)
        assert names([next(second)]) == ["message.delta"]
        assert list(stream.text_deltas) == ["c", "d"]
        assert names(first) == NAMES[4:]
        assert names(second) == NAMES[5:]
        assert list(stream) == []


def test_a_reader_that_lags_behind_a_connected_pump_is_cut_loose_and_a_later_loop_starts_at_the_present() -> None:
    body = FedBody()
    with sync_stream(body, replay="none", max_pending=2000) as stream:
        live: list[str] = []
        stream.text_deltas.subscribe(live.append)
        slow = iter(stream.text_deltas)
        stream.connect()
        body.feed(delta("first"))
        assert next(slow) == "first"
        body.feed(*(delta(f"{number:03}") for number in range(100)))
        body.waiting.clear()
        assert body.waiting.wait(GUARD)
        with pytest.raises(StreamOverflowError):
            next(slow)
        later = iter(stream.text_deltas)
        body.feed(delta("last"), message("completed", "all"), run("completed"), DONE)
        assert list(later) == ["last"]
        assert live == ["first", *(f"{number:03}" for number in range(100)), "last"]


def test_a_stream_that_keeps_nothing_knows_its_snapshot() -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), replay="none") as stream:
        stream.until_done()
        [whole] = stream.get_final_messages()
        assert whole.content[0].text.value == "abcd"  # type: ignore[union-attr]


# -- hot results of stock operators ------------------------------------------------------------------------------------


def test_a_loop_over_a_published_stream_is_fed_by_its_connection() -> None:
    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        published: Any = stream.text_deltas.publish()
        assert isinstance(published, Stream)
        live: list[str] = []
        published.subscribe(live.append)
        loop = iter(published)
        published.connect()
        assert list(loop) == live == [*TEXTS]


def test_what_an_operator_of_a_loop_subscribes_to_later_belongs_to_the_loop_too() -> None:
    with sync_stream(FedBody(*answer("a", "b"))) as stream:
        texts = []
        for text in stream.text_deltas.flat_map(lambda _: stream.text_deltas):
            texts.append(text)
            assert stream.log.seats == 0
        assert sorted(texts) == ["a", "a", "b", "b"]


def test_a_loop_over_a_published_stream_reads_it_even_if_the_connection_does_not() -> None:
    with sync_stream(FedBody(*answer(*TEXTS)), on_subscribe="wait") as stream:
        published: Any = stream.text_deltas.publish()
        loop = iter(published)
        published.connect()
        assert not stream.driver.connected
        assert list(loop) == [*TEXTS]


def test_a_loop_over_a_group_inside_the_loop_that_feeds_it_says_what_to_do_instead_of_hanging() -> None:
    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        for group in stream.text_deltas.group_by(str.isupper):
            assert isinstance(group, Stream)
            with pytest.raises(RuntimeError, match="flat_map"):
                next(iter(group))


def test_inner_observables_of_ones_own_may_be_looped_over() -> None:
    with sync_stream(FedBody(*answer("a", "b"))) as stream:
        assert [[*inner] for inner in stream.text_deltas.map(twice)] == [["a", "a"], ["b", "b"]]


def test_a_time_operator_delivers_serially_with_the_stream() -> None:
    """[C10]"""
    inside: list[None] = []
    overlaps: list[None] = []
    delayed: list[str] = []

    def serial(note: Callable[[str], object]) -> Callable[[str], None]:
        def act(text: str) -> None:
            overlaps.extend(inside)
            inside.append(None)
            note(text)
            threading.Event().wait(0.002)
            inside.pop()

        return act

    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        stream.text_deltas.subscribe(serial(lambda _: None))
        over = threading.Event()
        stream.text_deltas.pipe(ops.delay(0.001)).subscribe(serial(delayed.append), on_completed=over.set)
        stream.connect()
        stream.until_done()
        assert over.wait(GUARD)
    assert delayed == [*TEXTS]
    assert overlaps == []


# -- many threads ------------------------------------------------------------------------------------------------------


def test_loops_on_several_threads_share_one_pump_and_miss_nothing() -> None:
    for _ in range(10):
        body = FedBody(*answer(*TEXTS * 10))
        with sync_stream(body) as stream:
            got: list[list[str]] = [[] for _ in range(4)]
            start = threading.Barrier(4)

            def read(into: list[str], stream: Any = stream, start: threading.Barrier = start) -> None:
                start.wait(GUARD)
                into.extend(stream.text_deltas)

            joined(*[elsewhere(partial(read, into)) for into in got])
            assert got == [[*TEXTS * 10]] * 4
        assert body.reads == len(answer(*TEXTS * 10))

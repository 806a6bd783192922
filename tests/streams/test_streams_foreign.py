"""Subscriptions without a reader: direct ones wait and log a warning, those that reactivex makes connect."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from faces import got as received
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import ImmediateScheduler, NewThreadScheduler
from reactivex.subject import Subject
from streams_bodies import (
    AsyncFedBody,
    FedBody,
    StreamFace,
    answer,
    async_stream,
    elsewhere,
    joined,
    on_every_face,
    sync_stream,
    until,
    until_async,
)

from rx_assistant import from_events, operators as ax, replay
from rx_assistant.hot import HotLog
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, unread
from rx_assistant.streams.unread import Unread

TEXTS = ("a", "b")


def opened() -> AssistantStream:
    return sync_stream(FedBody(*answer(*TEXTS)))


def opened_async() -> AsyncAssistantStream:
    return async_stream(AsyncFedBody(*answer(*TEXTS)))


def _texts(stream: Any) -> Any:
    return stream.pipe(ax.text_deltas())


ONE = rx.from_iterable([1], scheduler=ImmediateScheduler())
"""A value that is there at once, on the thread that subscribes."""

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "merge": (lambda s: rx.merge(_texts(s), _texts(s)).pipe(ops.filter(lambda t: t == "a")), ["a", "a"]),
    "concat": (lambda s: rx.concat(_texts(s), rx.of("c")), ["a", "b", "c"]),
    "concat_second": (lambda s: rx.concat(rx.of("c"), _texts(s)), ["c", "a", "b"]),
    "zip": (lambda s: rx.zip(_texts(s), rx.of(1, 2)), [("a", 1), ("b", 2)]),
    "combine_latest": (lambda s: rx.combine_latest(ONE, _texts(s)), [(1, "a"), (1, "b")]),
    "with_latest_from": (lambda s: rx.with_latest_from(_texts(s), ONE), [("a", 1), ("b", 1)]),
    "amb": (lambda s: rx.amb(_texts(s), rx.never()), ["a", "b"]),
    "catch": (lambda s: rx.catch(rx.throw(ValueError()), _texts(s)), ["a", "b"]),
    "on_error_resume_next": (lambda s: rx.on_error_resume_next(rx.throw(ValueError()), _texts(s)), ["a", "b"]),
    "fork_join": (lambda s: rx.fork_join(_texts(s), rx.of(1)), [("b", 1)]),
    "using": (lambda s: rx.using(Disposable, lambda _: _texts(s)), ["a", "b"]),
    "defer": (lambda s: rx.defer(lambda _: _texts(s)), ["a", "b"]),
    "if_then": (lambda s: rx.if_then(lambda: True, _texts(s)), ["a", "b"]),
    "case": (lambda s: rx.case(lambda: 1, {1: _texts(s)}), ["a", "b"]),
    "concat_map": (lambda s: rx.of(1).pipe(ops.concat_map(lambda _: _texts(s))), ["a", "b"]),
    "flat_map": (lambda s: rx.of(1).pipe(ops.flat_map(lambda _: _texts(s))), ["a", "b"]),
    "switch_latest": (lambda s: rx.of(_texts(s)).pipe(ops.switch_latest()), ["a", "b"]),
    "start_with": (lambda s: rx.of(0).pipe(ops.concat(_texts(s))), [0, "a", "b"]),
    "retry": (lambda s: rx.defer(lambda _: _texts(s)).pipe(ops.retry(2)), ["a", "b"]),
    "scheduler": (lambda s: rx.merge(_texts(s).pipe(ops.subscribe_on(NewThreadScheduler()))), ["a", "b"]),
    "share": (lambda s: rx.defer(lambda _: _texts(s)).pipe(ops.share()), ["a", "b"]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_reactivex_subscribes_to_by_itself_is_read(name: str) -> None:
    make, expected = FUNCTIONS[name]
    results: list[Any] = []
    stream = opened()
    joined(elsewhere(lambda: results.append(make(stream).pipe(ops.to_list()).run())))
    assert results == [expected]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "scheduler"])
def test_what_reactivex_awaits_by_itself_is_read(name: str) -> None:
    make, expected = FUNCTIONS[name]

    async def main() -> Any:
        async with asyncio.timeout(5):
            return await make(opened_async()).pipe(ops.to_list())

    assert asyncio.run(main()) == expected


@pytest.mark.parametrize("inside", [False, True])
def test_an_async_stream_that_an_operator_subscribed_to_is_opened_read_and_closed(inside: bool) -> None:
    body = AsyncFedBody(*answer(*TEXTS))

    async def main() -> Any:
        stream = async_stream(body)
        async with asyncio.timeout(5):
            if not inside:
                return await stream.text_deltas.pipe(ops.to_list(), ops.to_future())
            async with stream:
                return await stream.text_deltas.pipe(ops.to_list(), ops.to_future())

    assert asyncio.run(main()) == ["a", "b"]
    assert body.endings == ["finish"]


async def test_trio_reads_what_an_operator_subscribed_to(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS))
    stream = async_stream(body)
    got: list[Any] = []
    rx.merge(stream.text_deltas).subscribe(got.append, on_completed=lambda: got.append("completed"))
    await until_async(lambda: got == ["a", "b", "completed"])
    await until_async(lambda: body.endings == ["finish"])


def test_an_async_stream_without_an_event_loop_names_the_way_out() -> None:
    stream = opened_async()
    errors: list[Exception] = []
    rx.merge(stream.text_deltas).subscribe(on_error=errors.append)
    assert "async with" in str(errors[0])
    assert "connect()" in str(errors[0])
    assert stream.log.holders == 0


async def test_an_operator_that_has_left_before_the_task_begins_sends_nothing(anyio_backend: str) -> None:
    body = AsyncFedBody(*answer(*TEXTS))
    stream = async_stream(body)
    rx.merge(stream.text_deltas).subscribe().dispose()
    rx.merge(stream.text_deltas).subscribe().dispose()
    for _ in range(3):
        await asyncio.sleep(0) if anyio_backend == "asyncio" else await until_async(lambda: True)
    assert body.reads == 0
    got: list[str] = []
    rx.merge(stream.text_deltas).subscribe(got.append)
    await until_async(lambda: got == ["a", "b"])


@pytest.mark.parametrize("operator", [ops.concat_map, ops.flat_map])
def test_a_run_per_question_sends_each_request(operator: Any) -> None:
    bodies: list[FedBody] = []

    def ask(_: str) -> Any:
        bodies.append(FedBody(*answer(*TEXTS)))
        return sync_stream(bodies[-1]).pipe(ax.text_deltas())

    got: list[Any] = []
    rx.of("1", "2").pipe(operator(ask)).subscribe(got.append, got.append, lambda: got.append("completed"))
    until(lambda: got and got[-1] == "completed")
    assert sorted(got[:-1]) == ["a", "a", "b", "b"]
    assert [body.endings for body in bodies] == [["finish"], ["finish"]]


def test_a_run_per_question_works_inside_a_loop_and_below_a_stream_of_ours() -> None:
    outer = opened()
    inner: Callable[[str], Any] = lambda _: _texts(opened())  # noqa: E731
    results: list[Any] = []
    joined(elsewhere(lambda: results.append(list(outer.text_deltas.pipe(ops.concat_map(inner))))))
    assert results == [["a", "b", "a", "b"]]
    got: list[str] = []
    direct = opened()
    direct.text_deltas.pipe(ops.concat_map(inner)).subscribe(got.append)
    direct.until_done()
    until(lambda: got == ["a", "b", "a", "b"])


def test_a_newer_question_replaces_the_run_before() -> None:
    questions: Subject[FedBody] = Subject()
    got: list[Any] = []
    first, second = FedBody(*answer(*TEXTS)[:4]), FedBody(*answer("c"))
    questions.pipe(
        ops.map(lambda body: _texts(sync_stream(body, on_idle="close"))),
        ops.switch_latest(),
    ).subscribe(got.append)
    questions.on_next(first)
    until(lambda: got == ["a"])
    questions.on_next(second)
    until(lambda: got == ["a", "c"])
    assert first.endings == ["close"]


def test_a_combinator_subscribed_to_in_a_step_of_a_loop_may_be_waited_for_there() -> None:
    other = opened()
    counts: list[Any] = []
    texts = opened().text_deltas.pipe(
        ops.do_action(lambda _: counts.append(rx.merge(_texts(other), _texts(other)).pipe(ops.count()).run()))
    )
    joined(elsewhere(lambda: list(texts)))
    assert counts == [4, 4]


# -- direct subscriptions ----------------------------------------------------------------------------------------------

PIPELINES: dict[str, Callable[[AssistantStream], Any]] = {
    "bare": lambda s: s,
    "ours": lambda s: s.pipe(ax.text_deltas()),
    "stock": lambda s: s.pipe(ax.text_deltas(), ops.map(str.upper), ops.scan(lambda a, b: a + b)),
    "merge": lambda s: s.text_deltas.pipe(ops.merge(s.pipe(ax.run_statuses()))),
    "concat": lambda s: s.text_deltas.pipe(ops.concat(s.pipe(ax.run_statuses()))),
    "delay": lambda s: s.text_deltas.pipe(ops.delay(0.0, scheduler=NewThreadScheduler())),
    "fluent": lambda s: s.map(str).filter(bool),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_direct_subscription_waits_for_a_reader(name: str) -> None:
    body = FedBody(*answer(*TEXTS))
    stream = sync_stream(body)
    PIPELINES[name](stream).subscribe(lambda _: None)
    assert not stream.driver.connected
    assert body.reads == 0
    stream.until_done()
    assert body.readers == {threading.get_ident()}


def test_callbacks_of_a_direct_subscription_run_on_the_thread_that_reads() -> None:
    stream = opened()
    threads: set[int] = set()
    stream.pipe(ax.text_deltas(), ops.flat_map(lambda _: stream.text_deltas)).subscribe(
        lambda _: threads.add(threading.get_ident())
    )
    stream.until_done()
    assert threads == {threading.get_ident()}


def test_on_subscribe_overrides_both() -> None:
    body = FedBody(*answer(*TEXTS))
    got: list[str] = []
    sync_stream(body, on_subscribe="connect").text_deltas.subscribe(got.append)
    until(lambda: got == ["a", "b"])
    body = FedBody(*answer(*TEXTS))
    stream = sync_stream(body, on_subscribe="wait")
    rx.merge(stream.text_deltas).subscribe(got.append)
    assert not stream.driver.connected
    with pytest.raises(ValueError, match="on_subscribe must be 'wait' or 'connect', got 'no'"):
        sync_stream(body, on_subscribe="no")


@pytest.mark.parametrize("make", ["replay", "from_events"])
def test_streams_without_a_client_take_on_subscribe_too(make: str) -> None:
    raw, got = b"".join(answer(*TEXTS)), list[str]()
    stream = replay(raw, on_subscribe="connect")
    if make == "from_events":
        stream = from_events(list(replay(raw)), on_subscribe="connect")
    stream.text_deltas.subscribe(got.append)
    until(lambda: got == ["a", "b"])


# -- the warning -------------------------------------------------------------------------------------------------------


class Clock:
    """Timers that a test fires."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        timer = (seconds, action)
        self.timers.append(timer)
        return lambda: self.timers.remove(timer)


def test_a_subscriber_that_waits_a_second_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    log: HotLog[int] = HotLog()
    clock = Clock()
    unread = Unread(log, clock.call_later)
    log.retain(object())
    unread.wait()
    unread.wait()
    [(seconds, fire)] = clock.timers
    fire()
    unread.wait()
    assert seconds == 1
    assert len(clock.timers) == 1
    [record] = caplog.records
    for name in ("until_done()", "connect()", "background().start(stream)", "iterate"):
        assert name in record.getMessage()


@pytest.mark.parametrize("case", ["read", "left", "ended"])
def test_there_is_no_warning_when_it_was_read_left_or_ended(case: str, caplog: pytest.LogCaptureFixture) -> None:
    log: HotLog[int] = HotLog()
    clock = Clock()
    unread = Unread(log, clock.call_later)
    token = object()
    log.retain(token)
    unread.wait()
    [(_, fire)] = clock.timers
    if case == "read":
        unread.read()
        assert clock.timers == []
    elif case == "left":
        log.release(token)
    else:
        log.end()
    fire()
    assert caplog.records == []


@on_every_face
async def test_a_slow_reply_is_not_a_missing_reader(face: StreamFace) -> None:
    clock, waiting = Clock(), list[int]()

    def open() -> Any:
        stream.subscribe()  # from another thread, while the request is being sent
        waiting.append(len(clock.timers))
        return face.body(*answer("a"))

    stream = face.opened(open)
    stream.driver.unread._call_later = clock.call_later
    stream.subscribe()
    waiting.append(len(clock.timers))
    async with face.block(stream):
        waiting.append(len(clock.timers))
        await received(stream.until_done())
    assert waiting == [1, 0, 1]
    assert clock.timers == []


@pytest.mark.parametrize("subscribe", [lambda s: s.subscribe(), lambda s: s.pipe(ops.map(str)).subscribe()])
def test_a_stream_that_nothing_reads_warns(
    subscribe: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 0.001)
    stream = opened()
    with caplog.at_level(logging.WARNING, "rx_assistant"):
        subscribe(stream)
        until(lambda: caplog.records)
    assert "nothing reads its stream" in caplog.text


def test_reading_in_time_leaves_no_timer() -> None:
    stream = opened()
    stream.subscribe()
    stream.until_done()
    until(lambda: not [t for t in threading.enumerate() if t.name == "rx-assistant-timers"])

"""coalesce, latest and buffer_bounded case by case: slow observers, overflow, isolation, real streams."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from guard import GUARD
from pacing_script import Clock
from reactivex import Observable, Subject, operators as ops

from rx_assistant.errors import StreamOverflowError
from rx_assistant.events import ThreadMessageDelta
from rx_assistant.operators import buffer_bounded, coalesce, latest
from rx_assistant.streams import replay, replay_async

Operator = Callable[[Observable[Any]], Observable[Any]]

PACED = pytest.mark.parametrize(
    "paced",
    [pytest.param(coalesce, id="coalesce"), pytest.param(latest, id="latest")],
)


class Log:
    """An observer that writes down what it gets and when."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.items: list[Any] = []
        self.times: list[float] = []
        self.ending: list[Any] = []
        self._clock = clock

    def on_next(self, item: Any) -> None:
        self.items.append(item)
        if self._clock is not None:
            self.times.append(round(self._clock.to_seconds(self._clock.clock), 4))

    def on_error(self, error: Exception) -> None:
        self.ending.append(error)

    def on_completed(self) -> None:
        self.ending.append("completed")


def hot(operator: Operator, *, on_next: Callable[[Any], None] | None = None) -> tuple[Clock, Subject[Any], Log, Any]:
    """A subject through an operator on virtual time, and a log of what comes out."""
    clock, source = Clock(), Subject[Any]()
    log = Log(clock)
    subscription = source.pipe(operator).subscribe(
        on_next or log.on_next, log.on_error, log.on_completed, scheduler=clock
    )
    return clock, source, log, subscription


def push(source: Subject[Any], *items: Any) -> None:
    for item in items:
        source.on_next(item)


def never(_a: object, _b: object) -> bool:
    return False


# -- coalesce ------------------------------------------------------------------------------------------------------


def test_text_is_joined_and_each_group_is_joined_once() -> None:
    clock, source, log, _ = hot(coalesce(0.1))
    push(source, "a", "b", "c")
    clock.advance_to(0.1)
    push(source, "d")
    clock.advance_to(0.25)
    push(source, "e")
    clock.advance_to(1)
    assert (log.items, log.times) == (["a", "bc", "d", "e"], [0, 0.1, 0.2, 0.3])


def test_join_runs_once_for_a_frame_however_many_items_it_has() -> None:
    calls: list[int] = []

    def join(items: Any) -> str:
        calls.append(len(items))
        return "".join(items)

    clock, source, log, _ = hot(coalesce(0.1, join=join))
    push(source, *"abcdefghij")
    clock.advance_to(1)
    assert log.items == ["a", "bcdefghij"]
    assert calls == [9]


def test_the_argument_outdoes_the_scheduler_given_at_subscription() -> None:
    mine = Clock()
    clock, source, log, _ = hot(coalesce(0.1, scheduler=mine))
    push(source, "a", "b")
    clock.advance_to(1)
    assert log.items == ["a"]
    mine.advance_to(0.1)
    assert log.items == ["a", "b"]


@PACED
def test_one_operator_used_twice_gives_independent_results(paced: Any) -> None:
    operator = paced(0.1)
    clock_1, source_1, log_1, _ = hot(operator)
    _, source_2, log_2, _ = hot(operator)
    push(source_1, "a", "b")
    push(source_2, "x")
    clock_1.advance_to(0.2)
    assert (log_1.items, log_2.items) == (["a", "b"], ["x"])


@PACED
def test_a_slow_observer_stretches_the_frame_to_one_and_a_half_of_its_time(paced: Any) -> None:
    clock, source = Clock(), Subject[str]()
    log = Log(clock)

    def slow(item: str) -> None:
        log.on_next(item)
        clock.sleep(0.2)

    source.pipe(paced(0.1)).subscribe(slow, scheduler=clock)
    for at in (0.0, 0.25, 0.45, 0.65):
        clock.schedule_absolute(at, lambda *_: push(source, "x"))
    clock.start()
    assert log.times == [0.0, 0.3, 0.6, 0.9]  # each began 1.5 × 0.2 s after the one before


def test_a_fast_observer_gets_the_short_frame_back() -> None:
    clock, source = Clock(), Subject[str]()
    log, costs = Log(clock), [0.2, 0.0, 0.0, 0.0]

    def observer(item: str) -> None:
        log.on_next(item)
        clock.sleep(costs.pop(0))

    source.pipe(coalesce(0.1)).subscribe(observer, scheduler=clock)
    for at in (0.0, 0.25, 0.31, 0.42):
        clock.schedule_absolute(at, lambda *_: push(source, "x"))
    clock.start()
    assert log.times == [0.0, 0.3, 0.4, 0.5]


def test_a_push_from_inside_on_next_waits_its_turn() -> None:
    clock, source = Clock(), Subject[str]()
    log = Log(clock)

    def again(item: str) -> None:
        log.on_next(item)
        if len(log.items) < 4:
            push(source, item + "!")

    source.pipe(coalesce(0.1)).subscribe(again, scheduler=clock)
    push(source, "a")
    assert log.items == ["a"]
    clock.advance_to(1)
    assert (log.items, log.times) == (["a", "a!", "a!!", "a!!!"], [0, 0.1, 0.2, 0.3])
    assert clock.pending == 0


def test_disposing_inside_on_next_stops_and_leaves_no_timer() -> None:
    clock, source = Clock(), Subject[str]()
    taken: list[str] = []

    def once(item: str) -> None:
        taken.append(item)
        push(source, "a", "b", "c")
        held.dispose()

    held = source.pipe(coalesce(0.1)).subscribe(once, scheduler=clock)
    push(source, "x")
    clock.advance_to(1)
    assert taken == ["x"]
    assert clock.pending == 0


@PACED
def test_an_observer_that_raises_gets_its_error_once_and_nothing_more(paced: Any) -> None:
    clock, source = Clock(), Subject[str]()
    log, errors = Log(clock), []

    def bad(item: str) -> None:
        log.on_next(item)
        if len(log.items) == 2:
            raise KeyError(item)

    source.pipe(paced(0.1)).subscribe(bad, errors.append, scheduler=clock)
    push(source, "a", "b")
    clock.advance_to(0.1)
    push(source, "c")
    clock.advance_to(1)
    assert log.items == ["a", "b"]
    assert [type(error) for error in errors] == [KeyError]
    assert clock.pending == 0


def test_what_join_raises_ends_the_chain_only() -> None:
    clock, source, log, _ = hot(coalesce(0.1, adjacent=lambda a, b: True))
    bystander = Log()
    source.subscribe(bystander)
    push(source, 1, 2, 3)
    clock.advance_to(1)
    assert [type(error) for error in log.ending] == [TypeError]
    assert "pass `join`" in str(log.ending[0])
    assert (bystander.items, bystander.ending) == ([1, 2, 3], [])


# -- overflow ------------------------------------------------------------------------------------------------------


def overflowing(operator: Operator, count: int) -> Log:
    """What an observer gets whose first item brings `count` more before it returns."""
    clock, source = Clock(), Subject[int]()
    log = Log(clock)

    def observer(item: int) -> None:
        log.on_next(item)
        if item == 0:
            push(source, *range(1, count + 1))

    source.pipe(operator).subscribe(observer, log.on_error, log.on_completed, scheduler=clock)
    push(source, 0)
    clock.advance_to(1)
    return log


def test_overflow_ends_with_an_error_behind_what_waits() -> None:
    log = overflowing(coalesce(0.1, adjacent=never, max_pending=2), 5)
    assert log.items == [0, 1, 2]
    (error,) = log.ending
    assert isinstance(error, StreamOverflowError)
    assert (error.capacity, error.pending) == (2, 2)


@pytest.mark.parametrize(
    ("overflow", "kept", "lost"),
    [("drop_oldest", [0, 4, 5], [1, 2, 3]), ("drop_newest", [0, 1, 2], [3, 4, 5])],
)
def test_overflow_drops_and_reports_what_it_drops(overflow: Any, kept: list[int], lost: list[int]) -> None:
    dropped: list[int] = []
    log = overflowing(coalesce(0.1, adjacent=never, max_pending=2, overflow=overflow, on_drop=dropped.append), 5)
    assert (log.items, dropped, log.ending) == (kept, lost, [])


def test_overflow_counts_only_what_cannot_be_joined() -> None:
    assert overflowing(coalesce(0.1, adjacent=lambda a, b: True, join=sum, max_pending=1), 50).items == [0, 1275]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: coalesce(0), "interval"),
        (lambda: coalesce(-1), "interval"),
        (lambda: coalesce(max_pending=0), "max_pending"),
        (lambda: coalesce(overflow="ignore"), "overflow"),  # type: ignore[arg-type]
        (lambda: latest(0), "interval"),
        (lambda: buffer_bounded(0), "capacity"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got"):
        make()


# -- latest --------------------------------------------------------------------------------------------------------


def test_latest_gives_the_newest_of_a_frame_and_always_the_last() -> None:
    clock, source, log, _ = hot(latest(0.1))
    push(source, 1, 2, 3)
    clock.advance_to(0.15)
    push(source, 4, 5)
    source.on_completed()
    assert (log.items, log.times, log.ending) == ([1, 3, 5], [0, 0.1, 0.15], ["completed"])
    assert clock.pending == 0


def test_latest_keeps_no_item_but_the_newest() -> None:
    class Big:
        alive = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    _, source, _, subscription = hot(latest(0.1), on_next=lambda _: None)
    for _ in range(100):
        source.on_next(Big())
    assert Big.alive == 1
    subscription.dispose()
    assert Big.alive == 0


# -- buffer_bounded ------------------------------------------------------------------------------------------------


def test_buffer_bounded_hands_on_every_item_in_turns_of_its_scheduler() -> None:
    clock, source, log, _ = hot(buffer_bounded(3))
    push(source, 1, 2, 3)
    assert log.items == []
    clock.advance_to(0.001)
    push(source, 4)
    source.on_completed()
    assert (log.items, log.ending) == ([1, 2, 3], [])
    clock.advance_to(0.002)
    assert (log.items, log.ending) == ([1, 2, 3, 4], ["completed"])


def test_buffer_bounded_overflows_behind_what_waits() -> None:
    clock, source, log, _ = hot(buffer_bounded(3))
    push(source, 1, 2, 3, 4, 5)
    clock.advance_to(0.001)
    assert log.items == [1, 2, 3]
    assert [(type(error), error.capacity, error.pending) for error in log.ending] == [(StreamOverflowError, 3, 3)]


@pytest.mark.parametrize(
    ("overflow", "kept", "lost"),
    [("drop_oldest", [3, 4, 5], [1, 2]), ("drop_newest", [1, 2, 3], [4, 5])],
)
def test_buffer_bounded_drops_and_reports(overflow: Any, kept: list[int], lost: list[int]) -> None:
    dropped: list[int] = []
    clock, source, log, _ = hot(buffer_bounded(3, overflow=overflow, on_drop=dropped.append))
    push(source, 1, 2, 3, 4, 5)
    clock.advance_to(0.001)
    assert (log.items, dropped) == (kept, lost)


def test_buffer_bounded_drops_what_waits_when_disposed() -> None:
    clock, source, log, subscription = hot(buffer_bounded(3))
    push(source, 1, 2)
    subscription.dispose()
    clock.advance_to(1)
    assert (log.items, log.ending) == ([], [])


# -- threads -------------------------------------------------------------------------------------------------------


class Threads:
    """Observes from any thread; notices two at once."""

    def __init__(self, pause: threading.Event | None = None) -> None:
        self.text = ""
        self.overlaps = 0
        self.done = threading.Event()
        self._busy = threading.Lock()
        self._pause = pause

    def on_next(self, item: str) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            return
        try:
            self.text += item
            if self._pause is not None:
                self._pause.wait(GUARD)
        finally:
            self._busy.release()

    def on_error(self, error: Exception) -> None:
        raise error

    def on_completed(self) -> None:
        self.done.set()


def test_a_timer_of_another_thread_never_overlaps_with_the_source() -> None:
    source, seen = Subject[str](), Threads()
    source.pipe(coalesce(0.0005)).subscribe(seen)  # no stream, no scheduler: timers come from a thread
    for _ in range(20_000):
        source.on_next("x")
    source.on_completed()
    assert seen.done.wait(GUARD)
    assert (len(seen.text), seen.overlaps) == (20_000, 0)


def test_the_source_never_waits_for_an_observer_that_is_busy_on_another_thread() -> None:
    pause = threading.Event()
    source, seen = Subject[str](), Threads(pause)
    source.pipe(coalesce(0.001, leading=False)).subscribe(seen)
    source.on_next("a")
    while not seen.text:  # the timer's thread is inside on_next now, and stays there
        pause.wait(0.001)
    for _ in range(1_000):
        source.on_next("b")
    source.on_completed()
    assert seen.text == "a"
    pause.set()
    assert seen.done.wait(GUARD)
    assert (seen.text, seen.overlaps) == ("a" + "b" * 1_000, 0)


# -- streams -------------------------------------------------------------------------------------------------------


def recording(texts: list[str]) -> bytes:
    """A small stream of one message."""
    frames = [("thread.run.created", '{"id":"run_1","object":"thread.run","thread_id":"t","status":"queued"}')]
    for text in texts:
        part = f'{{"index":0,"type":"text","text":{{"value":"{text}"}}}}'
        data = f'{{"id":"msg_1","object":"thread.message.delta","delta":{{"content":[{part}]}}}}'
        frames.append(("thread.message.delta", data))
    frames.append(("thread.run.completed", '{"id":"run_1","object":"thread.run","thread_id":"t","status":"completed"}'))
    frames.append(("done", "[DONE]"))
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in frames).encode()


TEXTS = [f"word{n} " for n in range(200)]


def text_of(events: list[Any]) -> str:
    return "".join(
        text for event in events if isinstance(event, ThreadMessageDelta) for _, text in event.text_fragments
    )


def test_a_stream_keeps_its_face_and_its_text() -> None:
    events = list(replay(recording(TEXTS)).pipe(coalesce()))
    assert text_of(events) == "".join(TEXTS)
    assert [event.event for event in events if not isinstance(event, ThreadMessageDelta)] == [
        "thread.run.created",
        "thread.run.completed",
    ]
    assert len(events) < 20


async def test_an_asynchronous_stream_does_too(anyio_backend: str) -> None:
    stream = replay_async(recording(TEXTS), events_per_second=2000)
    events = [event async for event in stream.pipe(coalesce(0.05))]
    assert text_of(events) == "".join(TEXTS)
    assert len(events) < len(TEXTS)


def test_timers_run_serially_with_the_items_of_a_connected_stream() -> None:
    seen: list[Any] = []
    threads: set[str] = set()

    def observer(event: Any) -> None:
        seen.append(event)
        threads.add(threading.current_thread().name)

    with replay(recording(TEXTS[:50]), events_per_second=1000) as stream:
        stream.pipe(coalesce(0.005)).subscribe(observer)
        stream.connect()
        stream.until_done()
    assert text_of(seen) == "".join(TEXTS[:50])
    assert threads <= {"rx-assistant-stream", "rx-assistant-worker", "MainThread"}


def test_stock_operators_stand_on_either_side() -> None:
    source, log = Subject[str](), Log()
    clock = Clock()
    source.pipe(ops.map(str.upper), coalesce(0.1), ops.map(len)).subscribe(log, scheduler=clock)
    push(source, "a", "bc", "d")
    source.on_completed()
    assert (log.items, log.ending) == ([1, 3], ["completed"])


def test_a_subscriber_without_on_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    source = Subject[int]()
    with caplog.at_level(logging.ERROR, "rx_assistant"):
        source.pipe(coalesce(0.1, adjacent=never, max_pending=1)).subscribe(lambda _: push(source, 1, 2))
        push(source, 0)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["a subscriber without on_error"]

"""Timers and finalizers at any moment: interrupts, the garbage collector, threads that die, and slow subscribers."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from guard import GUARD
from hot.hot_rigs import SyncRoot
from reactivex import Observable, operators as ops
from reactivex.subject import Subject
from streams.streams_bodies import FedBody, answer, elsewhere, joined, sync_stream

from rx_assistant.hot import TIMERS, Cursor, HotLog, Timers, Worker
from rx_assistant.operators import coalesce
from rx_assistant.polling import watch
from rx_assistant.polling.pace import Polled


def wait_until(enough: Callable[[], object]) -> None:
    deadline = time.monotonic() + GUARD
    while not enough() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert enough()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("rx-assistant")]


class Moment:
    """Calls `act` before the bytecode number `at` that this thread runs inside `call_later`."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self._left = at
        self._act = act
        self.reached = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not self.reached:
            self._left -= 1
            if self._left < 0:
                self.reached = True
                self._act()
        return self

    def during(self, call: Callable[[], object]) -> None:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            call()
        finally:
            sys.settrace(before)


def interrupt() -> None:
    raise KeyboardInterrupt


def every_moment(act: Callable[[], object], call: Callable[[], object]) -> Iterator[None]:
    """Make the call again and again, each time with `act` one bytecode later."""
    at = 0
    while True:
        moment = Moment(at, act)
        moment.during(call)
        yield
        if not moment.reached:
            assert at > 50
            return
        at += 1


def test_after_an_interrupt_at_any_bytecode_of_call_later_all_timers_fire() -> None:
    timers, never = Timers(), list[None]()

    def call() -> None:
        try:
            timers.call_later(0.0, lambda: never)
        except KeyboardInterrupt:
            pass

    for _ in every_moment(interrupt, call):
        fired = threading.Event()
        timers.call_later(0.0, fired.set)
        assert fired.wait(GUARD)
    wait_until(lambda: "rx-assistant-timers" not in threads())


def test_a_finalizer_may_set_a_timer_at_any_bytecode_of_call_later() -> None:
    timers, fired = Timers(), list[str]()

    def finalizer() -> None:
        timers.call_later(0.0, lambda: fired.append("inner"))

    def main() -> None:
        for _ in every_moment(finalizer, lambda: timers.call_later(0.0, lambda: fired.append("outer"))):
            pass

    joined(elsewhere(main))
    wait_until(lambda: fired.count("outer") - 1 == fired.count("inner"))
    wait_until(lambda: "rx-assistant-timers" not in threads())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_of_timers_that_dies_is_replaced_by_the_next_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    died, fired = threading.Event(), list[int]()

    def monotonic() -> float:
        if not died.is_set() and threading.current_thread().name == "rx-assistant-timers":
            died.set()
            raise RuntimeError("out of memory")
        return time.monotonic()

    monkeypatch.setattr("rx_assistant.hot.clock.time", SimpleNamespace(monotonic=monotonic))
    timers = Timers()
    timers.call_later(0.0, lambda: fired.append(1))
    assert died.wait(GUARD)
    wait_until(lambda: "rx-assistant-timers" not in threads())
    timers.call_later(0.0, lambda: fired.append(2))
    wait_until(lambda: fired == [1, 2])


def test_timers_that_are_cancelled_at_once_leave_nothing_behind() -> None:
    timers = Timers()
    for _ in range(50):
        timers.call_later(60.0, lambda: None)()
        wait_until(lambda: not timers._turn)
    assert not timers._actions
    assert len(timers._new) < 10


# -- the garbage collector on a thread that holds a lock ---------------------------------------------------------------


class Guarded:
    """A lock of the program, which its callbacks take."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = threading.Event()

    def take(self, *_: object) -> None:
        with self.lock:
            self.taken.set()


def dropped_cursor(guarded: Guarded) -> object:
    log: HotLog[int] = HotLog(on_idle=guarded.take)
    return [log, Cursor(log)]


def dropped_loop(guarded: Guarded) -> object:
    root = SyncRoot()
    root.log.push(1)
    items = iter(root.pipe(ops.finally_action(guarded.take)))
    next(items)
    return items


def dropped_stream(guarded: Guarded) -> object:
    stream = sync_stream(FedBody(*answer("a", "b")[:4]))
    stream.subscribe(on_error=guarded.take)
    next(stream)
    return stream


@pytest.mark.parametrize("drop", [dropped_cursor, dropped_loop, dropped_stream])
def test_what_the_collector_drops_may_need_a_lock_that_its_thread_holds(drop: Callable[[Guarded], object]) -> None:
    guarded = Guarded()
    cycle: list[object] = [drop(guarded)]
    cycle.append(cycle)

    def collect() -> None:
        with guarded.lock:
            gc.collect()
            assert not guarded.taken.is_set()

    gc.disable()
    try:
        del cycle
        joined(elsewhere(collect))
    finally:
        gc.enable()
    assert guarded.taken.wait(GUARD)


def test_without_the_collector_what_is_dropped_is_left_at_once() -> None:
    left: list[int] = []
    log: HotLog[int] = HotLog(on_idle=lambda: left.append(threading.get_ident()))
    cursor = Cursor(log)
    del cursor
    assert left == [threading.get_ident()]


# -- slow code of the program ------------------------------------------------------------------------------------------


class Blocking:
    """Code of the program that a timer leads to, and that takes as long as the test wants."""

    def __init__(self) -> None:
        self.begun, self._release = threading.Event(), threading.Event()
        self.kept: list[object] = []

    def __call__(self, *_: object) -> None:
        self.begun.set()
        assert self._release.wait(GUARD)

    def release(self) -> None:
        self._release.set()


def below_a_delay(blocking: Blocking) -> None:
    stream = sync_stream(FedBody(*answer("a")))
    stream.pipe(ops.delay(0.001)).subscribe(blocking)
    stream.until_done()


def below_coalesce_of_a_subject(blocking: Blocking) -> None:
    items: Subject[str] = Subject()
    paced: Observable[str] = items.pipe(coalesce(0.001, leading=False))
    blocking.kept.append(paced.subscribe(blocking))
    items.on_next("a")


def at_a_deadline(blocking: Blocking) -> None:
    states = watch(lambda: Polled(1), until=lambda _: False, interval=60, deadline=0.001)
    blocking.kept.append(states.subscribe(on_error=blocking))


def at_the_end_of_the_grace(blocking: Blocking) -> None:
    class Slow(FedBody):
        def close(self) -> None:
            blocking()
            super().close()

    stream = sync_stream(Slow(*answer("a", "b")[:4]), on_idle="close", idle_grace=0.001)
    blocking.kept.append(stream)
    for _ in stream:
        break


def in_a_handler_of_the_log(blocking: Blocking) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            blocking()

    handler = Slow()
    logging.getLogger("rx_assistant").addHandler(handler)
    stream = sync_stream(FedBody(*answer("a")))
    blocking.kept += [stream, stream.subscribe(lambda _: None)]
    assert blocking.begun.wait(GUARD)
    logging.getLogger("rx_assistant").removeHandler(handler)


@pytest.mark.parametrize(
    "lead_to",
    [below_a_delay, below_coalesce_of_a_subject, at_a_deadline, at_the_end_of_the_grace, in_a_handler_of_the_log],
)
def test_slow_code_after_a_timer_delays_no_other_timer(
    lead_to: Callable[[Blocking], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rx_assistant.streams.unread.UNREAD_SECONDS", 0.001)
    blocking, fired = Blocking(), threading.Event()
    lead_to(blocking)
    try:
        assert blocking.begun.wait(GUARD)
        TIMERS.call_later(0.0, fired.set)
        assert fired.wait(GUARD / 2)  # the code still blocks
    finally:
        blocking.release()
    blocking.kept.clear()
    wait_until(lambda: not {"rx-assistant-worker", "rx-assistant-timers"}.intersection(threads()))


def test_the_actions_of_a_worker_run_in_the_order_of_their_times_on_one_thread() -> None:
    worker, ran, idents = Worker(), list[int](), set[int]()
    held = Blocking()
    worker.call_later(0.0, held)
    assert held.begun.wait(GUARD)  # it holds the thread: what is due meanwhile has to wait for its turn
    for number in range(100):
        worker.call_later(0.0, lambda number=number: (ran.append(number), idents.add(threading.get_ident())))
    held.release()
    wait_until(lambda: len(ran) == 100)
    assert ran == [*range(100)]
    assert len(idents) == 1


def test_an_action_that_is_due_and_has_to_wait_can_still_be_cancelled() -> None:
    worker, ran, passed = Worker(), list[str](), threading.Event()
    held = Blocking()
    worker.call_later(0.0, held)
    assert held.begun.wait(GUARD)
    cancel = worker.call_later(0.0, lambda: ran.append("cancelled"))
    worker.call_later(0.0, passed.set)
    wait_until(lambda: len(worker._due) == 2)
    cancel()
    held.release()
    assert passed.wait(GUARD)
    assert ran == []

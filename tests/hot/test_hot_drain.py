"""The drain of a hot log, made deterministic: delivery, leaving and interrupts at chosen moments."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from guard import GUARD
from hot.hot_rigs import SyncRoot

from rx_assistant.errors import StreamClosedError, StreamOverflowError
from rx_assistant.hot import FOREVER, NOTHING, SUBSCRIBING, Cursor, HotLog, StreamScheduler, Subscriber, Timers
from rx_assistant.hot.threads import Alarm


def itself(item: Any) -> Any:
    return item


def fill(log: HotLog[Any], *items: Any) -> None:
    """Append without delivering."""
    assert log.append([itself] * len(items), list(items))


def elsewhere(action: Callable[[], object]) -> None:
    """Run `action` on another thread, and wait for it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(GUARD)
    assert not thread.is_alive(), "it hangs"
    if failures:
        raise failures[0]


class Doorway(dict[int, object]):
    """The turn to deliver, with a visitor that comes in just before it is free."""

    def __init__(self, log: HotLog[Any], visitor: Callable[[], object]) -> None:
        super().__init__()
        self._visitor: Callable[[], object] | None = visitor
        self.turned_away = 0
        self.visited = False
        log._lock = self

    def setdefault(self, key: int, token: object = None, /) -> object:
        holder = super().setdefault(key, token)
        self.turned_away += holder is not token
        return holder

    def __delitem__(self, key: int) -> None:
        visitor, self._visitor = self._visitor, None
        if visitor is not None:
            self.visited = True
            elsewhere(visitor)
        super().__delitem__(key)


class Seat:
    """A subscriber that notes what it gets."""

    def __init__(self, log: HotLog[Any], act: Callable[[Any], object] | None = None) -> None:
        self.got: list[Any] = []
        self._act = act
        subscriber: Subscriber[Any] = Subscriber(self._next, self.got.append, lambda: self.got.append("completed"))
        subscriber.hold(log.subscribe(subscriber))
        self.leave = subscriber.dispose

    def _next(self, item: Any) -> None:
        self.got.append(item)
        if self._act is not None:
            self._act(item)


# -- one drainer -----------------------------------------------------------------------------------------------------


def test_a_subscriber_that_comes_while_the_lock_is_being_released_is_not_forgotten() -> None:
    log: HotLog[int] = HotLog()
    seats: list[Seat] = []
    first = Seat(log)
    door = Doorway(log, lambda: seats.append(Seat(log)))
    log.push(1)
    assert door.turned_away == 1  # so the holder had to look again
    assert seats[0].got == first.got == [1]


def test_a_wish_placed_while_the_lock_is_being_released_is_not_lost() -> None:
    log: HotLog[int] = HotLog()
    seat = Seat(log)
    fill(log, 1, 2, 3)
    door = Doorway(log, lambda: log.want(3))
    log.want(1)
    assert door.turned_away == 1
    assert seat.got == [1, 2, 3]


def test_an_ending_wanted_while_the_lock_is_being_released_is_delivered() -> None:
    log: HotLog[int] = HotLog()
    seat = Seat(log)

    def end() -> None:
        log.end()
        log.want(FOREVER)

    Doorway(log, end)
    log.push(1)
    assert seat.got == [1, "completed"]
    assert log.delivered


class PatientDoor(Doorway):
    """The turn to deliver, before which one thread waits until the one that delivered has gone."""

    def __init__(self, log: HotLog[Any], waiting: threading.Event, gone: threading.Event) -> None:
        super().__init__(log, lambda: None)
        self._patient, self._waiting, self._gone = threading.get_ident(), waiting, gone

    def setdefault(self, key: int, token: object = None, /) -> object:
        if threading.get_ident() == self._patient:
            self._waiting.set()
            assert self._gone.wait(GUARD)
        return super().setdefault(key, token)


def test_who_subscribes_once_all_is_told_to_be_delivered_is_served_on_its_own_thread() -> None:
    log: HotLog[int] = HotLog()
    fill(log, 1)
    log.end()
    told, waiting, gone = threading.Event(), threading.Event(), threading.Event()
    PatientDoor(log, waiting, gone)

    def changed() -> None:
        if log.released:
            told.set()
            assert waiting.wait(GUARD)  # until the latecomer has left word and is at the door

    def deliver() -> None:
        log.want(FOREVER)
        gone.set()

    log.listen(changed)
    deliverer = threading.Thread(target=deliver, daemon=True)
    deliverer.start()
    assert told.wait(GUARD)
    threads: list[int] = []
    seat = Seat(log, lambda _: threads.append(threading.get_ident()))
    assert seat.got == [1, "completed"]
    assert threads == [threading.get_ident()]
    deliverer.join(GUARD)


def test_one_who_leaves_while_the_lock_is_being_released_is_counted() -> None:
    left: list[None] = []
    log: HotLog[int] = HotLog(on_idle=lambda: left.append(None))
    seat = Seat(log)
    door = Doorway(log, seat.leave)
    log.push(1)
    assert door.turned_away == 1
    assert len(left) == 1
    assert (log.holders, log.seats) == (0, 0)


def test_a_thread_that_finds_delivery_taken_goes_its_way_and_its_items_are_delivered() -> None:
    log: HotLog[int] = HotLog()

    def act(item: int) -> None:
        if item == 1:
            elsewhere(lambda: log.push(2))  # returns, although this callback has not
            assert seat.got == [1]

    seat = Seat(log, act)
    log.push(1)
    assert seat.got == [1, 2]


def test_two_threads_that_pump_deliver_each_item_once_and_in_order() -> None:
    log: HotLog[int] = HotLog()
    seats = [Seat(log) for _ in range(2)]
    start = threading.Barrier(2)

    def pump(first: int) -> None:
        start.wait(GUARD)
        for number in range(first, 2000, 2):
            fill(log, number)
            log.want(log.length)

    other = threading.Thread(target=pump, args=(1,))
    other.start()
    pump(0)
    other.join(GUARD)
    log.end()
    log.want(FOREVER)
    assert seats[0].got == seats[1].got
    assert seats[0].got[-1] == "completed"
    numbers = seats[0].got[:-1]
    assert sorted(numbers) == list(range(2000))
    for parity in (0, 1):
        assert [n for n in numbers if n % 2 == parity] == list(range(parity, 2000, 2))


def test_four_threads_that_come_and_go_see_neither_gap_nor_duplicate_nor_a_second_ending() -> None:
    log: HotLog[int] = HotLog()
    over = threading.Event()
    wrong: list[object] = []
    rounds = [0]

    def churn() -> None:
        while not over.is_set():
            seat = Seat(log)
            cursor = Cursor(log)
            taken = [item for _ in range(20) if (item := cursor.take()) is not NOTHING]
            if taken != list(range(len(taken))):
                wrong.append(taken)
            cursor.close()
            seat.leave()
            had = list(seat.got)
            if had != list(range(len(had))):
                wrong.append(had)
            rounds[0] += 1

    stay = [Seat(log) for _ in range(2)]
    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(600):
        log.push(number)
    over.set()
    for thread in threads:
        thread.join(GUARD)
    log.end()
    log.want(FOREVER)
    assert wrong == []
    assert rounds[0] > 4
    assert [seat.got for seat in stay] == [[*range(600), "completed"]] * 2
    assert (log.holders, log.seats) == (0, 0)


def test_a_subscriber_that_comes_while_a_lone_loop_takes_an_item_gets_it() -> None:
    log: HotLog[int] = HotLog()
    fill(log, 1)
    seats: list[Seat] = []
    door = Doorway(log, lambda: seats.append(Seat(log)))
    assert log.take_alone(0) == 1
    assert door.turned_away == 1
    assert seats[0].got == [1]


def test_a_wish_placed_while_a_lone_loop_takes_an_item_is_not_lost() -> None:
    log: HotLog[int] = HotLog()
    fill(log, 1, 2)
    door = Doorway(log, lambda: log.want(2))
    assert log.take_alone(0) == 1
    assert door.turned_away == 1
    assert log.position == 2


def test_a_loop_is_not_alone_beside_a_seat_a_gate_an_entry_or_a_log_that_drops_its_items() -> None:
    with_seat: HotLog[int] = HotLog()
    seat = Seat(with_seat)
    gated: HotLog[int] = HotLog()
    gated.handlers.gate = 0
    failed: HotLog[int] = HotLog()
    failed.handler_raised(ValueError("mine"), pause=True)
    watched: HotLog[int] = HotLog()
    watched.watch = lambda _: None
    entered: HotLog[int] = HotLog()
    entered._inbox.append(lambda: None)
    for log in (with_seat, gated, failed, watched, entered, HotLog[int](keep=False)):
        fill(log, 1)
        assert log.take_alone(0) is NOTHING
        assert log.position == 0
    assert seat.got == []


def test_only_the_next_item_can_be_taken_alone() -> None:
    log: HotLog[int] = HotLog()
    fill(log, 1, 2)
    assert log.take_alone(1) is NOTHING
    assert [log.take_alone(0), log.take_alone(1)] == [1, 2]
    assert log.take_alone(0) is NOTHING
    assert log.take_alone(2) is NOTHING


def test_a_cursor_that_finds_nothing_leaves_no_wish() -> None:
    log: HotLog[int] = HotLog()
    seat = Seat(log)
    cursor = Cursor(log)
    assert cursor.take() is NOTHING
    fill(log, 1)
    log.drain()
    assert seat.got == []
    assert cursor.take() == 1
    assert seat.got == [1]


def test_a_callback_that_a_subscription_calls_at_once_does_not_belong_to_that_subscription() -> None:
    root = SyncRoot()
    root.log.push(1)
    owners: list[object] = []
    root.subscribe(lambda _: owners.append(SUBSCRIBING.owner))
    assert owners == [None]


# -- endings ---------------------------------------------------------------------------------------------------------


def test_nothing_is_appended_after_the_ending() -> None:
    log: HotLog[int] = HotLog()
    fill(log, 1)
    assert log.end()
    assert not log.append([itself], [2])
    log.push(3)
    assert not log.end(ValueError("too late"))
    seat = Seat(log)
    log.want(FOREVER)
    assert seat.got == [1, "completed"]
    assert log.failure is None


def test_an_item_appended_during_the_last_delivery_comes_before_the_ending() -> None:
    log: HotLog[int] = HotLog()

    def act(item: int) -> None:
        if item == 1:
            elsewhere(lambda: fill(log, 2))
            elsewhere(log.end)

    seat = Seat(log, act)
    fill(log, 1)
    log.want(FOREVER)
    assert seat.got == [1, 2, "completed"]


@pytest.mark.parametrize("wanted", [2, FOREVER])
def test_a_cut_during_a_delivery_ends_right_after_it_for_everybody(wanted: int) -> None:
    log: HotLog[int] = HotLog()
    closed = StreamClosedError("closed")

    def act(item: int) -> None:
        if item == 2:
            elsewhere(lambda: (log.cut(closed), log.want(FOREVER)))

    before, acting, after = Seat(log), Seat(log, act), Seat(log)
    fill(log, 1, 2, 3, 4)
    log.want(wanted)
    assert before.got == acting.got == after.got == [1, 2, closed]
    assert log.length == 2


def test_a_cut_after_everything_was_delivered_changes_nothing() -> None:
    log: HotLog[int] = HotLog()
    seat = Seat(log)
    fill(log, 1)
    log.end()
    log.want(FOREVER)
    assert not log.cut(StreamClosedError("closed"))
    assert seat.got == [1, "completed"]
    assert log.failure is None


def test_a_cut_before_the_ending_was_delivered_replaces_it() -> None:
    log: HotLog[int] = HotLog()
    closed = StreamClosedError("closed")
    seat = Seat(log)
    fill(log, 1, 2)
    log.end()
    log.want(1)
    assert log.cut(closed)
    log.want(FOREVER)
    assert seat.got == [1, closed]


def test_a_cursor_that_has_read_ahead_survives_a_cut() -> None:
    log: HotLog[int] = HotLog()
    closed = StreamClosedError("closed")
    cursor = Cursor(log)

    def act(item: int) -> None:
        assert [cursor.take(), cursor.take(), cursor.take()] == [1, 2, 3]
        log.cut(closed)

    Seat(log, act)
    fill(log, 1, 2, 3, 4)
    log.want(1)
    assert cursor.take() is NOTHING
    assert cursor.at_end


# -- interrupts ------------------------------------------------------------------------------------------------------


def interrupt(_: object = None) -> None:
    raise KeyboardInterrupt


def test_an_interrupt_in_a_callback_costs_no_sibling_the_item_and_the_log_goes_on() -> None:
    log: HotLog[int] = HotLog()

    def act(item: int) -> None:
        if item == 1:
            interrupt()

    before, acting, after = Seat(log), Seat(log, act), Seat(log)
    with pytest.raises(KeyboardInterrupt):
        log.push(1)
    assert before.got == acting.got == after.got == [1]
    assert log.delivering is None
    log.push(2)
    log.end()
    log.want(FOREVER)
    assert before.got == acting.got == after.got == [1, 2, "completed"]


def test_an_interrupt_in_an_on_error_that_a_failing_callback_caused_costs_no_sibling_the_item() -> None:
    log: HotLog[int] = HotLog()

    def fail(_: int) -> None:
        raise ValueError

    failing: Subscriber[int] = Subscriber(fail, interrupt)
    failing.hold(log.subscribe(failing))
    after = Seat(log)
    with pytest.raises(KeyboardInterrupt):
        log.push(1)
    assert after.got == [1]


@pytest.mark.parametrize("error", [None, ValueError("broken")])
def test_an_interrupt_at_the_ending_costs_no_sibling_the_ending(error: Exception | None) -> None:
    log: HotLog[int] = HotLog()
    told: list[None] = []
    log.listen(lambda: told.append(None))
    acting: Subscriber[int] = Subscriber(None, interrupt, interrupt)
    acting.hold(log.subscribe(acting))
    after = Seat(log)
    log.end(error)
    told.clear()
    with pytest.raises(KeyboardInterrupt):
        log.want(FOREVER)
    assert after.got == [error or "completed"]
    assert told  # the wait for the ending was woken
    assert log.released
    late = Seat(log)
    assert late.got == [error or "completed"]


def test_a_newcomer_whose_replay_is_interrupted_gets_the_rest_of_it_and_what_follows() -> None:
    log: HotLog[int] = HotLog()
    for number in (1, 2, 3):
        log.push(number)
    calm: list[None] = []

    def act(item: int) -> None:
        if item == 2 and not calm:
            calm.append(None)
            interrupt()

    got: list[Any] = []
    newcomer: Subscriber[int] = Subscriber(lambda item: (got.append(item), act(item)), got.append)
    with pytest.raises(KeyboardInterrupt):
        log.subscribe(newcomer)
    log.push(4)
    assert got == [1, 2, 3, 4]


def test_what_an_interrupted_waiter_wanted_is_delivered_while_another_reads() -> None:
    log: HotLog[int] = HotLog()
    seat = Seat(log)
    log.want(FOREVER)  # by a thread that was then interrupted and does not drain any more
    cursor = Cursor(log)
    fill(log, 1, 2)
    assert cursor.take() == 1
    assert seat.got == [1, 2]
    log.end()
    assert cursor.take() == 2
    assert cursor.take() is NOTHING
    assert seat.got == [1, 2, "completed"]
    assert log.delivered


# -- leaving from anywhere -------------------------------------------------------------------------------------------


def test_a_cursor_collected_while_its_own_thread_holds_the_mutex_leaves_without_a_deadlock() -> None:
    left: list[bool] = []
    log: HotLog[int] = HotLog(on_idle=lambda: left.append(log.storage.mutex._is_owned()))
    cycle: list[Any] = [Cursor(log)]
    cycle.append(cycle)
    reference = weakref.ref(cycle[0])

    def collect() -> None:
        with log.storage.mutex:
            gc.collect()
            assert reference() is None
            assert left == []  # no foreign code under the mutex

    gc.disable()
    try:
        del cycle
        elsewhere(collect)
    finally:
        gc.enable()
    log.push(1)
    assert left == [False]
    assert log.holders == 0


def test_a_seat_left_while_its_own_thread_holds_the_mutex_is_left_without_a_deadlock() -> None:
    left: list[bool] = []
    log: HotLog[int] = HotLog(on_idle=lambda: left.append(log.storage.mutex._is_owned()))
    seat = Seat(log)

    def leave() -> None:
        with log.storage.mutex:
            seat.leave()
            assert left == []

    elsewhere(leave)
    log.push(1)
    assert seat.got == []
    assert left == [False]


def test_the_idle_hook_runs_after_the_callback_in_which_the_last_one_leaves() -> None:
    order: list[str] = []
    log: HotLog[int] = HotLog(on_idle=lambda: order.append("idle"))

    def act(_: int) -> None:
        seat.leave()
        order.append("left")

    seat = Seat(log, act)
    log.push(1)
    assert order == ["left", "idle"]


def test_dropping_a_cursor_is_leaving() -> None:
    left: list[None] = []
    log: HotLog[int] = HotLog(on_idle=lambda: left.append(None))
    cursor = Cursor(log)
    assert log.holders == 1
    del cursor
    assert (log.holders, len(left)) == (0, 1)


def test_an_exception_of_the_idle_hook_reaches_nobody() -> None:
    def broken() -> None:
        raise ValueError("idle")

    log: HotLog[int] = HotLog(on_idle=broken)
    Seat(log).leave()
    seat = Seat(log)
    log.push(1)
    assert seat.got == [1]


# -- trimming --------------------------------------------------------------------------------------------------------


def test_a_log_that_keeps_nothing_holds_what_its_slowest_cursor_has_not_read() -> None:
    log: HotLog[bytes] = HotLog(keep=False)
    cursor = Cursor(log)
    for number in range(2000):
        log.push(b"%d" % number)
    assert log.base == 0
    assert [cursor.take() for _ in range(1000)] == [b"%d" % number for number in range(1000)]
    for number in range(2000, 3000):
        log.push(b"%d" % number)
    assert 700 <= log.base <= 1000
    assert [cursor.take() for _ in range(2000)] == [b"%d" % number for number in range(1000, 3000)]
    cursor.close()
    for _ in range(600):
        log.push(b"more")
    assert log.length == 3600
    assert log.base >= 3000


def test_a_cursor_that_holds_too_much_back_is_cut_loose_alone() -> None:
    log: HotLog[bytes] = HotLog(keep=False, max_pending=1000)
    slow, quick = Cursor(log), Cursor(log)
    seat = Seat(log)
    for _ in range(30):
        log.append([itself], [b"x" * 100])
        log.want(FOREVER)
        assert quick.take() == b"x" * 100
    with pytest.raises(StreamOverflowError) as caught:
        slow.take()
    assert caught.value.capacity == 1000
    assert caught.value.pending > 1000
    assert len(seat.got) == 30
    assert not seat.got.count("completed")
    assert quick.take() is NOTHING
    assert log.base > 20


def test_items_that_were_not_delivered_yet_are_no_readers_fault() -> None:
    log: HotLog[bytes] = HotLog(keep=False, max_pending=1000)
    slow, quick = Cursor(log), Cursor(log)
    log.append([itself] * 600, [b"x" * 100] * 600)
    assert [quick.take() for _ in range(3)] == [b"x" * 100] * 3
    for _ in range(597):
        assert (quick.take(), slow.take()) == (b"x" * 100, b"x" * 100)
        log.append([], [])
    assert [slow.take() for _ in range(3)] == [b"x" * 100] * 3
    for _ in range(600):
        log.append([itself], [b"y" * 100])
        assert (quick.take(), slow.take()) == (b"y" * 100, b"y" * 100)


def test_a_log_drops_its_items_in_blocks() -> None:
    log: HotLog[bytes] = HotLog(keep=False)
    bases = set()
    for _ in range(1000):
        log.push(b"x")
        bases.add(log.base)
    assert len(bases) == 4
    log.end()
    log.want(FOREVER)
    assert log.base == log.length == 1000


def test_positions_stay_what_they_were_when_the_log_is_trimmed() -> None:
    log: HotLog[bytes] = HotLog(keep=False)
    Seat(log)
    for number in range(1000):
        log.push(b"%d" % number)
    assert log.base > 0
    assert log.peek(0) is None
    assert log.item(0) is NOTHING
    assert log.item(999) == b"999"
    assert (log.length, log.position) == (1000, 1000)


def test_a_log_without_readers_is_trimmed_too() -> None:
    root = SyncRoot(keep=False)
    payload = b"x" * 1000
    for _ in range(5000):
        root.log.append([itself], [payload])
        root.log.want(FOREVER)
    assert root.log.length - root.log.base < 600


# -- the clock -------------------------------------------------------------------------------------------------------


def test_a_timer_whose_action_raises_stops_no_other_timer() -> None:
    root = SyncRoot()
    done = threading.Event()

    def exits(*_: object) -> None:
        raise SystemExit

    root.scheduler.schedule_relative(0.001, exits)
    root.scheduler.schedule_relative(0.002, lambda *_: done.set())
    assert done.wait(GUARD)


def test_the_timer_thread_goes_when_the_last_timer_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rx_assistant.hot.threads.HEARTBEAT", 10 * GUARD)  # so that nothing else wakes it
    root = SyncRoot()
    timer = root.scheduler.schedule_relative(60, lambda *_: None)

    def running() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "rx-assistant-timers"]

    deadline = time.monotonic() + GUARD
    while len(running()) != 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(running()) == 1
    timer.dispose()
    while running() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert running() == []


def test_timers_run_in_the_order_of_their_times_and_cancelled_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("rx_assistant.hot.clock.time", SimpleNamespace(monotonic=lambda: now[0]))
    timers = Timers()
    scheduler = StreamScheduler(HotLog[int]().enqueue, timers.call_later)
    ran: list[int] = []
    done = threading.Event()
    scheduler.schedule_relative(4, lambda *_: done.set())
    for number in (2, 1, 3):
        scheduler.schedule_relative(number, lambda *_, number=number: ran.append(number))
    scheduler.schedule_relative(0.5, lambda *_: ran.append(0)).dispose()
    now[0] = 5.0
    timers.call_later(0, lambda: None)  # wakes the thread, which looks at the time
    assert done.wait(GUARD)
    assert ran == [1, 2, 3]


def test_a_timer_that_is_due_before_those_pending_wakes_the_thread_of_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rx_assistant.hot.threads.HEARTBEAT", 10 * GUARD)
    asleep, done = threading.Event(), threading.Event()

    class Watched(Alarm):
        def sleep(self, seconds: float | None = None) -> None:
            asleep.set()
            super().sleep(seconds)

    timers = Timers()
    timers._alarm = Watched()
    cancel = timers.call_later(10 * GUARD, lambda: None)
    assert asleep.wait(GUARD)
    timers.call_later(0.001, done.set)
    assert done.wait(GUARD)
    cancel()


def test_what_a_timer_does_is_serial_with_the_items() -> None:
    """[C10]"""
    root = SyncRoot()
    ran = threading.Event()
    seen: list[object] = []

    def act(item: int) -> None:
        root.scheduler.schedule_relative(0, lambda *_: (seen.append("timer"), ran.set()))
        root.scheduler.schedule_relative(0.001, lambda *_: (seen.append("later"), ran.set()))
        assert not ran.wait(0.02)  # its time has come, its turn has not
        seen.append(item)

    Seat(root.log, act)
    root.log.push(1)
    deadline = time.monotonic() + GUARD
    while len(seen) < 3 and time.monotonic() < deadline:  # a timer may have come late
        time.sleep(0.001)
    assert seen == [1, "timer", "later"]


def test_a_deferred_entry_runs_on_the_thread_that_delivers_next_and_in_order() -> None:
    log: HotLog[Any] = HotLog()
    ran: list[Any] = []
    woken: list[bool] = []
    log.subscribe(Subscriber(ran.append))
    log.listen(lambda: woken.append(log.has_entries))
    elsewhere(lambda: log.defer(lambda: ran.append(threading.get_ident())))
    assert (ran, woken) == ([], [True])
    fill(log, "item")
    log.want(FOREVER)
    assert ran == [threading.get_ident(), "item"]
    assert not log.has_entries

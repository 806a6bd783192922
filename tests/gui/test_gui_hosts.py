"""Every host on its real event loop: thread affinity, order, one wake-up, closing (contract C33)."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from gui_toolkits import GUARD, Toolkit
from reactivex import Subject, interval, operators as ops

from rx_assistant.gui import UiHost, UiScheduler, observe_on_ui

DELTAS = [f"w{n}" + ("\n" if n % 12 == 11 else " ") for n in range(10_000)]


class Counting:
    """A host that counts what is on its way to the one behind it."""

    def __init__(self, host: UiHost) -> None:
        self._host = host
        self._mutex = threading.Lock()
        self.posted = self.most_posted = self.timers = self.most_timers = self.calls = 0

    def call_soon(self, action: Callable[[], object]) -> None:
        with self._mutex:
            self.calls += 1
            self.posted += 1
            self.most_posted = max(self.most_posted, self.posted)

        def arrived() -> None:
            with self._mutex:
                self.posted -= 1
            action()

        self._host.call_soon(arrived)

    def call_later(self, seconds: float, action: Callable[[], object]) -> Callable[[], object]:
        pending = [True]
        self.timers += 1
        self.most_timers = max(self.most_timers, self.timers)

        def over() -> bool:
            was = bool(pending)
            pending.clear()
            self.timers -= was
            return was

        cancel = self._host.call_later(seconds, lambda: over() and action())
        return lambda: over() and cancel()

    def is_ui_thread(self) -> bool:
        return self._host.is_ui_thread()

    @property
    def closed(self) -> bool:
        return self._host.closed


class Reader(threading.Thread):
    """Pushes the deltas from a thread of its own, as fast as it can."""

    def __init__(self, source: Subject[str], items: list[str] = DELTAS) -> None:
        super().__init__(name="reader", daemon=True)
        self.source, self.items, self.seconds = source, items, 0.0

    def run(self) -> None:
        began = time.perf_counter()
        for item in self.items:
            self.source.on_next(item)
        self.seconds = time.perf_counter() - began
        self.source.on_completed()


def test_everything_arrives_in_order_on_the_ui_thread_with_one_wake_up_pending(toolkit: Toolkit) -> None:
    source: Subject[str] = Subject()
    reader = Reader(source)
    threads: set[int] = set()
    groups: list[str] = []
    ended: list[str] = []
    hosts: list[Counting] = []

    def show(text: str) -> None:
        threads.add(threading.get_ident())
        groups.append(text)
        toolkit.append(text)

    def start(toolkit: Toolkit) -> None:
        hosts.append(Counting(toolkit.host))
        source.pipe(observe_on_ui(hosts[0])).subscribe(show, on_completed=lambda: ended.append(toolkit.text()))
        reader.start()

    toolkit.run(start, lambda: bool(ended) and (hosts[0].posted, hosts[0].timers) == (0, 0))
    reader.join()
    assert "".join(groups) == "".join(DELTAS)
    assert ended[0] == "".join(DELTAS)
    assert threads == {threading.get_ident()}
    assert len(groups) < len(DELTAS) / 10
    assert (hosts[0].most_posted, hosts[0].most_timers <= 1) == (1, True)


def test_a_slow_widget_gets_fewer_larger_items_and_never_blocks_the_reader(toolkit: Toolkit) -> None:
    source: Subject[str] = Subject()
    reader = Reader(source)
    groups: list[str] = []
    ended: list[bool] = []

    def show(text: str) -> None:
        time.sleep(0.05)  # the widget's own time, which is the claim of this test
        groups.append(text)

    def start(toolkit: Toolkit) -> None:
        source.pipe(observe_on_ui(toolkit.host)).subscribe(show, on_completed=lambda: ended.append(True))
        reader.start()

    toolkit.run(start, lambda: bool(ended))
    reader.join()
    assert "".join(groups) == "".join(DELTAS)
    assert len(groups) <= reader.seconds / 0.05 + 20  # what is left at the end is shown in a few parts


def test_the_reader_comes_to_its_end_while_a_widget_hangs(toolkit: Toolkit) -> None:
    source: Subject[str] = Subject()
    reader = Reader(source)
    groups: list[str] = []
    ended: list[bool] = []
    waited_in_vain: list[bool] = []

    def show(text: str) -> None:
        reader.join(GUARD / 2)
        waited_in_vain.append(reader.is_alive())
        groups.append(text)

    def start(toolkit: Toolkit) -> None:
        source.pipe(observe_on_ui(toolkit.host)).subscribe(show, on_completed=lambda: ended.append(True))
        reader.start()

    toolkit.run(start, lambda: bool(ended))
    assert True not in waited_in_vain
    assert "".join(groups) == "".join(DELTAS)


def test_a_widget_that_raises_gets_its_error_on_the_ui_thread_and_costs_the_reader_nothing(toolkit: Toolkit) -> None:
    source: Subject[str] = Subject()
    reader = Reader(source)
    errors: list[tuple[Exception, int]] = []
    sibling: list[str] = []

    def show(text: str) -> None:
        raise KeyError(text)

    def start(toolkit: Toolkit) -> None:
        source.subscribe(sibling.append)
        source.pipe(observe_on_ui(toolkit.host)).subscribe(
            show, lambda error: errors.append((error, threading.get_ident()))
        )
        reader.start()

    toolkit.run(start, lambda: bool(errors) and not reader.is_alive())
    assert sibling == DELTAS
    assert [(type(error), thread) for error, thread in errors] == [(KeyError, threading.get_ident())]


def test_closing_the_window_disposes_the_subscription_and_nothing_raises_after_it(
    toolkit: Toolkit, caplog: pytest.LogCaptureFixture
) -> None:
    source: Subject[str] = Subject()
    shown: list[str] = []
    left = threading.Event()
    late: list[str] = []

    def start(toolkit: Toolkit) -> None:
        watched = source.pipe(ops.finally_action(left.set))
        watched.pipe(observe_on_ui(toolkit.host)).subscribe(shown.append)
        threading.Thread(target=source.on_next, args=("before",), daemon=True).start()

    def done() -> bool:
        if shown and not left.is_set():
            toolkit.close_window()
            if toolkit.host.closed:
                source.on_next("after")
        return left.is_set()

    toolkit.run(start, done)
    assert toolkit.host.closed
    toolkit.host.call_soon(lambda: late.append("late"))
    source.on_next("after")
    assert (shown, late) == (["before"], [])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_subscribing_on_a_closed_host_delivers_nothing_and_leaves_the_source(toolkit: Toolkit) -> None:
    toolkit.run(lambda toolkit: None, lambda: True)
    if not toolkit.host.closed:
        toolkit.host.close()  # type: ignore[attr-defined]
    left = threading.Event()
    shown: list[str] = []
    source: Subject[str] = Subject()
    source.pipe(ops.finally_action(left.set), observe_on_ui(toolkit.host)).subscribe(shown.append)
    source.on_next("x")
    assert left.is_set()
    assert shown == []


def test_actions_run_in_order_and_one_that_raises_costs_the_others_nothing(
    toolkit: Toolkit, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []

    def bad() -> None:
        raise KeyError("bad")

    def start(toolkit: Toolkit) -> None:
        for number in range(5):
            toolkit.host.call_soon(lambda number=number: ran.append(number))  # type: ignore[misc]
            toolkit.host.call_soon(bad)

    toolkit.run(start, lambda: len(ran) == 5)
    assert ran == [0, 1, 2, 3, 4]
    raised = [record for record in caplog.records if record.getMessage() == "an action on the UI thread raised"]
    assert len(raised) >= 4


def test_a_dialog_inside_an_action_runs_what_waits_behind_it(toolkit: Toolkit) -> None:
    if not toolkit.nests:
        pytest.skip("there is no loop inside this loop")
    ran: list[str] = []

    def dialog() -> None:
        ran.append("opened")
        until = time.monotonic() + GUARD
        while "in the dialog" not in ran and time.monotonic() < until:
            toolkit.turn()
        ran.append("closed")

    def start(toolkit: Toolkit) -> None:
        for action in (dialog, lambda: ran.append("before"), lambda: ran.append("in the dialog")):
            toolkit.host.call_soon(action)

    toolkit.run(start, lambda: "closed" in ran)
    assert ran == ["opened", "before", "in the dialog", "closed"]


def test_a_closed_host_runs_nothing_that_was_left_with_it(toolkit: Toolkit) -> None:
    ran: list[str] = []
    due: list[float] = []

    def close() -> None:
        toolkit.host.call_later(0.001, lambda: ran.append("timer"))
        toolkit.host.call_soon(lambda: ran.append("action"))
        toolkit.host.close()  # type: ignore[attr-defined]
        toolkit.host.call_later(0.001, lambda: ran.append("late timer"))()
        toolkit.host.call_later(0.001, lambda: ran.append("late timer"))
        UiScheduler(toolkit.host).schedule_relative(0.001, lambda *_: ran.append("late schedule"))
        due.append(time.monotonic() + 0.02)

    toolkit.run(lambda toolkit: toolkit.host.call_soon(close), lambda: bool(due) and time.monotonic() > due[0])
    assert toolkit.host.closed
    assert ran == []


def test_nothing_keeps_a_host_whose_window_is_gone(toolkit: Toolkit) -> None:
    source: Subject[str] = Subject()
    shown: list[str] = []

    def start(toolkit: Toolkit) -> None:
        source.pipe(observe_on_ui(toolkit.host)).subscribe(shown.append)
        threading.Thread(target=source.on_next, args=("x",), daemon=True).start()

    def done() -> bool:
        if shown and not toolkit.host.closed:
            toolkit.close_window()
        return toolkit.host.closed

    toolkit.run(start, done)
    host = weakref.ref(toolkit.host)
    toolkit.forget_widgets()
    gc.collect()
    assert host() is None


def test_timers_fire_on_the_ui_thread_and_cancelled_ones_do_not(toolkit: Toolkit) -> None:
    fired: list[tuple[str, int]] = []

    def start(toolkit: Toolkit) -> None:
        cancel = toolkit.host.call_later(0.005, lambda: fired.append(("cancelled", 0)))
        keep = toolkit.host.call_later(0.02, lambda: fired.append(("kept", threading.get_ident())))
        cancel()
        cancel()
        toolkit.host.call_later(0.04, keep)  # cancelling what has fired is harmless
        toolkit.host.call_later(0.06, lambda: fired.append(("last", threading.get_ident())))

    toolkit.run(start, lambda: len(fired) == 2)
    assert fired == [("kept", threading.get_ident()), ("last", threading.get_ident())]


def test_only_the_ui_thread_is_the_ui_thread(toolkit: Toolkit) -> None:
    answers: list[bool] = []

    def start(toolkit: Toolkit) -> None:
        answers.append(toolkit.host.is_ui_thread())
        threading.Thread(target=lambda: answers.append(toolkit.host.is_ui_thread()), daemon=True).start()

    toolkit.run(start, lambda: len(answers) == 2)
    assert answers == [True, False]
    assert isinstance(toolkit.host, UiHost)


def test_time_operators_of_reactivex_run_on_the_ui_thread(toolkit: Toolkit) -> None:
    typed: Subject[str] = Subject()
    got: list[tuple[str, int]] = []
    ticks: list[int] = []

    def type_something() -> None:
        for text in ("h", "he", "hel", "hello"):
            typed.on_next(text)

    def start(toolkit: Toolkit) -> None:
        scheduler = UiScheduler(toolkit.host)
        typed.pipe(ops.debounce(0.01, scheduler=scheduler)).subscribe(
            lambda text: got.append((text, threading.get_ident()))
        )
        interval(0.005, scheduler=scheduler).pipe(ops.take(3)).subscribe(ticks.append)
        threading.Thread(target=type_something, daemon=True).start()

    toolkit.run(start, lambda: bool(got) and len(ticks) == 3)
    assert got == [("hello", threading.get_ident())]


def test_a_disposed_action_of_a_scheduler_never_runs(toolkit: Toolkit) -> None:
    ran: list[str] = []

    def act(name: str) -> Any:
        return lambda *_: ran.append(name)

    def start(toolkit: Toolkit) -> None:
        scheduler = UiScheduler(toolkit.host)

        def elsewhere() -> None:
            scheduler.schedule_relative(0.01, act("forgotten")).dispose()
            scheduler.schedule_absolute(scheduler.now, act("now"))
            scheduler.schedule_relative(0.03, act("later"))

        threading.Thread(target=elsewhere, daemon=True).start()

    toolkit.run(start, lambda: len(ran) == 2)
    assert ran == ["now", "later"]

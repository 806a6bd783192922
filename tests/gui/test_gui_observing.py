"""observe_on_ui on a host whose turns and clock the test owns: wake-ups, frames, barriers, closing."""

from __future__ import annotations

import gc
import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from reactivex import Subject, operators as ops

from rx_assistant.errors import StreamOverflowError
from rx_assistant.gui import TellsClosing, UiHost, UiScheduler, _frames, _observing, observe_on_ui
from rx_assistant.snapshots import RunSnapshot


class ManualHost:
    """Runs its actions when the test says so, on the test's clock. It does not report its closing."""

    def __init__(self) -> None:
        self.now = 100.0
        self.closed = False
        self.posted: deque[Callable[[], object]] = deque()
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def call_soon(self, action: Callable[[], object]) -> None:
        if not self.closed:
            self.posted.append(action)

    def call_later(self, seconds: float, action: Callable[[], object]) -> Callable[[], object]:
        timer = (self.now + seconds, action)
        self.timers.append(timer)
        return lambda: timer in self.timers and self.timers.remove(timer)  # type: ignore[func-returns-value]

    def is_ui_thread(self) -> bool:
        return True

    def turn(self) -> None:
        """Run what is posted now."""
        for _ in range(len(self.posted)):
            self.posted.popleft()()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the turns and timers that fall due in it."""
        until = self.now + seconds
        while self.posted or (due := [timer for timer in self.timers if timer[0] <= until + 1e-9]):
            if self.posted:
                self.turn()
                continue
            timer = min(due, key=lambda timer: timer[0])
            self.now = max(self.now, timer[0])
            self.timers.remove(timer)
            timer[1]()
        self.now = max(self.now, until)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> ManualHost:
    """A host whose clock is the operator's clock."""
    made = ManualHost()
    for module in (_frames, _observing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def never(_a: object, _b: object) -> bool:
    return False


def letters(earlier: str, later: str) -> bool:
    return earlier != "!" != later


def push(source: Subject[Any], items: Any) -> None:
    for item in items:
        source.on_next(item)


def test_the_first_goes_out_in_the_next_turn_and_the_rest_once_a_frame(host: ManualHost) -> None:
    source, shown = Subject[str](), []
    source.pipe(observe_on_ui(host, 0.1)).subscribe(lambda text: shown.append((round(host.now - 100, 3), text)))
    push(source, "abc")
    assert shown == []
    host.turn()
    push(source, "de")
    host.pass_time(0.05)
    push(source, "f")
    host.pass_time(0.1)
    push(source, "g")
    host.pass_time(1)
    assert shown == [(0, "abc"), (0.1, "def"), (0.2, "g")]
    assert (len(host.posted), len(host.timers)) == (0, 0)


@pytest.mark.parametrize("hurry", ["!", None])
def test_a_barrier_and_the_ending_do_not_wait_for_the_frame(host: ManualHost, hurry: str | None) -> None:
    source, shown = Subject[str](), []
    observing = observe_on_ui(host, 10.0, adjacent=letters)
    source.pipe(observing).subscribe(shown.append, on_completed=lambda: shown.append("end"))
    push(source, "a")
    host.turn()
    push(source, "bc")
    host.turn()
    assert (shown, len(host.timers)) == (["a"], 1)
    if hurry is None:
        source.on_completed()
    else:
        push(source, hurry)
    host.turn()
    assert shown == ["a", "bc", hurry or "end"]
    assert host.timers == []


def test_any_interleaving_loses_nothing_keeps_the_order_and_one_wake_up_pending(host: ManualHost) -> None:
    for seed in range(500):
        chance = random.Random(seed)
        source, shown, ended = Subject[str](), [], []

        def show(text: str, shown: list[str] = shown, chance: random.Random = chance) -> None:
            shown.append(text)
            host.now += chance.choice((0, 0, 0.001, 0.02))

        observing = observe_on_ui(host, chance.choice((0.001, 1 / 60)), adjacent=letters)
        source.pipe(observing).subscribe(show, on_completed=lambda ended=ended: ended.append(True))  # type: ignore[misc]
        pushed = ""
        for _ in range(chance.randrange(60)):
            if chance.random() < 0.6:
                item = chance.choice("abcdefgh!")
                pushed += item
                push(source, item)
            elif chance.random() < 0.5:
                host.turn()
            else:
                host.pass_time(chance.choice((0.001, 0.01, 0.1)))
            assert len(host.posted) <= 1, seed
            assert len(host.timers) <= 1, seed
            waiting = len("".join(shown)) < len(pushed)
            assert bool(host.posted or host.timers) >= waiting, seed
        source.on_completed()
        host.pass_time(10)
        assert ("".join(shown), ended) == (pushed, [True]), seed
        assert (len(host.posted), len(host.timers)) == (0, 0), seed


def test_many_subscriptions_share_one_wake_up_and_one_timer(host: ManualHost) -> None:
    sources: list[Subject[str]] = [Subject() for _ in range(20)]
    shown: list[str] = []
    subscriptions = [source.pipe(observe_on_ui(host, 0.1)).subscribe(shown.append) for source in sources]
    for _ in range(3):
        for source in sources:
            push(source, "ab")
        assert (len(host.posted), len(host.timers)) == (1, 0)
        host.turn()
        push(sources[3], "cd")
        push(sources[4], "ef")
        host.turn()
        assert (len(host.posted), len(host.timers)) == (0, 1)
        host.pass_time(1)
    assert shown == (["ab"] * 20 + ["cd", "ef"]) * 3
    push(sources[3], "x")
    host.turn()
    push(sources[3], "y")
    host.turn()
    for subscription in subscriptions:
        subscription.dispose()
    host.turn()
    assert (len(host.posted), len(host.timers)) == (0, 0)


def test_a_barrier_or_an_ending_never_overtakes_what_came_before_it_elsewhere(host: ManualHost) -> None:
    text, status, shown = Subject[str](), Subject[str](), []
    text.pipe(observe_on_ui(host, 10.0)).subscribe(shown.append)
    observing = observe_on_ui(host, adjacent=letters)
    status.pipe(observing).subscribe(shown.append, on_completed=lambda: shown.append("end"))
    push(text, "a")
    host.turn()
    push(text, "bc")
    push(status, "!")
    push(text, "d")
    host.turn()
    assert shown == ["a", "bcd", "!"]
    push(text, "ef")
    status.on_completed()
    push(text, "g")
    host.turn()
    assert shown[3:] == ["efg", "end"]


def test_a_subscription_with_a_longer_frame_is_not_hurried_by_the_shorter_ones(host: ManualHost) -> None:
    slow, fast, shown = Subject[str](), Subject[str](), []
    slow.pipe(observe_on_ui(host, 1.0)).subscribe(lambda text: shown.append((round(host.now - 100, 2), text)))
    fast.pipe(observe_on_ui(host, 0.1)).subscribe(lambda _: None)
    for n in range(25):
        push(slow, chr(97 + n))
        push(fast, "x")
        host.pass_time(0.1)
    assert shown == [(0, "a"), (1.0, "bcdefghij"), (2.0, "klmnopqrst")]


def test_a_draining_leaves_the_loop_its_turns(host: ManualHost) -> None:
    source, times = Subject[int](), []

    def slow(item: int) -> None:
        times.append(host.now - 100)
        host.now += 0.003

    source.pipe(observe_on_ui(host, adjacent=never)).subscribe(slow)
    push(source, range(9))
    host.turn()
    assert len(times) == 2  # a third of 3 ms would exceed the budget of 8 ms; barriers though they are, the rest waits
    assert (len(host.posted), len(host.timers)) == (0, 1)
    host.pass_time(1)
    assert [round(at, 4) for at in times] == [0, 0.003, 0.009, 0.012, 0.018, 0.021, 0.027, 0.03, 0.036]


def test_a_slow_widget_stretches_the_frame(host: ManualHost) -> None:
    source, times = Subject[str](), []

    def slow(item: str) -> None:
        times.append(host.now - 100)
        host.now += 0.05

    source.pipe(observe_on_ui(host)).subscribe(slow)
    for _ in range(20):
        push(source, "x")
        host.pass_time(0.01)
    assert [round(at, 3) for at in times] == [0, 0.075, 0.15, 0.225, 0.3, 0.375, 0.45]


def test_an_overflow_ends_behind_what_waits(host: ManualHost) -> None:
    source, shown, errors = Subject[int](), [], []
    source.pipe(observe_on_ui(host, adjacent=never, max_pending=2)).subscribe(shown.append, errors.append)
    push(source, (1, 2, 3, 4))
    host.pass_time(1)
    assert shown == [1, 2]
    assert [(type(error), error.capacity, error.pending) for error in errors] == [(StreamOverflowError, 2, 2)]


def test_what_is_dropped_is_reported(host: ManualHost) -> None:
    source, shown, dropped = Subject[int](), [], []
    source.pipe(
        observe_on_ui(host, adjacent=never, max_pending=2, overflow="drop_oldest", on_drop=dropped.append)
    ).subscribe(shown.append)
    push(source, (1, 2, 3, 4))
    host.pass_time(1)
    assert (shown, dropped) == ([3, 4], [1, 2])


def test_disposing_drops_what_waits_and_its_timer(host: ManualHost) -> None:
    source, shown = Subject[str](), []
    subscription = source.pipe(observe_on_ui(host, 0.1)).subscribe(shown.append)
    push(source, "a")
    host.turn()
    push(source, "b")
    host.turn()
    assert len(host.timers) == 1
    subscription.dispose()
    assert host.timers == []
    push(source, "c")
    host.pass_time(1)
    assert (shown, len(host.posted)) == (["a"], 0)


def test_a_host_that_does_not_tell_is_left_at_the_next_item(host: ManualHost) -> None:
    source, shown, left = Subject[str](), [], []
    source.pipe(ops.finally_action(lambda: left.append(True)), observe_on_ui(host)).subscribe(shown.append)
    push(source, "a")
    host.turn()
    host.closed = True
    assert left == []
    push(source, "b")
    assert (shown, left) == (["a"], [True])
    assert isinstance(host, UiHost)
    assert not isinstance(host, TellsClosing)


@pytest.mark.parametrize("ending", ["on_completed", "on_error"])
def test_an_ending_after_the_host_has_closed_is_not_delivered(host: ManualHost, ending: str) -> None:
    source, told = Subject[str](), []
    source.pipe(observe_on_ui(host)).subscribe(told.append, told.append, lambda: told.append("end"))
    host.closed = True
    source.on_completed() if ending == "on_completed" else source.on_error(OSError())
    host.pass_time(1)
    assert (told, len(host.posted)) == ([], 0)


def test_a_nested_event_loop_inside_a_widget_delivers_nothing_out_of_turn(host: ManualHost) -> None:
    source, shown = Subject[str](), []

    def dialog(text: str) -> None:
        shown.append(f"<{text}")
        if text == "a":
            push(source, "bc")
            host.pass_time(1)  # as a modal dialog does
        shown.append(f"{text}>")

    source.pipe(observe_on_ui(host, 0.1)).subscribe(dialog)
    push(source, "a")
    host.pass_time(5)
    assert shown == ["<a", "a>", "<bc", "bc>"]


def test_an_interval_of_nothing_is_refused(host: ManualHost) -> None:
    with pytest.raises(ValueError, match="above 0"):
        observe_on_ui(host, 0)


def test_a_scheduler_on_a_host_measures_by_a_monotonic_clock(host: ManualHost) -> None:
    scheduler = UiScheduler(host)
    ran: list[float] = []
    scheduler.schedule_relative(0.5, lambda *_: ran.append(host.now))
    scheduler.schedule(lambda *_: ran.append(host.now))
    host.pass_time(1)
    assert ran == [100.0, 100.5]


def test_a_very_long_text_is_shown_in_parts_that_take_no_longer_than_a_draining_may(host: ManualHost) -> None:
    source, parts = Subject[str](), []

    def layout(text: str) -> None:
        parts.append(len(text))
        host.now += len(text) * 10e-6

    source.pipe(observe_on_ui(host)).subscribe(layout)
    push(source, "x" * 10_000)
    host.pass_time(10)
    assert sum(parts) == 10_000
    assert max(parts) * 10e-6 < 0.011
    assert len(parts) < 40


@pytest.mark.parametrize("seconds", [1e-6, 2.9e-6, 4e-6, 5e-6, 7e-6])
def test_what_fits_into_a_frame_is_drained_and_the_rest_waits(host: ManualHost, seconds: float) -> None:
    source, drains = Subject[str](), []

    def layout(text: str) -> None:
        host.now += len(text) * seconds

    source.pipe(observe_on_ui(host)).subscribe(layout)
    push(source, "x" * 20_000)
    host.turn()
    while host.timers:
        due, action = host.timers.pop()
        host.now = began = max(host.now, due)
        action()
        drains.append(host.now - began)
    assert max(drains) <= _frames.BUDGET + 1e-9
    assert sum(drains) > 0.5 * 20_000 * seconds


@pytest.mark.parametrize("on_ui_thread", [False, True])
def test_a_source_of_thousands_of_items_pauses_for_the_ui_thread(
    host: ManualHost, monkeypatch: pytest.MonkeyPatch, on_ui_thread: bool
) -> None:
    source, pauses = Subject[str](), []
    clock = SimpleNamespace(monotonic=lambda: host.now, sleep=lambda _: pauses.append(host.now))
    monkeypatch.setattr(_frames, "time", clock)
    monkeypatch.setattr(host, "is_ui_thread", lambda: on_ui_thread)
    source.pipe(observe_on_ui(host)).subscribe(lambda _: None)
    for _ in range(10_000):
        push(source, "x")
        host.now += 10e-6
    assert len(pauses) == (0 if on_ui_thread else pytest.approx(100, rel=0.3))


def test_a_source_does_not_pause_when_nothing_waits(host: ManualHost, monkeypatch: pytest.MonkeyPatch) -> None:
    source, pauses = Subject[str](), []
    clock = SimpleNamespace(monotonic=lambda: host.now, sleep=lambda _: pauses.append(host.now))
    monkeypatch.setattr(_frames, "time", clock)
    source.pipe(observe_on_ui(host)).subscribe(lambda _: None)
    for _ in range(200):
        push(source, "x")
        host.pass_time(0.02)  # everything is shown
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(host, "is_ui_thread", lambda: False)
            _frames.frames_of(host).give_way()
    assert pauses == []


def test_a_widget_that_is_slow_whatever_the_size_gets_everything_at_once(host: ManualHost) -> None:
    source, parts = Subject[str](), []

    def slow(text: str) -> None:
        parts.append(len(text))
        host.now += 0.05

    source.pipe(observe_on_ui(host)).subscribe(slow)
    push(source, "x" * 50_000)
    host.pass_time(10)
    assert parts == [1024, 512, 50_000 - 1536]


def living_snapshots() -> int:
    gc.collect()
    return sum(type(found) is RunSnapshot for found in gc.get_objects())


def test_of_snapshots_only_the_newest_is_shown_however_many_there_were(host: ManualHost) -> None:
    source, shown = Subject[RunSnapshot](), []
    source.pipe(observe_on_ui(host)).subscribe(shown.append)
    before = living_snapshots()
    snapshots = [RunSnapshot() for _ in range(5_000)]
    push(source, snapshots)
    last = snapshots[-1]
    snapshots.clear()
    assert living_snapshots() == before + 1  # nothing waits for the others
    host.pass_time(1)
    assert len(shown) == 1
    assert shown[0] is last

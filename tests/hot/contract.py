"""The contract of every observable that we hand out: C1–C25 and C31, as tests over a rig.

    from hot.contract import Contract

    class TestMyOperator(Contract):
        @pytest.fixture
        def rig(self) -> Rig: ...

`sample` gives the tests rigs from a product of axes: every pair of values occurs, and every pair of a test and a value.
The numbers are those of the contract; RS is the matching rule of Reactive Streams.
"""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from covering import covering, name_of
from guard import GUARD
from hot.hot_rigs import Rig
from reactivex import Observer, abc, operators as ops

from rx_assistant.errors import StreamTruncatedError


class Boom(Exception):
    """What a misbehaving observer raises."""


class Seen(Observer[Any]):
    """An observer that notes its signals in order. `act` is called with each number."""

    def __init__(self, rig: Rig, act: Callable[[int], object] | None = None) -> None:
        super().__init__()
        self._rig = rig
        self._act = act
        self.numbers: list[int] = []
        self.endings: list[object] = []
        self.after_ending: list[object] = []

    def on_next(self, value: Any) -> None:
        number = self._rig.read(value)
        if self.endings:
            self.after_ending.append(number)
        self.numbers.append(number)
        if self._act is not None:
            self._act(number)

    def on_error(self, error: Exception) -> None:
        self.endings.append(error)

    def on_completed(self) -> None:
        self.endings.append("completed")


def watch(rig: Rig, act: Callable[[int], object] | None = None) -> Seen:
    """Subscribe a Seen."""
    seen = Seen(rig, act)
    rig.observable.subscribe(seen)
    return seen


def raising(_item: object) -> None:
    raise Boom


def broken() -> StreamTruncatedError:
    """An error that any of our streams may end with."""
    return StreamTruncatedError("the stream broke")


def gone(observer: weakref.ref[Any]) -> bool:
    """Whether nothing refers to it any more; cycles are none."""
    if observer() is not None:
        gc.collect()
    return observer() is None


@functools.cache
def _sample(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    return covering(TESTS, *axes)


def sample(metafunc: pytest.Metafunc, *axes: tuple[Any, ...]) -> None:
    """Parametrize the fixture `rig` of a test of the contract: `request.param` is one value of each axis."""
    cases = [case for test, *case in _sample(*axes) if test == metafunc.function.__name__]
    metafunc.parametrize("rig", cases, indirect=True, ids=map(name_of, cases))


class Contract:
    """Each test takes a fresh rig."""

    def test_c1_nothing_follows_the_ending(self, rig: Rig) -> None:
        """[RS1.7]"""
        seen = watch(rig)
        rig.emit(1)
        rig.emit(2)
        rig.complete()
        rig.emit(3)
        rig.fail(broken())
        rig.complete()
        assert (seen.numbers, seen.endings) == ([1, 2], ["completed"])

    def test_c2_a_failure_reaches_each_observer_exactly_once(self, rig: Rig) -> None:
        """[RS1.4]"""
        everyone = [watch(rig) for _ in range(3)]
        rig.emit(1)
        error = broken()
        rig.fail(error)
        rig.fail(broken())
        for seen in everyone:
            assert (seen.numbers, seen.endings) == ([1], [error])
            assert seen.endings[0] is error

    @pytest.mark.parametrize("ending", ["complete", "fail"])
    def test_c3_an_observer_without_on_error_hides_the_ending_from_nobody(self, rig: Rig, ending: str) -> None:
        before = watch(rig)
        only_items: list[int] = []
        rig.observable.subscribe(lambda item: only_items.append(rig.read(item)))
        after = watch(rig)
        rig.emit(1)
        rig.complete() if ending == "complete" else rig.fail(broken())
        assert only_items == [1]
        assert len(before.endings) == len(after.endings) == 1

    @pytest.mark.parametrize("ending", ["complete", "fail"])
    def test_c4_an_observer_that_raises_at_the_ending_hides_it_from_nobody(self, rig: Rig, ending: str) -> None:
        raised = []

        def at_the_end(*_: object) -> None:
            raised.append(True)
            raise Boom

        before = watch(rig)
        rig.observable.subscribe(lambda _: None, at_the_end, at_the_end)
        after = watch(rig)
        rig.emit(1)
        rig.complete() if ending == "complete" else rig.fail(broken())
        assert raised == [True]
        assert len(before.endings) == len(after.endings) == 1

    def test_c5_an_observers_exception_never_reaches_the_producer(self, rig: Rig) -> None:
        """[RS2.13]"""
        rig.observable.subscribe(raising, lambda _: None)
        rig.observable.subscribe(raising)
        rig.observable.subscribe(raising, raising)
        rig.emit(1)
        rig.emit(2)
        rig.complete()

    def test_c6_nor_does_it_cost_a_sibling_an_item(self, rig: Rig) -> None:
        before = watch(rig)
        rig.observable.subscribe(raising, lambda _: None)
        after = watch(rig)
        for number in range(3):
            rig.emit(number)
        rig.complete()
        assert before.numbers == after.numbers == [0, 1, 2]
        assert before.endings == after.endings == ["completed"]

    def test_c7_the_offender_is_cancelled_and_gets_on_error_once(self, rig: Rig) -> None:
        boom = Boom()

        def offend(number: int) -> None:
            if number == 2:
                raise boom

        offender = watch(rig, offend)
        for number in (1, 2, 3):
            rig.emit(number)
        rig.complete()
        assert (offender.numbers, offender.endings) == ([1, 2], [boom])

    def test_c8_the_same_holds_through_map_filter_and_scan(self, rig: Rig) -> None:
        boom = Boom()
        chain = rig.observable.pipe(ops.map(rig.read), ops.filter(lambda n: n > 0), ops.scan(lambda a, b: a + b, 0))
        got: list[int] = []
        errors: list[Exception] = []

        def offend(number: int) -> None:
            got.append(number)
            if len(got) == 2:
                raise boom

        before = watch(rig)
        chain.subscribe(offend, errors.append)
        after = watch(rig)
        for number in (1, 0, 2, 3):
            rig.emit(number)
        rig.complete()
        assert (got, errors) == ([1, 3], [boom])
        assert before.numbers == after.numbers == [1, 0, 2, 3]
        assert before.endings == after.endings == ["completed"]

    def test_c9_an_error_in_a_mapper_ends_only_its_chain(self, rig: Rig) -> None:
        boom = Boom()

        def mapper(item: Any) -> int:
            if rig.read(item) == 2:
                raise boom
            return rig.read(item)

        before = watch(rig)
        got: list[int] = []
        errors: list[Exception] = []
        rig.observable.pipe(ops.map(mapper)).subscribe(got.append, errors.append)
        after = watch(rig)
        for number in (1, 2, 3):
            rig.emit(number)
        rig.complete()
        assert (got, errors) == ([1], [boom])
        assert before.numbers == after.numbers == [1, 2, 3]
        assert before.endings == after.endings == ["completed"]

    def test_c10_signals_are_serial_whoever_emits(self, rig: Rig) -> None:
        """[RS1.3]"""
        inside = threading.Lock()
        overlaps = []

        def act(_: int) -> None:
            if not inside.acquire(blocking=False):
                overlaps.append(True)
                return
            pause.wait(0.0001)
            inside.release()

        pause = threading.Event()
        seen = watch(rig, act)
        start = threading.Barrier(4)

        def produce(first: int) -> None:
            start.wait(GUARD)
            for number in range(first, first + 10):
                rig.emit(number)

        producers = [threading.Thread(target=produce, args=(first,)) for first in (0, 100, 200)]
        for producer in producers:
            producer.start()
        produce(300)
        for producer in producers:
            producer.join(GUARD)
        rig.complete()
        assert not overlaps
        assert len(seen.numbers) == 40
        for first in (0, 100, 200, 300):
            assert [n for n in seen.numbers if first <= n < first + 100] == list(range(first, first + 10))
        assert seen.endings == ["completed"]

    def test_c11_the_ending_never_overtakes_an_item(self, rig: Rig) -> None:
        def act(number: int) -> None:
            if number == 1:
                rig.emit(2)
                rig.emit(3)
                rig.complete()

        first, second = watch(rig, act), watch(rig)
        rig.emit(1)
        for seen in (first, second):
            assert (seen.numbers, seen.endings, seen.after_ending) == ([1, 2, 3], ["completed"], [])

    def test_c12_re_entrant_emission_stays_ordered(self, rig: Rig) -> None:
        def act(number: int) -> None:
            if number < 4:
                rig.emit(2 * number)
                rig.emit(2 * number + 1)

        before, acting, after = watch(rig), watch(rig, act), watch(rig)
        rig.emit(1)
        assert before.numbers == acting.numbers == after.numbers == [1, 2, 3, 4, 5, 6, 7]

    @pytest.mark.parametrize("ending", ["complete", "fail"])
    def test_c13_re_entrant_ending_loses_nothing(self, rig: Rig, ending: str) -> None:
        def act(_: int) -> None:
            rig.complete() if ending == "complete" else rig.fail(broken())

        acting, after = watch(rig, act), watch(rig)
        rig.emit(1)
        assert acting.numbers == after.numbers == [1]
        assert len(acting.endings) == len(after.endings) == 1

    def test_c14_the_stack_is_bounded(self, rig: Rig) -> None:
        """[RS3.3]"""

        def act(number: int) -> None:
            if number < rig.many:
                rig.emit(number + 1)

        seen = watch(rig, act)
        rig.emit(1)
        assert seen.numbers == list(range(1, rig.many + 1))

    def test_c15_disposing_oneself_in_on_next_stops_at_once(self, rig: Rig) -> None:
        def act(number: int) -> None:
            if number == 2:
                subscription.dispose()

        seen = Seen(rig, act)
        subscription = rig.observable.subscribe(seen)
        other = watch(rig)
        for number in (1, 2, 3):
            rig.emit(number)
        rig.complete()
        assert (seen.numbers, seen.endings) == ([1, 2], [])
        assert other.numbers == [1, 2, 3]

    def test_c16_disposing_a_sibling_in_on_next_stops_it_at_once(self, rig: Rig) -> None:
        def act(number: int) -> None:
            if number == 2:
                earlier_subscription.dispose()
                later_subscription.dispose()

        earlier, later = Seen(rig), Seen(rig)
        earlier_subscription = rig.observable.subscribe(earlier)
        acting = watch(rig, act)
        later_subscription = rig.observable.subscribe(later)
        for number in (1, 2, 3):
            rig.emit(number)
        rig.complete()
        assert (earlier.numbers, earlier.endings) == ([1, 2], [])
        assert (later.numbers, later.endings) == ([1], [])
        assert acting.numbers == [1, 2, 3]

    def test_c17_disposing_is_idempotent_and_safe_from_any_thread(self, rig: Rig) -> None:
        staying = watch(rig)
        for round_ in range(8):
            leaving = Seen(rig)
            subscription = rig.observable.subscribe(leaving)
            start = threading.Barrier(4)

            def leave(subscription: abc.DisposableBase = subscription, start: threading.Barrier = start) -> None:
                start.wait(GUARD)
                for _ in range(3):
                    subscription.dispose()

            threads = [threading.Thread(target=leave) for _ in range(3)]
            for thread in threads:
                thread.start()
            start.wait(GUARD)
            rig.emit(round_)
            for thread in threads:
                thread.join(GUARD)
            had = len(leaving.numbers)
            rig.emit(1000 + round_)
            assert len(leaving.numbers) == had
            assert leaving.endings == []
        assert not rig.left  # one is still there, however often the others were disposed
        rig.complete()
        assert len(staying.numbers) == 16
        assert staying.endings == ["completed"]

    def test_c18_disposing_drops_every_reference(self, rig: Rig) -> None:
        seen = Seen(rig)
        subscription = rig.observable.subscribe(seen)
        rig.emit(1)
        assert seen.numbers == [1]
        observer = weakref.ref(seen)
        del seen
        assert observer() is not None
        subscription.dispose()
        assert gone(observer)

    @pytest.mark.parametrize("ending", ["complete", "fail"])
    def test_c19_the_ending_drops_every_reference(self, rig: Rig, ending: str) -> None:
        seen = Seen(rig)
        subscription = rig.observable.subscribe(seen)
        rig.emit(1)
        rig.complete() if ending == "complete" else rig.fail(broken())
        assert len(seen.endings) == 1
        observer = weakref.ref(seen)
        del seen
        assert gone(observer)
        subscription.dispose()

    @pytest.mark.parametrize("ending", ["complete", "fail"])
    @pytest.mark.parametrize("before", [True, False], ids=["with an earlier subscriber", "without one"])
    def test_c20_subscribing_after_the_ending_gives_what_is_kept_then_the_ending_once(
        self, rig: Rig, ending: str, before: bool
    ) -> None:
        """[RS1.9]"""
        if before:
            watch(rig)
        rig.emit(1)
        rig.emit(2)
        error = broken()
        rig.complete() if ending == "complete" else rig.fail(error)
        late = watch(rig)
        assert late.numbers == ([1, 2] if rig.keeps else [])
        assert late.endings == (["completed"] if ending == "complete" else [error])

    def test_c21_subscribing_inside_on_next_leaves_no_gap_and_no_duplicate(self, rig: Rig) -> None:
        newcomers: list[Seen] = []

        def act(number: int) -> None:
            if number == 2:
                newcomers.append(watch(rig))
                rig.emit(3)

        watch(rig, act)
        for number in (1, 2, 4):
            rig.emit(number)
        rig.complete()
        [newcomer] = newcomers
        assert newcomer.numbers == ([1, 2, 3, 4] if rig.keeps else [3, 4])
        assert newcomer.endings == ["completed"]

    def test_c22_what_is_replayed_is_complete_and_in_order(self, rig: Rig) -> None:
        watch(rig)
        for number in range(1000):
            rig.emit(number)
        late = watch(rig)
        rig.emit(1000)
        rig.complete()
        assert late.numbers == (list(range(1001)) if rig.keeps else [1000])

    def test_c23_subscribing_from_another_thread_while_emitting_leaves_no_gap_and_no_duplicate(self, rig: Rig) -> None:
        rounds, items = 10, 40
        for round_ in range(rounds):
            newcomers: list[Seen] = []
            start = threading.Barrier(2)

            def subscribe(newcomers: list[Seen] = newcomers, start: threading.Barrier = start) -> None:
                start.wait(GUARD)
                newcomers.extend(watch(rig) for _ in range(3))

            thread = threading.Thread(target=subscribe)
            thread.start()
            start.wait(GUARD)
            for number in range(round_ * items, (round_ + 1) * items):
                rig.emit(number)
            thread.join(GUARD)
            rig.emit(-round_)
            for newcomer in newcomers:
                emitted = [*range(round_ * items, (round_ + 1) * items), -round_]
                if rig.keeps:
                    assert newcomer.numbers[-items - 1 :] == emitted
                    assert len(newcomer.numbers) == (round_ + 1) * (items + 1)
                else:
                    assert newcomer.numbers == emitted[len(emitted) - len(newcomer.numbers) :]
            assert len(newcomers) == 3

    def test_c24_failing_observers_starve_nobody(self, rig: Rig) -> None:
        everyone = []
        for number in range(5):
            rig.observable.subscribe(raising, raising, raising)
            everyone.append(watch(rig))
            rig.emit(number)
        rig.fail(broken())
        for position, seen in enumerate(everyone):
            assert seen.numbers == list(range(0 if rig.keeps else position, 5))
            assert len(seen.endings) == 1

    def test_c25_the_idle_hook_fires_once_when_the_last_one_leaves(self, rig: Rig) -> None:
        subscriptions = [rig.observable.subscribe(Seen(rig)) for _ in range(3)]
        rig.emit(1)
        for subscription in subscriptions[:-1]:
            subscription.dispose()
        assert len(rig.left) == 0
        subscriptions[-1].dispose()
        subscriptions[-1].dispose()
        assert len(rig.left) == 1
        rig.observable.subscribe(raising, lambda _: None)  # a subscriber that raises and is removed
        rig.emit(2)
        assert len(rig.left) == 2
        watch(rig)
        rig.complete()
        assert len(rig.left) == 2  # the ending is no leaving

    def test_c31_an_async_callback_is_a_type_error(self, rig: Rig) -> None:
        async def callback(*_: object) -> None:
            raise AssertionError("must not be awaited")

        class AsyncCallable:
            async def __call__(self, *_: object) -> None:
                raise AssertionError("must not be awaited")

        def generator(*_: object) -> Iterator[None]:
            raise AssertionError("nothing iterates over it")
            yield

        async def async_generator(*_: object) -> AsyncIterator[None]:
            raise AssertionError("nothing iterates over it")
            yield

        with pytest.raises(TypeError, match="on_next must be a plain function, got a generator function"):
            rig.observable.subscribe(generator)
        with pytest.raises(TypeError, match="on_next must be a plain function, got an async generator function"):
            rig.observable.subscribe(async_generator)
        with pytest.raises(TypeError, match="on_completed must be a plain function, got a generator function"):
            rig.observable.subscribe(on_completed=functools.partial(generator, 1))
        with pytest.raises(TypeError, match="on_next must be a plain function, got an async function"):
            rig.observable.subscribe(callback)
        with pytest.raises(TypeError, match="on_next must be a plain function, got an async function"):
            rig.observable.subscribe(AsyncCallable())
        with pytest.raises(TypeError, match="on_error must be a plain function, got an async function"):
            rig.observable.subscribe(lambda _: None, callback)
        with pytest.raises(TypeError, match="on_completed must be a plain function, got an async function"):
            rig.observable.subscribe(on_completed=callback)


TESTS = [name for name in vars(Contract) if name.startswith("test_")]

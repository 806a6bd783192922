"""`answers`: questions on virtual time and from many threads, against a conversation that keeps the server's rule."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import reactivex as rx
from guard import GUARD
from reactivex import Observable, abc, operators as ops
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rx_assistant import operators as ax

on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error


class Talk:
    """A conversation on virtual time. Its server has one run at a time, and a cancelled run continues for a while."""

    def __init__(self, scheduler: TestScheduler, *, words: int = 3, cancelling: Any = lambda: 15.0) -> None:
        self.scheduler = scheduler
        self.words = words
        self.cancelling = cancelling
        self.asked: list[str] = []
        self.refused = self.settled = 0
        self.active: Any = None  # what ends the run of the moment

    def answer(self, text: str) -> Observable[str]:
        def subscribe(observer: abc.ObserverBase[str], _: Any = None) -> abc.DisposableBase:
            if self.active is not None:
                self.refused += 1
                observer.on_error(RuntimeError("already has an active run"))
                return Disposable()
            self.asked.append(text)
            timers = CompositeDisposable()

            def end(last: str) -> None:
                self.active = None
                timers.dispose()
                observer.on_next(f"{text}{last}")
                observer.on_completed()

            self.active = end

            def say(word: int) -> None:
                timer = self.scheduler.schedule_relative(
                    10.0 * (word + 1), lambda *_: observer.on_next(f"{text}{word}")
                )
                timers.add(timer)

            for word in range(self.words):
                say(word)
            timers.add(self.scheduler.schedule_relative(10.0 * (self.words + 1), lambda *_: end(".")))
            return timers

        return Observable(subscribe)

    def settle(self) -> Observable[None]:
        def subscribe(observer: abc.ObserverBase[None], _: Any = None) -> abc.DisposableBase:
            self.settled += 1
            run = self.active

            def over(*_: object) -> None:
                if self.active is run and run is not None:
                    run("!")
                observer.on_completed()

            return self.scheduler.schedule_relative(self.cancelling(), over)

        return Observable(subscribe)


def emitted(questions: list[Any], **options: Any) -> tuple[Talk, list[Any]]:
    scheduler = TestScheduler()
    talk = Talk(scheduler)
    source = scheduler.create_hot_observable(questions)
    seen = scheduler.start(lambda: source.pipe(ax.answers(talk, **options)))
    return talk, [(message.time, str(message.value)) for message in seen.messages]


COMING = [on_next(300, "a"), on_next(313, "b"), on_next(318, "c"), on_completed(320)]


def test_queue_asks_every_question_in_order_after_the_answer_before() -> None:
    talk, seen = emitted(COMING)
    assert [value for _, value in seen] == [
        *[f"OnNext({each})" for each in ("a0", "a1", "a2", "a.", "b0", "b1", "b2", "b.", "c0", "c1", "c2", "c.")],
        "OnCompleted()",
    ]
    assert seen[-1][0] == 420
    assert (talk.asked, talk.refused, talk.settled) == (["a", "b", "c"], 0, 0)


def test_switch_settles_the_answer_once_and_asks_the_newest_question() -> None:
    talk, seen = emitted(COMING, on_new="switch")
    assert seen == [
        (310, "OnNext(a0)"),
        (320, "OnNext(a1)"),
        (328, "OnNext(a!)"),
        (338, "OnNext(c0)"),
        (348, "OnNext(c1)"),
        (358, "OnNext(c2)"),
        (368, "OnNext(c.)"),
        (368, "OnCompleted()"),
    ]
    assert (talk.asked, talk.refused, talk.settled) == (["a", "c"], 0, 1)


def test_reject_drops_questions_and_says_which() -> None:
    dropped: list[str] = []
    talk, seen = emitted(COMING, on_new="reject", on_reject=dropped.append)
    assert [value for _, value in seen][-2:] == ["OnNext(a.)", "OnCompleted()"]
    assert (talk.asked, dropped) == (["a"], ["b", "c"])


def test_an_error_of_the_questions_comes_after_the_answer() -> None:
    _, seen = emitted([on_next(300, "a"), on_error(305, ValueError("no more"))])
    assert [value for _, value in seen][-2:] == ["OnNext(a.)", "OnError(no more)"]


def test_disposing_leaves_the_answer_and_asks_nothing_more() -> None:
    scheduler = TestScheduler()
    talk = Talk(scheduler)
    source = scheduler.create_hot_observable(COMING)
    seen = scheduler.start(lambda: source.pipe(ax.answers(talk)), disposed=335)
    assert [str(message.value) for message in seen.messages] == ["OnNext(a0)", "OnNext(a1)", "OnNext(a2)"]
    assert talk.asked == ["a"]


@pytest.mark.parametrize("seed", range(20))
def test_switch_under_fire_has_one_run_at_a_time_and_answers_the_last_question(seed: int) -> None:
    dice, scheduler = random.Random(seed), TestScheduler()
    talk = Talk(scheduler, cancelling=lambda: dice.uniform(0, 120))
    times, at = [], 210.0
    for number in range(200):
        at += dice.choice([0.0, dice.uniform(0, 50)])
        times.append(on_next(at, f"<{number}>"))
    source = scheduler.create_hot_observable([*times, on_completed(at)])
    seen = scheduler.start(lambda: source.pipe(ax.answers(talk, on_new="switch")), disposed=at + 10_000)
    values = [str(message.value) for message in seen.messages]
    assert values[-5:] == [*[f"OnNext(<199>{word})" for word in ("0", "1", "2", ".")], "OnCompleted()"]
    assert talk.refused == 0
    assert talk.active is None
    assert talk.asked == sorted(talk.asked, key=lambda each: int(each[1:-1]))


class Once:
    """Answers at once, with the question."""

    def answer(self, text: Any) -> Observable[Any]:
        return rx.throw(ValueError(text)) if text == "bad" else rx.of(text)

    def settle(self) -> Observable[None]:
        return rx.empty()


def test_answers_that_come_at_once_need_no_stack() -> None:
    talk, seen = Once(), list[int]()
    rx.range(0, 20_000).pipe(ax.answers(talk)).subscribe(seen.append)  # type: ignore[arg-type]
    assert seen == list(range(20_000))


def test_a_failed_answer_ends_the_stream_or_is_handed_over() -> None:
    ends: list[Any] = []
    rx.of("a", "bad", "b").pipe(ax.answers(Once())).subscribe(ends.append, ends.append)
    assert [str(each) for each in ends] == ["a", "bad"]
    kept, failures = list[str](), list[Exception]()
    rx.of("a", "bad", "b").pipe(ax.answers(Once(), on_failure=failures.append)).subscribe(kept.append)
    assert (kept, [str(error) for error in failures]) == (["a", "b"], ["bad"])


@pytest.mark.parametrize("part", ["answer", "settle"])
def test_a_conversation_that_raises_fails_the_stream(part: str) -> None:
    class Broken(Once):
        def answer(self, text: Any) -> Observable[Any]:
            if part == "answer":
                raise OSError("broken")
            return rx.never()

        def settle(self) -> Observable[None]:
            raise OSError("broken")

    questions, ends = Subject[str](), list[Exception]()
    questions.pipe(ax.answers(Broken(), on_new="switch")).subscribe(None, ends.append)
    questions.on_next("a")
    questions.on_next("b")
    assert [str(error) for error in ends] == ["broken"]


def test_a_settlement_that_fails_can_be_handed_over_and_the_question_is_asked() -> None:
    class Unsettled(Once):
        def answer(self, text: Any) -> Observable[Any]:
            return hanging if text == "a" else rx.of(text)

        def settle(self) -> Observable[None]:
            hanging.on_error(OSError("gone"))
            return rx.throw(OSError("no cancel"))

    hanging, questions = Subject[str](), Subject[str]()
    seen, failures = list[str](), list[Exception]()
    questions.pipe(ax.answers(Unsettled(), on_new="switch", on_failure=failures.append)).subscribe(seen.append)
    questions.on_next("a")
    questions.on_next("b")
    assert (seen, [str(error) for error in failures]) == (["b"], ["no cancel"])


def test_a_replaced_answer_may_fail_after_its_settlement() -> None:
    class Late(Once):
        def answer(self, text: Any) -> Observable[Any]:
            return hanging if text == "a" else rx.of(text)

    hanging, questions, seen, ends = Subject[str](), Subject[str](), list[str](), list[Exception]()
    questions.pipe(ax.answers(Late(), on_new="switch")).subscribe(seen.append, ends.append)
    questions.on_next("a")
    questions.on_next("b")
    assert seen == []
    hanging.on_error(OSError("withdrawn"))
    assert (seen, ends) == (["b"], [])


def test_items_are_serial_although_questions_and_answers_come_from_many_threads() -> None:
    class Threaded(Once):
        def answer(self, text: Any) -> Observable[Any]:
            def subscribe(observer: abc.ObserverBase[Any], _: Any = None) -> abc.DisposableBase:
                def work() -> None:
                    for word in range(5):
                        observer.on_next((text, word))
                    observer.on_completed()

                threading.Thread(target=work).start()
                return Disposable()

            return Observable(subscribe)

    questions, seen, inside, overlaps = Subject[Any](), list[Any](), threading.Lock(), list[Any]()
    done = threading.Event()

    def take(item: Any) -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(item)
            return
        seen.append(item)
        inside.release()

    ends: list[Exception] = []
    questions.pipe(ax.answers(Threaded())).subscribe(take, ends.append, done.set)
    askers = [
        threading.Thread(target=lambda n=n: [questions.on_next((n, each)) for each in range(50)])  # type: ignore[misc]
        for n in range(4)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    questions.on_completed()
    assert done.wait(GUARD)
    assert (overlaps, ends, len(seen)) == ([], [], 4 * 50 * 5)
    groups = [seen[at : at + 5] for at in range(0, len(seen), 5)]
    assert all([word for _, word in group] == [0, 1, 2, 3, 4] for group in groups)
    assert all(len({question for question, _ in group}) == 1 for group in groups)


def test_an_observer_that_raises_is_detached_alone() -> None:
    questions, ends, seen = Subject[str](), list[Exception](), list[str]()
    stream = questions.pipe(ax.answers(Once()), ops.share())
    stream.subscribe(lambda _: 1 / 0, ends.append)
    stream.subscribe(seen.append)
    questions.on_next("a")
    questions.on_next("b")
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    ("conversation", "options", "error"),
    [
        (object(), {}, TypeError),
        (Once(), {"on_new": "drop"}, ValueError),
        (Once(), {"on_failure": "ignore"}, ValueError),
    ],
)
def test_mistakes_are_told_where_they_are_made(
    conversation: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="must"):
        ax.answers(conversation, **options)

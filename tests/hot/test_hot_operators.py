"""What `operator()` promises to operators: state, hooks, endings, cleaning up, points of replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
import reactivex
from hot.hot_rigs import AsyncRoot, SyncRoot
from reactivex import Observable, Subject, operators as ops

from rx_assistant import operators as ax
from rx_assistant.hot import AsyncStream, Hooks, ReplayPoint, Scope, Sink, Stream, operator


class Seen:
    """Notes items and endings."""

    def __init__(self, source: Observable[Any], act: Callable[[Any], object] | None = None) -> None:
        self.items: list[Any] = []
        self.endings: list[Any] = []
        self._act = act
        self.subscription = source.subscribe(self._next, self.endings.append, lambda: self.endings.append("completed"))

    def _next(self, item: Any) -> None:
        self.items.append(item)
        if self._act is not None:
            self._act(item)


def counting(down: Sink[Any], scope: Scope[Any]) -> Callable[[Any], object]:
    count = 0

    def following(item: Any) -> None:
        nonlocal count
        count += 1
        down.next((count, item))

    return following


def held_back(down: Sink[Any], scope: Scope[Any]) -> Hooks:
    """Holds the last item back until the next one, or the ending, comes."""
    held: list[Any] = []

    def following(item: Any) -> None:
        flush()
        held.append(item)

    def flush() -> None:
        while held:
            down.next(held.pop())

    def failed(error: Exception) -> None:
        flush()
        down.error(error)

    def completed() -> None:
        flush()
        down.completed()

    return Hooks(following, failed, completed)


def test_state_belongs_to_a_subscription() -> None:
    root = SyncRoot()
    made = operator(counting)
    first = Seen(root.pipe(made))
    root.log.push("a")
    second, third = Seen(root.pipe(made)), Seen(root.map(str).pipe(made))
    root.log.push("b")
    assert first.items == second.items == third.items == [(1, "a"), (2, "b")]


def test_the_result_has_the_face_and_the_root_of_its_source() -> None:
    for root, face in ((SyncRoot(), Stream), (AsyncRoot(), AsyncStream)):
        result: Any = root.pipe(operator(counting), operator(counting))
        assert isinstance(result, face)
        assert result.origin is root


def test_a_plain_observable_becomes_a_stream_without_a_root() -> None:
    result: Any = reactivex.of("a", "b").pipe(operator(counting))
    assert isinstance(result, Stream)
    assert result.origin is None
    assert list(result) == [(1, "a"), (2, "b")]


def test_hooks_for_the_ending_may_hand_on_what_is_left() -> None:
    for error in (None, ValueError("broken")):
        root = SyncRoot()
        seen = Seen(root.pipe(operator(held_back)))
        for item in "abc":
            root.log.push(item)
        assert seen.items == ["a", "b"]
        root.finish(error)
        assert (seen.items, seen.endings) == (["a", "b", "c"], [error or "completed"])


@pytest.mark.parametrize("beyond", [[], [operator(counting)]], ids=["directly", "through another operator"])
def test_what_an_observer_raises_is_never_taken_for_an_error_of_the_source(beyond: list[Any]) -> None:
    """[C7] An operator with items left at an error does not emit them to a removed subscriber."""
    boom = ZeroDivisionError()

    def raising(_: object) -> None:
        raise boom

    root = SyncRoot()
    offender = Seen(root.pipe(operator(held_back), *beyond), raising)
    other = Seen(root.pipe(operator(held_back)))
    for item in "abc":
        root.log.push(item)
    root.finish()
    assert len(offender.items) == 1
    assert offender.endings == [boom]
    assert (other.items, other.endings) == (["a", "b", "c"], ["completed"])


def test_what_an_operator_raises_ends_its_chain_with_that_error() -> None:
    """[C9]"""
    boom = ZeroDivisionError()

    def failing(down: Sink[Any], scope: Scope[Any]) -> Callable[[Any], object]:
        def following(item: Any) -> None:
            if item == "b":
                raise boom
            down.next(item)

        return following

    root = SyncRoot()
    chains = [
        Seen(root.pipe(operator(failing))),
        Seen(root.pipe(operator(counting), operator(held_back)).pipe(operator(failing))),
        Seen(root.pipe(operator(failing), operator(held_back))),
        Seen(root.pipe(operator(failing)).map(str)),
    ]
    whole = Seen(root)
    for item in "abc":
        root.log.push(item)
    root.finish()
    assert [chain.endings for chain in (chains[0], chains[2], chains[3])] == [[boom]] * 3
    assert chains[0].items == chains[2].items == chains[3].items == ["a"]
    assert (whole.items, whole.endings) == (["a", "b", "c"], ["completed"])


@pytest.mark.parametrize("error", [None, ValueError("broken")])
def test_what_a_hook_raises_at_the_ending_is_the_ending(error: Exception | None) -> None:
    """[L11] A chain whose operator fails at the end does not stay open for ever."""
    boom = ZeroDivisionError()

    def failing(down: Sink[Any], scope: Scope[Any]) -> Hooks:
        def ended(*_: object) -> None:
            raise boom

        return Hooks(down.next, ended, ended)

    root = SyncRoot()
    seen = Seen(root.pipe(operator(failing), operator(counting)))
    root.log.push("a")
    root.finish(error)
    assert (seen.items, seen.endings) == ([(1, "a")], [boom])
    with pytest.raises(ZeroDivisionError):
        list(root.pipe(operator(failing)))


@pytest.mark.parametrize("how", ["dispose", "complete", "fail", "raise", "take"])
def test_an_operator_cleans_up_once_when_downstream_lets_go(how: str) -> None:
    cleaned: list[str] = []

    def tidy(down: Sink[Any], scope: Scope[Any]) -> Hooks:
        def completed() -> None:
            assert cleaned == []  # not before its own hook
            down.completed()

        return Hooks(lambda item: down.next(item), None, completed, lambda: cleaned.append(how))

    def raising(_: object) -> None:
        raise ZeroDivisionError

    root = SyncRoot()
    stream = root.pipe(operator(tidy))
    seen = Seen(stream.take(1) if how == "take" else stream, raising if how == "raise" else None)
    root.log.push("a")
    if how == "dispose":
        seen.subscription.dispose()
    elif how in ("complete", "fail"):
        root.finish(None if how == "complete" else ValueError())
    seen.subscription.dispose()
    root.finish()
    assert cleaned == [how]


def test_an_operator_that_starts_badly_fails_its_subscription_alone() -> None:
    boom = ZeroDivisionError()

    def failing(down: Sink[Any], scope: Scope[Any]) -> Callable[[Any], object]:
        raise boom

    root = SyncRoot()
    seen, other = Seen(root.pipe(operator(failing))), Seen(root)
    root.log.push("a")
    assert (seen.items, seen.endings) == ([], [boom])
    assert other.items == ["a"]
    with pytest.raises(ZeroDivisionError):
        list(root.pipe(operator(failing)))
    assert root.log.holders == 1


def test_nothing_is_handed_on_after_downstream_let_go() -> None:
    def doubling(down: Sink[Any], scope: Scope[Any]) -> Callable[[Any], object]:
        def following(item: Any) -> None:
            down.next(item)
            down.next(item)

        return following

    root = SyncRoot()
    seen = Seen(root.pipe(operator(doubling)), lambda item: item == "b" and seen.subscription.dispose())
    for item in "abc":
        root.log.push(item)
    assert seen.items == ["a", "a", "b"]
    taken = Seen(root.pipe(operator(doubling)).take(3))
    assert (taken.items, taken.endings) == (["a", "a", "b"], ["completed"])


def test_the_scheduler_of_a_subscription_is_the_roots_unless_another_is_given() -> None:
    schedulers: list[Any] = []

    def asking(down: Sink[Any], scope: Scope[Any]) -> Callable[[Any], object]:
        schedulers.append(scope.scheduler)
        return down.next

    root = SyncRoot()
    stream = root.pipe(operator(asking))
    stream.subscribe(lambda _: None)
    own = root.scheduler.__class__(root.log.enqueue, lambda *_: lambda: None)
    stream.subscribe(lambda _: None, scheduler=own)
    assert schedulers == [root.scheduler, own]


def test_a_subject_in_between_keeps_the_face() -> None:
    root = SyncRoot()
    subject: Subject[Any] = Subject()
    root.subscribe(subject)
    seen = Seen(root.merge(subject).pipe(operator(counting)))
    root.log.push("a")
    assert seen.items == [(1, "a"), (2, "a")]


# -- points of replay --------------------------------------------------------------------------------------------------


def replay_points(into: list[tuple[Any, ReplayPoint]]) -> Callable[[Observable[Any]], Observable[Any]]:
    def start(down: Sink[Any], scope: Scope[Any]) -> Callable[[Any], object]:
        def following(item: Any) -> None:
            into.append((item, scope.replay_point()))
            down.next(item)

        return following

    return operator(start)


def test_an_operator_knows_where_in_the_root_it_is() -> None:
    root = SyncRoot()
    live: list[tuple[Any, ReplayPoint]] = []
    late: list[tuple[Any, ReplayPoint]] = []
    looped: list[tuple[Any, ReplayPoint]] = []
    root.pipe(replay_points(live)).subscribe(lambda _: None)
    for item in "abc":
        root.log.push(item)
    root.pipe(replay_points(late)).subscribe(lambda _: None)
    loop = iter(root.pipe(replay_points(looped)))
    for _ in range(3):
        next(loop)
    for seen in (live, late, looped):
        assert [(item, point.root, point.position) for item, point in seen] == [
            (i, root, n) for n, i in enumerate("abc")
        ]
    assert all(point.loop is None for _, point in live + late)
    assert all(point.loop is not None for _, point in looped)


def test_two_cursors_of_one_loop_on_one_root_have_positions_of_their_own() -> None:
    root = SyncRoot()
    one: list[tuple[Any, ReplayPoint]] = []
    other: list[tuple[Any, ReplayPoint]] = []
    for item in "abc":
        root.log.push(item)
    root.finish()
    assert len(list(root.pipe(replay_points(one)).merge(root.pipe(replay_points(other))))) == 6
    for seen in (one, other):
        assert [point.position for _, point in seen] == [0, 1, 2]


def test_a_subscriber_that_is_served_while_a_loop_pumps_has_the_logs_position() -> None:
    root = SyncRoot()
    live: list[tuple[Any, ReplayPoint]] = []
    root.pipe(replay_points(live)).subscribe(lambda _: None)
    root.log.append([str] * 3, ["a", "b", "c"])
    loop = iter(root)
    for _ in range(3):
        next(loop)
    assert [(point.position, point.loop) for _, point in live] == [(0, None), (1, None), (2, None)]


def test_behind_another_operator_there_is_no_position() -> None:
    root = SyncRoot()
    seen: list[tuple[Any, ReplayPoint]] = []
    root.pipe(operator(counting), replay_points(seen)).subscribe(lambda _: None)
    root.log.push("a")
    assert [(point.root, point.position) for _, point in seen] == [(None, -1)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (ax.text_deltas, r"text_deltas, which returns one: call it, as in pipe\(text_deltas\(\)\)"),
        (ax.tool_calls, "tool_calls, which returns one"),
        (ax.latest, "interval must be a number of seconds, got"),
        (ax.buffer_bounded, "capacity must be a number of items, got"),
        (ops.first, "first, which returns one"),
        (ops.map, "map_?, which returns one"),
        ([ax.text_deltas()], "one after the other, got \\["),
    ],
)
def test_an_operator_without_its_parentheses_is_told_so(given: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        SyncRoot().pipe(given)


def test_an_async_loop_over_a_stream_that_no_event_loop_feeds_is_an_error_not_a_hang() -> None:
    async def loop() -> None:
        async for _ in AsyncRoot().pipe(ops.map(lambda item: item)):
            pass

    with pytest.raises(TypeError, match="a stream that is fed by an event loop, got one that is not: subscribe to it"):
        anyio.run(loop)


def test_an_attribute_that_a_stream_lacks_is_named() -> None:
    root = SyncRoot()
    with pytest.raises(AttributeError, match="'SyncRoot' object has no attribute 'nonsense'"):
        _ = root.nonsense  # type: ignore[attr-defined]

"""Changes of one state → the items of its substream: views, the final object, deltas, events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable

from rx_assistant.hot import Scope, Sink, operator
from rx_assistant.operators._routing import S, StateChange
from rx_assistant.operators._select import Event

A = TypeVar("A")


def views(view: Callable[[StateChange[S]], A]) -> Callable[[Observable[StateChange[S]]], Observable[A]]:
    """Emit `view(state, version)` for each version of a state."""

    def start(down: Sink[A], scope: Scope[StateChange[S]]) -> Callable[[StateChange[S]], object]:
        last = -1

        def on_change(change: StateChange[S]) -> None:
            nonlocal last
            if change.version != last:
                last = change.version
                down.next(view(change))

        return on_change

    return operator(start)


def at_done(view: Callable[[StateChange[S]], A]) -> Callable[[Observable[StateChange[S]]], Observable[A]]:
    """Emit the view of a state when it is done. Emit nothing if the stream ends before that."""

    def start(down: Sink[A], scope: Scope[StateChange[S]]) -> Callable[[StateChange[S]], object]:
        def on_change(change: StateChange[S]) -> None:
            if change.phase == "done":
                down.next(view(change))

        return on_change

    return operator(start)


def deltas(read: Callable[[StateChange[S]], A]) -> Callable[[Observable[StateChange[S]]], Observable[A]]:
    """Emit what `read` returns for each delta, unless it is empty."""

    def start(down: Sink[A], scope: Scope[StateChange[S]]) -> Callable[[StateChange[S]], object]:
        def on_change(change: StateChange[S]) -> None:
            if change.phase == "delta":
                item = read(change)
                if item:
                    down.next(item)

        return on_change

    return operator(start)


def events_of(changes: Observable[StateChange[Any]]) -> Observable[Event]:
    """Emit the event of each change, each event once. Other operators can follow, on one message or step."""
    return _events_of(changes)


def _start_events(down: Sink[Event], scope: Scope[StateChange[Any]]) -> Callable[[StateChange[Any]], object]:
    last = -1

    def on_change(change: StateChange[Any]) -> None:
        nonlocal last
        if change.version != last:
            last = change.version
            down.next(change.event)

    return on_change


_events_of = operator(_start_events)

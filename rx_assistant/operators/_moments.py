"""Changes of one state → the items of its substream: views, the final object, deltas, events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable

from rx_assistant.hot import Scope, Sink, operator
from rx_assistant.operators._routing import Moment, S
from rx_assistant.operators._select import Event

A = TypeVar("A")


def views(view: Callable[[Moment[S]], A]) -> Callable[[Observable[Moment[S]]], Observable[A]]:
    """Emit `view(state, version)` for each version of a state."""

    def start(down: Sink[A], scope: Scope[Moment[S]]) -> Callable[[Moment[S]], object]:
        last = -1

        def on_moment(moment: Moment[S]) -> None:
            nonlocal last
            if moment.version != last:
                last = moment.version
                down.next(view(moment))

        return on_moment

    return operator(start)


def at_done(view: Callable[[Moment[S]], A]) -> Callable[[Observable[Moment[S]]], Observable[A]]:
    """Emit the view of a state once it is done; empty if the stream ends before that."""

    def start(down: Sink[A], scope: Scope[Moment[S]]) -> Callable[[Moment[S]], object]:
        def on_moment(moment: Moment[S]) -> None:
            if moment.phase == "done":
                down.next(view(moment))

        return on_moment

    return operator(start)


def deltas(read: Callable[[Moment[S]], A]) -> Callable[[Observable[Moment[S]]], Observable[A]]:
    """Emit what `read` returns for each delta, unless it is empty."""

    def start(down: Sink[A], scope: Scope[Moment[S]]) -> Callable[[Moment[S]], object]:
        def on_moment(moment: Moment[S]) -> None:
            if moment.phase == "delta":
                item = read(moment)
                if item:
                    down.next(item)

        return on_moment

    return operator(start)


def events_of(moments: Observable[Moment[Any]]) -> Observable[Event]:
    """Emit the event behind each change, each event once: the source of other operators on one message or step."""
    return _events_of(moments)


def _start_events(down: Sink[Event], scope: Scope[Moment[Any]]) -> Callable[[Moment[Any]], object]:
    last = -1

    def on_moment(moment: Moment[Any]) -> None:
        nonlocal last
        if moment.version != last:
            last = moment.version
            down.next(moment.event)

    return on_moment


_events_of = operator(_start_events)

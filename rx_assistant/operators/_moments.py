"""Moments of one state → what its stream object emits: views of it, what it is done with, deltas, events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable

from rx_assistant.hot import Scope, Sink, operator
from rx_assistant.operators._routing import Moment, S
from rx_assistant.operators._select import Event

A = TypeVar("A")


def views(view: Callable[[Moment[S]], A]) -> Callable[[Observable[Moment[S]]], Observable[A]]:
    """Emit what `view` makes of a state, at each version of it."""

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
    """Emit what `view` makes of a state that is done; nothing if that does not happen."""

    def start(down: Sink[A], scope: Scope[Moment[S]]) -> Callable[[Moment[S]], object]:
        def on_moment(moment: Moment[S]) -> None:
            if moment.phase == "done":
                down.next(view(moment))

        return on_moment

    return operator(start)


def deltas(read: Callable[[Moment[S]], A]) -> Callable[[Observable[Moment[S]]], Observable[A]]:
    """Emit what `read` makes of each delta, unless that is empty."""

    def start(down: Sink[A], scope: Scope[Moment[S]]) -> Callable[[Moment[S]], object]:
        def on_moment(moment: Moment[S]) -> None:
            if moment.phase == "delta":
                item = read(moment)
                if item:
                    down.next(item)

        return on_moment

    return operator(start)


def events_of(moments: Observable[Moment[Any]]) -> Observable[Event]:
    """Emit the events behind the moments, each once: what there is of a message or step, for operators of ours."""
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

"""Observables for the contract suite: roots that a test feeds by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from reactivex import Observable, abc

from rx_assistant.hot import (
    FOREVER,
    AsyncStream,
    HotLog,
    Stream,
    StreamScheduler,
    Subscriber,
    Worker,
    loop_for,
)


def same(item: Any) -> int:
    """Items are the numbers themselves."""
    return cast("int", item)


@dataclass
class Rig:
    """An observable under test, and what moves it. Items stand for numbers, which `read` gives back."""

    observable: Observable[Any]
    emit: Callable[[int], object]
    complete: Callable[[], object]
    fail: Callable[[Exception], object]
    read: Callable[[Any], int] = same
    keeps: bool = True
    """Whether late subscribers get everything: `replay="all"`."""
    many: int = 100_000
    """How many items to emit where a test is about a great many of them."""
    left: list[None] = field(default_factory=list)
    """Grows when the idle hook is called."""


class _Root:
    """A root without I/O. The test appends to its log."""

    driver: Any = None
    log: HotLog[Any]

    def _set_up(self, *, keep: bool = True, max_pending: int = 16 * 2**20) -> None:
        self.left: list[None] = []
        self.log = HotLog(keep=keep, max_pending=max_pending, on_idle=lambda left=self.left: left.append(None))
        self.scheduler = StreamScheduler(self.log.enqueue, Worker().call_later)

    def link(self, subscriber: Subscriber[Any], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        loop = loop_for(scheduler)
        if loop is not None:
            return loop.adopt(cast("Any", self), subscriber)
        return self.log.subscribe(subscriber)

    @property
    def origin(self) -> Any:
        return self

    def finish(self, error: Exception | None = None) -> None:
        """End the log, and deliver the ending."""
        self.log.end(error)
        self.log.want(FOREVER)

    def rig(self, observable: Observable[Any] | None = None, **options: Any) -> Rig:
        """Give a rig for this root, or for something derived from it."""
        return Rig(
            observable=cast("Observable[Any]", self) if observable is None else observable,
            emit=self.log.push,
            complete=self.finish,
            fail=self.finish,
            keeps=self.log.keep,
            left=self.left,
            **options,
        )


class SyncRoot(_Root, Stream[Any]):
    """A root with the synchronous face."""

    def __init__(self, **options: Any) -> None:
        Observable.__init__(self)
        self._set_up(**options)


class AsyncRoot(_Root, AsyncStream[Any]):
    """A root with the asynchronous face."""

    def __init__(self, **options: Any) -> None:
        Observable.__init__(self)
        self._set_up(**options)

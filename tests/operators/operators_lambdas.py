"""Lambdas in `pipe`, over reactivex's own Observable and over both faces of a stream: programs for type checkers."""

from __future__ import annotations

_PROGRAM = """
from typing import assert_type

import reactivex
from reactivex import Observable, operators as ops

from rx_assistant import AsyncStream, RunSnapshot, Stream, operators as ax
from rx_assistant.events import AssistantStreamEvent
from rx_assistant.gui import AsyncioHost, observe_on_ui


def show(text: str) -> None:
    print(text)


def draw(snapshot: RunSnapshot) -> None:
    print(snapshot.text)


def f(s: {face}[AssistantStreamEvent], host: AsyncioHost) -> None:
    assert_type(s.pipe(ops.map(lambda e: e.event), ops.distinct_until_changed()), {face}[str])
    assert_type(s.pipe(ops.filter(lambda e: e.event != "thread.run.queued"), ax.text_deltas()), {face}[str])
    assert_type(s.pipe(ax.text_deltas(), ops.map(lambda t: t.upper()), ops.filter(lambda t: len(t) > 1)), {face}[str])
    assert_type(s.pipe(ax.text_deltas(), ops.map(lambda t: len(t))), {face}[int])
    assert_type(s.pipe(ax.text_deltas(), ops.map(len), ops.to_list()), {face}[list[int]])
    assert_type(s.pipe(ax.text_deltas(), ops.scan(lambda n, t: n + len(t), 0)), {face}[int])
    assert_type(s.pipe(ax.text_deltas(), ops.take_with_time(1.0), ops.reduce(lambda a, b: a + b, "")), {face}[str])
    assert_type(s.pipe(ax.text_deltas(), ops.flat_map(lambda t: reactivex.of(len(t), 1))), {face}[int])
    assert_type(s.pipe(ax.runs(), ops.map(lambda r: r.id), ops.take(2), ops.skip(1), ops.map(len)), {face}[int])
    assert_type(
        s.pipe(
            ax.runs(),
            ops.map(lambda r: r.id),
            ops.take(2),
            ops.skip(1),
            ops.map(lambda t: len(t)),
            ops.filter(lambda n: n > 1),
            ops.to_list(),
        ),
        {face}[list[int]],
    )
    s.pipe(ax.text_deltas(), ax.coalesce(0.1)).subscribe(show)
    s.pipe(ax.text_deltas(), ax.coalesce(0.1), ops.map(lambda t: t.strip())).subscribe(show)
    s.pipe(ax.text_deltas(), observe_on_ui(host)).subscribe(show)
    s.pipe(ax.snapshots(), observe_on_ui(host)).subscribe(draw)
    s.pipe(ax.snapshots(), ax.latest(), observe_on_ui(host)).subscribe(draw, lambda e: show(str(e)), lambda: None)
    s.pipe(ax.text_deltas(), ax.numbered_citations(), ax.buffer_bounded(10)).subscribe(lambda t: show(t.upper()))


print(f, AsyncStream, Observable, Stream)
"""

FACES = ("Observable", "Stream", "AsyncStream")
PROGRAMS = {face: _PROGRAM.format(face=face) for face in FACES}

"""Handlers: text, code and annotations as callbacks, beside the official SDK's."""

from __future__ import annotations

from collections.abc import Callable

from openai import AssistantEventHandler as SdkHandler

import rx_assistant
from benchmarks import _peers
from benchmarks._layouts import LAYOUTS, written
from benchmarks._measure import Row, microseconds, race, seconds, times_faster
from benchmarks._streams import annotated_events, chunks, code_events, text_events
from rx_assistant import AssistantEventHandler


class _Read:
    """Reads the delta and the whole text so far, at each delta, of our types and of the SDK's."""

    read = 0

    def on_text_delta(self, delta, snapshot):
        self.read += len(delta.value) + len(snapshot.value)


class _ReadCode:
    read = 0

    def on_tool_call_delta(self, delta, snapshot):
        if delta.code_interpreter.input:
            self.read += len(delta.code_interpreter.input) + len(snapshot.code_interpreter.input)


class _Unread:
    read = 0

    def on_text_delta(self, delta, snapshot):
        self.read += 1


class _ReadAnnotations:
    read = 0

    def on_text_delta(self, delta, snapshot):
        self.read += delta.annotations[0].start_index + snapshot.annotations[-1].end_index


def contest(what: type, pieces: list[bytes]) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same callbacks on our stream and on the SDK's."""
    ours: type = type("Ours", (what, AssistantEventHandler), {})
    theirs: type = type("Theirs", (what, SdkHandler), {})
    client = _peers.sdk(pieces)

    def run_ours() -> None:
        handler = ours()
        stream = rx_assistant.replay(pieces)
        stream.attach(handler)
        stream.until_done()
        assert handler.read > 0
        assert handler.exception is None

    def run_theirs() -> None:
        assert _peers.sdk_handler(client, theirs).read > 0

    return run_ours, run_theirs


def rows() -> list[Row]:
    """The rows of this table."""
    found = []
    for what, make, label in ((_Read, text_events, "text"), (_ReadCode, code_events, "code_interpreter input")):
        for name, layout in LAYOUTS.items():
            ours, theirs = race(*contest(what, chunks(written(make(1_000), layout))))
            work = f"handler, {label}, read whole at each of 1000 deltas, {name}"
            found.append(times_faster(work, ours, theirs, 1_000, name="openai", at_least=20))
    ours, theirs = race(*contest(_Read, chunks(text_events(16_000))), rounds=3)
    found.append(times_faster("handler, text, read whole at each of 16000 deltas", ours, theirs, 16_000, name="openai"))
    return found + annotations()


def annotations() -> list[Row]:
    """One annotation per delta."""
    many = chunks(annotated_events(1_600))
    found = []
    for what, name, target in ((_Unread, "unread", 800), (_ReadAnnotations, "read", 500)):
        run_ours, run_theirs = contest(what, many)
        ours, _ = race(run_ours, run_ours)
        theirs = seconds(run_theirs)  # half a minute: it needs no warming up
        work = f"one annotation per delta, N = 1600, {name}"
        found.append(times_faster(work, ours, theirs, 1_600, name="openai", at_least=target))
    # sixteen short streams are as many deltas as one long one
    few = contest(_ReadAnnotations, chunks(annotated_events(100)))[0]
    long = contest(_ReadAnnotations, many)[0]
    short, whole = race(lambda: [few() for _ in range(16)], long)
    ratio = whole / short
    found.append(
        Row(
            "… its cost per delta at 1600 against 100",
            microseconds(whole, 1_600),
            f"at 100: {microseconds(short, 1_600)}",
            f"{ratio:.2f}",
            "≤ 1.3",
            ratio <= 1.3,
        )
    )
    return found

"""C34 and laziness: unread items are not parsed, and items with many readers are parsed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from operators_wire import (
    arguments,
    finish,
    function,
    message,
    requires,
    run,
    seen,
    step,
    stream_of,
    text,
)
from reference import RECORDINGS

from rx_assistant import AssistantStream, operators as ax, replay
from rx_assistant.events import BY_NAME, ThreadMessageDelta, ThreadRunStepDelta

EVERY_RECORDING = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem[:70])

STORY = [
    run("queued", "created"),
    run("in_progress"),
    step("created"),
    arguments("", id="call_1", name="f"),
    *[arguments(piece) for piece in ("{", "}")],
    requires(function("call_1", "{}")),
    run("queued"),
    step("completed", function("call_1", "{}", output="5")),
    step("created", of="step_2", kind="message_creation"),
    message("created"),
    *[text(piece) for piece in ("It ", "is ", "5.")],
    message("completed", "It is 5."),
    step("completed", of="step_2", kind="message_creation"),
    run("completed"),
]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the models that payloads are read into, by name."""
    counts: Counter[str] = Counter()

    def counting(model: str, read: Callable[[Any], Any]) -> Any:
        def read_and_count(payload: Any) -> Any:
            counts[model] += 1
            return read(payload)

        return staticmethod(read_and_count)  # a plain function would be bound to the event

    for kind in BY_NAME.values():
        if kind._model:
            monkeypatch.setattr(kind, "_reader", counting(kind._model, kind._find_reader()))
    return counts


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """Counts the narrow readings of delta events, by payload."""
    counts: Counter[bytes] = Counter()
    for kind in (ThreadMessageDelta, ThreadRunStepDelta):
        monkeypatch.setattr(kind, "_read", counted(kind._read, counts))
    return counts


def counted(read: Callable[[Any], Any], counts: Counter[bytes]) -> Callable[[Any], Any]:
    def read_and_count(event: Any) -> Any:
        counts[event.raw] += 1
        return read(event)

    return read_and_count


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (ax.text_deltas(), {}),
        (ax.texts(), {"Message": 2}),
        (ax.text_snapshots(), {"Message": 2}),
        (ax.messages(), {"Message": 1}),
        (ax.message_streams(), {"Message": 2}),
        (ax.completed_run_steps(), {"RunStep": 2}),
        (ax.run_statuses(), {"Run": 5}),
        (ax.events("thread.run.*"), {}),
        (ax.of_type(ThreadMessageDelta), {}),
        (ax.tool_calls(), {"RunStep": 4, "Run": 1}),
        (ax.completed_tool_calls(), {"RunStep": 4, "Run": 1}),
        (ax.run_steps(), {"RunStep": 4, "Run": 1}),
    ],
)
def test_only_what_an_operator_is_about_becomes_a_model(
    models: Counter[str], operator: Callable[[Any], Any], expected: dict[str, int]
) -> None:
    stream = stream_of(*STORY)
    notes = seen(stream.pipe(operator))
    finish(stream)
    assert notes.items
    assert notes.endings == [None]
    assert models == expected


@EVERY_RECORDING
def test_a_chain_that_wants_text_builds_no_model_from_any_recording(models: Counter[str], path: Path) -> None:
    stream = replay(path)
    notes = seen(stream.pipe(ax.text_deltas()))
    finish(stream)
    if stream.log.failure is None:
        list(stream.text_deltas)
    assert notes.endings == [stream.log.failure]
    assert {name: count for name, count in models.items() if name != "ErrorObject"} == {}


def everything(stream: AssistantStream) -> Iterator[Any]:
    """Subscribes to all there is, substreams and all."""
    for operator in (ax.text_deltas, ax.text_snapshots, ax.messages, ax.run_statuses, ax.snapshots, ax.verify):
        yield seen(stream.pipe(operator()))
    for outer in (ax.texts, ax.message_streams, ax.tool_calls, ax.run_steps):
        yield seen(stream.pipe(outer()))
        stream.pipe(outer()).subscribe(lambda inner: [seen(inner), seen(inner.snapshots), seen(inner.done)])
    stream.pipe(ax.tool_calls()).subscribe(lambda call: [seen(call.argument_deltas), seen(call.partial_arguments())])


def test_however_many_look_on_each_payload_is_parsed_once(models: Counter[str], narrow: Counter[bytes]) -> None:
    stream = stream_of(*STORY)
    notes = [note for _ in range(3) for note in everything(stream)]
    finish(stream)
    assert all(note.items for note in notes)
    assert models == {
        "Run": 5,
        "RunStep": 4,
        "Message": 2,
        "MessageDeltaEvent": 3,  # the streams of whole deltas ask for these
        "RunStepDeltaEvent": 3,
    }
    assert len(narrow) == 6
    assert set(narrow.values()) == {1}


def test_substreams_share_one_subscription() -> None:
    stream = stream_of(*STORY)
    notes: list[Any] = []
    seats: list[int] = []

    def watch(inner: Any) -> None:
        for _ in range(50):
            notes.append(seen(inner))
            notes.append(seen(inner.snapshots))
        seats.append(stream.log.seats)

    stream.pipe(ax.texts()).subscribe(watch)
    finish(stream)
    assert seats == [1]
    assert len(notes) == 100
    assert all(note.items for note in notes)


def test_plain_text_costs_one_narrow_reading_and_nothing_else(models: Counter[str], narrow: Counter[bytes]) -> None:
    pieces = [f"{number} " for number in range(100)]
    stream = stream_of(*map(text, pieces), message("completed", "".join(pieces)))
    found: list[Any] = []
    stream.pipe(ax.texts()).subscribe(lambda part: found.append(seen(part)))
    finish(stream)
    assert found[0].items == pieces
    assert models == {"Message": 1}
    assert sum(narrow.values()) == 100

"""A broken stream continues by polling: nothing is lost and nothing is repeated, wherever it was cut.

The streams are those of the local server for every script of `polling_recorded`, recorded once; they are cut at every
frame boundary, a byte before and a byte behind it, and at a seeded sample of all other bytes. `every_offset.py` cuts
them at every single byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from polling_recorded import (
    SCRIPTS,
    Recorded,
    around,
    check_once,
    events_of,
    objects,
    recorded_streams,
    resumed,
    resumed_async,
)

from rx_assistant import AssistantEventHandler, operators as ax
from rx_assistant.errors import (
    StreamTruncatedError,
)
from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta

EVERY_SCRIPT = pytest.mark.parametrize("script", SCRIPTS)


def sample(recorded: Recorded, count: int) -> list[int]:
    """Some bytes at which there is something to resume, the same in every run."""
    return Random(recorded.name).sample(range(recorded.start, recorded.settled), count)


# -- every boundary, on one thread -----------------------------------------------------------------------------------


@EVERY_SCRIPT
def test_cut_at_every_frame_boundary_and_a_byte_beside_it(script: str) -> None:
    for recorded in recorded_streams(script):
        for offset in around(recorded):
            stream = resumed(recorded, offset)
            if offset < recorded.start:
                with pytest.raises(StreamTruncatedError, match="nothing to resume"):
                    stream.until_done()
                continue
            events = list(stream)
            check_once(events, recorded)
            arrived = events_of(recorded.body[:offset])
            assert events[: len(arrived)] == arrived


@EVERY_SCRIPT
def test_cut_anywhere_with_states_in_between_that_are_behind_and_ahead(script: str) -> None:
    """Whoever polls may see less than the stream had told, and then more, step by step."""
    for recorded in recorded_streams(script):
        rng = Random(recorded.name)
        for offset in sample(recorded, 12):
            started = 1 if recorded.answered else len(events_of(recorded.body[: recorded.start]))
            if recorded.answered:
                counts = sorted(rng.choices(range(2, len(recorded.events)), k=3))
            else:
                counts = sorted(rng.choices(range(started, len(recorded.events)), k=4))
            check_once(resumed(recorded, offset, [objects(recorded, count) for count in counts]), recorded)


@pytest.mark.anyio
@EVERY_SCRIPT
async def test_cut_anywhere_on_an_event_loop(script: str, anyio_backend: str) -> None:
    for recorded in recorded_streams(script):
        for offset in sample(recorded, 3):
            stream = resumed_async(recorded, offset)
            check_once([event async for event in stream], recorded)
            assert await stream.get_final_run() == recorded.found.run


# -- every kind of reader ---------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "texts": (ax.texts, lambda inner: inner),
    "messages": (ax.message_streams, lambda inner: inner),
    "tool calls": (ax.tool_calls, lambda inner: inner.argument_deltas),
    "steps": (ax.run_steps, lambda inner: inner),
}


class Reader:
    """What one subscriber got of each substream: what is appended, what was done, how it ended."""

    def __init__(self, stream: Any, kind: str) -> None:
        self.told: dict[Any, dict[str, list[Any]]] = defaultdict(lambda: {"items": [], "done": [], "endings": []})
        self.order: list[Any] = []
        operator, self._items = KINDS[kind]
        self.endings: list[Any] = []
        stream.pipe(operator()).subscribe(self._begin, self.endings.append, lambda: self.endings.append("end"))

    def _begin(self, inner: Any) -> None:
        key = tuple(getattr(inner, name, None) for name in ("message_id", "step_id", "index", "id", "type"))
        assert key not in self.told, "created twice"
        self.order.append(key)
        notes = self.told[key]
        self._items(inner).subscribe(notes["items"].append, notes["endings"].append, lambda: notes["endings"].append(1))
        inner.done.subscribe(lambda item: notes["done"].append(item), lambda _: None)

    @property
    def sum(self) -> dict[Any, Any]:
        """What is the same whether it came in one piece or in many."""
        return {
            key: ("".join(piece for piece in notes["items"] if isinstance(piece, str)), notes["done"], notes["endings"])
            for key, notes in self.told.items()
        }


@pytest.mark.parametrize("kind", KINDS)
@EVERY_SCRIPT
def test_substreams_end_as_if_nothing_had_happened(script: str, kind: str) -> None:
    for recorded in recorded_streams(script):
        whole = resumed(recorded, len(recorded.body))
        uncut = Reader(whole, kind)
        whole.until_done()
        for offset in sample(recorded, 2):
            stream = resumed(recorded, offset)
            early = Reader(stream, kind)
            stream.until_done()
            late = Reader(stream, kind)
            live = resumed(recorded, offset, replay="none")
            there = Reader(live, kind)
            live.until_done()
            for reader in (early, late, there):
                assert reader.endings == ["end"]
                assert reader.order == uncut.order
                assert reader.sum == uncut.sum
                assert all(notes["endings"] == [1] for notes in reader.told.values())


class Noting(AssistantEventHandler):
    """The callbacks of a handler, with the deltas added up."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Any] = []

    def _more(self, name: str, value: str) -> None:
        if self.notes and self.notes[-1][0] == name:
            self.notes[-1] = (name, self.notes[-1][1] + value)
        else:
            self.notes.append((name, value))

    def on_text_created(self, text: Any) -> None:
        self.notes.append(("text created", ""))

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self._more("text", delta.value or "")

    def on_text_done(self, text: Any) -> None:
        self.notes.append(("text done", text.value))

    def on_message_done(self, message: Any) -> None:
        self.notes.append(("message done", message.id))

    def on_tool_call_created(self, tool_call: Any) -> None:
        self.notes.append(("call created", tool_call.id))

    def on_tool_call_done(self, tool_call: Any) -> None:
        self.notes.append(("call done", tool_call.id))

    def on_run_step_done(self, run_step: Any) -> None:
        self.notes.append(("step done", run_step.id))

    def on_image_file_done(self, image_file: Any) -> None:
        self.notes.append(("image", image_file.file_id))

    def on_exception(self, exception: Exception) -> None:
        self.notes.append(("exception", exception))

    def on_end(self) -> None:
        self.notes.append(("end", ""))


@pytest.mark.parametrize("script", ["parts", "two messages", "code", "functions", "failed", "incomplete"])
def test_handlers_are_told_as_if_nothing_had_happened(script: str) -> None:
    for recorded in recorded_streams(script):
        uncut = Noting()
        whole = resumed(recorded, len(recorded.body))
        whole.attach(uncut)
        whole.until_done()
        for offset in sample(recorded, 4):
            handler, stream = Noting(), resumed(recorded, offset)
            stream.attach(handler)
            stream.until_done()
            assert handler.notes == uncut.notes


def test_what_was_read_before_the_break_is_part_of_it_also_when_nobody_was_told_yet() -> None:
    """`cancel()` reads on for the run's id, and delivers nothing; the log keeps nothing behind."""
    [recorded] = recorded_streams("two messages")
    stream = resumed(recorded, recorded.boundaries[9], replay="none")
    stream.driver.advance(0)
    assert stream.log.position == 0
    events: list[Any] = []
    stream.subscribe(events.append)
    stream.until_done()
    check_once(events, recorded)


def test_polled_text_comes_as_deltas() -> None:
    [recorded] = recorded_streams("text")
    arrived = len(events_of(recorded.body[: recorded.boundaries[9]]))
    kinds = [type(event) for event in list(resumed(recorded, recorded.boundaries[9]))[arrived:]]
    assert kinds.count(ThreadMessageDelta) == 1
    [code_stream] = recorded_streams("code")
    polled = list(resumed(code_stream, code_stream.start))
    assert any(isinstance(event, ThreadRunStepDelta) for event in polled)

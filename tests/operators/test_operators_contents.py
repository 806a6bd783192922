"""Refusals, images, annotations and outputs of code as flat streams; marks of citations as numbered references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from generated import Generated, messy_streams, streams
from hypothesis import given, settings, strategies as st
from operators_wire import call_delta, cut, delta_of, message, seen, step, stream_of, text, watched
from reactivex import operators as ops

from rx_assistant import AssistantEventHandler, StreamTruncatedError, operators as ax, replay, replay_async
from rx_assistant.types import ImageURL, Text

LAW = settings(max_examples=60, deadline=None)
REFUSAL = {"type": "refusal", "refusal": "I cannot."}
MARK = {"type": "file_citation", "text": "【4:0†a】", "file_citation": {"file_id": "file_1"}}
URL = {"type": "image_url", "image_url": {"url": "https://x/1.png"}}
FILE = {"type": "image_file", "image_file": {"file_id": "file_7"}}


def refused(piece: str, index: int = 0, of: str = "msg_1") -> Any:
    return delta_of(of, {"index": index, "type": "refusal", "refusal": piece})


def code(of: str = "step_1", **inside: Any) -> Any:
    return call_delta(of, {"index": 0, "type": "code_interpreter", "code_interpreter": inside})


def test_interleaved_refusals_are_told_piece_by_piece_and_once_whole() -> None:
    stream = stream_of(
        refused("I ", of="m"),
        refused("No", of="n"),
        refused("cannot.", of="m"),
        message("completed", REFUSAL, of="m"),
        message("completed", {**REFUSAL, "refusal": "No"}, of="n"),
    )
    pieces, whole = seen(stream.pipe(ax.refusal_deltas())), watched(stream, ax.refusals())
    assert pieces.items == ["I ", "No", "cannot."]
    assert [refusal.refusal for refusal in whole.items] == ["I cannot.", "No"]
    assert pieces.endings == whole.endings == [None]


def test_what_only_a_whole_message_shows_is_told() -> None:
    part = {"type": "text", "text": {"value": "a【4:0†a】", "annotations": [MARK, MARK]}}
    stream = stream_of(message("completed", part, REFUSAL, FILE, URL))
    assert [mark.text for mark in stream.pipe(ax.annotations())] == ["【4:0†a】"] * 2
    assert [refusal.refusal for refusal in stream.pipe(ax.refusals())] == ["I cannot."]
    file, url = stream.pipe(ax.images())
    assert (file.file_id, url) == ("file_7", ImageURL(url="https://x/1.png"))
    assert list(stream.pipe(ax.refusal_deltas())) == []


def test_an_annotation_is_told_once_though_the_final_message_repeats_it() -> None:
    part = {
        "type": "text",
        "text": {"value": "ab", "annotations": [MARK, {**MARK, "text": "2"}, {**MARK, "text": "3"}]},
    }
    stream = stream_of(
        text("a", annotations=[{"index": 1, **MARK, "text": "2"}]),
        text("b", annotations=[{"index": 0, **MARK}]),
        message("completed", part),
    )
    assert [mark.text for mark in stream.pipe(ax.annotations())] == ["2", "【4:0†a】", "3"]


def test_outputs_of_all_calls_come_as_the_code_runs() -> None:
    logs = [{"index": 0, "type": "logs", "logs": "1"}]
    stream = stream_of(
        code(input="1", outputs=[]),
        code("step_2", input="2", outputs=logs),
        code(outputs=logs),
        step("completed", {"id": "c", "type": "code_interpreter", "code_interpreter": {"input": "1", "outputs": logs}}),
    )
    notes = watched(stream, ax.code_outputs())
    assert [output.logs for output in notes.items] == ["1", "1"]


def test_the_streams_error_comes_through() -> None:
    for operator in (ax.refusals(), ax.refusal_deltas(), ax.images(), ax.annotations(), ax.code_outputs()):
        assert isinstance(watched(cut(refused("I ")), operator).error, StreamTruncatedError)


class Told(AssistantEventHandler):
    """The callbacks of a handler for the same events."""

    def __init__(self) -> None:
        self.pieces: list[str | None] = []
        self.counts: Counter[str] = Counter()

    def on_refusal_delta(self, delta: Any, snapshot: Any) -> None:
        self.pieces.append(delta.refusal)

    def on_refusal_done(self, refusal: Any) -> None:
        self.counts["refusals"] += 1

    def on_image_file_done(self, image_file: Any) -> None:
        self.counts["images"] += 1

    def on_image_url_done(self, image_url: Any) -> None:
        self.counts["images"] += 1

    def on_annotation(self, annotation: Any, text: Any) -> None:
        self.counts["annotations"] += 1

    def on_code_output(self, output: Any, tool_call: Any) -> None:
        self.counts["code_outputs"] += 1


@LAW
@given(st.one_of(streams(), messy_streams()))
def test_they_tell_what_a_handler_is_told(generated: Generated) -> None:
    stream, handler = replay(generated.body), Told()
    stream.attach(handler)
    stream.until_done()
    assert list(stream.pipe(ax.refusal_deltas())) == [piece for piece in handler.pieces if piece]
    for name in ("refusals", "images", "annotations", "code_outputs"):
        assert len(list(stream.pipe(getattr(ax, name)()))) == handler.counts[name], name


# -- citations --------------------------------------------------------------------------------------------------------


def pieces(value: str, cuts: Sequence[int]) -> list[str]:
    ends = sorted({min(at, len(value)) for at in cuts})
    return [value[start:end] for start, end in zip([0, *ends], [*ends, len(value)], strict=True)]


def cited(parts: Sequence[str], **options: Any) -> list[str]:
    stream = stream_of(*map(text, parts))
    return list(stream.pipe(ax.text_deltas(), ax.numbered_citations(**options)))


WORDS = st.sampled_from(
    ["【4:0†source】", "【4:1†source】", "【13†a b.pdf】", "【", "】", "†", "4:", "重要", "【注】", "a", "\n"]
)


@LAW
@given(st.lists(WORDS, max_size=12).map("".join), st.lists(st.integers(0, 80), max_size=20))
def test_wherever_a_mark_is_cut_the_text_is_that_of_the_whole(value: str, cuts: list[int]) -> None:
    assert "".join(cited(pieces(value, cuts))) == Text(value=value).numbered_citations()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a【4:0†source】b", "a[1]b"),
        ("【4:0†x】【4:1†x】【4:0†x】", "[1][2][1]"),
        ("【13†source】", "[1]"),
        ("【重要】 【4】 【4:0】 [4:0†x]", "【重要】 【4】 【4:0】 [4:0†x]"),
        ("【【4:0†x】】", "【[1]】"),
        ("【4:0†", "【4:0†"),
        ("【4:0†" + "x" * 400 + "】", "【4:0†" + "x" * 400 + "】"),
        ("", ""),
    ],
)
def test_marks_and_nothing_else_become_numbers(value: str, shown: str) -> None:
    assert Text(value=value).numbered_citations() == shown
    assert "".join(cited(list(value))) == shown


def test_only_what_may_be_a_mark_is_held_back() -> None:
    assert cited(["a【", "注", "】b【4", ":0†x", "】c"]) == ["a", "【注", "】b", "[1]c"]
    assert cited(["a【4:0", "b"]) == ["a", "【4:0b"]


def test_a_mark_without_its_end_comes_before_the_ending() -> None:
    assert cited(["a【4:0†"]) == ["a", "【4:0†"]
    notes = watched(cut(text("a【4:")), ax.text_deltas(), ax.numbered_citations())
    assert notes.items == ["a", "【4:"]
    assert isinstance(notes.error, StreamTruncatedError)


def test_references_are_shown_as_wanted_or_left_out() -> None:
    assert "".join(cited(["a【4:0†x】b"], show=lambda number, mark: f"<sup>{number}</sup>")) == "a<sup>1</sup>b"
    assert "".join(cited(["a【4:0", "†x】b"], show=lambda number, mark: "")) == "ab"
    assert Text(value="a【4:0†x】b").numbered_citations(lambda number, mark: mark[1:-1]) == "a4:0†xb"


def test_each_text_part_counts_for_itself() -> None:
    stream = stream_of(text("【1†a】", of="m"), text("【1†b】", of="n"), text("【1†c】", of="m"))
    parts = stream.pipe(ax.texts())
    assert ["".join(part.pipe(ax.numbered_citations())) for part in parts] == ["[1][2]", "[1]"]


def test_the_numbers_lead_to_the_annotations_in_models_and_in_snapshots() -> None:
    annotations = [{"index": 0, **MARK, "text": "【4:1†b】"}, {"index": 1, **MARK}]
    stream = stream_of(text("a【4:0†a】【4:1†b】【4:2†c】", annotations=annotations))
    snapshot = stream.pipe(ax.text_snapshots(), ops.last()).run().text
    for shown in (snapshot, snapshot.to_model()):
        assert shown.numbered_citations() == "a[1][2][3]"
        assert {number: mark.text for number, mark in shown.citations().items()} == {1: "【4:0†a】", 2: "【4:1†b】"}


@pytest.mark.anyio
async def test_they_have_the_face_of_their_source(anyio_backend: str) -> None:
    from rx_assistant.events import frame

    body = b"".join(map(frame, [text("a【4:"), text("0†x】"), message("completed", "a【4:0†x】")]))
    async with replay_async(body + b"event: done\ndata: [DONE]\n\n") as stream:
        assert [piece async for piece in stream.pipe(ax.text_deltas(), ax.numbered_citations())] == ["a", "[1]"]
        assert [image async for image in stream.pipe(ax.images())] == []

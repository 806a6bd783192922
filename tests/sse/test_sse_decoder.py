"""The decoder, against the vectors, against a slow reading of the standard, and against its own promises."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from reference import SHARED

from rx_assistant.errors import EventTooLargeError
from rx_assistant.sse import ServerSentEvent, SSEDecoder

VECTORS = SHARED / "sse" / "vectors.json"
vectors: list[dict[str, Any]] = json.loads(VECTORS.read_text("utf-8")) if VECTORS.exists() else []

FRAME = b'event: thread.message.delta\ndata: {"id":"msg_1"}\n\n'


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[i : i + size] for i in range(0, len(body), size)]


def feed_all(decoder: SSEDecoder, chunks: Iterable[bytes]) -> list[ServerSentEvent]:
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    return feed_all(SSEDecoder(), chunks)


def slowly(body: bytes) -> tuple[list[ServerSentEvent], str, int | None]:
    """What the standard says, character by character, for a stream that is all there."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events: list[ServerSentEvent] = []
    kind, data, last_id, said, retry = "", "", "", None, None
    last_id_buffer = ""
    for line in text.split("\n")[:-1]:
        if not line:
            last_id = last_id_buffer
            if data:
                events.append(ServerSentEvent(kind or "message", data.removesuffix("\n"), last_id, said))
            kind, data, said = "", "", None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data += value + "\n"
            case "id" if "\0" not in value:
                last_id_buffer = value
            case "retry" if value.isascii() and value.isdigit():
                said = retry = int(value)
    return events, last_id, retry


# -- the vectors -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not vectors, reason="the shared vectors are not here")
@pytest.mark.parametrize("size", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("vector", vectors, ids=lambda v: v["name"])
def test_vector(vector: dict[str, Any], size: int | None) -> None:
    chunks = [base64.b64decode(chunk) for chunk in vector["chunks"]]
    if size is not None:
        chunks = cut(b"".join(chunks), size)
    decoder = SSEDecoder()
    events: list[ServerSentEvent] = []
    counts = []
    for chunk in chunks:
        events += decoder.feed(chunk)
        counts.append(len(events))
    assert events == [ServerSentEvent(**event) for event in vector["events"]]
    assert decoder.last_event_id == vector["last_event_id"]
    assert decoder.retry == vector["retry"]
    if size is None:
        assert counts == vector["events_after_chunk"]


# -- chunking --------------------------------------------------------------------------------------------------

lines = st.sampled_from(
    [
        *[b"", b"", b"event: a", b"event:b", b"event", b"data: x", b"data", b"data:  y", b":", b": ping"],
        *[b"id: 7", b"id", b"id: \0", b"retry: 50", b"retry: -1", b"retry:0009", b"other: z", b"Data: n"],
        *[b"data: \xff\xe2\x82", b"data: \xef\xbb\xbf", "data: 【é\u2028】".encode()],
        b'event: thread.run.created\ndata: {"a":1}\n',
    ]
)
ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r", b"\r\n"])
bodies = st.builds(
    lambda bom, parts, tail: bom + b"".join(line + end for line, end in parts) + tail,
    st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef", b"\n\n"]),
    st.lists(st.tuples(lines, ends), max_size=20),
    st.sampled_from([b"", b"da", b"data: cut", b"retry: 77\ndata", b"\xe2\x82"]),
)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> list[bytes]:
    body = draw(bodies)
    places = draw(st.lists(st.integers(0, len(body)), max_size=10).map(sorted))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


@settings(deadline=None)
@given(chunked_bodies())
def test_any_chunking_of_any_stream_gives_what_the_standard_says(chunks: list[bytes]) -> None:
    decoder = SSEDecoder()
    events = feed_all(decoder, chunks)
    assert (events, decoder.last_event_id, decoder.retry) == slowly(b"".join(chunks))


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_are_malformed(body: bytes) -> None:
    assert decode(*cut(body, 1)) == decode(body) == slowly(body)[0]


@settings(deadline=None)
@given(bodies)
def test_an_event_is_out_with_its_last_byte(body: bytes) -> None:
    decoder = SSEDecoder()
    for length in range(1, len(body) + 1):
        fresh = len(slowly(body[:length])[0]) - len(slowly(body[: length - 1])[0])
        # An LF behind a CR ends nothing; what the CR ended was out before.
        assert len(decoder.feed(body[length - 1 : length])) == fresh


@settings(deadline=None)
@given(chunked_bodies())
def test_pushed_bytes_are_the_fed_text(chunks: list[bytes]) -> None:
    pushed: list[tuple[str, str]] = []

    def emit(frame: tuple[bytes, bytes]) -> None:
        name, data = frame
        pushed.append((name.decode("utf-8", "replace") or "message", data.decode("utf-8", "replace")))

    decoder = SSEDecoder()
    for chunk in chunks:
        decoder.push(chunk, emit)
    assert pushed == [(event.event, event.data) for event in decode(*chunks)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_chunk_that_is_one_event_ends_what_came_before_it(end: bytes) -> None:
    """Most servers send each event in a chunk of its own."""
    event = b"event: a" + end + b"data: 1" + end + end
    decoder = SSEDecoder()
    assert decoder.feed(event) == [ServerSentEvent("a", "1")]
    assert decoder.feed(b"data: 0" + end) == []
    assert decoder.feed(event) == [ServerSentEvent("a", "0\n1")], "the chunk ends an open block"
    assert decoder.feed(b"<html>" + end + end) == []
    assert decoder.unread == b"<html>"
    assert decoder.feed(event) == [ServerSentEvent("a", "1")]
    assert decoder.unread == b""
    assert decoder.feed(b"\n" + event) == [ServerSentEvent("a", "1")], "an LF after a CR is half a line end"


def test_an_unnamed_event_is_pushed_without_a_name() -> None:
    pushed: list[tuple[bytes, bytes]] = []
    SSEDecoder().push(b"data: a\ndata: b\n\n", pushed.append)
    assert pushed == [(b"", b"a\nb")]


# -- what the fields mean --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"event: a\nid: 1\ndata: x\n\n", ServerSentEvent("a", "x", "1")),
        (b"event: a\n: note\ndata: x\n\n", ServerSentEvent("a", "x")),
        (b"event: a\ndata: x\ndata: y\n\n", ServerSentEvent("a", "x\ny")),
        (b"event: a\ndata: x\nevent: b\n\n", ServerSentEvent("b", "x")),
        (b"event: a\ndata: x\nretry: 5\n\n", ServerSentEvent("a", "x", "", 5)),
        (b"event:  a\ndata:  x\n\n", ServerSentEvent(" a", " x")),
        (b"event: \ndata: \n\n", ServerSentEvent("message", "")),
        (b"data: x\n\n", ServerSentEvent("message", "x")),
        (b"\n\n\nevent: a\ndata: x\n\n\n", ServerSentEvent("a", "x")),
        (b"event: q\n\nevent: a\ndata: x\n\n", ServerSentEvent("a", "x")),
        (b": ping\n\nevent: a\ndata: x\n\n", ServerSentEvent("a", "x")),
        (b"\xef\xbb\xbfevent: a\ndata: x\n\n", ServerSentEvent("a", "x")),
        (b"event: a\r\ndata: x\r\n\r\n", ServerSentEvent("a", "x")),
        (b"event: a\rdata: x\r\r", ServerSentEvent("a", "x")),
        ("event: a\ndata: 1\u20282\x853\x0b4\x0c5\n\n".encode(), ServerSentEvent("a", "1\u20282\x853\x0b4\x0c5")),
        (b"data: \xc0\xaf|\xe2\x82\n\n", ServerSentEvent("message", "\ufffd\ufffd|\ufffd")),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_one_event(body: bytes, expected: ServerSentEvent, size: int) -> None:
    assert decode(*cut(body, size)) == [expected]


def test_the_last_event_id_survives_and_can_be_given() -> None:
    decoder = SSEDecoder(last_event_id="41")
    assert [event.id for event in decoder.feed(b"data: a\n\nid: 42\n\ndata: b\n\nid\ndata: c\n\n")] == ["41", "42", ""]
    assert decoder.feed(b"id: 43\n") == []
    assert decoder.last_event_id == "", "an id counts with its block's blank line"


def test_a_retry_counts_as_soon_as_its_line_has_ended() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"retry: 7")
    assert decoder.retry is None
    decoder.feed(b"7\n")
    assert decoder.retry == 77
    decoder.feed(b"retry: 78\ndata: x\n\n")
    decoder.feed(b"data: y\n\n")
    assert decoder.retry == 78


def test_an_absurdly_long_retry_is_ignored() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"retry: " + b"9" * 5000 + b"\ndata: x\n\n") == [ServerSentEvent(data="x")]
    assert decoder.retry is None


# -- the ending ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "pending"),
    [
        (b"", None),
        (FRAME, None),
        (FRAME + b"\n", None),
        (FRAME + b"event: done", None),
        (FRAME + b"event: done\nda", None),
        (FRAME + b"event: done\ndata: [DONE]", (b"done", b"[DONE]")),
        (FRAME + b"event: done\r\ndata: [DONE]\r", (b"done", b"[DONE]")),
        (b"event: error\ndata: {\ndata: }\n", (b"error", b"{\n}")),
        (b"data: [DONE]", (b"", b"[DONE]")),
        (b": ping", None),
        (b"\xef\xbb", None),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_pending_is_the_block_without_its_blank_line(
    body: bytes, pending: tuple[bytes, bytes] | None, size: int
) -> None:
    decoder = SSEDecoder()
    feed_all(decoder, cut(body, size))
    assert decoder.pending == pending


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        (b"", b""),
        (FRAME, b""),
        (b"<html>\n\n" + FRAME, b""),
        (FRAME + b"<html>\n\n<h1>502</h1>\n\n", b"<html>\n<h1>502</h1>"),
        (FRAME + b": ping\nid: 7\nretry: 9\n\n", b""),
        (FRAME + b": ping\nevent: x\n\n: pong\n\nevent: y", b"event: x\nevent: y"),
        (FRAME + b"\n\n{\r\n\r\n}", b"{\n}"),
        (FRAME + b"data: half", b"data: half"),
        (FRAME + (b"x" * 300 + b"\n\n") * 3, b"x" * 300 + b"\n" + b"x" * 211),
        (FRAME + b"y" * 2000, b"y" * 512),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_unread_is_what_became_no_event_without_comments(body: bytes, unread: bytes, size: int) -> None:
    decoder = SSEDecoder()
    feed_all(decoder, cut(body, size))
    assert decoder.unread == unread


# -- the limit -------------------------------------------------------------------------------------------------

endless = {
    "line": b"data: " + b"x" * 300,
    "block": b"data: x\n" * 40,
    "comment": b":" + b" " * 300,
    "comments": b":\n" * 150,
    "name": b"n" * 300,
    "CR line ends": b"data: x\r\n" * 40,
    "half a BOM": b"\xef\xbb" + b"x" * 300,
}


@pytest.mark.parametrize("size", [1, 7, 64, 100, 101, 1000])
@pytest.mark.parametrize("body", endless.values(), ids=endless.keys())
def test_what_never_ends_is_refused(body: bytes, size: int) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    with pytest.raises(EventTooLargeError, match="100 bytes") as error:
        feed_all(decoder, cut(body, size))
    assert error.value.limit == 100
    assert decoder.pending is None
    with pytest.raises(EventTooLargeError):
        decoder.feed(FRAME)


@pytest.mark.parametrize("size", [1, 7, 20, 21, 22, 1000])
@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_the_limit_is_exact_and_counts_each_line_end_once(size: int, newline: bytes) -> None:
    body = b"event: a\ndata: 78901\n\n".replace(b"\n", newline)  # two lines of 8 and 11 bytes, two ends
    fits = SSEDecoder(max_event_bytes=21)
    assert feed_all(fits, cut(body * 3, size)) == [ServerSentEvent("a", "78901")] * 3
    narrow = SSEDecoder(max_event_bytes=20)
    with pytest.raises(EventTooLargeError):
        feed_all(narrow, cut(body, size))


def test_a_chunk_larger_than_the_limit_may_hold_many_events() -> None:
    decoder = SSEDecoder(max_event_bytes=60)
    assert len(decoder.feed(FRAME * 100)) == 100


def test_feed_gives_the_events_before_the_large_one_then_raises() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    assert decoder.feed(FRAME + b"data: " + b"x" * 200) == [ServerSentEvent("thread.message.delta", '{"id":"msg_1"}')]
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"")


def test_push_emits_the_events_before_the_large_one_then_raises() -> None:
    emitted: list[bytes] = []
    with pytest.raises(EventTooLargeError):
        SSEDecoder(max_event_bytes=100).push(FRAME + b"x" * 200, lambda frame: emitted.append(frame[0]))
    assert emitted == [b"thread.message.delta"]


@settings(deadline=None)
@given(chunked_bodies(), st.integers(1, 40))
def test_the_limit_does_not_depend_on_the_chunking(chunks: list[bytes], limit: int) -> None:
    def outcome(chunks: list[bytes]) -> tuple[list[ServerSentEvent], bool]:
        decoder, events = SSEDecoder(max_event_bytes=limit), []
        try:
            for chunk in [*chunks, b""]:
                events += decoder.feed(chunk)
        except EventTooLargeError:
            return events, True
        return events, False

    body = b"".join(chunks)
    assert outcome(chunks) == outcome([body]) == outcome(cut(body, 1))


def test_a_limit_below_one_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="max_event_bytes"):
        SSEDecoder(max_event_bytes=0)


# -- cost ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(30)  # seconds; anything quadratic takes minutes
@pytest.mark.parametrize(("size", "length"), [(64, 10 * 2**20), (1, 2**19)])
@pytest.mark.parametrize("shape", [b"data: %b\n\n", b"%b\ndata: x\n\n", b": %b\n\ndata: x\n\n"])
def test_a_large_event_in_small_chunks_costs_its_length(shape: bytes, size: int, length: int) -> None:
    body = shape % (b"y" * length)
    assert decode(*cut(body, size)) == slowly(body)[0]


@pytest.mark.timeout(30)
def test_many_small_lines_in_small_chunks_cost_their_length() -> None:
    (event,) = decode(*cut(b"data: x\n" * 100_000 + b"\n", 3))
    assert event.data == "\n".join("x" * 100_000)

"""What counts as an event stream: a table of content types and first bytes, and compressed bodies."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import httpx
import pytest
from cases import in_one_test

from rx_assistant.errors import APIConnectionError, NotAnEventStreamError
from rx_assistant.http.content import EventStreamContent

SSE = "text/event-stream; charset=utf-8"
EVENT = b"event: done\ndata: [DONE]\n\n"


def content(kind: str | None, encoding: str | None = None) -> EventStreamContent:
    headers = {"content-type": kind, "content-encoding": encoding, "x-request-id": "req_1"}
    return EventStreamContent(httpx.Response(200, headers={name: value for name, value in headers.items() if value}))


ACCEPTED = {
    "as it should be": (SSE, EVENT),
    "in capitals": ("Text/Event-Stream", EVENT),
    "text/plain": ("text/plain", EVENT),
    "no type": (None, EVENT),
    "octets": ("application/octet-stream", b"data: x\r\n\r\n"),
    "json type": ("application/json", b"data: {}\n\n"),
    "comment first": ("text/plain", b": ping\n\n" + EVENT),
    "id first": (None, b"id: 7\n\n" + EVENT),
    "retry first": (None, b"retry: 7\n\n" + EVENT),
    "byte order mark": (None, b"\xef\xbb\xbf" + EVENT),
    "blank lines first": (None, b"\n\r\n\n" + EVENT),
    "an unknown field, typed": (SSE, b"whatever\n\n" + EVENT),
    "empty, typed": (SSE, b""),
}

REFUSED = {
    "html": ("text/html", b"<!doctype html><p>Sign in</p>"),
    "html, typed as events": (SSE, b"\n <html>"),
    "json": ("application/json", b'{"object": "thread.run"}'),
    "json, typed as events": (SSE, b'{"error": {}}'),
    "json array": (None, b"[]"),
    "text": ("text/plain", b"Service unavailable\n"),
    "text with a colon": ("text/plain", b"Error: no\n"),
    "a long line": (None, b"x" * 100),
    "empty": ("text/html", b""),
    "undecided at the end": (None, b"dat"),
}


@in_one_test("size", [1, 3, 1000])
@in_one_test(("kind", "body"), ACCEPTED.values(), ids=ACCEPTED)
def test_event_streams_pass_unchanged_however_they_are_split(kind: str | None, body: bytes, size: int) -> None:
    stream = content(kind)
    passed = b"".join(stream.feed(body[start : start + size]) for start in range(0, len(body), size))
    stream.end()
    assert passed == body


@in_one_test("size", [1, 3, 1000])
@in_one_test(("kind", "body"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_with_its_first_bytes(kind: str | None, body: bytes, size: int) -> None:
    stream = content(kind)

    def feed_all() -> None:
        for start in range(0, len(body), size):
            assert not stream.feed(body[start : start + size]).strip(), "only blank lines are passed on"
        stream.end()

    with pytest.raises(NotAnEventStreamError) as caught:
        feed_all()
    error = caught.value
    assert (error.content_type, error.request_id) == (kind, "req_1")
    assert body.lstrip().startswith(error.head.lstrip())
    assert len(error.head) >= min(len(body), 1)


def test_the_first_event_of_a_well_typed_stream_is_not_held_back() -> None:
    assert content(SSE).feed(b"e") == b"e"


def test_an_untyped_stream_is_held_back_for_its_first_field_name_only() -> None:
    stream = content(None)
    assert [stream.feed(b"data"), stream.feed(b":"), stream.feed(b" x")] == [b"", b"data:", b" x"]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZip", gzip.compress)]
)
def test_compressed_streams_are_understood_byte_by_byte(encoding: str, pack: object) -> None:
    stream = content(SSE, encoding)
    packed = pack(EVENT)  # type: ignore[operator]
    assert b"".join(stream.feed(packed[at : at + 1]) for at in range(len(packed))) == EVENT


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def members(data: bytes) -> bytes:
    """A gzip member for each half, and padding between them."""
    return gzip.compress(data[:9]) + b"\0\0" + gzip.compress(data[9:])


@in_one_test(
    ("encoding", "pack"),
    [
        ("none", bytes),
        ("None", bytes),
        ("identity, none", bytes),
        ("IDENTITY", bytes),
        ("utf-8", bytes),
        ("", bytes),
        (",", bytes),
        ("gzip, none", gzip.compress),
        ("DEFLATE", zlib.compress),
        ("deflate", raw_deflate),
        ("gzip", members),
        ("x-gzip", members),
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
)
@in_one_test("size", [1, 5, 1000])
def test_every_spelling_of_no_compression_and_every_kind_of_zlib_is_read(encoding: str, pack: Any, size: int) -> None:
    stream = content(SSE, encoding)
    packed = pack(EVENT)
    assert b"".join(stream.feed(packed[at : at + size]) for at in range(0, len(packed), size)) == EVENT


def test_an_uncompressed_stream_passes_untouched_under_every_name_for_it() -> None:
    stream = content(SSE, "none")
    stream.feed(EVENT)
    assert stream.passes


def test_what_is_flushed_inside_a_compressed_stream_comes_out_at_once() -> None:
    packer, stream = zlib.compressobj(wbits=31), content(SSE, "gzip")
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    assert stream.feed(first) == b"data: 1\n\n"


def test_damaged_and_unknown_compression_is_ours_to_tell() -> None:
    with pytest.raises(APIConnectionError, match="damaged"):
        content(SSE, "gzip").feed(b"no gzip at all")
    with pytest.raises(APIConnectionError, match="'br'"):
        content(SSE, "br")


@pytest.mark.parametrize("kind", [SSE, "text/plain", None])
def test_blank_lines_before_the_first_event_are_passed_on_and_not_held(kind: str | None) -> None:
    stream = content(kind)
    blank = b"\n" * 1000
    for _ in range(20_000):  # holding them would cost minutes
        assert stream.feed(blank) == blank
    assert stream.feed(EVENT) == EVENT
    stream.end()


@pytest.mark.parametrize("kind", [SSE, "text/plain"])
def test_html_behind_blank_lines_is_still_refused(kind: str) -> None:
    stream = content(kind)
    assert stream.feed(b"\r\n\r\n") == b"\r\n\r\n"
    with pytest.raises(NotAnEventStreamError, match="<html>"):
        stream.feed(b"<html>")

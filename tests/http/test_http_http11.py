"""HTTP/1.1 as bytes: the chunked coding beside h11's reading of it, and what the end of a response leaves behind."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given, strategies as st

from rx_assistant.http.chunked import ChunkedError, Chunks
from rx_assistant.http.http11 import Exchange

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

contents = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
sizes = st.sampled_from([b"%X", b"%x", b"%08x", b"%020X"])
extensions = st.sampled_from([b"", b";a=b", b';name="x y"', b"  "])
trailers = st.sampled_from([b"", b"x-a: b\r\n", b"x-a: b\r\nx-c: d\r\n"])
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=12)


def coded(pieces: list[bytes], extension: bytes = b"", trailer: bytes = b"", size: bytes = b"%X") -> bytes:
    chunks = b"".join((size + b"%b\r\n%b\r\n") % (len(piece), extension, piece) for piece in pieces)
    return chunks + b"0" + extension + b"\r\n" + trailer + b"\r\n"


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place for place in at if place < len(data))})
    return [data[start:end] for start, end in pairwise(places)]


def by_h11(data: bytes) -> bytes:
    """What h11 reads out of a body; its error for what is none."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(HEAD + data)
    content = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            raise EOFError
        content += bytes(event.data) if isinstance(event, h11.Data) else b""
    return content


def asked(method: str = "GET", **headers: str) -> Exchange:
    exchange = Exchange(method)
    exchange.request(b"/", [(b"host", b"x"), *((k.encode(), v.encode()) for k, v in headers.items())])
    exchange.end()
    return exchange


class TestChunks:
    @given(contents, sizes, extensions, trailers, cuts, st.binary(max_size=5))
    def test_however_it_is_cut_the_content_is_what_h11_reads(
        self, pieces: list[bytes], size: bytes, extension: bytes, trailer: bytes, at: list[int], behind: bytes
    ) -> None:
        data = coded(pieces, extension, trailer, size)
        chunks = Chunks()
        parts = cut(data + behind, at)
        received = [chunks.feed(part) for part in parts]
        assert b"".join(received) == b"".join(pieces) == by_h11(data)
        assert chunks.is_over
        assert chunks.rest == behind

    @given(contents, cuts)
    def test_content_is_passed_on_as_soon_as_it_is_in(self, pieces: list[bytes], at: list[int]) -> None:
        chunks = Chunks()
        data = coded(pieces)
        seen = b""
        fed = 0
        for part in cut(data, at):
            seen += chunks.feed(part)
            fed += len(part)
            whole, position = b"", 0
            for piece in pieces:
                position += len(b"%X\r\n" % len(piece))
                whole += piece[: max(fed - position, 0)]
                position += len(piece) + 2
            assert seen == whole
        assert chunks.is_over

    def test_what_has_arrived_together_is_passed_on_together(self) -> None:
        assert Chunks().feed(b"1\r\na\r\n2\r\nbc\r\n3\r\nd") == b"abcd"

    @pytest.mark.parametrize(
        "data",
        [
            b"g\r\n",
            b"\r\n",
            b"-1\r\nx\r\n",
            b"+1\r\nx\r\n",
            b"0x1\r\nx\r\n",
            b"1_0\r\n",
            b" 1\r\nx\r\n",
            b"1\nx\n\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"1234567890abcdef1234567890abcdef\r\n",
            b"1;" + b"x" * 20_000,
            b"0\r\nno trailer\r\n\r\n",
            b"0\r\n x: folded\r\n\r\n",
            b"0\r\nx: y\r\nHTTP/1.1 200 OK\r\n",
            b"0\r\n" + b"x: y\r\n" * 5_000,
        ],
    )
    @pytest.mark.parametrize("size", [1, 1_000_000], ids=["byte by byte", "at once"])
    def test_anything_else_is_an_error(self, data: bytes, size: int) -> None:
        chunks = Chunks()
        with pytest.raises(ChunkedError):
            for start in range(0, len(data), size):
                chunks.feed(data[start : start + size])


class TestExchange:
    @pytest.mark.parametrize(
        ("response", "content", "leaves"),
        [
            (HEAD + b"1\r\nx\r\n0\r\n\r\n", b"x", True),
            (HEAD + b"1\r\nx\r\n0\r\n\r\nHTTP", b"x", False),
            (b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"", False),
            (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x", False),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxy", b"xy", True),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxyz", b"xy", False),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x", True),
        ],
    )
    @pytest.mark.parametrize("size", [1, 1_000], ids=["byte by byte", "at once"])
    def test_a_whole_response_leaves_the_connection_if_nobody_closes_it(
        self, response: bytes, content: bytes, leaves: bool, size: int
    ) -> None:
        exchange = asked()
        received = b""
        for start in range(0, len(response), size):
            part = response[start : start + size]
            if exchange.head is None:
                exchange.receive_head(part)
                received += exchange.early
            else:
                received += exchange.receive(part)
        assert received == content
        assert exchange.is_over
        assert exchange.leaves_connection == leaves

    def test_a_body_without_a_length_ends_with_the_connection(self) -> None:
        exchange = asked()
        exchange.receive_head(b"HTTP/1.1 200 OK\r\n\r\nab")
        assert exchange.early == b"ab"
        assert not exchange.is_over
        assert exchange.receive_end() == b""
        assert exchange.is_over
        assert not exchange.leaves_connection

    @pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"])
    def test_a_body_with_a_length_does_not(self, head: bytes) -> None:
        exchange = asked()
        exchange.receive_head(head)
        with pytest.raises(h11.RemoteProtocolError):
            exchange.receive_end()

    def test_a_head_has_no_body_whatever_it_announces(self) -> None:
        exchange = asked("HEAD")
        exchange.receive_head(HEAD)
        assert exchange.is_over
        assert exchange.leaves_connection

    @pytest.mark.parametrize("data", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
    def test_no_response_is_an_error(self, data: bytes) -> None:
        with pytest.raises(h11.RemoteProtocolError):
            asked().receive_head(data)

    def test_a_request_that_was_not_sent_whole_leaves_no_connection(self) -> None:
        exchange = Exchange("POST")
        exchange.request(b"/", [(b"host", b"x"), (b"content-length", b"5")])
        exchange.receive_head(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        assert exchange.is_over
        assert not exchange.leaves_connection

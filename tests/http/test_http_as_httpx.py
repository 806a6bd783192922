"""What servers send, over our transports and over httpx's own: the same comes of it, but for what is written here.

Each row is the bytes that answer the first request of a connection. They are read over both, in all three colours;
then another request is made, which has to be answered on ours whatever was sent before.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator

import anyio
import httpx
import pytest
from loopback import GUARD, Loopback, Received, Wire

from rx_assistant.http.connections import Lines
from rx_assistant.http.sync_connections import SyncLines

# what httpx leaves to the collector when it cannot decode; trio tells
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")

CODED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TEXT = b"hello " * 40


def reply(*headers: bytes, content: bytes = b"", first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([first, *headers, b"", content])


def chunks(*contents: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in (*contents, b""))


OK = reply(b"content-length: 2", content=b"ok")
STANDING = {
    "a plain one": OK,
    "informational ones before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
    "204": reply(first=b"HTTP/1.1 204 No Content"),
    "204 with a length": reply(b"content-length: 5", first=b"HTTP/1.1 204 No Content"),
    "304 with a length": reply(b"content-length: 5", first=b"HTTP/1.1 304 Not Modified"),
    "304 that says it is coded": reply(b"transfer-encoding: chunked", first=b"HTTP/1.1 304 Not Modified"),
    "more than its length": reply(b"content-length: 2", content=b"okay"),
    "another response behind": OK + reply(b"content-length: 4", content=b"evil"),
    "another response behind the last chunk": CODED + chunks(b"ok") + reply(b"content-length: 4", content=b"evil"),
    "the same length twice": reply(b"content-length: 2", b"content-length: 2", content=b"ok"),
    "the same length in one line": reply(b"content-length: 2, 2", content=b"ok"),
    "close, and yet it stays": reply(b"content-length: 2", b"connection: close", content=b"ok"),
    "Close among others": reply(b"content-length: 2", b"Connection: x, Close", content=b"ok"),
    "1.0 with a length": reply(b"content-length: 2", content=b"ok", first=b"HTTP/1.0 200 OK"),
    "1.0 kept alive": reply(b"content-length: 2", b"connection: keep-alive", content=b"ok", first=b"HTTP/1.0 200 OK"),
    "CHUNKED": reply(b"Transfer-Encoding: CHUNKED", content=chunks(b"ok")),
    "coded, and a length": reply(b"content-length: 3", b"transfer-encoding: chunked", content=chunks(b"ok")),
    "gzip": reply(b"content-encoding: gzip", b"transfer-encoding: chunked", content=chunks(gzip.compress(TEXT))),
    "deflate": reply(b"content-encoding: deflate", b"transfer-encoding: chunked", content=chunks(zlib.compress(TEXT))),
    "an unknown coding": reply(b"content-encoding: x", b"content-length: 2", content=b"zz"),
    "extensions and trailers": CODED + b'2;a="b;c"\r\nok\r\n0;z\r\nx-t: 1\r\n\r\n',
    "spaces behind a size": CODED + b"2  \r\nok\r\n0\r\n\r\n",
    "a size with zeros": CODED + b"00000000000000000002\r\nok\r\n000\r\n\r\n",
    "an extension that is no ASCII": CODED + b"2;a\xffb\r\nok\r\n0\r\n\r\n",
    "trailers that are none": CODED + b"2\r\nok\r\n0\r\nno colon\r\n\r\n",
    "a head of bare LF": OK.replace(b"\r\n", b"\n"),
    "a folded header": reply(b"content-length: 2", b"x: a", b" b", content=b"ok"),
    "no reason": reply(b"content-length: 2", content=b"ok", first=b"HTTP/1.1 200"),
    "latin-1": reply(b"content-length: 2", b"x: \xe9", content=b"ok", first=b"HTTP/1.1 200 \xe9"),
    "an empty line before": b"\r\n" + OK,
    "a status that nobody knows": reply(b"content-length: 2", content=b"ok", first=b"HTTP/1.1 999 X"),
    "a later version": reply(b"content-length: 2", content=b"ok", first=b"HTTP/2.0 200 OK"),
    "many headers": reply(*(b"x-%d: y" % number for number in range(2000)), b"content-length: 2", content=b"ok"),
}
CLOSED = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncont",
    "only an informational one": b"HTTP/1.1 102 Processing\r\n\r\n",
    "something else": b"SSH-2.0-x\r\n\r\n",
    "a page": b"<html></html>",
    "a status of two digits": reply(first=b"HTTP/1.1 99 X"),
    "less than its length": reply(b"content-length: 10", content=b"abc"),
    "a negative length": reply(b"content-length: -1", content=b"abc"),
    "a length with a sign": reply(b"content-length: +1", content=b"a"),
    "two lengths": reply(b"content-length: 1", b"content-length: 2", content=b"ab"),
    "a length and close": reply(b"content-length: 2", b"connection: close", content=b"ok"),
    "1.0 until the end": reply(content=TEXT, first=b"HTTP/1.0 200 OK"),
    "1.1 until the end": reply(content=TEXT),
    "nothing until the end": reply(),
    "1.0, coded": reply(b"transfer-encoding: chunked", content=chunks(b"ok"), first=b"HTTP/1.0 200 OK"),
    "gzip and chunked": reply(b"transfer-encoding: gzip, chunked", content=chunks(b"ok")),
    "two codings": reply(b"transfer-encoding: gzip", b"transfer-encoding: chunked", content=chunks(b"ok")),
    "identity": reply(b"transfer-encoding: identity", content=b"ok"),
    "gzip that is none": reply(b"content-encoding: gzip", content=TEXT),
    "chunks of bare LF": CODED + b"2\nok\n0\n\n",
    "0x2": CODED + b"0x2\r\nok\r\n0\r\n\r\n",
    "+2": CODED + b"+2\r\nok\r\n0\r\n\r\n",
    "a space before a size": CODED + b" 2\r\nok\r\n0\r\n\r\n",
    "a negative size": CODED + b"-2\r\nok\r\n0\r\n\r\n",
    "no size": CODED + b"\r\nok\r\n0\r\n\r\n",
    "a huge size": CODED + b"FFFFFFFFFFFFFFFFFFFF\r\nok",
    "a larger one": CODED + b"1FFFFFFFFFFFFFFFFFFFF\r\nok",
    "a chunk that goes on": CODED + b"2\r\nokay\r\n0\r\n\r\n",
    "a chunk that was cut": CODED + b"5\r\nok",
    "the end of a chunk that was cut": CODED + b"2\r\nok\r",
    "no last chunk": CODED + b"2\r\nok\r\n",
    "no end of the trailers": CODED + b"2\r\nok\r\n0\r\n",
}
STRICTER = {  # httpx passes these on as "ok"; a line has one end, and no other control characters, or two may disagree
    "trailers that end with LF": CODED + b"2\r\nok\r\n0\r\n\n",
    "a trailer that ends with LF": CODED + b"2\r\nok\r\n0\r\nx: y\n\r\n",
    "CR in an extension": CODED + b"2;a\rb\r\nok\r\n0\r\n\r\n",
    "NUL in an extension": CODED + b"2;a\0b\r\nok\r\n0\r\n\r\n",
}
COLOURS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "sync": (SyncLines, httpx.HTTPTransport),
    "asyncio": (Lines, httpx.AsyncHTTPTransport),
    "trio": (Lines, httpx.AsyncHTTPTransport),
}
colours = pytest.mark.parametrize("colour", COLOURS)


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    async def answer(request: Received, wire: Wire) -> None:
        if request.path == "/second":
            await wire.reply(200, b"second")
            return
        kind, _, row = bytes.fromhex(request.path[1:]).decode().partition("/")
        await wire.send({"standing": STANDING, "closed": CLOSED, "stricter": STRICTER}[kind][row])
        wire.keep = kind == "standing"

    with Loopback(answer) as server:
        yield server


Outcome = tuple[object, ...]


def outcome(reply: httpx.Response | Exception) -> Outcome:
    """All that a caller may look at."""
    if isinstance(reply, Exception):
        return (type(reply).__name__,)
    said = (reply.status_code, reply.reason_phrase, reply.http_version, reply.headers.raw)
    return (*said, reply.content, reply.num_bytes_downloaded)


def exchanged(colour: str, transport: object, method: str, urls: list[str]) -> list[Outcome]:
    """What comes of requests, one after the other over one transport."""

    async def replies() -> list[Outcome]:
        async with httpx.AsyncClient(transport=transport, timeout=GUARD) as http:  # type: ignore[arg-type]
            return [outcome(await _asynchronously(http, method, url)) for url in urls]

    if colour != "sync":
        return anyio.run(replies, backend=colour)
    with httpx.Client(transport=transport, timeout=GUARD) as http:  # type: ignore[arg-type]
        return [outcome(_synchronously(http, method, url)) for url in urls]


def _synchronously(http: httpx.Client, method: str, url: str) -> httpx.Response | Exception:
    try:
        return http.request(method, url)
    except httpx.HTTPError as error:
        return error


async def _asynchronously(http: httpx.AsyncClient, method: str, url: str) -> httpx.Response | Exception:
    try:
        return await http.request(method, url)
    except httpx.HTTPError as error:
        return error


def address(server: Loopback, path: str) -> str:
    return f"http://127.0.0.1:{server.port}/{path}"


def row(kind: str, name: str) -> str:
    return f"{kind}/{name}".encode().hex()


@colours
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("kind", "name"), [*(("standing", name) for name in STANDING), *(("closed", name) for name in CLOSED)]
)
def test_the_same_comes_of_it(server: Loopback, colour: str, method: str, kind: str, name: str) -> None:
    ours, theirs = COLOURS[colour]
    first = address(server, row(kind, name))
    of_ours, second = exchanged(colour, ours(), method, [first, address(server, "second")])
    assert [of_ours] == exchanged(colour, theirs(), method, [first])
    assert second[0] == 200
    assert second[4] == b"second"


@colours
@pytest.mark.parametrize("name", STANDING)
def test_what_follows_a_head_without_a_body_is_nobodys(server: Loopback, colour: str, name: str) -> None:
    ours, theirs = COLOURS[colour]
    first = address(server, row("standing", name))
    of_ours, second = exchanged(colour, ours(), "HEAD", [first, address(server, "second")])
    assert [of_ours] == exchanged(colour, theirs(), "HEAD", [first])
    assert second[0] == 200


@colours
@pytest.mark.parametrize("name", STRICTER)
def test_what_could_be_read_in_two_ways_is_an_error(server: Loopback, colour: str, name: str) -> None:
    ours, theirs = COLOURS[colour]
    first = [address(server, row("stricter", name))]
    assert exchanged(colour, ours(), "GET", first) == [("RemoteProtocolError",)]
    assert exchanged(colour, theirs(), "GET", first)[0][4] == b"ok"

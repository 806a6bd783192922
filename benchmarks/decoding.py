"""Bytes → events: the decoder alone, with the payloads read, and through the hot stream to the text."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

import rx_assistant
from benchmarks import _peers
from benchmarks._layouts import LAYOUTS, recorded_events, written
from benchmarks._measure import Row, at_most, microseconds, race, seconds, times_faster
from benchmarks._streams import chunks, text_events
from rx_assistant import SSEDecoder, operators as ax
from rx_assistant.events import classify

N = 10_000


class _Text(BaseModel):
    value: str | None = None
    annotations: list[dict[str, object]] | None = None


class _Part(BaseModel):
    index: int
    type: str
    text: _Text | None = None


class _Delta(BaseModel):
    role: str | None = None
    content: list[_Part] | None = None


class ReferenceModel(BaseModel):
    """What a text delta is at the least: the floor validates every payload of the stream as one of these."""

    id: str
    object: str
    delta: _Delta | None = None


def floor(pieces: list[bytes]) -> None:
    """Split lines and validate one fixed model: less work than any client can do."""
    rest = b""
    validate = ReferenceModel.__pydantic_validator__.validate_json
    for piece in pieces:
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if line.startswith(b"data: {"):
                validate(line[6:])


def read_all(pieces: list[bytes]) -> None:
    """Iterate over a stream and read the payload of each event."""
    for event in rx_assistant.replay(pieces):
        event.data  # noqa: B018


def decode_only(pieces: list[bytes]) -> None:
    """Bytes → typed events, none of them looked into."""
    events = []
    decoder = SSEDecoder()

    def emit(frame: tuple[bytes, bytes]) -> None:
        kind, payload = classify(*frame)
        events.append(kind(payload))

    for piece in pieces:
        decoder.push(piece, emit)


def subscribe_text(pieces: list[bytes]) -> None:
    """A subscriber to the text, through the hot stream."""
    texts: list[str] = []
    stream = rx_assistant.replay(pieces)
    stream.pipe(ax.text_deltas()).subscribe(texts.append)
    stream.until_done()
    assert len(texts) == N


def loop_text(pieces: list[bytes]) -> None:
    """The same in a `for` loop."""
    assert sum(1 for _ in rx_assistant.replay(pieces).text_deltas) == N


def rows() -> list[Row]:
    """The rows of this table."""
    pieces = chunks(text_events(N))
    client = _peers.sdk(pieces)
    ours, plain, low = race(
        lambda: read_all(pieces), lambda: _peers.sdk_events(client), lambda: floor(pieces), rounds=9
    )
    found = [
        times_faster("bytes → events, .data read for each", ours, plain, N, name="openai", at_least=15),
        at_most(
            "… beside splitting lines + validate_json",
            ours / N * 1e6,
            low / N * 1e6,
            unit="µs",
            name="floor",
            limit=1.5,
        ),
    ]
    ours, by_hand = race(lambda: read_all(pieces), lambda: _peers.httpx_sse_models(pieces, ReferenceModel))
    work = "bytes → events, .data read for each"
    found.append(times_faster(work, ours, by_hand, N, name="httpx-sse + pydantic", at_least=1.25))
    alone, plain = race(lambda: decode_only(pieces), lambda: _peers.sdk_events(client))
    found.append(times_faster("bytes → events, nothing read", alone, plain, N, name="openai", at_least=60))
    found += layouts()
    loop, theirs = race(lambda: loop_text(pieces), lambda: _peers.sdk_text(client))
    found.append(times_faster("bytes → for text in text_deltas", loop, theirs, N, name="openai", at_least=32))
    found += parsers(pieces)
    found += line_ends()
    found += [linear(64), linear(1)]
    return found


def layouts() -> list[Row]:
    """The text of the same events in five layouts, and of events that servers wrote."""
    streams = {name: chunks(written(text_events(N), layout)) for name, layout in LAYOUTS.items()}
    recorded = chunks(recorded_events(N))
    if recorded:
        streams["as recorded from servers"] = recorded
    clients = [_peers.sdk(pieces) for pieces in streams.values()]
    ours = race(*(lambda pieces=pieces: subscribe_text(pieces) for pieces in streams.values()), rounds=9)
    theirs = race(*(lambda client=client: _peers.sdk_text(client) for client in clients), rounds=3)
    found = [
        times_faster(f"bytes → text_deltas() subscriber, {name}", mine, other, N, name="openai", at_least=45)
        for name, mine, other in zip(streams, ours, theirs, strict=True)
    ]
    ratio = max(ours[: len(LAYOUTS)]) / min(ours[: len(LAYOUTS)])
    found.append(Row("… the slowest layout beside the fastest", "", "", f"{ratio:.2f} ×", "≤ 1.2 ×", ratio <= 1.2))
    return found


def line_ends() -> list[Row]:
    """Server-sent events alone, by the line end and by the size of the chunks."""
    events = list(text_events(N))
    found = []
    for name, end in (("LF", b"\n"), ("CRLF", b"\r\n"), ("CR", b"\r")):
        ended = [event.replace(b"\n", end) for event in events]
        cuts = {"16 KiB": chunks(iter(ended)), "1460 bytes": chunks(iter(ended), 1460), "one event": ended}

        def decode(pieces: list[bytes]) -> None:
            decoder = SSEDecoder()
            for piece in pieces:
                decoder.feed(piece)

        times = race(*(lambda pieces=pieces: decode(pieces) for pieces in cuts.values()))
        for size, took in zip(cuts, times, strict=True):
            work = f"SSE alone, as text, {name}, {size} a chunk"
            found.append(Row(work, microseconds(took, N), "", "", "≤ 0.8 µs", took / N * 1e6 <= 0.8))
    return found


def parsers(pieces: list[bytes]) -> list[Row]:
    """Server-sent events alone, beside other parsers, each as its users call it."""

    def ours() -> None:
        decoder = SSEDecoder()
        for piece in pieces:
            decoder.feed(piece)

    others: dict[str, Callable[[list[bytes]], int]] = _peers.sse_parsers()
    found = []
    for name, parse in others.items():
        mine, theirs = race(ours, lambda parse=parse: parse(pieces))
        found.append(times_faster("SSE alone, as text", mine, theirs, N, name=name))
    node = node_parser(pieces)
    if node is not None:
        found.append(times_faster("SSE alone, as text", seconds(ours), node[1], N, name=node[0]))
    return found


def node_parser(pieces: list[bytes]) -> tuple[str, float] | None:
    """eventsource-parser on node, where `npm install` has been run in benchmarks/node: its name and seconds."""
    folder = Path(__file__).with_name("node")
    if shutil.which("node") is None or not (folder / "node_modules").is_dir():
        return None
    with tempfile.NamedTemporaryFile(suffix=".sse") as file:
        file.write(b"".join(pieces))
        file.flush()
        done = subprocess.run(
            ["node", str(folder / "parse.mjs"), file.name], capture_output=True, text=True, check=True, timeout=60
        )
    answer = json.loads(done.stdout)
    return f"eventsource-parser {answer['version']} (node)", float(answer["seconds"])


def linear(size: int) -> Row:
    """One big event in small chunks: ten times the size must not cost much more than ten times as much."""
    biggest = 10 * 2**20 if size == 64 else 2**20

    def decode(total: int) -> Callable[[], None]:
        body = b"data: " + b"x" * total + b"\n\n"
        pieces = [body[start : start + size] for start in range(0, len(body), size)]

        def work() -> None:
            decoder = SSEDecoder()
            count = 0
            for piece in pieces:
                count += len(decoder.feed(piece))
            assert count == 1

        return work

    small, big = race(decode(biggest // 10), decode(biggest), rounds=3)
    growth = big / small
    return Row(
        f"one event of {biggest >> 20} MB in {size}-byte chunks",
        microseconds(big, biggest // size) + " a chunk",
        f"a tenth of it {microseconds(small, biggest // 10 // size)} a chunk",
        f"{growth:.1f} × for 10 ×",
        "≤ 13 ×",
        growth <= 13,
    )

"""Frames that no server should send, through decoding and folding: nothing but typed errors, and no hang.

The suite runs a small sample; `python tests/mutated.py [COUNT] [SEED]` runs 200 000.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from generated import generate

from rx_assistant.errors import EventDecodeError
from rx_assistant.events import StreamEvent, ThreadMessageDelta, ThreadRunStepDelta, classify, frame
from rx_assistant.snapshots import Fold, RunSnapshot
from rx_assistant.sse import SSEDecoder
from rx_assistant.types._inside import inside, is_model, text_in

Frame = tuple[bytes, bytes]

ODD: list[Any] = [
    None,
    True,
    0,
    1.0,
    2.5,
    "1",
    "a\ud83d",
    "\ude00b",
    -1,
    2**70,
    1e308,
    "",
    "text",
    "0",
    [],
    {},
    [None],
    {"type": "text"},
    {"index": []},
]
RAW = [
    b"9" * 5000,
    b"-" + b"9" * 400,
    b"1e999",
    b"NaN",
    b"[" * 300 + b"]" * 300,
    b"[" * 50_000,
    b'{"a":' * 250 + b"1" + b"}" * 250,
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b"\x00",
    b"",
]


def flip_bits(raw: bytes, rng: Random) -> bytes:
    """A few bits are wrong."""
    found = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(raw: bytes, rng: Random) -> bytes:
    """A piece is missing, at the end or inside."""
    start, stop = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
    return raw[:start] if rng.random() < 0.5 else raw[:start] + raw[stop:]


def change_types(raw: bytes, rng: Random) -> bytes:
    """Some values are of another type, or gone."""
    value = json.loads(raw)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(_places(value)) or [({}, "")])
        if rng.random() < 0.2:
            del container[key]
            value = json.loads(json.dumps(value))
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode()


def replace_raw(raw: bytes, rng: Random) -> bytes:
    """One value is something that is hardly JSON."""
    value = json.loads(raw)
    container, key = rng.choice(list(_places(value)) or [({}, "")])
    container[key] = "@@"
    return json.dumps(value).encode().replace(b'"@@"', rng.choice(RAW))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everywhere in a JSON value that a value stands: container and key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        yield value, key
        yield from _places(item)


MUTATIONS: list[Callable[[bytes, Random], bytes]] = [flip_bits, cut, change_types, change_types, replace_raw]


def frames_of(rng: Random) -> list[Frame]:
    """The frames of a random stream, named or wrapped as some proxies do."""
    events = generate(rng, messy=True).events[:-1]
    if rng.random() < 0.2:
        return [(b"", b'{"data":%b,"event":"%b"}' % (event.raw, event.event.encode())) for event in events]
    return [(event.event.encode(), event.raw) for event in events]


def read_all(snapshot: RunSnapshot) -> None:
    """Reads everything that there is in a snapshot."""
    snapshot.model_dump()
    repr((snapshot, snapshot.text, list(snapshot.tool_calls)))


def survive(frames: list[Frame], seen: Counter[str]) -> None:
    """Decodes, reads and folds the frames. Raises any error that is not a typed error."""
    reader = Fold()
    for name, data in frames:
        kind, payload = classify(name, data)
        event = kind(payload)
        outcome = check(event, lambda event: event.data)
        seen[outcome] += 1
        if check(event, lambda event: event.narrow) == outcome == "read":
            agree(event)
        try:
            steps = reader.advance(event)
        except EventDecodeError:
            continue
        for version, changes, whole in steps:
            for phase, state, position in changes:
                state.view(version).model_dump()
                if phase == "delta":
                    state.delta(whole, position).model_dump()  # type: ignore[arg-type]
    read_all(reader.snapshot)


def agree(event: StreamEvent) -> None:
    """The narrow reading of a delta says what its model says."""
    if isinstance(event, ThreadMessageDelta):
        fragments = [
            (at, part, inside(part, "text", "value")) for at, part in parts_of(event, "content") if part.type == "text"
        ]
        wanted = [(index, text) for at, part, text in fragments if (index := index_at(part, at)) is not None]
        found: list[Any] = [(index, text) for index, text in event.text_fragments]
    elif isinstance(event, ThreadRunStepDelta):
        calls = parts_of(event, "step_details", "tool_calls")
        named = {"function": "arguments", "code_interpreter": "input"}
        inputs = [(at, call, inside(call, call.type, named[call.type])) for at, call in calls if call.type in named]
        wanted = [(index, text) for at, call, text in inputs if (index := index_at(call, at)) is not None]
        found = [(index, text) for index, _, text in event.input_fragments]
    else:
        return
    wanted = [(index, text) for index, text in wanted if isinstance(text, str)]
    if (found, event.narrow[0]) != (wanted, text_in(event.data, "id")):
        raise AssertionError(f"narrow {found} of {event.narrow[0]!r}, model {wanted} of {event.data.id!r}: {event!r}")


def parts_of(event: Any, *path: str) -> list[tuple[int, Any]]:
    """The pieces that the model of a delta has, with their places."""
    details = inside(event.data.delta, *path[:-1])
    if len(path) > 1 and inside(details, "type") != "tool_calls":
        return []
    pieces = inside(details, path[-1])
    return [(at, piece) for at, piece in enumerate(pieces) if is_model(piece)] if isinstance(pieces, list) else []


def index_at(piece: Any, position: int) -> int | None:
    """The index of a piece; None where it is unusable."""
    if piece.index is None:
        return position
    return piece.index if isinstance(piece.index, int) and not isinstance(piece.index, bool) else None


def check(event: StreamEvent, read: Callable[[StreamEvent], object]) -> str:
    """Whether reading works, or fails as it should."""
    try:
        read(event)
    except EventDecodeError as error:
        if error.event is not event:
            raise AssertionError("the error carries another event") from error
        return "refused"
    return "read"


def encoded(frames: list[Frame]) -> list[Frame]:
    """The frames after a way through the wire."""
    found: list[Frame] = []
    kinds = [kind(payload) for kind, payload in (classify(*each) for each in frames)]
    SSEDecoder().push(b"".join(map(frame, kinds)), found.append)
    return found


def run(count: int, seed: int) -> Counter[str]:
    """Mutates at least `count` frames; raises on the first that brings about anything but a typed error."""
    rng = Random(seed)
    seen: Counter[str] = Counter()
    while seen.total() < count:
        frames = frames_of(rng)
        mutants = []
        for name, raw in frames:
            try:
                mutant = rng.choice(MUTATIONS)(raw, rng) if rng.random() < 0.7 else raw
            except (ValueError, LookupError):  # there was nothing to change
                mutant = raw
            mutants.append((name, mutant))
        survive(mutants, seen)
        if rng.random() < 0.1:
            survive(encoded(mutants), seen)
    return seen


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # events without ids are logged, once for each stream
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    begun = time.perf_counter()
    outcome = run(asked, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{outcome.total()} frames in {time.perf_counter() - begun:.1f} s, nothing but typed errors: {dict(outcome)}")

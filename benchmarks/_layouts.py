"""The same events as different servers write them: five layouts of the JSON, and a mix of what servers really wrote."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._streams import frame, message, run, text_delta
from rx_assistant import SSEDecoder

Layout = Callable[[Any], str]

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "wire"
"""Streams of real servers, if they are there: nothing of them is copied into the project."""

_COMPACT = (",", ":")


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def _with_further_fields(event: Any) -> Any:
    """The role in each delta of a message, logprobs, and a field of the vendor's."""
    if not str(event.get("object")).endswith(".delta"):
        return event
    delta = event["delta"]
    if "content" in delta:
        delta = {"role": "assistant", **delta}
    logprobs = [{"token": "a", "logprob": -0.125}]
    return {**event, "delta": delta, "logprobs": logprobs, "x_vendor": {"trace": "4bf92f35", "cached": False}}


def _escaped(event: Any) -> str:
    """The first letter of each word as `\\u` and four digits, as servers in PHP and Python write other alphabets."""
    text = json.dumps(event, separators=_COMPACT)
    return "".join(
        rf"\u{ord(c):04x}" if before == " " and c.isalpha() else c
        for before, c in zip(" " + text[:-1], text, strict=True)
    )


LAYOUTS: dict[str, Layout] = {
    "compact": lambda event: json.dumps(event, ensure_ascii=False, separators=_COMPACT),
    "spaced": lambda event: json.dumps(event, ensure_ascii=False),
    "another order": lambda event: json.dumps(_reversed(event), ensure_ascii=False, separators=_COMPACT),
    "further fields": lambda event: json.dumps(_with_further_fields(event), ensure_ascii=False, separators=_COMPACT),
    "\\u escapes": _escaped,
}


def written(events: Iterable[bytes], layout: Layout) -> Iterator[bytes]:
    """The same frames with their payloads in another layout."""
    for event in events:
        name, _, data = event.partition(b"\ndata: ")
        if data.startswith(b"{"):
            data = layout(json.loads(data)).encode() + b"\n\n"
        yield name + b"\ndata: " + data


def recorded_events(count: int, seed: int = 1) -> Iterator[bytes]:
    """A run whose text deltas are drawn from recordings of servers, byte for byte but for the id of the message.

    Empty without recordings.
    """
    deltas = [delta for path in sorted(RECORDED.glob("[pr]e*/*.sse")) for delta in _text_deltas(path)]
    if not deltas:
        return
    chance = random.Random(seed)
    yield frame("thread.run.created", run("queued"))
    yield frame("thread.message.created", message("in_progress"))
    for _ in range(count):
        yield b"event: thread.message.delta\ndata: " + chance.choice(deltas) + b"\n\n"
    yield frame("thread.message.completed", message("completed", ""))
    yield frame("thread.run.completed", run("completed"))
    yield frame("done", "[DONE]")


def _text_deltas(path: Path) -> Iterator[bytes]:
    """The payloads that append one text."""
    own_id = text_delta("")["id"].encode()
    for event in SSEDecoder().feed(path.read_bytes()):
        if event.event == "thread.message.delta":
            value = json.loads(event.data)
            content = value["delta"].get("content") or []
            if len(content) == 1 and (content[0].get("text") or {}).get("value"):
                yield event.data.encode().replace(value["id"].encode(), own_id)

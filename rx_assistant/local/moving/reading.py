"""Files into records: JSON Lines, JSON, pages of lists, nested lists. Does not know the meaning of a record.

JSON Lines is read line by line. Other JSON is read whole: one value, or several after each other as `jq` writes them.
A value has at most `MOST_BYTES`. UTF-8, and UTF-16 with a byte order mark (which PowerShell writes).
"""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from rx_assistant.local.json_text import DECODER, JsonObject
from rx_assistant.local.moving.report import Report

MOST_BYTES = 32 * 2**20
_LINES = frozenset({".jsonl", ".ndjson"})
_DEEPEST = 8


class Record(NamedTuple):
    """One JSON object, and where it was found: `messages.jsonl:12`."""

    place: str
    value: JsonObject


def records(path: Path, report: Report, advance: Callable[[int], None]) -> Iterator[Record]:
    """The records of a file, in its order. Text that is not JSON is skipped. `advance` gets the bytes read so far."""
    with path.open("rb") as raw, _in_utf8(raw) as text:
        first = text.readline(MOST_BYTES + 1)
        by_line = path.suffix.lower() in _LINES or _is_json(first)
        text.seek(0)
        values = _lines(text, path, report) if by_line else _documents(text, path, report)
        for place, value in values:
            advance(text.tell())
            yield from _flattened(place, value, {}, report, 0)


def _in_utf8(raw: IO[bytes]) -> IO[bytes]:
    """The file itself, or a temporary copy of a file in UTF-16."""
    head = raw.read(2)
    raw.seek(0)
    if head not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return raw
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for text in codecs.iterdecode(iter(lambda: raw.read(2**20), b""), "utf-16", "replace"):
            copy.write(text.encode("utf-8", "replace"))
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(_decode(line), dict | list)
    except ValueError:
        return False


def _decode(data: bytes) -> object:
    try:
        return DECODER.decode(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _lines(text: IO[bytes], path: Path, report: Report) -> Iterator[tuple[str, object]]:
    number = 0
    while line := text.readline(MOST_BYTES + 1):
        number += 1
        place = f"{path.name}:{number}"
        if len(line) > MOST_BYTES:
            while line and not line.endswith(b"\n"):
                line = text.readline(MOST_BYTES)
            report.skip(f"the line has more than {MOST_BYTES} bytes", place)
        elif line.strip():
            try:
                yield place, _decode(line)
            except ValueError:
                report.skip("the line is not JSON", place)


def _documents(text: IO[bytes], path: Path, report: Report) -> Iterator[tuple[str, object]]:
    data = text.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        report.skip(f"the JSON has more than {MOST_BYTES} bytes: write one object a line (.jsonl)", path.name)
        return
    whole = data.decode("utf-8-sig", "replace")
    del data
    start, end = 0, len(whole)
    while True:
        while start < end and whole[start].isspace():
            start += 1
        if start == end:
            return
        try:
            value, start = DECODER.raw_decode(whole, start)
        except (ValueError, RecursionError):
            report.skip("the text is not JSON", f"{path.name}:{whole.count(chr(10), 0, start) + 1}")
            return
        yield path.name, value


def _flattened(place: str, value: object, inherited: JsonObject, report: Report, depth: int) -> Iterator[Record]:
    """The objects in lists, pages of lists, and threads with their messages; also in `{"threads": […], …}`."""
    if depth > _DEEPEST or not isinstance(value, dict | list):
        report.skip("the value is not an object", place)
    elif isinstance(value, list):
        for item in value:
            yield from _flattened(place, item, inherited, report, depth + 1)
    elif value.get("object") == "list" or _is_page(value):
        yield from _flattened(place, value.get("data"), inherited, report, depth + 1)
    elif value.get("object") is None and not {"id", "thread_id", "message_id"} & value.keys():
        for item in value.values():
            if isinstance(item, list | dict):
                yield from _flattened(place, item, inherited, report, depth + 1)
    elif value.get("object") == "thread" and "messages" in value:
        messages = value.pop("messages")
        yield Record(place, value)
        yield from _flattened(place, messages or [], {"thread_id": value.get("id")}, report, depth + 1)
    else:
        yield Record(place, {**inherited, **value} if inherited else value)


def _is_page(value: JsonObject) -> bool:
    return "object" not in value and isinstance(value.get("data"), list) and "has_more" in value

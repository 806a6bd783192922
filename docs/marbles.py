"""The marble lines of a docstring → a drawing (SVG), in the colours of the page around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

COLUMN, ROW, HEIGHT, RADIUS = 8, 40, 24, 11
SPREAD = 3  # columns for one character of a timeline, so that neighbours do not touch
BLOCK = re.compile(r"(?:^ {4}\S?.*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Mark:
    """One thing on a line: an item, the end (`|`) or an error (`X`); `column` counts the characters before it."""

    kind: str
    column: int
    text: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a diagram. A line without a name is the substream of an item above it."""

    name: str
    marks: tuple[Mark, ...]
    note: str = ""


def drawn(page: str) -> str:
    """A page of Markdown with a drawing in place of each block of marble lines."""
    return BLOCK.sub(lambda block: f"{svg(block[0])}\n", page)


def parsed(block: str) -> list[Line]:
    """The lines of an indented block."""
    return [_line(text[4:].rstrip()) for text in block.splitlines()]


def _line(text: str) -> Line:
    """`name  rest`: the rest is a timeline of dashes, or words below each other in columns."""
    name = re.match(r"\S*", text)
    assert name is not None
    timeline = re.match(r"(\S*)(\s+)(-[-\w()]*\|?)(?:\s+(.*))?$", text)
    if timeline:
        start = timeline.start(3)
        return Line(timeline[1], tuple(_on_timeline(timeline[3], start)), timeline[4] or "")
    return Line(name[0], tuple(_in_columns(text, name.end())))


def _on_timeline(text: str, start: int) -> Iterator[Mark]:
    for found in re.finditer(r"\((\w+)\)|(\w)|\|", text):
        column = start + found.start() * SPREAD
        yield Mark("end", column) if found[0] == "|" else Mark("item", column, found[1] or found[2])


def _in_columns(text: str, start: int) -> Iterator[Mark]:
    for found in re.finditer(r'("[^"]*"|\S)(?:\S| (?=\S))*', text[start:]):
        column, word = start + found.start(), found[0]
        if word == "|":
            yield Mark("end", column)
        elif word.startswith("X "):
            yield Mark("error", column, word[2:])
        else:
            yield Mark("item", column, word.removesuffix("|"))
            if word.endswith("|"):
                yield Mark("end", column + len(word) + 1)


def svg(block: str) -> str:
    """The drawing of an indented block; its text stays in the page for readers without pictures."""
    lines = parsed(block)
    length = max(max((_right(mark) for mark in line.marks), default=0) for line in lines)
    notes = max(len(line.note) for line in lines)
    width = (length + 3 + notes) * COLUMN
    told = escape(" / ".join(" ".join(text.split()) for text in block.splitlines()))
    parts = [f'<div class="marbles"><svg role="img" width="{width}" height="{len(lines) * ROW}" aria-label="{told}">']
    names = max(len(line.name) for line in lines)
    for number, line in enumerate(lines):
        parts += _drawing(line, number * ROW + ROW // 2, names, length)
    return "".join(parts) + "</svg></div>"


def _right(mark: Mark) -> int:
    return mark.column + max(len(mark.text), 1) + 1


def _drawing(line: Line, y: int, names: int, length: int) -> Iterator[str]:
    first = line.marks[0].column if line.marks else names
    left = (names + 1 if line.name else first - 1) * COLUMN
    ends = [mark for mark in line.marks if mark.kind != "item"]
    right = ((ends[0].column if ends else length) + 1) * COLUMN
    if line.name:
        yield f'<text class="name" x="0" y="{y + 4}">{escape(line.name)}</text>'
    yield f'<path class="time" d="M{left} {y}H{right}"/>'
    if not ends:
        yield f'<path class="time" d="M{right - 5} {y - 4}L{right} {y}L{right - 5} {y + 4}"/>'
    for mark in line.marks:
        yield from _marble(mark, y, "source" if line.name in ("source", "questions") else "result")
    if line.note:
        yield f'<text class="note" x="{(length + 2) * COLUMN}" y="{y + 4}">{escape(line.note)}</text>'


def _marble(mark: Mark, y: int, role: str) -> Iterator[str]:
    x = mark.column * COLUMN
    if mark.kind == "end":
        yield f'<path class="end" d="M{x + COLUMN} {y - RADIUS}V{y + RADIUS}"/>'
    elif mark.kind == "error":
        yield f'<path class="error" d="M{x} {y - 7}l14 14m0 -14l-14 14"/>'
        yield f'<text class="error" x="{x + 22}" y="{y + 4}">{escape(mark.text)}</text>'
    else:
        width = max(len(mark.text) * COLUMN + 8, HEIGHT)
        yield (
            f'<rect class="{role}" x="{x - 4}" y="{y - HEIGHT // 2}" width="{width}" height="{HEIGHT}" rx="{RADIUS}"/>'
        )
        yield f'<text class="item" x="{x - 4 + width / 2:g}" y="{y + 4}">{escape(mark.text)}</text>'

"""A real run of the command line → docs/images/terminal.svg, the moving picture of the README.

`python docs/terminal.py` types a command into a shell, keeps what the terminal shows, and draws it frame by frame. The
picture moves by CSS alone, and stands still for readers that prefer it so.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from html import escape
from itertools import groupby, pairwise
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).parent / "images" / "terminal.svg"
COMMAND = 'rx-assistant ask --tools concierge:tools "What is the weather in Prague and Tokyo?"'
COLUMNS, ROWS, SIZE, LINE = 92, 20, 14, 20
WIDTH, HEIGHT, PAD = round(COLUMNS * SIZE * 0.6) + 1, ROWS * LINE, 16
STRIDE = WIDTH + 40  # from one frame to the next, wide enough for a glyph that is wider than its column
TICK, PAUSE, HOLD, KEY = 0.08, 0.6, 5.0, 0.035
"""Seconds: the shortest frame, the longest pause, the last frame, and between two keys."""

COLOURS = {"default": "#d6deeb", "brightblack": "#7f8c98", "green": "#7fd88f", "cyan": "#6fc7ff", "red": "#ff6b6b"}
COLOURS |= {"brown": "#e6c07b", "blue": "#82aaff", "magenta": "#c792ea", "white": "#ffffff", "black": "#7f8c98"}

Row = tuple[tuple[str, str, bool], ...]
"""The pieces of one line: text, colour, whether it is bold."""

Frame = tuple[float, tuple[Row, ...]]
"""Seconds from the beginning, and what the terminal shows."""


def record(command: str, base_url: str) -> list[Frame]:
    """Type a command into a shell, and keep each change of its screen until the prompt is back."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    environment = os.environ | {
        "OPENAI_BASE_URL": base_url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PS1": "$ ",
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
    }
    shell = ["bash", "--norc", "--noprofile", "-i"]
    frames: list[Frame] = []
    with subprocess.Popen(
        shell,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=ROOT / "examples",
        start_new_session=True,
    ) as process:
        began = time.monotonic()
        keys = [*command, "\n"]
        is_typed = False
        while not (is_typed and _shown(screen)[-1].strip() == "$"):
            if select.select([ours], [], [], KEY)[0]:
                stream.feed(os.read(ours, 2**16))
                frames.append((time.monotonic() - began, tuple(_rows(screen))))
            elif keys and _shown(screen):
                os.write(ours, keys.pop(0).encode())
            is_typed = not keys and len(_shown(screen)) > 2
        process.kill()
    return frames


def _shown(screen: pyte.Screen) -> list[str]:
    """The lines that are not empty."""
    return [line for line in screen.display if line.strip()]


def _rows(screen: pyte.Screen) -> Iterator[Row]:
    for number in range(ROWS):
        line = [screen.buffer[number][column] for column in range(COLUMNS)]
        pieces = groupby(line, key=lambda char: (char.fg, char.bold))
        row = [("".join(char.data for char in chars), fg, bold) for (fg, bold), chars in pieces]
        while row and not row[-1][0].strip():
            row.pop()
        yield tuple(row)


def paced(frames: list[Frame]) -> list[Frame]:
    """The frames without those that another one follows at once, and without long pauses."""
    kept: list[Frame] = []
    clock = 0.0
    for frame, after in pairwise([*frames, (frames[-1][0] + HOLD, ())]):
        pause = min(after[0] - frame[0], PAUSE)
        if kept and kept[-1][0] > clock - TICK:
            kept[-1] = (kept[-1][0], frame[1])
        else:
            kept.append((clock, frame[1]))
        clock += pause
    return kept


def picture(frames: list[Frame]) -> str:
    """The frames beside each other, and a rule that moves each one into view at its time."""
    ids: dict[Row, str] = {}
    for _, rows in frames:
        for row in rows:
            if row:
                ids.setdefault(row, f"r{len(ids)}")
    total = frames[-1][0] + HOLD
    steps = "".join(
        f"{100 * at / total:.2f}%{{transform:translateX({-n * STRIDE}px)}}" for n, (at, _) in enumerate(frames)
    )
    last = -(len(frames) - 1) * STRIDE
    style = (
        f"text{{font:{SIZE}px ui-monospace,Menlo,Consolas,monospace;white-space:pre}}"
        f"@keyframes play{{{steps}}}#film{{animation:play {total:.2f}s step-end infinite}}"
        f"@media(prefers-reduced-motion){{#film{{animation:none;transform:translateX({last}px)}}}}"
    )
    defined = "".join(_row(name, row) for row, name in ids.items())
    drawn = "".join(
        f'<use href="#{ids[row]}" x="{n * STRIDE}" y="{y * LINE}"/>'
        for n, (_, rows) in enumerate(frames)
        for y, row in enumerate(rows)
        if row
    )
    width, height = WIDTH + 2 * PAD, HEIGHT + 2 * PAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(COMMAND)}</title><style>{style}</style><defs>{defined}</defs>"
        f'<rect width="{width}" height="{height}" rx="12" fill="#10141c"/>'
        f'<svg x="{PAD}" y="{PAD}" width="{WIDTH}" height="{HEIGHT}"><g id="film">{drawn}</g></svg></svg>\n'
    )


def _row(name: str, row: Row) -> str:
    pieces, column = [], 0
    for text, colour, bold in row:
        weight = ' font-weight="bold"' if bold else ""
        fill = COLOURS.get(colour, f"#{colour}")
        if text.strip():
            x = round(column * SIZE * 0.6, 1)
            length = round(len(text) * SIZE * 0.6, 1)
            pieces.append(f'<tspan x="{x}" fill="{fill}" textLength="{length}"{weight}>{escape(text)}</tspan>')
        column += len(text)
    return f'<text id="{name}" y="{SIZE}">{"".join(pieces)}</text>'


def main() -> None:
    sys.path.insert(0, str(ROOT / "examples"))
    from concierge import conversation

    with conversation(0.06) as whom:
        PICTURE.write_text(picture(paced(record(COMMAND, whom.base_url))), "utf-8")


if __name__ == "__main__":
    main()

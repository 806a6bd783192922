"""The imports of the code → docs/images/map.svg. Run it after moving a room: `python docs/map.py`.

A room is drawn above the rooms that it imports. A line goes to an imported room, unless a longer way of lines leads to
the same room; the title of a room lists all its imports.
"""

from __future__ import annotations

import tomllib
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).parent / "images" / "map.svg"
WIDTH, ROW, BOX, GAP = 720, 62, 34, 24
STYLE = (
    "text{font:13px ui-monospace,monospace;text-anchor:middle;fill:#1a1a1a}.room{fill:#eef2ff;stroke:#4f46e5}"
    ".ground{fill:#f0fdf4;stroke:#15803d}.import{stroke:#888;fill:none;opacity:.55}"
    "@media(prefers-color-scheme:dark){text{fill:#eee}.room{fill:#23234a}.ground{fill:#12321f}}"
)
DOORS = ("__main__", "exports", "lazy")
"""The way in: they import every room, or none."""


def rooms() -> list[str]:
    """The rooms of the layers that pyproject.toml declares, the highest first."""
    contracts = _contracts()
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    found = [room.strip("() ") for layer in layers for room in layer.split("|")]
    return [room for room in found if room not in DOORS]


def pure() -> set[str]:
    """The rooms that may import neither Rx nor I/O."""
    forbidden = [contract for contract in _contracts() if contract["type"] == "forbidden"]
    ground = [contract for contract in forbidden if {"reactivex", "httpx"} <= set(contract["forbidden_modules"])]
    return {module.rpartition(".")[2] for contract in ground for module in contract["source_modules"]}


def _contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    return list(settings["contracts"])


def imports() -> dict[str, set[str]]:
    """The rooms that each room imports when it runs."""
    graph = grimp.build_graph("rx_assistant", exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in rooms()}
    for module in graph.modules:
        room = _room(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if room in found and _room(imported) in found and _room(imported) != room:
                found[room].add(_room(imported))
    return found


def _room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def levels(found: dict[str, set[str]]) -> list[list[str]]:
    """Rows of rooms, the highest first: each is one row above the highest room that it imports."""
    level: dict[str, int] = {}
    for room in TopologicalSorter(found).static_order():
        level[room] = 1 + max((level[below] for below in found[room]), default=-1)
    return [[room for room in found if level[room] == each] for each in range(max(level.values()), -1, -1)]


def direct(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports without those that a longer way implies."""
    all_below: dict[str, set[str]] = {}
    for room in TopologicalSorter(found).static_order():
        all_below[room] = found[room].union(*(all_below[below] for below in found[room]))
    return {room: found[room].difference(*(all_below[below] for below in found[room])) for room in found}


def picture() -> str:
    """The whole drawing."""
    found, ground = imports(), pure()
    layers, lines = levels(found), direct(found)
    middle: dict[str, tuple[float, int]] = {}
    for number, row in enumerate(layers):
        widths = [_width(room) for room in row]
        x = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
        for room, width in zip(row, widths, strict=True):
            middle[room] = (x + width / 2, number * ROW + BOX)
            x += width + GAP
    height = len(layers) * ROW + GAP // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>The rooms of rx_assistant; imports point down</title><style>{STYLE}</style>",
    ]
    parts += [_line(middle[room], middle[below]) for room in middle for below in sorted(lines[room])]
    parts += [_box(room, middle[room], sorted(found[room]), room in ground) for room in middle]
    return "\n".join([*parts, "</svg>", ""])


def _width(room: str) -> int:
    return len(room) * 9 + 28


def _line(start: tuple[float, int], end: tuple[float, int]) -> str:
    """From the bottom of a room to the top of another one; a long line goes around the rooms between."""
    (x, y), (to_x, to_y) = start, end
    top, bottom = y + BOX / 2, to_y - BOX / 2
    if bottom - top <= ROW:
        return f'<path class="import" d="M{x:g} {top:g}L{to_x:g} {bottom:g}"/>'
    around = WIDTH / 2 + (1 if x + to_x >= WIDTH else -1) * (WIDTH / 2 - GAP)
    curve = f"C{around:g} {top + 30:g} {around:g} {bottom - 30:g} {to_x:g} {bottom:g}"
    return f'<path class="import" d="M{x:g} {top:g}{curve}"/>'


def _box(room: str, place: tuple[float, int], imported: list[str], is_ground: bool) -> str:
    (x, y), width = place, _width(room)
    title = f"{room} imports {', '.join(imported) or 'no other room'}"
    kind = "ground" if is_ground else "room"
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect class="{kind}" x="{x - width / 2:g}" y="{y - BOX / 2:g}" width="{width}" height="{BOX}" rx="8"/>'
        f'<text x="{x:g}" y="{y + 4}">{room}</text></g>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")

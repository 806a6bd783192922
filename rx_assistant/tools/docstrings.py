"""A docstring → what the function does, and what each parameter means. Reads the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Final

_PARAMETERS: Final = frozenset(("args", "arguments", "parameters", "params", "other parameters", "keyword args"))
_OTHERS: Final = frozenset(
    (
        *("attributes", "example", "examples", "keyword arguments", "methods", "note", "notes", "raises", "receives"),
        *("references", "return", "returns", "see also", "todo", "warning", "warnings", "warns", "yield", "yields"),
    )
)

_GOOGLE_HEADER = re.compile(r"(?P<name>[A-Za-z ]+):\s*$")
_GOOGLE_ITEM = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*(?:\)[^:]*)?\))?\s*:\s*(?P<text>.*)")
_NUMPY_ITEM = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_FIELD = re.compile(r":(?P<kind>\w+)(?:\s+(?P<rest>[^:]*?))?:(?:\s+|$)(?P<text>.*)")


@dataclass(slots=True)
class Docstring:
    """The text before the sections, and the texts of the parameters."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def parsed(text: str | None) -> Docstring:
    """Parse a docstring. Sections that do not describe parameters are left out."""
    lines = inspect.cleandoc(text or "").splitlines()
    found = Docstring()
    kept: list[str] = []
    position, at_section = 0, False
    while position < len(lines):
        line = lines[position]
        numpy = _is_underlined(lines, position)
        header = _header(line, numpy)
        if header is not None:
            at_section = True
            block, position = _block(lines, position + (2 if numpy else 1), numpy)
            if header in _PARAMETERS:
                (_numpy_items if numpy else _google_items)(block, found.parameters)
            continue
        sphinx = _SPHINX_FIELD.match(line)
        if sphinx is not None:
            at_section = True
            position = _sphinx_field(lines, position, sphinx, found.parameters)
            continue
        if not at_section:
            kept.append(line)
        position += 1
    found.description = "\n".join(kept).strip()
    return found


def _header(line: str, numpy: bool) -> str | None:
    """The lower-case name of the section that begins here."""
    match = None if line[:1].isspace() else _GOOGLE_HEADER.match(line)
    name = line.strip().lower() if numpy else match["name"].strip().lower() if match else ""
    return name if name in _PARAMETERS or name in _OTHERS else None


def _is_underlined(lines: list[str], position: int) -> bool:
    following = lines[position + 1].strip() if position + 1 < len(lines) else ""
    return len(following) >= 3 and not following.strip("-")


def _block(lines: list[str], start: int, numpy: bool) -> tuple[list[str], int]:
    """The lines of a section, and where it ends."""
    end = start
    while end < len(lines):
        line = lines[end]
        if numpy:
            over = _is_underlined(lines, end) or (bool(line.strip()) and _SPHINX_FIELD.match(line) is not None)
        else:
            over = bool(line.strip()) and not line[0].isspace()
        if over:
            break
        end += 1
    return inspect.cleandoc("\n".join(["", *lines[start:end]])).splitlines(), end


def _google_items(block: list[str], into: dict[str, str]) -> None:
    name = None
    for line in block:
        item = None if line[:1].isspace() else _GOOGLE_ITEM.match(line)
        if item is not None:
            name = item["name"]
            into[name] = item["text"].strip()
        elif name is not None and line.strip():
            into[name] = f"{into[name]} {line.strip()}".strip()


def _numpy_items(block: list[str], into: dict[str, str]) -> None:
    names: list[str] = []
    for line in block:
        item = None if line[:1].isspace() else _NUMPY_ITEM.match(line)
        if item is not None:
            names = [name.strip(" *") for name in item["names"].split(",")]
            into.update(dict.fromkeys(names, ""))
        elif line.strip():
            into.update({name: f"{into[name]} {line.strip()}".strip() for name in names})


def _sphinx_field(lines: list[str], start: int, found: re.Match[str], into: dict[str, str]) -> int:
    """Read one field; gives where it ends."""
    texts, end = [found["text"].strip()], start + 1
    while end < len(lines) and lines[end][:1].isspace() and lines[end].strip():
        texts.append(lines[end].strip())
        end += 1
    words = (found["rest"] or "").split()
    if words and found["kind"] in ("param", "parameter", "arg", "argument", "key", "keyword"):
        into[words[-1].lstrip("*")] = " ".join(texts).strip()
    return end

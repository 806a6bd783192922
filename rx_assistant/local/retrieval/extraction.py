"""The text of a file, by the extension of its name: plain text, Markdown, HTML, JSON, CSV, source code.

This module only recognises PDF and Office files; `documents.py` reads them in another process.
"""

from __future__ import annotations

import csv
import io
import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from itertools import chain, repeat
from pathlib import PurePath
from typing import Literal

_CODE = frozenset(
    re.findall(
        r"\S+",
        """.asm .bash .bat .c .cc .cfg .clj .conf .cpp .cs .css .cxx .dart .diff .dockerfile .env .erl .ex .exs .fs .go
        .gradle .graphql .groovy .h .hpp .hs .ini .ipynb .java .jl .js .jsx .kt .less .lua .m .mjs .ml .php .pl .proto
        .ps1 .py .pyi .r .rb .rs .sass .scala .scss .sh .sql .svelte .swift .tcl .tex .toml .ts .tsx .vb .vue .xml
        .yaml .yml .zig""",
    )
)
_PLAIN = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".log", ".srt", ".vtt", ""}) | _CODE
_HTML = frozenset({".html", ".htm", ".xhtml"})
_TABLES = {".csv": ",", ".tsv": "\t"}
_LINES = frozenset({".jsonl", ".ndjson"})
_KNOWN = _PLAIN | _HTML | _LINES | _TABLES.keys() | {".json"}
_MOST_BYTES = 32 * 2**20
_LONGEST_JSON = 4 * 2**20  # characters; a longer text is not indented, because parsing it holds the GIL
_LONGEST_MARKUP = 2**20
_SLICE = 64 * 2**10
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_DOCUMENTS = frozenset({".doc", ".docx", ".pdf", ".pptx", ".xlsx"})
ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
HEAD = 1024  # bytes, in which the mark of a PDF must be


class ExtractionError(Exception):
    """The file has no usable text. `code` becomes the `code` of the vector store file's `last_error`."""

    def __init__(self, code: Literal["unsupported_file", "invalid_file"], message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file, with the position of each page, slide or sheet."""

    text: str
    places: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of_pages(cls, pages: Iterable[tuple[str, str]]) -> Extracted:
        """The pages one after the other, each below a line such as `[page 3]`."""
        parts: list[str] = []
        places: list[tuple[int, str]] = []
        end = 0
        for place, text in pages:
            if place:
                places.append((end, place))
            part = f"{heading(place)}{text}\n\n"
            parts.append(part)
            end += len(part)
        return cls("".join(parts).rstrip("\n"), tuple(places))

    def place_at(self, position: int) -> str:
        """The page, slide or sheet to which the character at this position belongs; empty if the file has none."""
        index = bisect_right(self.places, position, key=lambda entry: entry[0])
        return self.places[index - 1][1] if index else ""


def heading(place: str) -> str:
    """The line above the text of a page."""
    return f"[{place}]\n" if place else ""


def check(filename: str, size: int) -> None:
    """Raise ExtractionError if the kind of the name is unknown or the file is too large to be read."""
    if not is_searchable(filename):
        raise ExtractionError("unsupported_file", f"Files of the type {ending_of(filename)!r} are not supported.")
    if size > _MOST_BYTES:
        raise ExtractionError("invalid_file", f"The file is larger than {_MOST_BYTES} bytes.")


def extract(filename: str, content: bytes) -> str:
    """The text of a file other than PDF and Office files; never empty.

    ExtractionError if the file has no text, is too large or is of an unknown kind.
    """
    ending = ending_of(filename)
    check(filename, len(content))
    text = _decoded(content)
    if ending in _HTML:
        text = _from_html(text)
    elif ending in _TABLES:
        text = _from_table(text, _TABLES[ending])
    elif ending == ".json":
        text = _from_json(text)
    if not text.strip():
        raise ExtractionError("invalid_file", "The file contains no text.")
    return text


def is_searchable(filename: str) -> bool:
    """Whether file search accepts files with this extension."""
    return ending_of(filename) in _KNOWN | _DOCUMENTS


def is_document(filename: str, head: bytes) -> bool:
    """Whether the file is a PDF or an Office file, by its name or, if the name says text, by its first bytes."""
    ending = ending_of(filename)
    return ending in _DOCUMENTS or (ending in _KNOWN and head.startswith((b"%PDF-1.", b"%PDF-2.", ZIP, OLE)))


def ending_of(filename: str) -> str:
    """The end of the name in lower case, such as `.pdf`."""
    return PurePath(filename).suffix.lower()


def _decoded(content: bytes) -> str:
    encoding = next((name for bom, name in _BOMS.items() if content.startswith(bom)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ExtractionError("invalid_file", "The file is not text in UTF-8 or UTF-16.") from error
    if "\0" in text:
        raise ExtractionError("invalid_file", "The file is binary, although its name says otherwise.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _from_json(text: str) -> str:
    """Indented JSON, so that chunks end between members. A long text stays unchanged."""
    if len(text) > _LONGEST_JSON:
        return text
    try:
        laid_out = json.dumps(json.loads(text), ensure_ascii=False, indent=1)
        return laid_out.encode("utf-8", "replace").decode()
    except (ValueError, RecursionError) as error:
        raise ExtractionError("invalid_file", f"The file is not valid JSON: {error}.") from error


def _from_table(text: str, separator: str) -> str:
    """A line per row, each cell with its column's name, so that a row can be understood in any chunk."""
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        header = next(rows, [])
        lines = ["; ".join(cells(header, row)) for row in rows if any(row)]
    except csv.Error as error:
        raise ExtractionError("invalid_file", f"The file is not a valid table: {error}.") from error
    return "\n".join(lines) or "; ".join(header)


def cells(header: list[str], row: list[str]) -> list[str]:
    """The cells of a row that are not empty, each with its column's name if there is one."""
    names = chain(header, repeat(""))
    return [f"{name}: {cell}" if name else cell for cell, name in zip(row, names, strict=False) if cell]


def _from_html(text: str) -> str:
    """Feed the parser in slices. It scans unfinished markup again for each slice, and at the end once per `<`."""
    reader = _HtmlText()
    for start in range(0, len(text), _SLICE):
        reader.feed(text[start : start + _SLICE])
        if len(reader.rawdata) > _LONGEST_MARKUP:
            raise ExtractionError("invalid_file", f"The file has markup of more than {_LONGEST_MARKUP} characters.")
    if not reader.rawdata.startswith("<"):
        reader.handle_data(unescape(reader.rawdata))
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _HtmlText(HTMLParser):
    """The visible text of the page, a line per block."""

    _BLOCKS = frozenset(
        re.findall(
            r"\w+",
            "address article aside blockquote br dd div dl dt figcaption footer form h1 h2 h3 h4 h5 h6 header hr li"
            " main nav ol p pre section table td th title tr ul",
        )
    )
    _UNSEEN = frozenset({"script", "style", "template", "noscript"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in self._UNSEEN
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._UNSEEN and self._unseen:
            self._unseen -= 1
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

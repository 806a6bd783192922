"""The process that reads one PDF or Office file: its bytes on stdin, a JSON object on stdout.

    python -m rx_assistant.local.retrieval.worker '{"ending": ".pdf", "cpu": 60, …}' <report.pdf

The object is `{"pages": [[place, text], …]}` or `{"error": [code, message]}`. A place is `page 3`, `slide 2`,
`sheet Sales` or empty. The first bytes of the file decide its kind, not its name. Before the process reads anything it
limits its own processor time, memory and time on the clock. It also ends when its parent has ended.

The packages of the `documents` extra read the files. Only this module imports them.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rx_assistant.local.processes import limit
from rx_assistant.local.retrieval.extraction import OLE, ZIP, ExtractionError, cells

Page = tuple[str, str]

_MOST_CHARACTERS = 32 * 2**20
_MOST_UNPACKED = 256 * 2**20
_EXTRA = "pip install 'rx_assistant[documents]'"
_LOST = "(This page could not be read.)"
_COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_OLD = {".doc": "DOCX", ".ppt": "PPTX", ".xls": "XLSX"}


def main() -> None:
    """Reads stdin, writes stdout."""
    options = json.loads(sys.argv[1])
    _confine(options)
    _watch(options["parent"])
    warnings.simplefilter("ignore")
    logging.disable()
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it; it takes much of the memory
    try:
        reply = _encoded({"pages": _limited(read(options["ending"], sys.stdin.buffer.read()))})
    except ExtractionError as error:
        reply = _encoded({"error": [error.code, error.message]})
    except MemoryError:
        megabytes = options["memory"] // 2**20
        reply = _encoded({"error": ["invalid_file", f"Reading the file needs more than {megabytes} MiB of memory."]})
    sys.stdout.buffer.write(reply)
    sys.stdout.buffer.flush()
    os._exit(0)  # a parser's large trees need not be taken apart


def _encoded(reply: dict[str, object]) -> bytes:
    """JSON in UTF-8. PDF files can map glyphs to halves of surrogate pairs; these become question marks."""
    return json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace")


def _confine(options: dict[str, int]) -> None:
    """Limits this process. On systems without such limits, only the parent's time limit applies."""
    with suppress(AttributeError):
        signal.alarm(options["wall"] + 5)  # kills a worker without a parent
    limit(CPU=options["cpu"], AS=options["memory"], CORE=0)


def _watch(parent: int) -> None:
    """Ends this process within a second after its parent."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _limited(pages: Iterator[Page]) -> list[Page]:
    found: list[Page] = []
    size = 0
    for place, text in pages:
        text = "\n".join(line.rstrip() for line in text.replace("\0", "").splitlines()).strip("\n")
        size += len(text)
        if size > _MOST_CHARACTERS:
            raise ExtractionError("invalid_file", f"The file has more than {_MOST_CHARACTERS} characters of text.")
        if text.strip():
            found.append((place, text))
    if all(text == _LOST for _, text in found):
        why = "None of its pages could be read." if found else "It may be scanned, or hold pictures only."
        raise ExtractionError("invalid_file", f"The file contains no text. {why}")
    return found


def read(ending: str, content: bytes) -> Iterator[Page]:
    """The pages of the file. ExtractionError if its kind is unknown, it is broken or encrypted."""
    if not content:
        raise ExtractionError("invalid_file", "The file is empty.")
    kind, reader = _reader(ending, content)
    try:
        yield from reader(content)
    except (ExtractionError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("pypdf", "docx", "pptx", "openpyxl", "lxml"):
            raise
        message = f"Reading {kind} files needs more packages on the server: {_EXTRA}."
        raise ExtractionError("unsupported_file", message) from error
    except Exception as error:
        if _memory_is_full():
            raise MemoryError from error
        reason = f"It is damaged ({type(error).__name__}: {str(error)[:200]})."
        raise ExtractionError("invalid_file", f"The file cannot be read as {kind}. {reason}") from error


def _memory_is_full() -> bool:
    """Whether the memory limit is the likely reason of a failure. XML parsers report some other error then."""
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):
        return False
    peak = re.search(r"VmPeak:\s*(\d+) kB", status)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return peak is not None and limit != resource.RLIM_INFINITY and int(peak[1]) * 1024 > limit * 0.8


def _reader(ending: str, content: bytes) -> tuple[str, Callable[[bytes], Iterator[Page]]]:
    if b"%PDF-" in content[:1024]:
        return "PDF", _pdf
    if content.startswith(ZIP):
        kind = _office_kind(content)
        return kind, _OFFICE[kind]
    if content.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise ExtractionError("invalid_file", "The file is encrypted. Save it without a password.")
        wanted = _OLD.get(ending, "DOCX, PPTX or XLSX")
        raise ExtractionError("unsupported_file", f"Old Office formats are not supported. Save the file as {wanted}.")
    name = ending.removeprefix(".").upper()
    raise ExtractionError("invalid_file", f"The file is not a {name} file, although its name says so.")


def _office_kind(content: bytes) -> str:
    """DOCX, PPTX or XLSX, by the names in the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        if any(word in content for word in (b"[Content_Types].xml", b"word/", b"ppt/", b"xl/")):
            raise ExtractionError("invalid_file", f"The file is damaged: {error}.") from error
        entries = []
    names = [entry.filename for entry in entries]
    folders = (("word/", "DOCX"), ("ppt/", "PPTX"), ("xl/", "XLSX"))
    kind = next((kind for folder, kind in folders if any(name.startswith(folder) for name in names)), None)
    if kind is None or "[Content_Types].xml" not in names:
        message = "The file is a ZIP archive, but not DOCX, PPTX or XLSX. Other archives are not supported."
        raise ExtractionError("unsupported_file", message)
    if any(entry.flag_bits & 1 for entry in entries):
        raise ExtractionError("invalid_file", "The file is encrypted. Save it without a password.")
    if sum(entry.file_size for entry in entries) > _MOST_UNPACKED:
        raise ExtractionError("invalid_file", f"The file unpacks to more than {_MOST_UNPACKED} bytes.")
    return kind


def _pdf(content: bytes) -> Iterator[Page]:
    import pypdf
    from pypdf.errors import DependencyError

    document = pypdf.PdfReader(io.BytesIO(content))
    try:
        # Many files are encrypted with an empty password, only to forbid printing. Every viewer opens them.
        opened = not document.is_encrypted or bool(document.decrypt(""))
    except (DependencyError, NotImplementedError):
        opened = False
    if not opened:
        raise ExtractionError("invalid_file", "The file is encrypted. Save it without a password.")
    for number, page in enumerate(document.pages, 1):
        try:
            text = page.extract_text()
        except MemoryError:
            raise
        except Exception:  # keep the other pages
            text = _LOST
        yield f"page {number}", text


def _docx(content: bytes) -> Iterator[Page]:
    import docx
    from docx.oxml.parser import parse_xml

    part = docx.Document(io.BytesIO(content)).part
    yield "", _xml_text(part.element)
    for relation in part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")):
            yield "", _xml_text(parse_xml(relation.target_part.blob))


def _pptx(content: bytes) -> Iterator[Page]:
    import pptx

    for number, slide in enumerate(pptx.Presentation(io.BytesIO(content)).slides, 1):
        text = _xml_text(slide.element)
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
            text += f"\n\n{notes.text}"
        yield f"slide {number}", text


def _xml_text(root: Any) -> str:
    """The text below an element of WordprocessingML or DrawingML: a line per paragraph and per row of a table.

    The two vocabularies share their local names. Deleted text has a different element name and is left out.
    """
    for double in list(root.iter(_COMPATIBILITY + "Fallback")):
        double.getparent().remove(double)
    parts: list[str] = []
    in_cell = in_row = False
    for element in root.iter("{*}p", "{*}t", "{*}tab", "{*}br", "{*}cr", "{*}noBreakHyphen", "{*}tr", "{*}tc"):
        match element.tag.rpartition("}")[2]:
            case "t":
                parts.append(element.text or "")
            case "tab" if not element.getparent().tag.endswith(("}tabs", "}tabLst")):
                parts.append("\t")
            case "noBreakHyphen":
                parts.append("-")
            case "tc":
                parts.append(" | " if in_row else "")
                in_cell = in_row = True
            case "p" if in_cell:
                in_cell = False
            case "p" | "br" | "cr":
                parts.append("\n")
            case "tr":
                parts.append("\n")
                in_row = False
    return "".join(parts)


def _xlsx(content: bytes) -> Iterator[Page]:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # the file may claim a million rows
        yield f"sheet {' '.join(sheet.title.split())}", "\n".join(_rows(sheet.iter_rows(values_only=True)))


def _rows(rows: Iterator[tuple[object, ...]]) -> Iterator[str]:
    """A line per row. Each cell has its column's name if all cells of the first row are names."""
    size = 0
    header: list[str] | None = None
    for row in rows:
        values = ["" if value is None else " ".join(str(value).split()) for value in row]
        if not any(values):
            continue
        if header is None:
            named = sum(map(bool, values)) > 1 and all(value is None or isinstance(value, str) for value in row)
            header = values if named else []
            line = "; ".join(filter(None, values))
        else:
            line = "; ".join(cells(header, values))
        size += len(line)
        if size > _MOST_CHARACTERS:
            raise ExtractionError("invalid_file", f"The file has more than {_MOST_CHARACTERS} characters of text.")
        yield line


_OFFICE: dict[str, Callable[[bytes], Iterator[Page]]] = {"DOCX": _docx, "PPTX": _pptx, "XLSX": _xlsx}


if __name__ == "__main__":
    main()

"""PDF, DOCX, PPTX and XLSX in vector stores: they are read with their pages, or fail with a reason. No file harms the
server."""

from __future__ import annotations

import asyncio
import io
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import docx
import openpyxl
import pptx
import psutil
import pypdf
import pytest

from rx_assistant.local import vector_stores
from rx_assistant.local.retrieval.documents import DocumentReader, Limits
from rx_assistant.local.retrieval.extraction import Extracted, ExtractionError, is_document

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def a_pdf(*pages: str) -> bytes:
    """A PDF with a page per text."""
    kids = " ".join(f"{2 * number + 4} 0 R" for number in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        page = f"/Contents {2 * number + 5} 0 R/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]{page}>>")
        objects.append(f"<</Length {len(content)}>>stream\n{content}\nendstream")
    return pdf_of(objects)


def pdf_of(objects: list[str]) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj{body} endobj\n".encode("latin-1")
    start = len(out)
    entries = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n{entries}trailer<</Size {size}/Root 1 0 R>>\n".encode()
    return bytes(out + f"startxref\n{start}\n%%EOF".encode())


def locked_pdf(password: str, *, algorithm: str = "AES-256") -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(a_pdf("The vault holds gold")))
    writer.encrypt(password, "owner", algorithm=algorithm)
    return saved(writer.write)


def saved(write) -> bytes:
    target = io.BytesIO()
    write(target)
    return target.getvalue()


def a_docx(*paragraphs: str) -> bytes:
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    return saved(document.save)


def raw_docx(body: bytes, name: str = "word/document.xml") -> bytes:
    """A DOCX whose document is the given XML."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/{name}" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{RELATIONS}/officeDocument" Target="{name}"/></Relationships>',
        )
        archive.writestr(name, body)
    return target.getvalue()


def a_pptx(*slides: tuple[str, str]) -> bytes:
    """A presentation with a title and notes per slide."""
    show = pptx.Presentation()
    for title, notes in slides:
        slide = show.slides.add_slide(show.slide_layouts[5])
        slide.shapes.title.text = title
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return saved(show.save)


def an_xlsx(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    return saved(book.save)


def read(name: str, content: bytes, limits: Limits | None = None) -> Extracted:
    """What the reader makes of a file."""

    async def run(path: Path) -> Extracted:
        reader = DocumentReader(limits)
        try:
            return await reader.read(name, path)
        finally:
            reader.close()

    path = Path(os.environ["PYTEST_DOCUMENTS"]) / "content"
    path.write_bytes(content)
    return asyncio.run(run(path))


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Where `read` puts the file."""
    monkeypatch.setenv("PYTEST_DOCUMENTS", str(tmp_path))
    yield tmp_path
    for process in workers():
        gone(process)


def workers() -> list[psutil.Process]:
    """The processes of this one that read documents, and have not ended."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "rx_assistant.local.retrieval.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


def failure(name: str, content: bytes, limits: Limits | None = None) -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        read(name, content, limits)
    return caught.value


# What is read


def test_a_pdf_keeps_its_page_numbers():
    found = read("a.pdf", a_pdf("First words", "", "Third words"))
    assert found.text == "[page 1]\nFirst words\n\n[page 3]\nThird words"
    assert found.place_at(found.text.index("First")) == "page 1"
    assert found.place_at(found.text.index("Third")) == "page 3"


def test_a_pdf_that_only_forbids_printing_is_read():
    assert "gold" in read("a.pdf", locked_pdf("")).text
    assert "gold" in read("a.pdf", locked_pdf("", algorithm="RC4-128")).text


def test_a_docx_gives_paragraphs_tables_links_and_notes_but_no_deleted_text():
    body = f"""<w:document xmlns:w="{WORD}"><w:body>
    <w:p><w:pPr><w:tabs><w:tab w:val="left" w:pos="1"/></w:tabs></w:pPr>
    <w:r><w:t>one</w:t><w:tab/><w:t>two</w:t></w:r></w:p>
    <w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr>
    <w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
    <w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>
    <w:sdt><w:sdtContent><w:p><w:r><w:t>in a field</w:t></w:r></w:p></w:sdtContent></w:sdt>
    </w:body></w:document>"""
    found = read("a.docx", raw_docx(body.encode()))
    assert found.text.split("\n") == ["one\ttwo", "a | b", " | c", "new", "in a field"]
    assert found.places == ()


def test_a_pptx_keeps_slide_numbers_and_speaker_notes():
    found = read("a.pptx", a_pptx(("Welcome", ""), ("Numbers", "Say it slowly.")))
    assert found.text == "[slide 1]\nWelcome\n\n[slide 2]\nNumbers\n\nSay it slowly."


def test_an_xlsx_names_sheets_and_columns():
    found = read("a.xlsx", an_xlsx(People=[["name", "age"], ["Ann", 7], [None, 8]], Sums=[[1, 2], [3, None]], Empty=[]))
    assert found.text == "[sheet People]\nname; age\nname: Ann; age: 7\nage: 8\n\n[sheet Sums]\n1; 2\n3"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", a_pdf("hidden words")),
        ("a.txt", a_pdf("hidden words")),
        ("README", a_pdf("hidden words")),
        ("a.pdf", a_docx("hidden words")),
        ("a.xlsx", a_docx("hidden words")),
        ("a.md", a_docx("hidden words")),
        ("a.doc", a_docx("hidden words")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_content_decides_where_the_name_lies(name, content):
    assert is_document(name, content[:1024])
    assert "hidden words" in read(name, content).text


def test_text_stays_in_this_process():
    assert not is_document("a.txt", b"PDF files begin with %PDF-1.7")
    assert not is_document("a.png", b"%PDF-1.7")


def test_a_worker_sees_the_packages_of_its_parent_and_none_of_the_working_directory(directory, monkeypatch):
    (directory / "pypdf.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(directory)
    assert "words" in read("a.pdf", a_pdf("words")).text


# What is not


def test_without_the_extra_the_sentence_names_it(directory, monkeypatch):
    for name in ("pypdf", "docx"):
        (directory / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')")
    monkeypatch.syspath_prepend(str(directory))
    for name, content in (("a.pdf", a_pdf("x")), ("a.docx", a_docx("x"))):
        error = failure(name, content)
        kind = name[2:].upper()
        assert error.code == "unsupported_file"
        assert (
            error.message == f"Reading {kind} files needs more packages on the server: "
            "pip install 'rx_assistant[documents]'."
        )


@cache
def bomb(member: str, size: int) -> bytes:
    target = io.BytesIO(raw_docx(b"<x/>"))
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(member, bytes(size))
    return target.getvalue()


def looping_pdf() -> bytes:
    """Pages that are their own children, and a length that is itself."""
    return pdf_of(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R 3 0 R]/Count 9>>", "3 0 R"])


def laughing_docx() -> bytes:
    """Entities that grow a billionfold."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<!DOCTYPE d [<!ENTITY e0 "laugh">{entities}]><w:document xmlns:w="{WORD}"><w:t>&e9;</w:t></w:document>'
    return raw_docx(text.encode())


def deep(depth: int) -> bytes:
    return raw_docx(f'<w:document xmlns:w="{WORD}">{"<w:p>" * depth}{"</w:p>" * depth}</w:document>'.encode())


def vast_sheet() -> bytes:
    """A workbook with one cell, which says that it has seventeen thousand million."""
    source = zipfile.ZipFile(io.BytesIO(an_xlsx(Vast=[["only words"]])))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name.startswith("xl/worksheets/"):
                content = content.replace(b'ref="A1"', b'ref="A1:XFD1048576"').replace(b'r="1"', b'r="1048576"')
                content = content.replace(b'r="A1"', b'r="XFD1048576"')
            archive.writestr(name, content)
    return target.getvalue()


DAMAGED = [
    ("empty", "a.pdf", b"", "is empty"),
    ("text", "a.pdf", b"only text", "is not a PDF file, although its name says so"),
    ("text", "a.xlsx", b"only text", "is not a XLSX file, although its name says so"),
    ("encrypted", "a.pdf", locked_pdf("secret"), "is encrypted"),
    ("encrypted", "a.pdf", locked_pdf("secret", algorithm="RC4-128"), "is encrypted"),
    ("encrypted", "a.docx", OLE + "EncryptedPackage".encode("utf-16-le"), "is encrypted"),
    ("scanned", "a.pdf", a_pdf("", ""), "may be scanned"),
    ("cut", "a.docx", a_docx("words")[:-200], "damaged"),
    ("cut", "a.pptx", a_pptx(("words", ""))[:5000], "damaged"),
    ("cut", "a.xlsx", an_xlsx(A=[["words"]])[:2000], "damaged"),
    ("cut", "a.pdf", a_pdf("words")[:60], "damaged"),
    ("no document", "a.docx", raw_docx(b"<x/>", "word/other.xml")[:-40], "damaged"),
    ("no XML", "a.docx", raw_docx(b"\x00\x01\x02"), "damaged"),
    ("zip bomb", "a.docx", lambda: bomb("word/media/a.bin", 300 * 2**20), "unpacks to more than"),
    ("deep XML", "a.docx", lambda: deep(100_000), "damaged"),
    ("entities", "a.docx", laughing_docx(), ""),
    ("loop", "a.pdf", looping_pdf(), ""),
]


@pytest.mark.parametrize(("name", "content", "words"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED])
def test_files_that_cannot_be_read_are_invalid_and_say_why(name, content, words):
    error = failure(name, content() if callable(content) else content)
    assert error.code == "invalid_file"
    assert words in error.message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.doc", OLE, "Save the file as DOCX."),
        ("a.docx", OLE, "Save the file as DOCX, PPTX or XLSX."),
        ("a.xlsx", b"PK\x03\x04", "not DOCX, PPTX or XLSX"),
        ("a.docx", saved(lambda target: zipfile.ZipFile(target, "w").writestr("a.txt", "text")), "not DOCX"),
    ],
)
def test_kinds_that_are_not_read_are_unsupported(name, content, words):
    error = failure(name, content)
    assert error.code == "unsupported_file"
    assert words in error.message


def test_a_sheet_that_claims_to_be_vast_is_read_as_what_it_is():
    assert read("a.xlsx", vast_sheet()).text == "[sheet Vast]\nonly words"


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.pptx", "a.xlsx"])
def test_random_damage_gives_text_or_a_reason(name):
    whole = {
        "a.pdf": a_pdf("words", "more"),
        "a.docx": a_docx("words"),
        "a.pptx": a_pptx(("words", "")),
        "a.xlsx": an_xlsx(A=[["words"]]),
    }[name]
    chance = random.Random(name)
    for _ in range(4):
        content = bytearray(whole)
        for _ in range(20):
            content[chance.randrange(8, len(content))] = chance.randrange(256)
        try:
            said = read(name, bytes(content)).text
        except ExtractionError as error:
            said = error.message
        assert said.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
def test_memory_is_limited():
    body = f'<w:document xmlns:w="{WORD}"><w:body>{"<w:p/>" * 2_000_000}</w:body></w:document>'
    error = failure("a.docx", raw_docx(body.encode()), Limits(memory=256 * 2**20))
    assert error.code == "invalid_file"
    assert "memory" in error.message.lower()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not limit processor time")
def test_processor_time_is_limited():
    error = failure("a.pdf", a_pdf(*["words"] * 10_000), Limits(cpu=1))
    assert (error.code, error.message) == (
        "invalid_file",
        "Reading the file takes more than 1 seconds of processor time.",
    )


def test_time_on_the_clock_is_limited():
    error = failure("a.pdf", a_pdf(*["words"] * 10_000), Limits(wall=1))
    assert (error.code, error.message) == ("invalid_file", "Reading the file takes longer than 1 seconds.")


def test_ten_thousand_pages_are_read_within_the_limits():
    found = read("a.pdf", a_pdf(*(f"Page of {number}" for number in range(10_000))))
    assert len(found.places) == 10_000
    assert found.text.endswith("[page 10000]\nPage of 9999")


# The processes


async def started(reader: DocumentReader, path: Path) -> tuple[asyncio.Task[Extracted], psutil.Process]:
    """A reading that goes on, and its process."""
    task = asyncio.create_task(reader.read("a.pdf", path))
    return task, await asyncio.to_thread(begun)


@pytest.fixture
def long_pdf(directory) -> Path:
    path = directory / "long"
    path.write_bytes(a_pdf(*["words"] * 10_000))
    return path


def test_a_reading_that_is_cancelled_ends_its_process(long_pdf):
    async def run() -> None:
        task, process = await started(DocumentReader(), long_pdf)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(gone, process)

    asyncio.run(run())


def test_close_ends_every_process_and_cancels_what_comes_later(long_pdf):
    async def run() -> None:
        reader = DocumentReader()
        task, process = await started(reader, long_pdf)
        reader.close()
        for reading in (task, reader.read("a.pdf", long_pdf)):
            with pytest.raises(asyncio.CancelledError):
                await reading
        gone(process)

    asyncio.run(run())


def begun() -> psutil.Process:
    """Waits until a process reads."""
    deadline = time.monotonic() + 20
    while not (found := workers()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


def gone(process: psutil.Process) -> None:
    """Waits until the process has ended."""
    deadline = time.monotonic() + 20
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


ORPHAN = """
import asyncio, sys
from pathlib import Path
from rx_assistant.local.retrieval.documents import DocumentReader
asyncio.run(DocumentReader().read("a.pdf", Path(sys.argv[1])))
"""


def test_a_process_ends_after_its_server_was_killed(long_pdf):
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(long_pdf)]) as parent:
        process = begun()
        parent.kill()
    gone(process)


def test_the_server_ends_its_processes_when_it_stops(connect, long_pdf):
    api = connect()
    store = api("POST", "/vector_stores", {})["id"]
    file = api.upload("a.pdf", long_pdf.read_bytes())["id"]
    api("POST", f"/vector_stores/{store}/files", {"file_id": file})
    process = begun()
    api.server.stop()
    gone(process)


def test_a_file_that_is_removed_is_read_no_further(api, long_pdf):
    store = api("POST", "/vector_stores", {})["id"]
    file = api.upload("a.pdf", long_pdf.read_bytes())["id"]
    api("POST", f"/vector_stores/{store}/files", {"file_id": file})
    process = begun()
    api("DELETE", f"/vector_stores/{store}/files/{file}")
    gone(process)


def test_slow_documents_are_read_two_at_a_time_and_keep_no_text_waiting(api, long_pdf):
    store = api("POST", "/vector_stores", {})["id"]
    ids = [api.upload("a.pdf", long_pdf.read_bytes())["id"] for _ in range(6)]
    for file in ids:
        api("POST", f"/vector_stores/{store}/files", {"file_id": file})
    begun()
    api.store(("a.txt", "text"))
    assert len(workers()) <= 2
    assert api("GET", f"/vector_stores/{store}")["file_counts"]["in_progress"] >= 4


# In vector stores and runs


def test_passages_name_their_page_also_in_the_middle_of_it(api):
    long_page = " ".join(f"Sentence {number} tells of the harbour." for number in range(400))
    store = api.store(("a.pdf", a_pdf("An introduction", long_page + " The lighthouse is green.")))
    assert store["file_counts"]["completed"] == 1
    found = api("POST", f"/vector_stores/{store['id']}/search", {"query": "lighthouse green"})["data"]
    texts = [part["text"] for hit in found for part in hit["content"] if "lighthouse" in part["text"]]
    assert texts
    assert all(text.startswith("[page 2]\n") for text in texts)


def test_the_text_of_a_document_comes_back_whole(api):
    pages = [f"Page about number {number}" for number in range(300)]
    store = api.store(("a.pdf", a_pdf(*pages)))
    file = api("GET", f"/vector_stores/{store['id']}/files")["data"][0]["id"]
    text = api("GET", f"/vector_stores/{store['id']}/files/{file}/content")["data"][0]["text"]
    assert text == "\n\n".join(f"[page {number}]\n{page}" for number, page in enumerate(pages, 1))


def ask(api, question: str, *files: tuple[str, bytes]) -> str:
    """What the built-in assistant answers to a message with attached files."""
    tools = [{"type": "file_search"}]
    attachments = [{"file_id": api.upload(*file)["id"], "tools": tools} for file in files]
    message = {"role": "user", "content": question, "attachments": attachments}
    thread = api("POST", "/threads", {"messages": [message]})["id"]
    assert api.wait(api.start(api.assistant(tools=tools), thread))["status"] == "completed"
    return api.messages(thread)[-1]["content"][0]["text"]["value"]


def test_odd_characters_of_a_pdf_do_no_harm(api):
    to_unicode = "begincmap 1 begincodespacerange <00> <FF> endcodespacerange 2 beginbfchar <41> <D800> <42> <0000> "
    to_unicode += "endbfchar endcmap"
    show = "BT /F1 12 Tf 72 700 Td (whale A B shark) Tj ET"
    page = "/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]{page}>>",
        f"<</Length {len(show)}>>stream\n{show}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>",
        f"<</Length {len(to_unicode)}>>stream\n{to_unicode}\nendstream",
    ]
    content = pdf_of(objects)
    raw = pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text()
    assert "\ud800" in raw
    assert "\0" in raw
    store = api.store(("a.pdf", content))
    assert store["file_counts"]["completed"] == 1
    hit = api("POST", f"/vector_stores/{store['id']}/search", {"query": "shark"})["data"][0]
    assert hit["content"][0]["text"] == "[page 1]\nwhale ?  shark"


def test_an_answer_cites_the_page(api):
    answer = ask(api, "What is the capital?", ("a.pdf", a_pdf("Greetings", "The capital is Poseidonia.")))
    assert answer == "The capital is Poseidonia.【1:0†a.pdf, page 2】"


def test_a_run_says_which_file_could_not_be_read(api):
    answer = ask(api, "What is the capital?", ("secret.pdf", locked_pdf("x")))
    assert answer == "The file secret.pdf could not be read: The file is encrypted. Save it without a password."


def test_a_run_with_other_files_says_it_too(api):
    files = ("a.txt", b"The capital is Poseidonia."), ("b.docx", a_docx("words")[:-200])
    answer = ask(api, "What is the capital?", *files)
    assert answer.startswith("The file b.docx could not be read: ")
    assert "\nThe capital is Poseidonia.【1:1†a.txt】" in answer


def test_a_scripted_search_shows_unreadable_files_as_results(play):
    api = play([{"calls": [{"search": "capital"}]}, {"text": "done"}])
    tools = [{"type": "file_search"}]
    file = api.upload("secret.pdf", locked_pdf("x"))["id"]
    message = {"role": "user", "content": "x", "attachments": [{"file_id": file, "tools": tools}]}
    thread = api("POST", "/threads", {"messages": [message]})["id"]
    run = api.wait(api.start(api.assistant(tools=tools), thread))
    include = "step_details.tool_calls[*].file_search.results[*].content"
    call = api.steps(run, **{"include[]": include})[0]["step_details"]["tool_calls"][0]
    result = call["file_search"]["results"][0]
    assert (result["file_id"], result["score"]) == (file, 0.0)
    assert "is encrypted" in result["content"][0]["text"]


def test_a_hostile_set_leaves_the_server_responsive(connect, monkeypatch):
    monkeypatch.setattr(vector_stores, "DocumentReader", lambda _: DocumentReader(Limits(cpu=20, wall=40)))
    api = connect()
    files = {
        "bomb.docx": bomb("word/media/a.bin", 300 * 2**20),
        "loop.pdf": looping_pdf(),
        "deep.docx": deep(100_000),
        "laugh.docx": laughing_docx(),
        "cut.pptx": a_pptx(("words", ""))[:5000],
    }
    slowest = [0.0]
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            begin = time.monotonic()
            api("GET", "/assistants")
            slowest[0] = max(slowest[0], time.monotonic() - begin)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        store = api.store(*files.items())
    finally:
        over.set()
        watcher.join()
    assert store["file_counts"] == {"in_progress": 0, "completed": 0, "failed": 5, "cancelled": 0, "total": 5}
    assert api.store(("good.pdf", a_pdf("words")))["file_counts"]["completed"] == 1
    assert 0 < slowest[0] < 5

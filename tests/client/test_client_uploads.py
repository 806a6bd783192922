"""What people hand over as a file: it arrives whole, or is refused where it is written."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import tempfile
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread
import pytest
from loopback import GUARD, Loopback, Received, Wire

from rx_assistant import AssistantClient, AsyncAssistantClient, local

FACES = pytest.mark.parametrize("face", ["threads", "asyncio", "trio"])
TEXT = b"hello " * 20_000
UNIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a file of Unix")


def uploaded(face: str, url: str, file: Any) -> bytes:
    """What the server has of a file after its upload."""
    if face == "threads":
        with AssistantClient(base_url=url) as client:
            made = client.files.create(file=file, purpose="assistants")
            return client.files.content(made.id).content

    async def main() -> bytes:
        async with AsyncAssistantClient(base_url=url) as client:
            made = await client.files.create(file=file, purpose="assistants")
            return (await client.files.content(made.id)).content

    return anyio.run(main, backend=face)


@pytest.fixture(scope="module")
def server() -> Iterator[local.Server]:
    with local.serve() as running:
        yield running


def written(file: IO[bytes]) -> IO[bytes]:
    file.write(TEXT)  # and neither flushed nor rewound
    return file


def compressed(folder: Path) -> IO[bytes]:
    (folder / "x.gz").write_bytes(gzip.compress(TEXT))
    return gzip.open(folder / "x.gz")  # type: ignore[return-value]  # reads bytes


def zipped(folder: Path) -> IO[bytes]:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", TEXT)
    return zipfile.ZipFile(folder / "x.zip").open("x")


def mapped(folder: Path) -> mmap.mmap:
    (folder / "x").write_bytes(TEXT)
    with (folder / "x").open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def fill(end: int) -> None:
    with open(end, "wb") as pipe:
        pipe.write(TEXT)


def piped(_: Path) -> IO[bytes]:
    reading, writing = os.pipe()
    threading.Thread(target=fill, args=(writing,), daemon=True).start()
    return open(reading, "rb")


def named_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    threading.Thread(target=(folder / "pipe").write_bytes, args=(TEXT,), daemon=True).start()
    return folder / "pipe"


class OnlyRead:
    """The least that a file can be."""

    def __init__(self) -> None:
        self._file = io.BytesIO(TEXT)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class OnlySeek(OnlyRead):
    """A file of an old library, which does not say whether it can seek."""

    def __init__(self) -> None:
        super().__init__()
        self._file.seek(7)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def path(folder: Path) -> Path:
    (folder / "x").write_bytes(TEXT)
    return folder / "x"


KINDS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: TEXT,
    "bytearray": lambda _: bytearray(TEXT),
    "memoryview": lambda _: memoryview(TEXT),
    "every second byte of a memoryview": lambda _: memoryview(b"".join(bytes([b, 0]) for b in TEXT))[::2],
    "path": path,
    "opened": lambda folder: path(folder).open("rb"),
    "without a buffer": lambda folder: path(folder).open("rb", buffering=0),
    "BytesIO at its end": lambda _: written(io.BytesIO()),
    "temporary, not flushed": lambda _: written(tempfile.TemporaryFile()),  # noqa: SIM115
    "named temporary, not flushed": lambda _: written(tempfile.NamedTemporaryFile()),  # type: ignore[arg-type]  # noqa: SIM115
    "spooled": lambda _: written(tempfile.SpooledTemporaryFile()),  # type: ignore[arg-type]  # noqa: SIM115
    "spooled over": lambda _: written(tempfile.SpooledTemporaryFile(100)),  # type: ignore[arg-type]  # noqa: SIM115
    "compressed": compressed,
    "member of an archive": zipped,
    "mapped": mapped,
    "pipe": piped,
    "only read": lambda _: OnlyRead(),
    "only seek": lambda _: OnlySeek(),
    "named pipe": named_pipe,
}


@FACES
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_any_kind_arrives_whole(
    face: str, kind: str, server: local.Server, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    if kind == "named pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("named pipes are a file of Unix")
    content = KINDS[kind](tmp_path)
    try:
        assert uploaded(face, server.base_url, ("x.txt", content)) == TEXT
    finally:
        if hasattr(content, "close"):
            content.close()


@FACES
@pytest.mark.skipif(not Path("/proc/version").exists(), reason="a file that says it is empty and is not: Linux")
def test_a_file_that_says_it_is_empty_arrives_whole(face: str, server: local.Server) -> None:
    version = Path("/proc/version")
    assert version.stat().st_size == 0
    assert uploaded(face, server.base_url, version) == version.read_bytes()


@FACES
def test_an_empty_file_arrives_empty(face: str, server: local.Server, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert uploaded(face, server.base_url, tmp_path / "x") == b""


@FACES
def test_what_is_appended_meanwhile_stays_out(face: str, server: local.Server, tmp_path: Path) -> None:
    class Growing(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            with (tmp_path / "log").open("ab") as log:
                log.write(b"more")
            return super().read(size)

    (tmp_path / "log").write_bytes(TEXT)
    with Growing(tmp_path / "log") as log:
        assert uploaded(face, server.base_url, ("log.txt", log)) == TEXT


def failing_once() -> Callable[[Received, Wire], Awaitable[None]]:
    tries = iter([503, 200, 200])

    async def script(request: Received, wire: Wire) -> None:
        status = next(tries)
        await wire.json({"id": "file_1", "object": "file"}, status, {"retry-after-ms": "1"})

    return script


def part_of(request: Received) -> bytes:
    """The file in a form."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    [part] = [part for part in message_from_bytes(head + request.body).walk() if part.get_filename()]
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


@FACES
@pytest.mark.parametrize("kind", ["pipe", "compressed", "path", "only seek", "only read"])
def test_a_second_try_sends_all_of_it_again(face: str, kind: str, tmp_path: Path) -> None:
    with Loopback(failing_once()) as server:
        content = KINDS[kind](tmp_path)

        async def main() -> None:
            async with AsyncAssistantClient(base_url=server.url) as client:
                await client.files.create(file=("x", content), purpose="assistants")

        if face == "threads":
            with AssistantClient(base_url=server.url) as client:
                client.files.create(file=("x", content), purpose="assistants")
        else:
            anyio.run(main, backend=face)
        if hasattr(content, "close"):
            content.close()
    assert [part_of(request) for request in server.requests] == [TEXT, TEXT]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_goes_on_while_a_pipe_is_read(backend: str, server: local.Server) -> None:
    reading, writing = os.pipe()
    got: list[bytes] = []

    async def main() -> None:
        async def upload(client: AsyncAssistantClient) -> None:
            with os.fdopen(reading, "rb") as pipe:
                made = await client.files.create(file=("x.txt", pipe), purpose="assistants")
            got.append((await client.files.content(made.id)).content)

        with anyio.fail_after(GUARD):
            async with AsyncAssistantClient(base_url=server.base_url) as client, anyio.create_task_group() as group:
                group.start_soon(upload, client)
                await anyio.sleep(0.01)
                os.write(writing, b"late")
                os.close(writing)

    anyio.run(main, backend=backend)
    assert got == [b"late"]


class Awaited:
    async def read(self, size: int = -1) -> bytes:
        raise AssertionError("nothing awaits it")


def closed() -> IO[bytes]:
    file = io.BytesIO(TEXT)
    file.close()
    return file


@FACES
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda _: "hello", TypeError, "bytes, a pathlib.Path or a file opened with 'rb', got str"),
        (lambda _: [b"hello"], TypeError, "got list"),
        (lambda _: io.StringIO("hello"), TypeError, "StringIO, which reads text"),
        (lambda folder: path(folder).open(), TypeError, "TextIOWrapper, which reads text"),
        (lambda _: tempfile.NamedTemporaryFile("w+"), TypeError, "which reads text"),  # noqa: SIM115
        (lambda folder: (folder / "new").open("wb"), TypeError, "cannot be read"),
        (lambda _: Awaited(), TypeError, r"got Awaited, whose read\(\) is awaited.*await file.read"),
        (lambda _: closed(), ValueError, "closed BytesIO"),
    ],
)
def test_what_has_no_bytes_is_refused_where_it_is_written(
    face: str, make: Callable[[Path], Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    content = make(tmp_path)
    try:
        with pytest.raises(error, match=words):
            uploaded(face, "http://127.0.0.1:9/v1", ("x", content))
    finally:
        if hasattr(content, "close"):
            content.close()


@UNIX
def test_batches_take_pipes_and_compressed_files(server: local.Server, tmp_path: Path) -> None:
    with AssistantClient(base_url=server.base_url) as client, compressed(tmp_path) as archive:
        store = client.vector_stores.create()
        pipe = piped(tmp_path)
        files: list[Any] = [("a.txt", pipe), ("b.txt", archive), ("c.txt", bytearray(TEXT)), named_pipe(tmp_path)]
        progress: list[Any] = []
        client.vector_stores.file_batches.upload_and_poll(store.id, files=files, on_progress=progress.append)
        pipe.close()
        [ids] = {seen.file_ids for seen in progress if len(seen.file_ids) == 4}
        assert [client.files.content(each).content for each in ids] == [TEXT] * 4
        assert {seen.bytes_total for seen in progress} == {None}, "a pipe does not tell its size"

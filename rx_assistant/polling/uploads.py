"""The progress of uploads: counts of bytes and files, which any thread may update and read."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from rx_assistant.api.uploads import Upload, length_of, upload

if TYPE_CHECKING:
    from rx_assistant.types import FileTypes, VectorStoreFileBatch


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How many files and bytes have been uploaded, and then the batch of these files.

    `bytes_total` is None if the size of a file is unknown. `file_ids` are the ids of the uploaded files, in the order
    in which the files were given. `batch` is None until all files are uploaded; then its counts show the processing.
    """

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int | None
    file_ids: tuple[str, ...] = ()
    batch: VectorStoreFileBatch | None = None


class UploadStopped(Exception):
    """Raised by a file that is read for an upload which was stopped."""


class UploadCounter:
    """Counts what several uploads have sent. `changed` is called after each change, on the thread that made it."""

    def __init__(self, files: Sequence[FileTypes], changed: Callable[[], None]) -> None:
        self._uploads = [upload(file, ()) for file in files]
        sizes = [_size(each) for each in self._uploads]
        self._total = None if None in sizes else sum(cast("list[int]", sizes))
        self._sent = [0] * len(sizes)
        self._done = 0
        self._changed = changed
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def progress(self) -> UploadProgress:
        """The current counts."""
        with self._lock:
            return UploadProgress(self._done, len(self._sent), sum(self._sent), self._total)

    def open(self, number: int) -> CountedFile:
        """The file with that number. Read it from its beginning, and close it afterwards."""
        given = self._uploads[number]
        if self._stopped:
            raise UploadStopped
        return CountedFile(given, lambda position: self._read_to(number, position))

    def finish(self) -> None:
        """Count a file as done."""
        with self._lock:
            self._done += 1
        self._changed()

    def stop(self) -> None:
        """Make the next read of every file fail."""
        self._stopped = True

    def _read_to(self, number: int, position: int) -> None:
        if self._stopped:
            raise UploadStopped
        with self._lock:
            if position <= self._sent[number]:  # a retry sends bytes that were already counted
                return
            self._sent[number] = position
        self._changed()


class CountedFile:
    """A file that reports its position after each read. `close()` closes it only if it was opened here."""

    def __init__(self, given: Upload, moved: Callable[[int], None]) -> None:
        content = given.content
        self._opened_here = not hasattr(content, "read")
        self._file: IO[bytes]
        if isinstance(content, bytes):
            self._file = io.BytesIO(content)
        elif isinstance(content, os.PathLike):
            self._file = open(content, "rb")  # noqa: SIM115 (closed by close())
        else:
            self._file = content
        self._given = given
        self._moved = moved
        self._position = 0

    @property
    def form(self) -> tuple[str, IO[bytes], str | None, Mapping[str, str]]:
        """The file as a field of a multipart form."""
        return self._given.name, cast("IO[bytes]", self), self._given.content_type, self._given.headers

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._position += len(data)
        self._moved(self._position)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position. This does not count as reading."""
        self._file.seek(offset, whence)
        self._position = self._file.tell()
        return self._position

    def tell(self) -> int:
        """The position of the next read."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Whether it can be read a second time."""
        return self._given.repeatable

    def close(self) -> None:
        """Close the file, unless the caller opened it."""
        if self._opened_here:
            self._file.close()


def _size(given: Upload) -> int | None:
    """The number of bytes to upload; None if it is unknown before reading. OSError if the file is missing."""
    content = given.content
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, os.PathLike):
        found = os.stat(content)
        return found.st_size if stat.S_ISREG(found.st_mode) else None
    size = length_of(content)
    if size is not None:
        content.seek(0)
    return size

"""How far uploads have come: counts of bytes and files, safe to report from any thread."""

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
    """What has been uploaded of what is to be, and then the batch that it became.

    `bytes_total` is None where a file does not tell its size. `file_ids` are those of the files that are done, in the
    order in which the files were given. `batch` is None until all are; its own counts say how far they are taken in.
    """

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int | None
    file_ids: tuple[str, ...] = ()
    batch: VectorStoreFileBatch | None = None


class UploadStopped(Exception):
    """Raised into an upload that is not wanted any more, by the file that it reads."""


class Tally:
    """Counts what several uploads have sent. `told` is called after each change, on the thread that made it."""

    def __init__(self, files: Sequence[FileTypes], told: Callable[[], None]) -> None:
        self._uploads = [upload(file, ()) for file in files]
        sizes = [_size(each) for each in self._uploads]
        self._total = None if None in sizes else sum(cast("list[int]", sizes))
        self._sent = [0] * len(sizes)
        self._done = 0
        self._told = told
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def progress(self) -> UploadProgress:
        """The counts as they are now."""
        with self._lock:
            return UploadProgress(self._done, len(self._sent), sum(self._sent), self._total)

    def open(self, number: int) -> Counted:
        """The file with that number, to be read from its beginning and closed afterwards."""
        given = self._uploads[number]
        if self._stopped:
            raise UploadStopped
        return Counted(given, lambda position: self._read_to(number, position))

    def finish(self) -> None:
        """A file has arrived."""
        with self._lock:
            self._done += 1
        self._told()

    def stop(self) -> None:
        """Let the next read of every file fail."""
        self._stopped = True

    def _read_to(self, number: int, position: int) -> None:
        if self._stopped:
            raise UploadStopped
        with self._lock:
            if position <= self._sent[number]:  # a second try sends again what was counted already
                return
            self._sent[number] = position
        self._told()


class Counted:
    """A file that is read in pieces and says how far. What was opened here is closed here."""

    def __init__(self, given: Upload, told: Callable[[int], None]) -> None:
        content = given.content
        self._ours = not hasattr(content, "read")
        self._file: IO[bytes]
        if isinstance(content, bytes):
            self._file = io.BytesIO(content)
        elif isinstance(content, os.PathLike):
            self._file = open(content, "rb")  # noqa: SIM115 (closed by close())
        else:
            self._file = content
        self._given = given
        self._told = told
        self._position = 0

    @property
    def form(self) -> tuple[str, IO[bytes], str | None, Mapping[str, str]]:
        """As the file of a form."""
        return self._given.name, cast("IO[bytes]", self), self._given.content_type, self._given.headers

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._position += len(data)
        self._told(self._position)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere, which counts as nothing read."""
        self._file.seek(offset, whence)
        self._position = self._file.tell()
        return self._position

    def tell(self) -> int:
        """Where reading goes on."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Whether it can be read a second time."""
        return self._given.repeatable

    def close(self) -> None:
        """Close it, unless it is the caller's."""
        if self._ours:
            self._file.close()


def _size(given: Upload) -> int | None:
    """How many bytes there are to upload; None where only reading tells. OSError for a file that is not there."""
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

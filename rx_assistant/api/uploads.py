"""Files to upload: the caller's file becomes one form field. It is only open while it is sent.

The HTTP library sends the length before the file, and the server checks it. So a file is only sent if its length is
known. It is measured by seeking to the end; the descriptor's size is wrong for compressed files and for buffered bytes.
A file that cannot seek, such as a pipe, is read into memory first.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from rx_assistant.errors import InvalidArgumentError

if TYPE_CHECKING:
    from rx_assistant.types import FileTypes

FileContent: TypeAlias = IO[bytes] | bytes | os.PathLike[str]
OpenFile: TypeAlias = tuple[str, IO[bytes] | bytes, str | None, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart form: text fields, and one file."""

    name: str
    content: FileContent = field(repr=False)
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    seekable: bool = False
    _whole: list[bytes] = field(default_factory=list, repr=False, compare=False)  # the bytes that were read into memory

    @property
    def repeatable(self) -> bool:
        """Whether the same bytes can be sent again if the first try fails."""
        return isinstance(self.content, bytes | os.PathLike) or self.seekable or bool(self._whole)

    @property
    def blocks(self) -> bool:
        """Whether reading may wait for another program. An event loop must then read in a thread."""
        if isinstance(self.content, os.PathLike):
            return not Path(self.content).is_file() and not self._whole
        return not self.repeatable

    def read_whole(self) -> None:
        """Read a file that cannot seek into memory, so that it can be sent, even twice."""
        with self.opened():
            pass

    @contextmanager
    def opened(self) -> Iterator[OpenFile]:
        """The open file, at its beginning. Afterwards it is closed, unless the caller opened it."""
        if isinstance(self.content, bytes):
            yield self._part(self.content)
        elif self._whole:
            yield self._part(self._whole[0])
        elif isinstance(self.content, os.PathLike):
            with open(self.content, "rb") as file:
                yield self._part(self._sendable(file))
        else:
            yield self._part(self._sendable(self.content))

    def _part(self, content: IO[bytes] | bytes) -> OpenFile:
        return self.name, content, self.content_type, self.headers

    def _sendable(self, file: IO[bytes]) -> IO[bytes] | bytes:
        """The file with a reliable length, or its bytes, if its length is only known after reading."""
        length = length_of(file)
        if length:
            return cast("IO[bytes]", _Measured(file, length))
        if length == 0:  # files in /proc and devices report this too
            file.seek(0)
        self._whole.append(file.read())
        return self._whole[0]


class _Measured:
    """The first `length` bytes of a file, even if bytes are appended meanwhile."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self._length = length
        self._left = length

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            self._left = 0
        else:
            self._file.seek(offset, whence)
            self._left = max(self._length - self._file.tell(), 0)
        return self.tell()

    def tell(self) -> int:
        return self._length - self._left


def upload(file: FileTypes, fields: tuple[tuple[str, str], ...]) -> Upload:
    """A form from a path, bytes, a binary file object, or a tuple `(name, content[, type[, headers]])`."""
    name, content, content_type, headers = file_parts(file)
    return Upload(name or _name_of(content), content, content_type, headers, fields, _is_seekable(content))


def file_parts(file: FileTypes) -> tuple[str | None, FileContent, str | None, Mapping[str, str]]:
    """Name, content, content type and headers.

    Raises:
        TypeError: it is text, an asynchronous file, or has no bytes to read.
    """
    name: str | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = {}
    content: Any
    if isinstance(file, tuple):
        name, content, *rest = file
        content_type = _text(rest[0]) if rest else None
        headers = dict(file[3]) if len(file) == 4 else {}
    else:
        content = file
    if isinstance(content, bytearray | memoryview):
        content = bytes(content)
    if not isinstance(content, bytes | os.PathLike):
        _check_readable(content)
    return name, content, content_type, headers


def _check_readable(content: Any) -> None:
    got = type(content).__name__
    if not hasattr(content, "read"):
        raise TypeError(f"a file must be bytes, a pathlib.Path or a file opened with 'rb', got {got}")
    if isinstance(content, io.TextIOBase) or isinstance(getattr(content, "encoding", None), str):
        raise TypeError(f"a file must be opened with 'rb', got {got}, which reads text: open it again, or encode it")
    if inspect.iscoroutinefunction(content.read):
        raise TypeError(
            f"a file must have a read() that gives bytes at once, got {got}, whose read() is awaited: hand over "
            "`(name, await file.read())`, or its `.file`"
        )
    if getattr(content, "closed", False):
        raise InvalidArgumentError(f"a file must be open until it is uploaded, got a closed {got}")
    readable = getattr(content, "readable", None)
    if readable is not None and not readable():
        raise TypeError(f"a file must be opened with 'rb', got {got}, which cannot be read")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _name_of(content: FileContent) -> str:
    if isinstance(content, os.PathLike):
        return Path(content).name
    name = getattr(content, "name", None)
    return Path(name).name if isinstance(name, str) else "upload"


def _is_seekable(content: FileContent) -> bool:
    """Whether a file object can be read a second time."""
    seekable = getattr(content, "seekable", None)
    return hasattr(content, "seek") if seekable is None else bool(seekable())


def length_of(file: IO[bytes]) -> int | None:
    """The number of bytes in the file, independent of its position. None if it cannot seek."""
    if not _is_seekable(file):
        return None
    try:
        file.seek(0, os.SEEK_END)  # this also flushes the buffer
        return file.tell()  # an mmap's seek() returns None
    except (AttributeError, OSError):
        return None

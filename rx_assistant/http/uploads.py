"""Files to upload: what users hand over becomes one form field, opened only for as long as it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

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

    @property
    def repeatable(self) -> bool:
        """Whether the same bytes can be sent once more, should the first try fail."""
        return isinstance(self.content, bytes | os.PathLike) or self.seekable

    @contextmanager
    def opened(self) -> Iterator[OpenFile]:
        """The file, open, to be sent from its beginning; ours is closed afterwards, the caller's is not."""
        if isinstance(self.content, bytes):
            yield self.name, self.content, self.content_type, self.headers
        elif isinstance(self.content, os.PathLike):
            with open(self.content, "rb") as file:
                yield self.name, file, self.content_type, self.headers
        else:
            yield self.name, self.content, self.content_type, self.headers


def upload(file: FileTypes, fields: tuple[tuple[str, str], ...]) -> Upload:
    """A form from a path, bytes, a binary file object, or a tuple `(name, content[, type[, headers]])`."""
    name, content, content_type, headers = file_parts(file)
    return Upload(name or _name_of(content), content, content_type, headers, fields, _is_seekable(content))


def file_parts(file: FileTypes) -> tuple[str | None, FileContent, str | None, Mapping[str, str]]:
    """Name, content, content type and headers; a text where bytes belong is a TypeError."""
    name: str | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = {}
    if isinstance(file, tuple):
        name, content, *rest = file
        content_type = _text(rest[0]) if rest else None
        headers = dict(file[3]) if len(file) == 4 else {}
    else:
        content = file
    if not isinstance(content, bytes | os.PathLike) and not hasattr(content, "read"):
        raise TypeError(f"a file is bytes, a pathlib.Path or a file opened with 'rb', not {type(content).__name__}")
    if getattr(content, "closed", False):
        raise InvalidArgumentError("a file must be open, got one that was closed")
    return name, content, content_type, headers


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
    return bool(seekable is not None and seekable())

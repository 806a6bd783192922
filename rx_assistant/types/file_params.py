"""Requests about files."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import IO, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant.types.file import FilePurpose
from rx_assistant.types.shared_params import ListOrder

_Content: TypeAlias = IO[bytes] | bytes | bytearray | memoryview | PathLike[str]

FileTypes: TypeAlias = (
    _Content
    | tuple[str | None, _Content]
    | tuple[str | None, _Content, str | None]
    | tuple[str | None, _Content, str | None, Mapping[str, str] | Sequence[tuple[str, str]]]
)
"""A file to upload: content, (name, content), (name, content, media type) or (name, content, media type, headers)."""


class FileExpiresAfterParam(TypedDict, total=False):
    """When the server deletes a file: 3 600 to 2 592 000 seconds after its creation."""

    anchor: Required[Literal["created_at"]]
    seconds: Required[int]


class FileCreateParams(TypedDict, total=False):
    """POST /files, as multipart."""

    file: Required[FileTypes]
    purpose: Required[FilePurpose]
    expires_after: FileExpiresAfterParam


class FileListParams(TypedDict, total=False):
    """GET /files. `purpose` selects the files of one purpose; `limit` is 1 to 10 000; there is no `before`."""

    purpose: str
    after: str
    limit: int
    order: ListOrder

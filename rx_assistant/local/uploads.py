"""A multipart body, parsed while it arrives: small fields go to memory, the file goes to disk, both within limits."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from rx_assistant.local.errors import ApiError, bad_request, disk_full, is_full
from rx_assistant.local.json_text import JsonObject

_MAX_FIELD_BYTES = 64 * 2**10
_MAX_PARTS = 64


@dataclass(slots=True)
class Upload:
    """The fields, brackets unfolded (`expires_after[anchor]`), and the file, at `path` until it is moved."""

    path: Path
    fields: JsonObject = field(default_factory=dict)
    filename: str | None = None
    size: int = 0
    sha256: str = ""

    def discard(self) -> None:
        """Delete the file unless it was moved."""
        self.path.unlink(missing_ok=True)


async def read_upload(request: Request, directory: Path, limit: int) -> Upload:
    """Read the request's body.

    The part named `file` goes into a file in `directory`, at most `limit` bytes. ApiError 507 if the disk is full.
    After an error, the file is deleted.
    """
    with whole_file(directory) as target:
        upload = Upload(Path(target.name))
        await _read(request, upload, target, limit)
    return upload


@contextmanager
def whole_file(directory: Path) -> Iterator[IO[bytes]]:
    """A new file in `directory` to write into: complete after the block, or deleted if the block or the disk fails."""
    target = None
    try:
        # closing the file writes the last bytes, and can fail too
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as target:
            yield target
    except BaseException as error:
        if target is not None:
            Path(target.name).unlink(missing_ok=True)
        if is_full(error):
            raise disk_full() from error
        raise


async def _read(request: Request, upload: Upload, target: IO[bytes], limit: int) -> None:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise bad_request("Expected a body of the type multipart/form-data.", code="invalid_content_type")
    reading = _Reading(upload, target, limit)
    try:
        # python-multipart declares a TypedDict
        parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise bad_request(f"We could not parse the multipart body of your request: {error}.") from error
    if not reading.ended:
        raise bad_request("The multipart body of your request breaks off.")
    reading.finish()


class _Reading:
    """The parser's callbacks, and the fields and bytes that they have collected."""

    def __init__(self, upload: Upload, target: IO[bytes], limit: int) -> None:
        self._upload = upload
        self._target = target
        self._limit = limit
        self._digest = hashlib.sha256()
        self._texts: list[tuple[str, bytearray]] = []
        self._header = [bytearray(), bytearray()]
        self._in_file = False
        self._text = bytearray()
        self._parts = 0
        self.ended = False

    def callbacks(self) -> dict[str, object]:
        """By the parser's names."""
        return {
            "on_header_field": lambda data, start, end: self._grow(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._grow(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_end": self._end,
            "on_part_begin": self._begin_part,
            "on_part_data": lambda data, start, end: self._part_data(data[start:end]),
        }

    def finish(self) -> None:
        """The whole body has arrived."""
        self._upload.sha256 = self._digest.hexdigest()
        self._upload.fields = _unfold(self._texts)

    def _grow(self, which: int, data: bytes) -> None:
        if sum(map(len, self._header)) + len(data) > _MAX_FIELD_BYTES:
            raise bad_request("A header in the multipart body is too long.")
        self._header[which] += data

    def _end(self) -> None:
        self.ended = True

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise bad_request("The multipart body has too many parts.")
        self._in_file = False
        self._text = bytearray()

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._header = [bytearray(), bytearray()]
        if name.lower() == b"content-disposition":
            self._begin_named(*parse_options_header(value))

    def _begin_named(self, _: bytes, options: dict[bytes, bytes]) -> None:
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._in_file = name == "file" and (b"filename" in options or b"filename*" in options)
        if self._in_file:
            self._upload.filename = _filename(options)
            return
        self._texts.append((name, self._text))

    def _part_data(self, data: bytes) -> None:
        if self._in_file:
            self._upload.size += len(data)
            if self._upload.size > self._limit:
                message = f"File is too large: the maximum is {self._limit} bytes."
                raise ApiError(413, message, param="file", code="file_too_large")
            self._digest.update(data)
            self._target.write(data)
            return
        if len(self._text) + len(data) > _MAX_FIELD_BYTES:
            raise bad_request("A field in the multipart body is too long.")
        self._text += data


def _filename(options: dict[bytes, bytes]) -> str:
    """The file name without directories. `filename*` is percent-encoded UTF-8."""
    extended = options.get(b"filename*")
    if extended is not None:
        name = unquote(extended.decode("ascii", "replace").rpartition("''")[2])
    else:
        name = options[b"filename"].decode("utf-8", "replace")
    return re.split(r"[\\/]", name)[-1] or "upload"


def _unfold(texts: list[tuple[str, bytearray]]) -> JsonObject:
    """`a[b]=c` becomes `{"a": {"b": "c"}}`. Numbers stay strings; the caller converts them."""
    fields: JsonObject = {}
    for name, value in texts:
        text = value.decode("utf-8", "replace")
        outer, bracket, inner = name.partition("[")
        if bracket and isinstance(fields.setdefault(outer, {}), dict):
            fields[outer][inner.rstrip("]")] = text
        else:
            fields[outer] = text
    return fields

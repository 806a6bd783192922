"""The content of a file, as it was downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from rx_assistant.http.session import Reply


class FileBytes:
    """The bytes of a file, with the methods that SDK users know."""

    def __init__(self, reply: Reply) -> None:
        self.content = reply.content
        """The bytes."""
        self.content_type: str | None = reply.headers.get("content-type")
        """The content type according to the server."""
        self.request_id = reply.request_id

    @property
    def text(self) -> str:
        """The bytes as UTF-8. Invalid bytes become U+FFFD."""
        return self.content.decode("utf-8", "replace")

    def read(self) -> bytes:
        """The bytes."""
        return self.content

    async def aread(self) -> bytes:
        """The bytes."""
        return self.content

    def json(self) -> Any:
        """The JSON value in the file. ValueError if it is not JSON."""
        return json.loads(self.content)

    def iter_bytes(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """The bytes in chunks."""
        for start in range(0, len(self.content), chunk_size):
            yield self.content[start : start + chunk_size]

    def write_to_file(self, file: str | PathLike[str]) -> None:
        """Write the bytes to a file."""
        Path(file).write_bytes(self.content)

    def stream_to_file(self, file: str | PathLike[str]) -> None:
        """`write_to_file()` under the name that older programs for the official SDK use."""
        self.write_to_file(file)

    def __repr__(self) -> str:
        return f"FileBytes({len(self.content)} bytes, {self.content_type})"

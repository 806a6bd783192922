"""The chunked coding of HTTP/1.1 (RFC 9112, section 7.1): bytes of the connection in, bytes of the body out.

All that has arrived is passed on at once, however many chunks it holds: a reader that is late catches up in one step.
Between two calls `_held` is the beginning of one line, no longer than `_LONGEST`; content is never held.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 16 * 1024  # bytes of a size line with its extensions, or of all trailers
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})[ \t]*(?:;[^\r\n\0]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:")

_IN_SIZE, _IN_CONTENT, _BEHIND_CONTENT, _IN_TRAILERS, _OVER = range(5)


class ChunkedError(Exception):
    """What arrived is not the chunked coding."""


class Chunks:
    """Takes the coding off a body, however it was cut into pieces."""

    __slots__ = ("_held", "_left", "_place", "_trailers")

    def __init__(self) -> None:
        self._place = _IN_SIZE
        self._left = 0  # bytes of the current chunk's content that have not arrived
        self._held = b""
        self._trailers = 0

    @property
    def is_over(self) -> bool:
        """Whether the last chunk and its trailers have arrived."""
        return self._place == _OVER

    @property
    def rest(self) -> bytes:
        """What arrived behind the end, which belongs to nobody."""
        return self._held if self._place == _OVER else b""

    def feed(self, data: bytes) -> bytes:
        """The content in `data`; ChunkedError when it is not coded as it should be."""
        if self._held:
            data = self._held + data
        pieces: list[bytes] = []
        at = before = 0
        while at < len(data) and self._place != _OVER:
            if self._place == _IN_SIZE:
                at = self._read_chunk(data, at, pieces)
            elif self._place == _IN_CONTENT:
                at = self._read_content(data, at, pieces)
            else:
                at = self._read_line(data, at)
            if at == before:
                break
            before = at
        self._held = data[at:]
        if len(self._held) > _LONGEST and self._place != _OVER:
            raise ChunkedError("a line of the chunked coding does not end")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take chunks that have arrived whole, and the size of the one that has not. Gives where it stopped."""
        while (end := data.find(b"\r\n", at)) >= 0:
            start = end + 2
            stop = start + _size(data[at:end])
            if stop == start or data[stop : stop + 2] != b"\r\n":
                self._left = stop - start
                self._place = _IN_CONTENT if self._left else _IN_TRAILERS
                return start
            pieces.append(data[start:stop])
            at = stop + 2
        return at

    def _read_content(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        piece = data[at : at + self._left]
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._place = _BEHIND_CONTENT
        return at + len(piece)

    def _read_line(self, data: bytes, at: int) -> int:
        """Read the end of a chunk, or a trailer; gives where the next line begins, `at` while this one has no end."""
        end = data.find(b"\r\n", at)
        if self._place == _BEHIND_CONTENT:
            if data[at : at + 2] != b"\r\n"[: len(data) - at]:
                raise ChunkedError("a chunk goes on behind its end")
            if end != at:
                return at
            self._place = _IN_SIZE
        elif end < 0:
            return at
        else:
            self._trailers += end + 2 - at
            if self._trailers > _LONGEST:
                raise ChunkedError("the trailers do not end")
            if end == at:
                self._place = _OVER
            elif not _TRAILER.match(data, at, end):
                raise ChunkedError(f"a trailer has a name and a colon, unlike {data[at:end][:40]!r}")
        return end + 2


@lru_cache(maxsize=512)
def _size(line: bytes) -> int:
    match = _SIZE.fullmatch(line)
    if match is None:
        raise ChunkedError(f"a chunk begins with its size, not with {line[:40]!r}")
    return int(match[1], 16)

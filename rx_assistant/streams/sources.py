"""Recordings as bodies: from disk, from memory or from an iterable; in chunks of any size, or at a pace."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeAlias

import anyio
import anyio.to_thread

from rx_assistant.errors import StreamTruncatedError
from rx_assistant.hot import Sleepers

Source: TypeAlias = "str | PathLike[str] | bytes | Iterable[bytes]"
AsyncSource: TypeAlias = "Source | AsyncIterable[bytes]"

_CHUNK = 64 * 1024
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST = 4  # bytes of the longest blank line


class Portions:
    """The chunks that a body returns: pieces of `size` bytes; with a pace, one event each."""

    def __init__(self, size: int | None, paced: bool) -> None:
        self._size = size
        self._paced = paced
        self._rest = bytearray()
        self._ready: deque[bytes] = deque()

    def add(self, chunk: object) -> None:
        """Add a chunk of the source. Raises TypeError if it is not bytes."""
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"each chunk of a recording must be bytes, got {type(chunk).__name__}")
        data = bytes(chunk)
        if self._paced:
            self._add_blocks(data)
        elif data:
            size = self._size or len(data)
            self._ready.extend(data[start : start + size] for start in range(0, len(data), size))

    def end(self) -> None:
        """Make the remaining bytes a portion too, because the source has ended."""
        if self._rest:
            self._ready.append(bytes(self._rest))
            self._rest.clear()

    def next(self) -> bytes:
        """Return the next portion; `b""` if a chunk must be added first."""
        return self._ready.popleft() if self._ready else b""

    def _add_blocks(self, data: bytes) -> None:
        rest = self._rest
        start = max(len(rest) - _LONGEST, 0)
        rest += data
        while (end := _end_of_block(rest, start)) > 0:
            self._ready.append(bytes(rest[:end]))
            del rest[:end]
            start = 0


def _end_of_block(data: bytearray, start: int) -> int:
    """Return where the first block ends, after its blank line; 0 without one. `start` is where the search begins."""
    ends = [at + len(mark) for mark in _BLANK_LINES if (at := data.find(mark, start)) >= 0]
    return min(ends, default=0)


class ReplayBody:
    """A recording, chunk by chunk; with a pace, event by event."""

    request_id: str | None = None
    holds_connection = False

    def __init__(self, source: Source, chunk_size: int | None, events_per_second: float | None) -> None:
        self._file: IO[bytes] | None = None
        self._chunks = self._open(source)
        self._portions = Portions(chunk_size, events_per_second is not None)
        self._pause = None if events_per_second is None else 1 / events_per_second
        self._closed = False
        self._sleepers = Sleepers()
        self._begun = False

    def read(self) -> bytes:
        if self._pause is not None and self._begun:
            self._sleepers.sleep(lambda: self._closed, self._pause)
        self._begun = True
        if self._closed:
            self._release()
            return b""
        return self.pull()

    def pull(self) -> bytes:
        """Return the next portion without waiting for its time."""
        while not (portion := self._portions.next()):
            try:
                chunk = next(self._chunks, None)
            except Exception as error:
                raise StreamTruncatedError(f"the source of the recording failed: {error!r}") from error
            if chunk is None:
                self._release()
                self._portions.end()
                return self._portions.next()
            self._portions.add(chunk)
        return portion

    def saw_event(self) -> None:
        """Do nothing: a recording has no time limits."""

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._sleepers.wake()
        self._release()

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self, source: Source) -> Iterator[bytes]:
        if isinstance(source, (bytes, bytearray, memoryview)):
            return iter((bytes(source),))
        if isinstance(source, (str, PathLike)):
            self._file = Path(source).open("rb")  # noqa: SIM115  # closed by _release()
            return iter(self._read_file, b"")
        if not isinstance(source, Iterable):
            raise TypeError(f"a recording must be a path, bytes or an iterable of bytes, got {source!r:.80}")
        return iter(source)

    def _read_file(self) -> bytes:
        file = self._file
        return b"" if file is None or file.closed else file.read(_CHUNK)


class AsyncReplayBody:
    """A recording for an event loop. A thread reads the file, and the loop waits between two events."""

    request_id: str | None = None
    holds_connection = False

    def __init__(self, source: AsyncSource, chunk_size: int | None, events_per_second: float | None) -> None:
        self._later: AsyncIterator[bytes] | None = None
        self._ready: ReplayBody | None = None
        self._on_disk = isinstance(source, (str, PathLike))
        if isinstance(source, AsyncIterable):
            self._later = aiter(source)
        else:
            self._ready = ReplayBody(source, chunk_size, events_per_second)
        self._portions = Portions(chunk_size, events_per_second is not None)
        self._pause = None if events_per_second is None else 1 / events_per_second
        self._begun = False
        self._closed = False
        self._scope: anyio.CancelScope | None = None

    async def read(self) -> bytes:
        portion = b""
        try:
            with anyio.CancelScope() as self._scope:
                if self._pause is not None and self._begun:
                    await anyio.sleep(self._pause)
                self._begun = True
                portion = b"" if self._closed else await self._next()
        finally:
            self._scope = None
        return portion

    async def _next(self) -> bytes:
        if self._ready is not None:
            return await anyio.to_thread.run_sync(self._ready.pull) if self._on_disk else self._ready.pull()
        while not (portion := self._portions.next()) and self._later is not None:
            try:
                chunk = await anext(self._later, None)
            except Exception as error:
                raise StreamTruncatedError(f"the source of the recording failed: {error!r}") from error
            if chunk is None:
                self._portions.end()
                return self._portions.next()
            self._portions.add(chunk)
        return portion

    def saw_event(self) -> None:
        """Do nothing: a recording has no time limits."""

    async def finish(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self.close_soon()
        if self._scope is not None:
            self._scope.cancel()
        close: Any = getattr(self._later, "aclose", None)
        if close is not None and self._scope is None:
            await close()

    def close_soon(self) -> None:
        self._closed = True
        if self._ready is not None:
            self._ready.close()

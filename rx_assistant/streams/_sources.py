"""Bodies that are no open response: recordings on disk, bytes in memory, iterables of chunks, events of others."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeAlias

import anyio
import anyio.to_thread

from rx_assistant.errors import RxAssistantError, StreamTruncatedError

Source: TypeAlias = "str | PathLike[str] | bytes | Iterable[bytes]"
AsyncSource: TypeAlias = "Source | AsyncIterable[bytes]"

_CHUNK = 64 * 1024


class ReplayBody:
    """A recording, chunk by chunk; with a pace, event by event."""

    request_id: str | None = None

    def __init__(self, source: Source, chunk_size: int | None, events_per_second: float | None) -> None:
        self._file: IO[bytes] | None = None
        self._chunks = self._paced(self._cut(self._open(source), chunk_size), events_per_second)
        self._pause = None if events_per_second is None else 1 / events_per_second
        self._closed = threading.Event()
        self._begun = False

    def read(self) -> bytes:
        if self._pause is not None and self._begun:
            self._closed.wait(self._pause)
        self._begun = True
        if self._closed.is_set():
            self._release()
            return b""
        return self.pull()

    def pull(self) -> bytes:
        """Give the next chunk without waiting for its time."""
        try:
            chunk = next(self._chunks, b"")
        except RxAssistantError:
            raise
        except Exception as error:
            raise StreamTruncatedError(f"the source of the recording failed: {error!r}") from error
        if not chunk:
            self._release()
        return chunk

    def saw_event(self) -> None:
        """Nothing to learn: a recording has no time limits."""

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        self._closed.set()
        self._release()

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self, source: Source) -> Iterator[bytes]:
        if isinstance(source, (bytes, bytearray, memoryview)):
            return iter((bytes(source),))
        if isinstance(source, (str, PathLike)):
            self._file = Path(source).open("rb")  # noqa: SIM115  # closed by _release()
            return iter(self._from_file, b"")
        return iter(source)

    def _from_file(self) -> bytes:
        return b"" if self._file is None or self._file.closed else self._file.read(_CHUNK)

    @staticmethod
    def _cut(chunks: Iterator[bytes], size: int | None) -> Iterator[bytes]:
        for chunk in chunks:
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise TypeError(f"a recording consists of chunks of bytes, not of {type(chunk).__name__}")
            if not chunk:
                continue
            for start in range(0, len(chunk), size or len(chunk)):
                yield bytes(chunk[start : start + (size or len(chunk))])

    @staticmethod
    def _paced(chunks: Iterator[bytes], events_per_second: float | None) -> Iterator[bytes]:
        """With a pace, give what completes one event at a time; without one, the chunks as they are."""
        if events_per_second is None:
            yield from chunks
            return
        rest = b""
        for chunk in chunks:
            rest += chunk
            while (end := _end_of_block(rest)) > 0:
                yield rest[:end]
                rest = rest[end:]
        if rest:
            yield rest


def _end_of_block(data: bytes) -> int:
    """Where the first block ends, after its blank line; 0 without one."""
    ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (at := data.find(mark)) >= 0]
    return min(ends, default=0)


class AsyncReplayBody:
    """A recording for an event loop: its file is read on a thread, its pace is kept by the loop."""

    request_id: str | None = None

    def __init__(self, source: AsyncSource, chunk_size: int | None, events_per_second: float | None) -> None:
        self._later: AsyncIterator[bytes] | None = None
        self._on_disk = isinstance(source, (str, PathLike))
        self._pause = None if events_per_second is None else 1 / events_per_second
        self._size, self._pace = chunk_size, events_per_second
        self._ready: ReplayBody | None = None
        if isinstance(source, AsyncIterable):
            self._later = aiter(source)
        else:
            self._ready = ReplayBody(source, chunk_size, events_per_second)
        self._begun = False
        self._closed = False
        self._scope: anyio.CancelScope | None = None

    async def read(self) -> bytes:
        chunk = b""
        try:
            with anyio.CancelScope() as self._scope:
                if self._pause is not None and self._begun:
                    await anyio.sleep(self._pause)
                self._begun = True
                chunk = b"" if self._closed else await self._next()
        finally:
            self._scope = None
        return chunk

    async def _next(self) -> bytes:
        while self._ready is None or not (chunk := await self._pull(self._ready)):
            if self._later is None:
                return b""
            try:
                fresh = await anext(self._later, None)
            except Exception as error:
                raise StreamTruncatedError(f"the source of the recording failed: {error!r}") from error
            if fresh is None:
                return b""
            self._ready = ReplayBody(fresh if isinstance(fresh, bytes) else [fresh], self._size, self._pace)
        return chunk

    async def _pull(self, body: ReplayBody) -> bytes:
        return await anyio.to_thread.run_sync(body.pull) if self._on_disk else body.pull()

    def saw_event(self) -> None:
        """Nothing to learn: a recording has no time limits."""

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

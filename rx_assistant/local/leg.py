"""One stretch of a run as a log of frames that any number of readers follow: from its creation to the end or to
requires_action, and again from each submit_tool_outputs.

The run appends and never waits. Readers are positions in the log, so a slow or vanished one costs nothing; a reader
that connects later (the same Idempotency-Key) begins at the first frame. A log that grows past `limit` bytes forgets
its oldest frames, and readers that were not past them lose their connection.

On a durable server a leg has a `Spool`, a file that takes each frame before any reader can get it. After a crash the
frames tell what readers had seen. The file is deleted when the leg has ended and no idempotency key refers to it.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from pathlib import Path

from rx_assistant.local import json_text

_SLICE = 64 * 2**10
DONE = b"event: done\ndata: [DONE]\n\n"


class CutError(Exception):
    """The connection is to break here, without an ending."""


class Spool:
    """The file of a leg's frames. `write` raises OSError once if the disk refuses; nothing is written after that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_wanted = False  # a key refers to it: it stays after the leg's end
        self._file: io.FileIO | None = None
        self._refused = False

    def restore(self) -> bytes:
        """The frames that the file holds. Half a frame at its end, which a crash may leave, is cut off."""
        try:
            held = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        whole = held[: held.rfind(b"\n\n") + 2]
        if len(whole) < len(held):
            os.truncate(self.path, len(whole))
        return whole

    def write(self, frame: bytes) -> None:
        """Appends to the file."""
        if self._refused:
            return
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            self._file.write(frame)
        except OSError:
            self._refused = True
            raise

    def close(self) -> None:
        """Closes the file and keeps it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def end(self) -> None:
        """Closes the file, and deletes it unless it is wanted."""
        self.close()
        if not self.is_wanted:
            self.discard()

    def discard(self) -> None:
        """Deletes the file."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class Leg:
    """Frames in order; `end()` is the last word. A leg begins with the frames that its spool holds already."""

    def __init__(self, limit: int = 64 * 2**20, spool: Spool | None = None) -> None:
        self.size = 0
        self.ended = False
        self.spool = spool
        self._limit = limit
        self._frames: list[bytes | None] = []
        self._forgotten = 0
        self._changed = asyncio.Event()
        if spool is not None and (restored := spool.restore()):
            self._frames.append(restored)
            self.size = len(restored)

    def frames(self) -> bytes:
        """All frames that are not forgotten."""
        return b"".join(frame for frame in self._frames if frame is not None)

    def emit(self, name: str, value: object) -> None:
        """Appends one event with `value` as its JSON."""
        self.append(b"event: %s\ndata: %s\n\n" % (name.encode(), json_text.encode(value)))

    def append(self, frame: bytes) -> None:
        """Appends bytes as they are; after the end, nothing. OSError, once, if the disk does not take them."""
        if self.ended:
            return
        try:
            if self.spool is not None:
                self.spool.write(frame)
        finally:
            self._put(frame)
        self.size += len(frame)
        if self.size > self._limit:
            self._forget()

    def cut(self) -> None:
        """Whoever reads up to here loses the connection."""
        if not self.ended:
            self._put(None)

    def end(self, done: bool = True) -> None:
        """Nothing more will come; `done` adds the last frame of a good ending. A second end changes nothing."""
        if self.ended:
            return
        if done:
            with suppress(OSError):  # present readers get the frame, those after a restart do not
                self.append(DONE)
        self.ended = True
        if self.spool is not None:
            self.spool.end()
        self._wake()

    def abandon(self) -> None:
        """The server stops: readers lose their connection, and the spool stays for the next start."""
        if not self.ended:
            self.cut()
            self.ended = True
            if self.spool is not None:
                self.spool.close()
            self._wake()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The frames from the first on, as they come; those that are waiting are joined. CutError breaks the stream."""
        position = 0
        while True:
            changed = self._changed
            frames, position = self._from(position)
            if frames:
                for joined in _joined(frames):
                    yield joined
            elif self.ended:
                return
            else:
                await changed.wait()

    def _from(self, position: int) -> tuple[list[bytes | None], int]:
        if position < self._forgotten:
            raise CutError
        return self._frames[position - self._forgotten :], self._forgotten + len(self._frames)

    def _forget(self) -> None:
        """Drops at least a quarter of the limit, so that dropping costs little per frame."""
        kept = 0
        while self.size > self._limit * 3 // 4 and kept < len(self._frames) - 1:
            self.size -= len(self._frames[kept] or b"")
            kept += 1
        del self._frames[:kept]
        self._forgotten += kept

    def _put(self, frame: bytes | None) -> None:
        self._frames.append(frame)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _joined(frames: list[bytes | None]) -> Iterator[bytes]:
    """The frames in slices of about 64 KiB; CutError where there is a cut."""
    waiting: list[bytes] = []
    size = 0
    for frame in frames:
        if frame is not None:
            waiting.append(frame)
            size += len(frame)
        if frame is None or size >= _SLICE:
            if waiting:
                yield b"".join(waiting)
            if frame is None:
                raise CutError
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)

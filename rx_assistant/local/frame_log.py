"""The frames of one event stream, which any number of readers follow.

A run has one log from its creation to its end or to requires_action, and a new one after each submit_tool_outputs. The
run appends and never waits. A reader is a position in the log, so a slow or lost reader costs nothing. A reader that
connects later (with the same Idempotency-Key) begins at the first frame. A log that grows past `limit` bytes drops its
oldest frames. Readers that have not read those frames lose their connection.

On a durable server a log has a `Spool`, a file that gets each frame before any reader. Frames that are appended in one
turn of the event loop are written in one piece: before a reader takes them, before the run stores anything, or else at
the end of the turn. After a crash, the file shows what readers may have seen. It is deleted when the log has ended and
no idempotency key refers to it.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from rx_assistant.local import json_text

_SLICE = 64 * 2**10
DONE = b"event: done\ndata: [DONE]\n\n"


def frame(name: str, data: bytes) -> bytes:
    """One event. `data` is one line of JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


class CutError(Exception):
    """The connection must break here, without an ending."""


class Spool:
    """The file of a log. If the disk refuses a write, `check` raises its OSError once, and nothing more is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_wanted = False  # an idempotency key refers to it: it stays after the end of the log
        self._file: io.FileIO | None = None
        self._refused = False
        self._error: OSError | None = None

    def restore(self) -> bytes:
        """The frames in the file. An incomplete frame at its end, which a crash may leave, is cut off."""
        try:
            held = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        whole = held[: held.rfind(b"\n\n") + 2]
        if len(whole) < len(held):
            os.truncate(self.path, len(whole))
        return whole

    def check(self) -> None:
        """Raise the error of an earlier write."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def write(self, frames: bytes) -> None:
        """Append to the file."""
        if self._refused:
            return
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            left = memoryview(frames)
            while left:  # a disk that gets full takes a part
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            self._refused, self._error = True, error

    def close(self) -> None:
        """Close the file and keep it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def end(self) -> None:
        """Close the file, and delete it unless it is wanted."""
        self.close()
        if not self.is_wanted:
            self.discard()

    def discard(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class FrameLog:
    """Frames in order. After `end()`, nothing is appended. A log begins with the frames that its spool holds."""

    def __init__(self, limit: int = 64 * 2**20, spool: Spool | None = None) -> None:
        self.size = 0
        self.ended = False
        self.spool = spool
        self._limit = limit
        self._frames: list[bytes | None] = []
        self._forgotten = 0
        self._written = 0  # the position up to which the spool has the frames
        self._is_due = False  # `write` will be called at the end of this turn of the event loop
        self._changed: asyncio.Event | None = None  # while a reader waits
        if spool is not None and (restored := spool.restore()):
            self._frames.append(restored)
            self._written = 1
            self.size = len(restored)

    def joined(self) -> bytes:
        """All frames that were not dropped, joined."""
        return b"".join(frame for frame in self._frames if frame is not None)

    def emit(self, name: str, value: object) -> None:
        """Append one event with `value` as its JSON."""
        self.append(frame(name, json_text.encode(value)))

    def append(self, frame: bytes) -> None:
        """Append bytes unchanged; after the end, nothing. Raises OSError, once, after the disk has refused some."""
        if self.ended:
            return
        self._frames.append(frame)
        if self._changed is not None:
            self.wake()
        self.size += len(frame)
        if self.size > self._limit:
            self._forget()
        if self.spool is not None and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.write)
            self.spool.check()

    def write(self) -> None:
        """Write the frames that the spool does not have yet."""
        if self.spool is not None and self._is_due:
            self._is_due = False
            frames, self._written = self._from(self._written)
            self.spool.write(b"".join(frame for frame in frames if frame is not None))

    def cut(self) -> None:
        """Break the connection of each reader that reads up to this position."""
        if not self.ended:
            self._frames.append(None)
            self.wake()

    def end(self, done: bool = True) -> None:
        """End the log. `done` adds the last frame of a good ending. A second call changes nothing."""
        if self.ended:
            return
        if done:
            with suppress(OSError):  # connected readers get the frame; readers after a restart do not
                self.append(DONE)
        self.ended = True
        if self.spool is not None:
            if self.spool.is_wanted:
                self.write()
            self._is_due = False
            self.spool.end()
        self.wake()

    def abandon(self) -> None:
        """Stop with the server: readers lose their connection, and the spool stays for the next start."""
        if not self.ended:
            self.cut()
            self.ended = True
            self.write()
            if self.spool is not None:
                self.spool.close()
            self.wake()

    async def read(self, has_left: Callable[[], bool] = lambda: False) -> AsyncGenerator[bytes, None]:
        """The frames from the first on, as they come. Frames that wait are joined. Raises CutError at a cut.

        It ends early if, after a `wake()`, `has_left` says that the reader has left.
        """
        position = 0
        while True:
            frames, position = self._from(position)
            if frames:
                self.write()
                for joined in _joined(frames):
                    yield joined
            elif self.ended or has_left():
                return
            else:
                self._changed = changed = self._changed or asyncio.Event()
                await changed.wait()

    def _from(self, position: int) -> tuple[list[bytes | None], int]:
        if position < self._forgotten:
            raise CutError
        return self._frames[position - self._forgotten :], self._forgotten + len(self._frames)

    def _forget(self) -> None:
        """Drop at least a quarter of the limit, so that dropping costs little per frame."""
        self.write()
        kept = 0
        while self.size > self._limit * 3 // 4 and kept < len(self._frames) - 1:
            self.size -= len(self._frames[kept] or b"")
            kept += 1
        del self._frames[:kept]
        self._forgotten += kept

    def wake(self) -> None:
        """Let each reader that waits look at the log again."""
        changed, self._changed = self._changed, None
        if changed is not None:
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

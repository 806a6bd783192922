"""One stretch of a run as a log of frames that any number of readers follow: from its creation to the end or to
requires_action, and again from each submit_tool_outputs.

The run appends and never waits. Readers are positions in the log, so a slow or vanished one costs nothing; a reader
that connects later (the same Idempotency-Key) begins at the first frame. A log that grows past `limit` bytes forgets
its oldest frames, and readers that were not past them lose their connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator

from rx_assistant.local import json_text

_SLICE = 64 * 2**10
DONE = b"event: done\ndata: [DONE]\n\n"


def frame(name: str, value: object) -> bytes:
    """One event with `value` as its JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json_text.encode(value))


class CutError(Exception):
    """The connection is to break here, without an ending."""


class Leg:
    """Frames in order; `end()` is the last word."""

    def __init__(self, limit: int = 64 * 2**20) -> None:
        self.size = 0
        self.ended = False
        self._limit = limit
        self._frames: list[bytes | None] = []
        self._forgotten = 0
        self._changed: asyncio.Event | None = None  # while a reader waits

    def emit(self, name: str, value: object) -> None:
        """Appends one event with `value` as its JSON."""
        self.append(frame(name, value))

    def append(self, frame: bytes) -> None:
        """Appends bytes as they are; after the end, nothing."""
        if self.ended:
            return
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
            self.append(DONE)
        self.ended = True
        self._wake()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The frames from the first on, as they come; those that are waiting are joined. CutError breaks the stream."""
        position = 0
        while True:
            frames, position = self._from(position)
            if frames:
                for joined in _joined(frames):
                    yield joined
            elif self.ended:
                return
            else:
                self._changed = changed = self._changed or asyncio.Event()
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

"""Writes the frames of a stream to a file as they arrive. Replaying the file gives equal events, also after a break."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from os import SEEK_END, PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rx_assistant.events import frame

if TYPE_CHECKING:
    from rx_assistant.events import Kind

_log = logging.getLogger("rx_assistant")


class Recording:
    """A file to which a stream writes each frame as it arrives. `path` is its path.

    If writing fails, for example because the disk is full, the recording ends and the stream continues. `error` is the
    OSError then, else None.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        if not isinstance(path, str | PathLike):
            raise TypeError(f"a recording must be a path or a Recording, got {path!r:.80}")
        self.path = Path(path)
        self.error: OSError | None = None
        self._file = self.path.open("wb", buffering=0)
        self._lock = threading.RLock()  # never taken twice; this kind knows whether the caller holds it
        self._later: deque[Callable[[], None]] = deque()  # what a finalizer asked for while its thread was writing
        self._streams = 1  # how many write to it: a run's next stream may begin before the last one has ended
        self._end: int | None = None

    def go_on(self) -> None:
        """Accept the frames of another stream, which continues the last one. The ending in the file is removed."""
        with self._lock:
            self._streams += 1
            if self.error is None and self._file.closed:
                self._file = self.path.open("r+b", buffering=0)
                self._file.seek(0, SEEK_END)
                if self._end is not None:
                    self._file.truncate(self._end)
                    self._file.seek(self._end)

    def write(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        """Write one frame per event, in one call."""
        frames = b"".join([frame(kind(payload)) for kind, payload in zip(kinds, payloads, strict=True)])
        self._do(partial(self._write, frames))

    def end(self, last: bytes) -> None:
        """Write the last frame of a stream that has ended, and close the file, unless another stream still writes."""
        self._do(partial(self._leave, last))

    def _do(self, step: Callable[[], None]) -> None:
        """Take a step, alone. A step that interrupts another one on this thread is taken after it."""
        if cast("Any", self._lock)._is_owned():
            self._later.append(step)
            return
        with self._lock:
            step()
        while self._later:
            with self._lock:
                if self._later:
                    self._later.popleft()()

    def _leave(self, last: bytes) -> None:
        self._streams -= 1
        if self._streams > 0 or self._file.closed:
            return
        if last:
            self._end = self._file.tell() if self._file.seekable() else None
            self._write(last)
        self._file.close()

    def _write(self, frames: bytes) -> None:
        if self.error is not None or self._file.closed:
            return
        try:
            rest = memoryview(frames)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
            self._file.close()
            _log.warning("recording to %s ended early: %s", self.path, error)


def unfinished(name: bytes, data: bytes) -> bytes:
    """Return the bytes of a last block whose blank line is missing."""
    fields = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    return (b"event: " + name + b"\n" if name else b"") + fields

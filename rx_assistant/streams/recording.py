"""A stream's frames on disk as they arrive. What arrived before a break is on disk, and replays to equal events."""

from __future__ import annotations

import logging
import threading
from os import SEEK_END, PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from rx_assistant.events import frame

if TYPE_CHECKING:
    from rx_assistant.events import Kind

_log = logging.getLogger("rx_assistant")


class Recording:
    """A file that gets every frame at its arrival. A full disk ends the recording, not the stream.

    `error` is the reason why writing ended early; None if it did not.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        if not isinstance(path, str | PathLike):
            raise TypeError(f"a recording must be the path of a file, got {path!r:.80}")
        self.path = Path(path)
        self.error: OSError | None = None
        self._file = self.path.open("wb", buffering=0)
        self._lock = threading.Lock()
        self._streams = 1  # how many write to it: a run's next stream may begin before the last one has ended
        self._end: int | None = None

    def go_on(self) -> None:
        """Accept the frames of one more stream, which continues the last one; the ending so far is removed."""
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
        with self._lock:
            self._write(b"".join([frame(kind(payload)) for kind, payload in zip(kinds, payloads, strict=True)]))

    def end(self, last: bytes) -> None:
        """One stream has ended: write its last frame and close the file, unless another stream still writes."""
        with self._lock:
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
    """Return a last block that had no blank line, again without one."""
    fields = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    return (b"event: " + name + b"\n" if name else b"") + fields

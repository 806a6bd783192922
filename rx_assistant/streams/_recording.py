"""A stream's frames on disk, as they arrive: what arrived survives a break, and replays to equal events."""

from __future__ import annotations

import logging
from os import SEEK_END, PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from rx_assistant.events import DoneEvent, frame

if TYPE_CHECKING:
    from rx_assistant.events import Kind

_log = logging.getLogger("rx_assistant")


class Recording:
    """A file that gets every frame at its arrival. A disk that fills up ends the recording, not the stream.

    `error` says why writing ended early; None while all is well.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.error: OSError | None = None
        self._file = self.path.open("wb", buffering=0)
        self._end: int | None = None

    def go_on(self) -> None:
        """Open the file again for the stream that continues the last one; its `done` is taken back."""
        if self.error is None and self._file.closed:
            self._file = self.path.open("r+b", buffering=0)
            self._file.seek(0, SEEK_END)
            if self._end is not None:
                self._file.truncate(self._end)
                self._file.seek(self._end)
                self._end = None

    def write(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        """Write one frame per event, in one go."""
        frames = [frame(kind(payload)) for kind, payload in zip(kinds, payloads, strict=True)]
        if DoneEvent in kinds and not self._file.closed:
            self._end = self._file.tell() + sum(map(len, frames[: kinds.index(DoneEvent)]))
        self._write(b"".join(frames))

    def write_rest(self, name: bytes, data: bytes) -> None:
        """Write a last block that had no blank line, again without one."""
        lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
        self._write((b"event: " + name + b"\n" if name else b"") + lines)

    def close(self) -> None:
        """Close the file; idempotent."""
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

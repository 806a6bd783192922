"""The files that code has written, read without following links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from stat import S_ISREG
from typing import Final

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Collected:
    """The files in a folder that are new or changed since the last look, within limits of number and size."""

    def __init__(self, folder: str, most_files: int, most_bytes: int) -> None:
        self._folder, self._most_files, self._most_bytes = folder, most_files, most_bytes
        self._known: dict[str, tuple[int, int, int]] = {}

    def forget(self) -> None:
        """Ignore all present files from now on."""
        for _, file in self._new():
            os.close(file)

    def take(self) -> tuple[list[tuple[str, bytes]], list[str]]:
        """The new files, and the names of those beyond the limits."""
        found: list[tuple[str, bytes]] = []
        left_out: list[str] = []
        room = self._most_bytes
        for name, file in self._new():
            with open(file, "rb", buffering=0) as content:
                size = os.fstat(file).st_size
                if len(found) == self._most_files or size > room:
                    left_out.append(name)
                    continue
                room -= size
                found.append((name, content.read(size)))
        return found, left_out[: self._most_files]

    def _new(self) -> Iterator[tuple[str, int]]:
        """Each new or changed file with a descriptor, which the caller closes. Hidden files and links are left out."""
        if not os.path.isdir(self._folder):  # unconfined code can delete it
            return
        for path, folders, names, at in os.fwalk(self._folder):
            folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
            for name in sorted(names):
                place = os.path.relpath(os.path.join(path, name), self._folder)
                with suppress(OSError):
                    found = os.stat(name, dir_fd=at, follow_symlinks=False)
                    mark = (found.st_ino, found.st_size, found.st_mtime_ns)
                    if name[0] != "." and S_ISREG(found.st_mode) and self._known.get(place) != mark:
                        self._known[place] = mark
                        yield _printable(place), os.open(name, _FLAGS, dir_fd=at)


def _printable(name: str) -> str:
    """The name with U+FFFD in the place of control characters and of bytes that are not UTF-8."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

"""A data directory as JSON Lines, also while a server uses it. `importing` reads it again.

The first line names the format. Then each line is an object in the API's own shape, in the order of the server's lists.
Values that the API does not show are in the field `rx_assistant`. The bytes of files are copied into a folder beside
the output. Objects whose parent was deleted are left out.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.directory import check_data
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.moving import shapes
from rx_assistant.local.moving.importing import files_folder
from rx_assistant.local.moving.report import Progress, Report
from rx_assistant.local.store import Store
from rx_assistant.local.vector_stores import counted

_STEP = 500
_PARENTS = {
    "message": "thread",
    "run": "thread",
    "step": "run",
    "vector_store.file": "vector_store",
    "vector_store.file_batch": "vector_store",
    "batch_member": "vector_store.file_batch",
}
_NO_BYTES = "the bytes of a file were not found: only its record is exported"


def export(
    data: str | os.PathLike[str], out: str | os.PathLike[str] | IO[bytes], progress: Progress | None = None
) -> Report:
    """Write the current objects of the data directory to `out`, and return a report.

    A path is replaced when the export is complete, and gets the bytes of files into a folder beside it: `all-files` for
    `all.jsonl`. A stream gets no bytes of files. ConfigurationError if `data` is not a data directory, or the
    folder of `out` does not exist.
    """
    directory = Path(data).expanduser()
    check_data(directory)
    with closing(Store(directory / "objects.sqlite", read_only=True)) as store:
        exporting = _Export(directory / "files", store, progress)
        if not isinstance(out, str | os.PathLike):
            exporting.write(out, None)
            return exporting.report
        path = Path(out)
        if not path.parent.is_dir():
            raise ConfigurationError(f"out must be a file in an existing directory, got {path}")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as target:
            try:
                exporting.write(target, files_folder(path))
                target.close()
                Path(target.name).replace(path)
            except BaseException:
                Path(target.name).unlink(missing_ok=True)
                raise
        return exporting.report


class _Export:
    def __init__(self, files: Path, store: Store, progress: Progress | None) -> None:
        self.report = Report()
        self._files = files
        self._store = store
        self._progress = progress or (lambda what, done, total: None)

    def write(self, out: IO[bytes], folder: Path | None) -> None:
        """Write all lines, and the bytes of files into `folder`."""
        total = self._store.total()
        out.write(_line({"object": shapes.HEADER, "version": shapes.VERSION}))
        for number, (kind, value) in enumerate(self._values()):
            if number % _STEP == 0:
                self._progress("exporting", number, total)
            if kind == "file" and folder is not None:
                self._copy(value, folder)
            out.write(_line(value))
            self.report.moved[kind] += 1
        out.flush()
        self._progress("exporting", total, total)

    def _values(self) -> Iterator[tuple[str, JsonObject]]:
        deleted = {id for kind, parents in _PARENTS.items() for id in self._store.orphans(kind, parents)}
        for kind, parent, value, notes in self._store.everything():
            if not deleted.isdisjoint((parent, value.get("thread_id"), value.get("vector_store_id"))):
                continue
            if kind == "vector_store":
                value = counted(self._store, value)
            ours: JsonObject = {"notes": notes} if any(notes.values()) else {}
            if kind == "batch_member":
                ours["batch"] = parent
            yield kind, {**value, shapes.OURS: ours} if ours else value

    def _copy(self, file: JsonObject, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            shutil.copyfile(self._files / file["id"], folder / file["id"])
        except FileNotFoundError:
            self.report.remark(_NO_BYTES, file["id"])


def _line(value: JsonObject) -> bytes:
    return json.dumps(value).encode() + b"\n"

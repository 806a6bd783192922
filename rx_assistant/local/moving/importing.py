"""Files of objects into a data directory that no server uses.

First every object is staged in a temporary table, which SQLite keeps on the disk. Then all of them are placed: by
`created_at`, and for equal times in the order of the files. So a list shows the original order, also beside objects
that the directory already has. Staged objects are moved in one transaction: a failed import leaves nothing.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path, PurePath

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.directory import DataDirectory, sync_file
from rx_assistant.local.errors import ApiError
from rx_assistant.local.files import UNREADABLE
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.moving import shapes
from rx_assistant.local.moving.reading import Record, records
from rx_assistant.local.moving.report import Progress, Report
from rx_assistant.local.moving.shapes import NOT_IMPORTED, Item, Unfit
from rx_assistant.local.moving.staging import Staging
from rx_assistant.local.store import Store
from rx_assistant.local.uploads import whole_file

_AT_ONCE = 1000
_LONGEST_NAME = 255
_NO_BYTES = "the bytes of the file were not found: it is imported without them, with the status 'error'"
_FAILED = "the bytes of a vector store's file are missing: its status is 'failed'"
_TWICE = "the object is given more than once: the last one is imported"
_DIFFERENT = "already there, with other content"
_SAME = "already there"


def import_files(
    data: str | os.PathLike[str], files: Iterable[str | os.PathLike[str]], progress: Progress | None = None
) -> Report:
    """Add the objects of the files to the data directory, and return a report.

    Objects that the directory already has are not changed. ConfigurationError if a server uses the directory, or if an
    export is newer than this program; OSError if a file cannot be read.
    """
    directory = DataDirectory(data)
    try:
        with closing(Store(directory.objects)) as store:
            importing = _Import(directory, store, progress)
            importing.read([Path(file) for file in files])
            importing.finish()
            directory.sync()
            return importing.report
    except (sqlite3.OperationalError, ApiError) as error:
        raise OSError(f"the import has failed and changed nothing: {error}") from error
    finally:
        directory.close()


class _Import:
    def __init__(self, data: DataDirectory, store: Store, progress: Progress | None) -> None:
        self.report = Report()
        self._data = data
        self._store = store
        self._staging = Staging(store)
        self._progress = progress or (lambda what, done, total: None)
        self._shown = 0
        self._latest = 0
        self._in_order = False

    def read(self, paths: Sequence[Path]) -> None:
        """Stage the objects of all files."""
        total, before = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            self._latest, self._in_order = 0, False
            with self._staging.file():
                reached = partial(self._reached, before, total)
                for record in records(path, self.report, reached):
                    self._stage(record, path)
            before += path.stat().st_size
        self._progress("reading", total, total)

    def _reached(self, before: int, total: int, done: int) -> None:
        if before + done >= self._shown + total / 200:
            self._shown = before + done
            self._progress("reading", self._shown, total)

    def _stage(self, record: Record, path: Path) -> None:
        value = record.value
        if value.get("object") == shapes.HEADER:
            self._in_order = True
            if value.get("version") != shapes.VERSION:
                raise ConfigurationError(
                    f"{path} has version {value.get('version')} of the export format, and this program knows version"
                    f" {shapes.VERSION}: use the newer rx_assistant that wrote it"
                )
            return
        content = value.pop("content", None) if value.get("object") == "file" else None
        try:
            item = shapes.item(value, self._latest)
            if item.kind == "file":
                self._place_bytes(item.value, content, path, record)
        except Unfit as unfit:
            self.report.skip(str(unfit), _example(record))
            return
        for remark in item.remarks:
            self.report.remark(remark, _example(record))
        # An export is in the order of the server's lists, also where a clock was set back.
        self._latest = max(self._latest, item.created) if self._in_order else item.created
        if not self._staging.add(item, self._latest):
            self.report.remark(_TWICE, _example(record))

    # The bytes of files

    def _place_bytes(self, file: JsonObject, content: object, path: Path, record: Record) -> None:
        """Write the bytes under their id. Bytes without a record are deleted at the next start of the server."""
        known = self._store.get("file", file["id"])
        if known is not None and known["status"] != "error":
            return
        source = None if content is not None else _beside(path, file)
        if source is None and not isinstance(content, str):
            file |= UNREADABLE
            self.report.remark(_NO_BYTES, _example(record))
            return
        with whole_file(self._data.files) as target:
            if source is not None:
                with source.open("rb") as given:
                    shutil.copyfileobj(given, target, 2**20)
            else:
                target.write(_decoded(str(content)))
            file["bytes"] = target.tell()
        sync_file(Path(target.name))
        Path(target.name).replace(self._data.files / file["id"])
        if file["status"] == UNREADABLE["status"] and file["status_details"] == UNREADABLE["status_details"]:
            file |= {"status": "processed", "status_details": None}

    # After the last file

    def finish(self) -> None:
        """Add missing parents to the staged objects, and move them all into the store."""
        with self._store.atomic():
            self._add_parents()
            self._check_members()
            self._heal()
            for kind, parent, id in self._staging.known(same=True):
                self.report.keep(_SAME, _named(kind, parent, id))
            for kind, parent, id in self._staging.known(same=False):
                self.report.keep(_DIFFERENT, _named(kind, parent, id))
            self._staging.drop_known()
            for kind, count in self._staging.counts():
                self.report.moved[kind] += count
            self._progress("storing", 0, 1)
            self._staging.move()
        self._progress("storing", 1, 1)

    def _add_parents(self) -> None:
        for step_run, created, body in self._staging.absent("step", "run"):
            self._add("run", shapes.new_run(step_run, created, body), created, "thread_id")
        for kind in ("message", "run"):
            for thread, created, _ in self._staging.absent(kind, "thread"):
                self._add("thread", shapes.new_thread(thread, created), created)
        for kind in ("vector_store.file", "vector_store.file_batch"):
            for store, created, _ in self._staging.absent(kind, "vector_store"):
                self._add("vector_store", shapes.new_vector_store(store, created), created)

    def _add(self, kind: str, value: JsonObject, created: int, parent: str | None = None) -> None:
        self._staging.add(Item(kind, "" if parent is None else value[parent], value, {}, created), created)
        noun = kind.replace("_", " ")
        self.report.remark(f"a {noun} was not in the files: it is created for its objects", value["id"])

    def _check_members(self) -> None:
        """Files of vector stores are ingested at the next start of the server, if their bytes are there."""
        for number, value in self._staging.each(("vector_store.file", "batch_member"), _AT_ONCE):
            is_ours = value["last_error"] == NOT_IMPORTED
            if value["status"] not in ("completed", "in_progress") and not is_ours:
                continue
            if self._is_readable(value["id"]):
                self._staging.replace(number, {**value, "status": "in_progress", "last_error": None, "usage_bytes": 0})
            else:
                self.report.remark(
                    "the bytes of a vector store's file are missing: its status is 'failed'", value["id"]
                )
                failed = {**value, "status": "failed", "last_error": dict(NOT_IMPORTED), "usage_bytes": 0}
                self._staging.replace(number, failed)

    def _is_readable(self, file_id: str) -> bool:
        file = self._staging.get("file", file_id)
        known = self._store.get("file", file_id)
        return any(value is not None and value["status"] != "error" for value in (file, known))

    def _heal(self) -> None:
        """Files whose bytes were missing at an earlier import and are present now."""
        for _, value in self._staging.each(("file",), _AT_ONCE):
            known = self._store.get("file", value["id"])
            if known is not None and known["status"] == "error" and value["status"] != "error":
                self._store.put("file", value)
                self.report.remark("the bytes of a file that was there without them are added", value["id"])
        for _, value in self._staging.each(("vector_store.file",), _AT_ONCE):
            known = self._store.get("vector_store.file", value["id"], value["vector_store_id"])
            if known is not None and known["last_error"] == NOT_IMPORTED and value["status"] == "in_progress":
                self._store.put("vector_store.file", value, value["vector_store_id"])


def _named(kind: str, parent: str, id: str) -> str:
    return f"{kind} {id}"


def _example(record: Record) -> str:
    id = record.value.get("id", record.value.get("message_id"))
    return f"{record.place} ({id[:80]})" if isinstance(id, str) else record.place


def _beside(path: Path, file: JsonObject) -> Path | None:
    """The file's bytes beside the JSON: by id or by name, and of the recorded size if there is one."""
    for place in _places(path, file):
        if place.is_file() and file["bytes"] in (0, place.stat().st_size):
            return place
    return None


def _places(path: Path, file: JsonObject) -> Iterator[Path]:
    name = PurePath(file["filename"]).name
    names = [file["id"], file["id"] + PurePath(name).suffix, *([name] if name == file["filename"] else [])]
    names = [name for name in names if name.isprintable() and len(name.encode()) <= _LONGEST_NAME]
    for folder in (files_folder(path), path.parent / "files", path.parent):
        yield from (folder / name for name in names)


def files_folder(path: Path) -> Path:
    """The folder of the files' bytes beside an export: `all-files` for `all.jsonl`."""
    return path.with_name(f"{path.stem}-files")


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Unfit("content must be base64") from None

"""Files: their bytes in a directory, their records in the store.

A durable server passes the directory. Otherwise it is a temporary directory. `close` deletes it; without `close`, it is
deleted when this object is garbage-collected or the process ends.

Bytes are written before the record, and the record is deleted before the bytes. So a killed server leaves at most bytes
without a record, which `tidy` deletes at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path, PurePath

from rx_assistant.local import objects
from rx_assistant.local.directory import DataDirectory, sync_file
from rx_assistant.local.errors import ApiError, bad_request
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.retrieval.extraction import is_searchable
from rx_assistant.local.store import Store
from rx_assistant.local.uploads import Upload, whole_file

UNREADABLE = {
    "status": "error",
    "status_details": "The bytes of this file are missing or incomplete on the server's disk.",
}
"""The fields of a file without its bytes."""

_log = logging.getLogger("rx_assistant.local")


class Files:
    """The files of one server. A temporary directory is created for the first file."""

    def __init__(self, store: Store, data: DataDirectory | None = None) -> None:
        self._store = store
        self._data = data
        self._directory = None if data is None else data.files
        self._deletion: Callable[[], object] | None = None

    @property
    def directory(self) -> Path:
        """The directory of the bytes, with one file per id."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="rx_assistant-"))
            self._deletion = weakref.finalize(self, _delete, self._directory, os.getpid())
        return self._directory

    def close(self) -> None:
        """Delete a temporary directory."""
        if self._deletion is not None:
            self._deletion()

    def path(self, file_id: str) -> Path:
        """The path of the file's bytes."""
        return self.directory / file_id

    def add(self, written: Path, filename: str, purpose: str, lifetime: int | None = None) -> JsonObject:
        """Register a file that was written to disk. `lifetime` is in seconds."""
        created = objects.now()
        value: JsonObject = {
            "object": "file",
            "id": new_id("file-"),
            "purpose": purpose,
            "filename": filename,
            "bytes": written.stat().st_size,
            "created_at": created,
            "expires_at": None if lifetime is None else created + lifetime,
            "status": "processed",
            "status_details": None,
        }
        written.rename(self.path(value["id"]))
        self._renamed()
        self._store.put("file", value)
        return value

    def _renamed(self) -> None:
        if self._data is not None:
            self._data.renamed()

    async def synced(self, written: Path) -> None:
        """Sync the bytes of a durable server's file, before `add` gives them their name."""
        if self._data is not None:
            await asyncio.to_thread(sync_file, written)

    def tidy(self) -> None:
        """Delete bytes without a record, and mark files with missing or incomplete bytes."""
        left = {path.name: path for path in self.directory.iterdir()}
        for value in self._store.each("file", ""):
            path = left.pop(value["id"], None)
            is_whole = path is not None and path.stat().st_size == value["bytes"]
            if not is_whole and value["status"] != UNREADABLE["status"]:
                _log.error("%s (%s): its bytes are missing or incomplete", value["id"], value["filename"])
                self._store.put("file", {**value, **UNREADABLE})
        for path in left.values():
            path.unlink(missing_ok=True)

    async def add_bytes(self, content: bytes, filename: str, purpose: str) -> JsonObject:
        """Store new bytes as a file."""
        with whole_file(self.directory) as target:
            target.write(content)
        upload = Upload(Path(target.name))
        try:
            await self.synced(upload.path)
            return self.add(upload.path, filename, purpose)
        finally:
            upload.discard()

    def find(self, file_id: str, param: str | None = "id") -> JsonObject:
        """The file. Raises 404 if it does not exist. An expired file is deleted first."""
        value = self._store.get("file", file_id)
        if value is not None and _is_over(value):
            self.delete(file_id)
            value = None
        if value is None:
            raise ApiError(404, f"No such File object: {file_id}", param=param)
        return value

    def find_searchable(self, file_id: str, param: str) -> JsonObject:
        """The file. Raises 400 if file search does not accept files of this kind."""
        value = self.find(file_id, param)
        if not is_searchable(value["filename"]):
            ending = PurePath(value["filename"]).suffix
            message = f"Files with extensions [{ending}] are not supported for retrieval."
            raise bad_request(message, param, "unsupported_file")
        return value

    def purge(self) -> None:
        """Delete the expired files."""
        for value in list(self._store.each("file", "")):
            if _is_over(value):
                self.delete(value["id"])

    def delete(self, file_id: str) -> None:
        """Delete the bytes and the record."""
        self._store.delete("file", file_id)
        self.path(file_id).unlink(missing_ok=True)
        self._renamed()


def _delete(directory: Path, owner: int) -> None:
    """Delete the directory, but not in a forked child process."""
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


def _is_over(file: JsonObject) -> bool:
    return file["expires_at"] is not None and file["expires_at"] <= objects.now()

"""Vector stores and the files in them: records in the store, chunks in the index, ingestion in the background.

Each file in a store is ingested by its own task; only a few run at once. Another thread reads its text and cuts it into
chunks. PDF and Office files have a separate limit, so that slow documents do not delay text files. A batch is a group
of files that were added together; its counts are the counts of its files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from rx_assistant.lifecycle import VECTOR_STORE_FILE
from rx_assistant.local import objects
from rx_assistant.local.errors import bad_request, not_found
from rx_assistant.local.files import Files
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.retrieval.chunking import Chunk, chunks
from rx_assistant.local.retrieval.documents import DocumentReader, Limits
from rx_assistant.local.retrieval.embedding import Embedder, Embedding
from rx_assistant.local.retrieval.extraction import (
    HEAD,
    Extracted,
    ExtractionError,
    check,
    extract,
    is_document,
)
from rx_assistant.local.retrieval.filters import matches
from rx_assistant.local.retrieval.index import IndexThread, Passage, analysed
from rx_assistant.local.store import Page, Store

_log = logging.getLogger("rx_assistant.local")

_AUTO = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
_AT_ONCE = 4
_DOCUMENTS_AT_ONCE = 2
_SLICE = 100
_DAY = 86_400
_MOST_UNREAD = 5
_MOST_FILES = 10_000
_UNREAD = {"code": "server_error", "message": "The file could not be read. The server's log says why."}
_COUNTED = tuple(VECTOR_STORE_FILE.transitions)

_STORE = "vector_store"
_FILE = "vector_store.file"
_BATCH = "vector_store.file_batch"
_MEMBER = "batch_member"


T = TypeVar("T")
_Chunks: TypeAlias = list[tuple[Chunk, list[str]]]


class Hit(NamedTuple):
    """A passage, with the records of its file and of the file in the vector store."""

    file: JsonObject
    member: JsonObject
    passage: Passage


class Spawn(Protocol):
    """The function that starts background work."""

    def __call__(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run work in the background."""
        ...


class VectorStores:
    """All vector stores of a server. Each ingestion starts after `delay` seconds."""

    def __init__(
        self,
        store: Store,
        files: Files,
        spawn: Spawn,
        delay: float,
        limits: Limits | None = None,
        index: Path | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._store = store
        self._files = files
        self._spawn = spawn
        self._delay = delay
        self._index = IndexThread(":memory:" if index is None else index)
        self._embedding = None if embedder is None else Embedding(embedder, self._index, spawn)
        self._closing = False
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._document_slots = asyncio.Semaphore(_DOCUMENTS_AT_ONCE)
        self._documents = DocumentReader(limits)
        self._work: dict[tuple[str, str], asyncio.Task[None]] = {}

    def close(self) -> None:
        """Close the index, abandon files that are being read, and kill the processes that read them."""
        self._closing = True
        self._documents.close()
        self._index.close()

    async def go_on(self) -> None:
        """After a restart, ingest unfinished files and files without chunks, and delete chunks without a file."""
        indexed = await self._index.ask(lambda index: index.files())
        for store_id, member, _ in self._store.with_status(_FILE, "in_progress", "completed"):
            key = (store_id, member["id"])
            if member["status"] == "in_progress" or (member["usage_bytes"] and key not in indexed):
                self._start(store_id, member["id"], member["chunking_strategy"])
            indexed.discard(key)
        for store_id, file_id in indexed:
            # mypy infers no lambda with a default
            self._index.tell(lambda index, key=(store_id, file_id): index.remove(*key))  # type: ignore[misc]
        if self._embedding is not None:
            self._embedding.begin()

    # Stores

    async def create(
        self,
        file_ids: Iterable[str] = (),
        *,
        name: str | None = None,
        description: str | None = None,
        expires_after: JsonObject | None = None,
        chunking: JsonObject | None = None,
        metadata: JsonObject | None = None,
    ) -> JsonObject:
        """A new store; the ingestion of its files has started.

        A file of an unsupported kind is refused here, but fails later in `add_file`.
        """
        wanted = list(dict.fromkeys(file_ids))
        async for file_id in _unhurried(wanted):
            self._files.find_searchable(file_id, "file_ids")
        strategy = _strategy(chunking)
        created = objects.now()
        value: JsonObject = {
            "id": new_id("vs_"),
            "object": _STORE,
            "created_at": created,
            "name": name,
            "description": description,
            "usage_bytes": 0,
            "file_counts": {},
            "status": "completed",
            "expires_after": expires_after,
            "expires_at": _expiry(expires_after, created),
            "last_active_at": created,
            "metadata": metadata or {},
        }
        self._store.put(_STORE, value)
        async for file_id in _unhurried(wanted):
            self._begin(value["id"], file_id, strategy, {}, None)
        return self.find(value["id"])

    def exists(self, store_id: str) -> bool:
        """Whether the store exists."""
        return self._store.get(_STORE, store_id) is not None

    def find(self, store_id: str, param: str | None = None) -> JsonObject:
        """The store with its current counts."""
        value = self._store.get(_STORE, store_id)
        if value is None:
            raise not_found("vector store", store_id, param)
        return counted(self._store, value)

    def page(self, page: Page) -> tuple[list[JsonObject], bool]:
        """A page of stores."""
        found, has_more = self._store.page(_STORE, "", page)
        return [counted(self._store, value) for value in found], has_more

    def modify(self, store_id: str, changes: JsonObject) -> JsonObject:
        """The store with changed name, expiry or metadata."""
        value = {**self.find(store_id), **changes}
        value["metadata"] = value["metadata"] or {}
        value["expires_at"] = _expiry(value["expires_after"], value["last_active_at"])
        self._store.put(_STORE, value)
        return counted(self._store, value)

    def delete(self, store_id: str) -> None:
        """Delete the store. The files themselves remain."""
        self.find(store_id)
        for file_id in self._store.ids(_FILE, store_id):
            self._stop(store_id, file_id)
        for batch_id in self._store.ids(_BATCH, store_id):
            self._spawn(self._store.sweep(_MEMBER, batch_id))
        for kind in (_FILE, _BATCH):
            self._spawn(self._store.sweep(kind, store_id))
        self._index.tell(lambda index: index.remove(store_id))
        self._store.delete(_STORE, store_id)

    # Files in stores

    def add_file(
        self, store_id: str, file_id: str, chunking: JsonObject | None, attributes: JsonObject | None
    ) -> JsonObject:
        """Add the file to the store and start its ingestion. A file that is already there is ingested again."""
        self._for_adding(store_id, 1)
        return self._begin(
            store_id, self._files.find(file_id, "file_id")["id"], _strategy(chunking), attributes or {}, None
        )

    def find_file(self, store_id: str, file_id: str) -> JsonObject:
        """The file in the store."""
        self.find(store_id)
        value = self._store.get(_FILE, file_id, store_id)
        if value is None:
            raise not_found("file", file_id)
        return value

    def file_page(self, store_id: str, page: Page) -> tuple[list[JsonObject], bool]:
        """A page of the store's files."""
        self.find(store_id)
        return self._store.page(_FILE, store_id, page)

    def set_attributes(self, store_id: str, file_id: str, attributes: JsonObject | None) -> JsonObject:
        """The file with changed attributes."""
        value = self.find_file(store_id, file_id)
        value["attributes"] = attributes or {}
        self._save_file(value)
        return value

    def remove_file(self, store_id: str, file_id: str) -> None:
        """Remove the file from the store."""
        self.find_file(store_id, file_id)
        self._stop(store_id, file_id)
        self._index.tell(lambda index: index.remove(store_id, file_id))
        self._store.delete(_FILE, file_id, store_id)

    async def text(self, store_id: str, file_id: str) -> str:
        """The text of the file. Raises 400 until the file is ingested."""
        value = self.find_file(store_id, file_id)
        if value["status"] != "completed":
            raise bad_request(f"File {file_id} is not ready: its status is '{value['status']}'.")
        return await self._index.ask(lambda index: index.text(store_id, file_id))

    def forget_file(self, file_id: str) -> None:
        """Remove the file from every store, because it is being deleted."""
        for store_id in self._store.parents(_FILE, file_id):
            self.remove_file(store_id, file_id)

    # Batches

    async def add_batch(self, store_id: str, entries: list[JsonObject]) -> JsonObject:
        """Add several files. Each entry has `file_id`, and optionally `chunking_strategy` and `attributes`."""
        self._for_adding(store_id, len(entries))
        strategies = [_strategy(entry.get("chunking_strategy")) for entry in entries]
        async for entry in _unhurried(entries):
            self._files.find(entry["file_id"], "file_ids")
        batch: JsonObject = {
            "id": new_id("vsfb_"),
            "object": _BATCH,
            "created_at": objects.now(),
            "status": "in_progress",
            "vector_store_id": store_id,
            "file_counts": {},
        }
        self._store.put(_BATCH, batch, store_id)
        async for entry, strategy in _unhurried(list(zip(entries, strategies, strict=True))):
            self._begin(store_id, entry["file_id"], strategy, entry.get("attributes") or {}, batch["id"])
        return self.find_batch(store_id, batch["id"])

    def find_batch(self, store_id: str, batch_id: str) -> JsonObject:
        """The batch with its current counts."""
        self.find(store_id)
        batch = self._store.get(_BATCH, batch_id, store_id)
        if batch is None:
            raise not_found("vector store file batch", batch_id)
        batch["file_counts"] = counts = _counts(self._store, _MEMBER, batch_id)
        if batch["status"] == "in_progress" and not counts["in_progress"]:
            batch["status"] = "failed" if counts["failed"] == counts["total"] else "completed"
        return batch

    async def cancel_batch(self, store_id: str, batch_id: str) -> JsonObject:
        """Cancel the files of the batch that are not ingested yet. A finished batch does not change."""
        batch = self.find_batch(store_id, batch_id)
        if batch["status"] == "in_progress":
            async for member in _unhurried(list(self._store.each(_MEMBER, batch_id))):
                if member["status"] == "in_progress":
                    self._stop(store_id, member["id"])
                    self._finish(store_id, member["id"], status="cancelled")
            batch["status"] = "cancelled"
            self._store.put(_BATCH, batch, store_id)
        return self.find_batch(store_id, batch_id)

    def batch_page(self, store_id: str, batch_id: str, page: Page) -> tuple[list[JsonObject], bool]:
        """A page of the batch's files."""
        self.find_batch(store_id, batch_id)
        return self._store.page(_MEMBER, batch_id, page)

    # Search

    async def search(
        self, store_ids: Iterable[str], query: str, most: int, threshold: float, filter: JsonObject | None = None
    ) -> list[Hit]:
        """Passages with their files, best first."""
        stores = list(store_ids)
        for store_id in stores:
            self._touch(store_id)
        allowed = None if filter is None else await self._passing(stores, filter)
        vector = None if self._embedding is None else await self._embedding.query(query)
        found = await self._index.ask(lambda index: index.search(stores, query, most, allowed, vector))
        return [hit for passage in found if passage.score >= threshold and (hit := self._hit(passage)) is not None]

    async def _passing(self, stores: list[str], filter: JsonObject) -> list[str]:
        """The files whose attributes pass the filter."""
        found: list[str] = []
        for store_id in stores:
            more, last = True, None
            while more:
                files, more = self._store.page(_FILE, store_id, Page(100, "asc", last))
                found += await asyncio.to_thread(_passing, files, filter)
                last = files[-1]["id"] if files else None
        return found

    def _hit(self, passage: Passage) -> Hit | None:
        """None for a passage of a file that was deleted meanwhile."""
        file = self._store.get("file", passage.file_id)
        member = self._store.get(_FILE, passage.file_id, passage.store_id)
        return None if file is None or member is None else Hit(file, member, passage)

    def unread(self, store_ids: Iterable[str]) -> list[tuple[JsonObject, str]]:
        """Files that a search cannot find, the newest of each store, each with the reason."""
        found = []
        for store_id in store_ids:
            for status in ("failed", "in_progress"):
                members, _ = self._store.page(_FILE, store_id, Page(_MOST_UNREAD, where={"status": status}))
                for member in members:
                    file = self._store.get("file", member["id"])
                    if file is not None:
                        found.append((file, _why_unread(file, member)))
        return found

    async def settled(self, store_ids: Iterable[str]) -> None:
        """Wait until none of these stores is ingesting a file."""
        wanted = set(store_ids)
        tasks = [task for (store_id, _), task in self._work.items() if store_id in wanted]
        if tasks:
            await asyncio.wait(tasks)

    # Internals

    def _for_adding(self, store_id: str, more: int) -> None:
        value = self.find(store_id)
        if value["status"] == "expired":
            raise bad_request(f"Vector store {store_id} has expired.")
        if value["file_counts"]["total"] + more > _MOST_FILES:
            raise bad_request(f"A vector store holds at most {_MOST_FILES} files.")
        self._touch(store_id)

    def _touch(self, store_id: str) -> None:
        value = self._store.get(_STORE, store_id)
        if value is not None:
            value["last_active_at"] = objects.now()
            value["expires_at"] = _expiry(value["expires_after"], value["last_active_at"])
            self._store.put(_STORE, value)

    def _begin(
        self, store_id: str, file_id: str, strategy: JsonObject, attributes: JsonObject, batch_id: str | None
    ) -> JsonObject:
        self._stop(store_id, file_id)
        value: JsonObject = {
            "id": file_id,
            "object": _FILE,
            "usage_bytes": 0,
            "created_at": objects.now(),
            "vector_store_id": store_id,
            "status": "in_progress",
            "last_error": None,
            "chunking_strategy": strategy,
            "attributes": attributes,
        }
        self._store.put(_FILE, value, store_id, {"batch": batch_id})
        if batch_id is not None:
            self._store.put(_MEMBER, value, batch_id)
        self._start(store_id, file_id, strategy)
        return value

    def _start(self, store_id: str, file_id: str, strategy: JsonObject) -> None:
        key = (store_id, file_id)
        self._work[key] = task = self._spawn(self._ingest(store_id, file_id, strategy["static"]))
        task.add_done_callback(self._forgetting(key))

    def _forgetting(self, key: tuple[str, str]) -> Callable[[asyncio.Task[None]], None]:
        def forget(task: asyncio.Task[None]) -> None:
            if self._work.get(key) is task:
                del self._work[key]

        return forget

    def _stop(self, store_id: str, file_id: str) -> None:
        task = self._work.pop((store_id, file_id), None)
        if task is not None:
            task.cancel()

    async def _ingest(self, store_id: str, file_id: str, sizes: JsonObject) -> None:
        try:
            if self._delay:
                await asyncio.sleep(self._delay)
            found = await self._take_in(store_id, file_id, sizes)
            if self._embedding is not None:
                await self._embedding.ingested()
        except ExtractionError as error:
            self._finish(store_id, file_id, status="failed", last_error={"code": error.code, "message": error.message})
        except Exception:
            _log.exception("file %s could not be ingested", file_id)
            self._finish(store_id, file_id, status="failed", last_error=dict(_UNREAD))
        else:
            size = sum(len(chunk.text.encode("utf-8", "replace")) for chunk, _ in found)
            self._finish(store_id, file_id, status="completed", usage_bytes=size)

    async def _take_in(self, store_id: str, file_id: str, sizes: JsonObject) -> _Chunks:
        file = self._files.find(file_id)
        path = self._files.path(file_id)
        async with self._slots:
            if not await asyncio.to_thread(_is_document, file, path):
                found = await asyncio.to_thread(self._read_text, file, path, sizes)
                await self._put_in(store_id, file_id, found)
                return found
        async with self._document_slots:
            extracted = await self._documents.read(file["filename"], path)
            async with self._slots:
                found = await asyncio.to_thread(self._cut, extracted, sizes)
                await self._put_in(store_id, file_id, found)
                return found

    async def _put_in(self, store_id: str, file_id: str, found: _Chunks) -> None:
        """Index the chunks in slices, so that searches can run in between. If this is cancelled, remove them all."""
        self._index.tell(lambda index: index.remove(store_id, file_id))
        try:
            for start in range(0, len(found), _SLICE):
                some = found[start : start + _SLICE]
                # mypy infers no lambda with a default
                await self._index.ask(lambda index, some=some: index.add(store_id, file_id, some))  # type: ignore[misc]
        except asyncio.CancelledError:
            self._index.tell(lambda index: index.remove(store_id, file_id))
            raise

    def _read_text(self, file: JsonObject, path: Path, sizes: JsonObject) -> _Chunks:
        return self._cut(Extracted(extract(file["filename"], path.read_bytes())), sizes)

    def _cut(self, extracted: Extracted, sizes: JsonObject) -> _Chunks:
        found = chunks(extracted.text, sizes["max_chunk_size_tokens"], sizes["chunk_overlap_tokens"])
        placed = (replace(chunk, place=extracted.place_at(chunk.start)) for chunk in found)
        return analysed(takewhile(lambda _: not self._closing, placed))

    def _finish(self, store_id: str, file_id: str, **changes: object) -> None:
        value = self._store.get(_FILE, file_id, store_id)
        if value is not None:
            self._save_file({**value, **changes})

    def _save_file(self, value: JsonObject) -> None:
        store_id = value["vector_store_id"]
        self._store.put(_FILE, value, store_id)
        batch_id = self._store.notes(_FILE, value["id"], store_id).get("batch")
        if batch_id is not None:
            self._store.put(_MEMBER, value, batch_id)


def counted(store: Store, value: JsonObject) -> JsonObject:
    """The vector store with the current counts of its files."""
    value["file_counts"] = counts = _counts(store, _FILE, value["id"])
    value["usage_bytes"] = store.usage_bytes(_FILE, value["id"])
    expired = value["expires_at"] is not None and value["expires_at"] <= objects.now()
    value["status"] = "expired" if expired else "in_progress" if counts["in_progress"] else "completed"
    return value


def _counts(store: Store, kind: str, parent: str) -> JsonObject:
    found = store.tally(kind, parent)
    return {**{status: found.get(status, 0) for status in _COUNTED}, "total": sum(found.values())}


async def _unhurried(items: Sequence[T]) -> AsyncIterator[T]:
    """The items, with a pause after every few items, so that the server can do other work."""
    for number, item in enumerate(items):
        if number % 50 == 49:
            await asyncio.sleep(0)
        yield item


def _is_document(file: JsonObject, path: Path) -> bool:
    """Whether another process reads the file. ExtractionError if the file cannot be read at all."""
    check(file["filename"], file["bytes"])
    with path.open("rb") as content:
        return is_document(file["filename"], content.read(HEAD))


def _why_unread(file: JsonObject, member: JsonObject) -> str:
    name = file["filename"]
    if member["last_error"] is None:
        return f"The file {name} is still being read."
    return f"The file {name} could not be read: {member['last_error']['message']}"


def _passing(files: list[JsonObject], filter: JsonObject) -> list[str]:
    return [file["id"] for file in files if matches(filter, file["attributes"])]


def _expiry(after: JsonObject | None, active: int) -> int | None:
    return None if after is None else active + after["days"] * _DAY


def _strategy(given: JsonObject | None) -> JsonObject:
    """The strategy in the form that the service shows. Raises 400 if the overlap is too large."""
    if given is None or given["type"] == "auto":
        return _AUTO
    sizes = given["static"]
    if sizes["chunk_overlap_tokens"] * 2 > sizes["max_chunk_size_tokens"]:
        param = "chunking_strategy.static.chunk_overlap_tokens"
        message = f"Invalid '{param}': it must not exceed half of max_chunk_size_tokens."
        raise bad_request(message, param, "invalid_value")
    return given

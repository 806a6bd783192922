"""Vector stores and their files, polled until they are ready."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import files as plain_files, vector_store_files as files, vector_stores
from rx_assistant.api.request import Params, Request
from rx_assistant.client._params import taken
from rx_assistant.client._poll_params import (
    FileAdd,
    FileUpload,
    FileUploadAndPoll,
    IngestionOptions,
    PollOptions,
    VectorStoreCreateAndPoll,
)
from rx_assistant.client._polling import Subject, taken_waiting, watched, watched_async
from rx_assistant.client._resource import AsyncResource, Resource
from rx_assistant.client._uploading import PURPOSE
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.options import CallOptions
from rx_assistant.lifecycle import VECTOR_STORE, VECTOR_STORE_FILE
from rx_assistant.types import FileObject, FileTypes, VectorStore, VectorStoreFile


class VectorStorePolling(Resource):
    """What `client.vector_stores` has for waiting until its files are taken in."""

    def watch(self, vector_store_id: str, **params: Unpack[PollOptions]) -> Stream[VectorStore]:
        """The vector store's states until no file is in progress, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched(self._session, _store(vector_stores.retrieve(vector_store_id), options), waiting)

    def poll(self, vector_store_id: str, **params: Unpack[PollOptions]) -> VectorStore:
        """The vector store once no file is in progress: the last state of `watch`."""
        return self.watch(vector_store_id, **params).run()

    def create_and_poll(self, **params: Unpack[VectorStoreCreateAndPoll]) -> VectorStore:
        """Create a vector store, and give it once its files are taken in."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, VectorStoreCreateAndPoll)
        return watched(self._session, _new_store(vector_stores.create(body), options), waiting).run()


class AsyncVectorStorePolling(AsyncResource):
    """The same for asyncio and trio."""

    def watch(self, vector_store_id: str, **params: Unpack[PollOptions]) -> AsyncStream[VectorStore]:
        """The vector store's states until no file is in progress, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched_async(self._session, _store(vector_stores.retrieve(vector_store_id), options), waiting)

    async def poll(self, vector_store_id: str, **params: Unpack[PollOptions]) -> VectorStore:
        """The vector store once no file is in progress: the last state of `watch`."""
        return await self.watch(vector_store_id, **params)

    async def create_and_poll(self, **params: Unpack[VectorStoreCreateAndPoll]) -> VectorStore:
        """Create a vector store, and give it once its files are taken in."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, VectorStoreCreateAndPoll)
        return await watched_async(self._session, _new_store(vector_stores.create(body), options), waiting)


class StoreFilePolling(Resource):
    """What `client.vector_stores.files` has for waiting until a file is taken in."""

    def watch(self, file_id: str, vector_store_id: str, **params: Unpack[PollOptions]) -> Stream[VectorStoreFile]:
        """The file's states until it is taken in or failed, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched(self._session, _file(files.retrieve(file_id, vector_store_id), options), waiting)

    def poll(self, file_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]) -> VectorStoreFile:
        """The file once it is taken in or failed; with `on_failure="raise"`, IngestionError for a failure."""
        given, waiting = taken_waiting(params)
        _, options = taken(given, IngestionOptions)
        subject = _file(files.retrieve(file_id, vector_store_id), options)
        return waiting.judged(watched(self._session, subject, waiting).run(), VECTOR_STORE_FILE)

    def create_and_poll(self, file_id: str, vector_store_id: str, **params: Unpack[FileAdd]) -> VectorStoreFile:
        """Add an uploaded file, and give it once it is taken in or failed."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, FileAdd)
        subject = _new_file(file_id, vector_store_id, body, options)
        return waiting.judged(watched(self._session, subject, waiting).run(), VECTOR_STORE_FILE)

    def upload(self, vector_store_id: str, **params: Unpack[FileUpload]) -> VectorStoreFile:
        """Upload a file and add it; it is in progress when this returns."""
        body, options = taken(params, FileUpload)
        file_id = self._upload(body.pop("file"), options)
        return self._fetch(VectorStoreFile, files.create(vector_store_id, {"file_id": file_id, **body}), options)

    def upload_and_poll(self, vector_store_id: str, **params: Unpack[FileUploadAndPoll]) -> VectorStoreFile:
        """Upload a file, add it, and give it once it is taken in or failed."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, FileUploadAndPoll)
        subject = _new_file(self._upload(body.pop("file"), options), vector_store_id, body, options)
        return waiting.judged(watched(self._session, subject, waiting).run(), VECTOR_STORE_FILE)

    def _upload(self, file: FileTypes, options: CallOptions) -> str:
        return self._fetch(FileObject, plain_files.create(file, PURPOSE), options).id


class AsyncStoreFilePolling(AsyncResource):
    """The same for asyncio and trio."""

    def watch(self, file_id: str, vector_store_id: str, **params: Unpack[PollOptions]) -> AsyncStream[VectorStoreFile]:
        """The file's states until it is taken in or failed, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched_async(self._session, _file(files.retrieve(file_id, vector_store_id), options), waiting)

    async def poll(self, file_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]) -> VectorStoreFile:
        """The file once it is taken in or failed; with `on_failure="raise"`, IngestionError for a failure."""
        given, waiting = taken_waiting(params)
        _, options = taken(given, IngestionOptions)
        subject = _file(files.retrieve(file_id, vector_store_id), options)
        return waiting.judged(await watched_async(self._session, subject, waiting), VECTOR_STORE_FILE)

    async def create_and_poll(self, file_id: str, vector_store_id: str, **params: Unpack[FileAdd]) -> VectorStoreFile:
        """Add an uploaded file, and give it once it is taken in or failed."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, FileAdd)
        subject = _new_file(file_id, vector_store_id, body, options)
        return waiting.judged(await watched_async(self._session, subject, waiting), VECTOR_STORE_FILE)

    async def upload(self, vector_store_id: str, **params: Unpack[FileUpload]) -> VectorStoreFile:
        """Upload a file and add it; it is in progress when this returns."""
        body, options = taken(params, FileUpload)
        file_id = await self._upload(body.pop("file"), options)
        return await self._fetch(VectorStoreFile, files.create(vector_store_id, {"file_id": file_id, **body}), options)

    async def upload_and_poll(self, vector_store_id: str, **params: Unpack[FileUploadAndPoll]) -> VectorStoreFile:
        """Upload a file, add it, and give it once it is taken in or failed."""
        given, waiting = taken_waiting(params)
        body, options = taken(given, FileUploadAndPoll)
        subject = _new_file(await self._upload(body.pop("file"), options), vector_store_id, body, options)
        return waiting.judged(await watched_async(self._session, subject, waiting), VECTOR_STORE_FILE)

    async def _upload(self, file: FileTypes, options: CallOptions) -> str:
        return (await self._fetch(FileObject, plain_files.create(file, PURPOSE), options)).id


def _store(request: Request, options: CallOptions) -> Subject[VectorStore]:
    return Subject(VectorStore, VECTOR_STORE, options, request)


def _new_store(request: Request, options: CallOptions) -> Subject[VectorStore]:
    return Subject(VectorStore, VECTOR_STORE, options, request, lambda store: vector_stores.retrieve(store.id))


def _file(request: Request, options: CallOptions) -> Subject[VectorStoreFile]:
    return Subject(VectorStoreFile, VECTOR_STORE_FILE, options, request)


def _new_file(file_id: str, vector_store_id: str, body: Params, options: CallOptions) -> Subject[VectorStoreFile]:
    request = files.create(vector_store_id, {"file_id": file_id, **body})
    return Subject(
        VectorStoreFile, VECTOR_STORE_FILE, options, request, lambda _: files.retrieve(file_id, vector_store_id)
    )

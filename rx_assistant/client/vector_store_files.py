"""Files of a vector store."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import files as plain_files, vector_store_files as files
from rx_assistant.api.request import Params
from rx_assistant.client.pages import AsyncPage, AsyncPaginator, Page
from rx_assistant.client.params import (
    FileAdd,
    FileUpload,
    FileUploadAndPoll,
    IngestionOptions,
    PollOptions,
    RequestOptions,
    VectorStoreFileCreate,
    VectorStoreFileList,
    VectorStoreFileUpdate,
    poll_params,
    taken,
)
from rx_assistant.client.polling import (
    PollTarget,
    poll_object,
    poll_object_async,
    watch_object,
    watch_object_async,
)
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.uploads import PURPOSE
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.options import CallOptions
from rx_assistant.lifecycle import VECTOR_STORE_FILE
from rx_assistant.types import (
    FileContentResponse,
    FileObject,
    FileTypes,
    VectorStoreFile,
    VectorStoreFileContentPage,
    VectorStoreFileDeleted,
)


class VectorStoreFiles(Resource):
    """`client.vector_stores.files`."""

    def create(self, vector_store_id: str, **params: Unpack[VectorStoreFileCreate]) -> VectorStoreFile:
        """Add an uploaded file. It is still in progress when this returns."""
        body, options = taken(params, VectorStoreFileCreate)
        return self._fetch(VectorStoreFile, files.create(vector_store_id, body), options)

    def retrieve(self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFile:
        """The file with its progress."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFile, files.retrieve(file_id, vector_store_id), options)

    def update(self, file_id: str, vector_store_id: str, **params: Unpack[VectorStoreFileUpdate]) -> VectorStoreFile:
        """Change the attributes, and return the file."""
        body, options = taken(params, VectorStoreFileUpdate)
        return self._fetch(VectorStoreFile, files.update(file_id, vector_store_id, body), options)

    def list(self, vector_store_id: str, **params: Unpack[VectorStoreFileList]) -> Page[VectorStoreFile]:
        """The vector store's files. Iterating fetches further pages."""
        query, options = taken(params, VectorStoreFileList)
        return self._page(VectorStoreFile, files.list(vector_store_id, query), options)

    def delete(self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFileDeleted:
        """Remove the file from the vector store. The file itself remains."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFileDeleted, files.delete(file_id, vector_store_id), options)

    def content(
        self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> Page[FileContentResponse]:
        """The text that was extracted from the file, in parts."""
        _, options = taken(params, RequestOptions)
        return Page(self._fetch(VectorStoreFileContentPage, files.content(file_id, vector_store_id), options))

    def watch(self, file_id: str, vector_store_id: str, **params: Unpack[PollOptions]) -> Stream[VectorStoreFile]:
        """The file's states until it is processed or failed. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object(self._session, _existing(file_id, vector_store_id), call)

    def poll(self, file_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]) -> VectorStoreFile:
        """The file when it is processed or failed. With `on_failure="raise"`, IngestionError for a failure."""
        call = poll_params(params, IngestionOptions)
        target = _existing(file_id, vector_store_id)
        return poll_object(self._session, target, call)

    def create_and_poll(self, file_id: str, vector_store_id: str, **params: Unpack[FileAdd]) -> VectorStoreFile:
        """Add an uploaded file, and return it when it is processed or failed."""
        call = poll_params(params, FileAdd)
        target = _added(file_id, vector_store_id, call.body)
        return poll_object(self._session, target, call)

    def upload(self, vector_store_id: str, **params: Unpack[FileUpload]) -> VectorStoreFile:
        """Upload a file and add it. It is still in progress when this returns."""
        body, options = taken(params, FileUpload)
        file_id = self._upload(body.pop("file"), options)
        return self._fetch(VectorStoreFile, files.create(vector_store_id, {"file_id": file_id, **body}), options)

    def upload_and_poll(self, vector_store_id: str, **params: Unpack[FileUploadAndPoll]) -> VectorStoreFile:
        """Upload a file, add it, and return it when it is processed or failed."""
        call = poll_params(params, FileUploadAndPoll)
        file_id = self._upload(call.body.pop("file"), call.options)
        target = _added(file_id, vector_store_id, call.body)
        return poll_object(self._session, target, call)

    def _upload(self, file: FileTypes, options: CallOptions) -> str:
        return self._fetch(FileObject, plain_files.create(file, PURPOSE), options).id


class AsyncVectorStoreFiles(AsyncResource):
    """`client.vector_stores.files` of the asynchronous client."""

    async def create(self, vector_store_id: str, **params: Unpack[VectorStoreFileCreate]) -> VectorStoreFile:
        """Add an uploaded file. It is still in progress when this returns."""
        body, options = taken(params, VectorStoreFileCreate)
        return await self._fetch(VectorStoreFile, files.create(vector_store_id, body), options)

    async def retrieve(self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFile:
        """The file with its progress."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFile, files.retrieve(file_id, vector_store_id), options)

    async def update(
        self, file_id: str, vector_store_id: str, **params: Unpack[VectorStoreFileUpdate]
    ) -> VectorStoreFile:
        """Change the attributes, and return the file."""
        body, options = taken(params, VectorStoreFileUpdate)
        return await self._fetch(VectorStoreFile, files.update(file_id, vector_store_id, body), options)

    def list(self, vector_store_id: str, **params: Unpack[VectorStoreFileList]) -> AsyncPaginator[VectorStoreFile]:
        """The vector store's files. Iterating fetches further pages."""
        query, options = taken(params, VectorStoreFileList)
        return self._pages(VectorStoreFile, files.list(vector_store_id, query), options)

    async def delete(
        self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> VectorStoreFileDeleted:
        """Remove the file from the vector store. The file itself remains."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFileDeleted, files.delete(file_id, vector_store_id), options)

    def content(
        self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> AsyncPaginator[FileContentResponse]:
        """The text that was extracted from the file, in parts."""
        _, options = taken(params, RequestOptions)

        async def fetch() -> AsyncPage[FileContentResponse]:
            return AsyncPage(
                await self._fetch(VectorStoreFileContentPage, files.content(file_id, vector_store_id), options)
            )

        return AsyncPaginator(fetch)

    def watch(self, file_id: str, vector_store_id: str, **params: Unpack[PollOptions]) -> AsyncStream[VectorStoreFile]:
        """The file's states until it is processed or failed. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object_async(self._session, _existing(file_id, vector_store_id), call)

    async def poll(self, file_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]) -> VectorStoreFile:
        """The file when it is processed or failed. With `on_failure="raise"`, IngestionError for a failure."""
        call = poll_params(params, IngestionOptions)
        target = _existing(file_id, vector_store_id)
        return await poll_object_async(self._session, target, call)

    async def create_and_poll(self, file_id: str, vector_store_id: str, **params: Unpack[FileAdd]) -> VectorStoreFile:
        """Add an uploaded file, and return it when it is processed or failed."""
        call = poll_params(params, FileAdd)
        target = _added(file_id, vector_store_id, call.body)
        return await poll_object_async(self._session, target, call)

    async def upload(self, vector_store_id: str, **params: Unpack[FileUpload]) -> VectorStoreFile:
        """Upload a file and add it. It is still in progress when this returns."""
        body, options = taken(params, FileUpload)
        file_id = await self._upload(body.pop("file"), options)
        return await self._fetch(VectorStoreFile, files.create(vector_store_id, {"file_id": file_id, **body}), options)

    async def upload_and_poll(self, vector_store_id: str, **params: Unpack[FileUploadAndPoll]) -> VectorStoreFile:
        """Upload a file, add it, and return it when it is processed or failed."""
        call = poll_params(params, FileUploadAndPoll)
        file_id = await self._upload(call.body.pop("file"), call.options)
        target = _added(file_id, vector_store_id, call.body)
        return await poll_object_async(self._session, target, call)

    async def _upload(self, file: FileTypes, options: CallOptions) -> str:
        return (await self._fetch(FileObject, plain_files.create(file, PURPOSE), options)).id


def _existing(file_id: str, vector_store_id: str) -> PollTarget[VectorStoreFile]:
    return PollTarget(VectorStoreFile, VECTOR_STORE_FILE, files.retrieve(file_id, vector_store_id))


def _added(file_id: str, vector_store_id: str, body: Params) -> PollTarget[VectorStoreFile]:
    request = files.create(vector_store_id, {"file_id": file_id, **body})
    retrieve = files.retrieve(file_id, vector_store_id)
    return PollTarget(VectorStoreFile, VECTOR_STORE_FILE, request, lambda _: retrieve)

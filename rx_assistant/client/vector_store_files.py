"""Files of a vector store."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import vector_store_files as files
from rx_assistant.client._pages import AsyncPage, AsyncPaginator, Page
from rx_assistant.client._params import (
    RequestOptions,
    VectorStoreFileCreate,
    VectorStoreFileList,
    VectorStoreFileUpdate,
    taken,
)
from rx_assistant.client._store_polling import AsyncStoreFilePolling, StoreFilePolling
from rx_assistant.types import (
    FileContentResponse,
    VectorStoreFile,
    VectorStoreFileContentPage,
    VectorStoreFileDeleted,
)


class VectorStoreFiles(StoreFilePolling):
    """`client.vector_stores.files`."""

    def create(self, vector_store_id: str, **params: Unpack[VectorStoreFileCreate]) -> VectorStoreFile:
        """Add an uploaded file; it is in progress when this returns."""
        body, options = taken(params, VectorStoreFileCreate)
        return self._fetch(VectorStoreFile, files.create(vector_store_id, body), options)

    def retrieve(self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFile:
        """The file, and how far it has come."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFile, files.retrieve(file_id, vector_store_id), options)

    def update(self, file_id: str, vector_store_id: str, **params: Unpack[VectorStoreFileUpdate]) -> VectorStoreFile:
        """Change the attributes, and give the file as it is now."""
        body, options = taken(params, VectorStoreFileUpdate)
        return self._fetch(VectorStoreFile, files.update(file_id, vector_store_id, body), options)

    def list(self, vector_store_id: str, **params: Unpack[VectorStoreFileList]) -> Page[VectorStoreFile]:
        """The vector store's files; iterate to get those of further pages too."""
        query, options = taken(params, VectorStoreFileList)
        return self._page(VectorStoreFile, files.list(vector_store_id, query), options)

    def delete(self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFileDeleted:
        """Take the file out of the vector store; the file itself stays."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFileDeleted, files.delete(file_id, vector_store_id), options)

    def content(
        self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> Page[FileContentResponse]:
        """The text that was extracted from the file, in parts."""
        _, options = taken(params, RequestOptions)
        return Page(self._fetch(VectorStoreFileContentPage, files.content(file_id, vector_store_id), options))


class AsyncVectorStoreFiles(AsyncStoreFilePolling):
    """`client.vector_stores.files` of the asynchronous client."""

    async def create(self, vector_store_id: str, **params: Unpack[VectorStoreFileCreate]) -> VectorStoreFile:
        """Add an uploaded file; it is in progress when this returns."""
        body, options = taken(params, VectorStoreFileCreate)
        return await self._fetch(VectorStoreFile, files.create(vector_store_id, body), options)

    async def retrieve(self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFile:
        """The file, and how far it has come."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFile, files.retrieve(file_id, vector_store_id), options)

    async def update(
        self, file_id: str, vector_store_id: str, **params: Unpack[VectorStoreFileUpdate]
    ) -> VectorStoreFile:
        """Change the attributes, and give the file as it is now."""
        body, options = taken(params, VectorStoreFileUpdate)
        return await self._fetch(VectorStoreFile, files.update(file_id, vector_store_id, body), options)

    def list(self, vector_store_id: str, **params: Unpack[VectorStoreFileList]) -> AsyncPaginator[VectorStoreFile]:
        """The vector store's files; iterate to get those of further pages too."""
        query, options = taken(params, VectorStoreFileList)
        return self._pages(VectorStoreFile, files.list(vector_store_id, query), options)

    async def delete(
        self, file_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> VectorStoreFileDeleted:
        """Take the file out of the vector store; the file itself stays."""
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

"""Batches of files for a vector store."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import file_batches
from rx_assistant.client._batch_polling import AsyncBatchPolling, BatchPolling
from rx_assistant.client._pages import AsyncPaginator, Page
from rx_assistant.client._params import FileBatchCreate, FileBatchListFiles, RequestOptions, taken
from rx_assistant.types import VectorStoreFile, VectorStoreFileBatch


class FileBatches(BatchPolling):
    """`client.vector_stores.file_batches`."""

    def create(self, vector_store_id: str, **params: Unpack[FileBatchCreate]) -> VectorStoreFileBatch:
        """Add uploaded files, by `file_ids` or, each with its own settings, by `files`; they are in progress then."""
        body, options = taken(params, FileBatchCreate)
        return self._fetch(VectorStoreFileBatch, file_batches.create(vector_store_id, body), options)

    def retrieve(self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFileBatch:
        """The batch, and how far it has come."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFileBatch, file_batches.retrieve(batch_id, vector_store_id), options)

    def cancel(self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFileBatch:
        """Stop adding what has not been added yet."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFileBatch, file_batches.cancel(batch_id, vector_store_id), options)

    def list_files(
        self, batch_id: str, vector_store_id: str, **params: Unpack[FileBatchListFiles]
    ) -> Page[VectorStoreFile]:
        """The batch's files; iterate to get those of further pages too."""
        query, options = taken(params, FileBatchListFiles)
        return self._page(VectorStoreFile, file_batches.list_files(batch_id, vector_store_id, query), options)


class AsyncFileBatches(AsyncBatchPolling):
    """`client.vector_stores.file_batches` of the asynchronous client."""

    async def create(self, vector_store_id: str, **params: Unpack[FileBatchCreate]) -> VectorStoreFileBatch:
        """Add uploaded files, by `file_ids` or, each with its own settings, by `files`; they are in progress then."""
        body, options = taken(params, FileBatchCreate)
        return await self._fetch(VectorStoreFileBatch, file_batches.create(vector_store_id, body), options)

    async def retrieve(
        self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> VectorStoreFileBatch:
        """The batch, and how far it has come."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFileBatch, file_batches.retrieve(batch_id, vector_store_id), options)

    async def cancel(
        self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> VectorStoreFileBatch:
        """Stop adding what has not been added yet."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFileBatch, file_batches.cancel(batch_id, vector_store_id), options)

    def list_files(
        self, batch_id: str, vector_store_id: str, **params: Unpack[FileBatchListFiles]
    ) -> AsyncPaginator[VectorStoreFile]:
        """The batch's files; iterate to get those of further pages too."""
        query, options = taken(params, FileBatchListFiles)
        return self._pages(VectorStoreFile, file_batches.list_files(batch_id, vector_store_id, query), options)

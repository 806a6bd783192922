"""Vector stores, with their files and file batches; search."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import vector_stores
from rx_assistant.api.request import Params
from rx_assistant.client.file_batches import AsyncFileBatches, FileBatches
from rx_assistant.client.pages import AsyncPage, AsyncPaginator, Page
from rx_assistant.client.params import (
    PollOptions,
    RequestOptions,
    VectorStoreCreate,
    VectorStoreCreateAndPoll,
    VectorStoreList,
    VectorStoreSearch,
    VectorStoreUpdate,
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
from rx_assistant.client.vector_store_files import AsyncVectorStoreFiles, VectorStoreFiles
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.lifecycle import VECTOR_STORE
from rx_assistant.types import VectorStore, VectorStoreDeleted, VectorStoreSearchPage, VectorStoreSearchResponse


class VectorStores(Resource):
    """`client.vector_stores`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.files = VectorStoreFiles(session)
        self.file_batches = FileBatches(session)

    def create(self, **params: Unpack[VectorStoreCreate]) -> VectorStore:
        """Create a vector store. Its files are added in the background."""
        body, options = taken(params, VectorStoreCreate)
        return self._fetch(VectorStore, vector_stores.create(body), options)

    def retrieve(self, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStore:
        """The vector store."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStore, vector_stores.retrieve(vector_store_id), options)

    def update(self, vector_store_id: str, **params: Unpack[VectorStoreUpdate]) -> VectorStore:
        """Change the given fields, and return the vector store."""
        body, options = taken(params, VectorStoreUpdate)
        return self._fetch(VectorStore, vector_stores.update(vector_store_id, body), options)

    def list(self, **params: Unpack[VectorStoreList]) -> Page[VectorStore]:
        """All vector stores. Iterating fetches further pages."""
        query, options = taken(params, VectorStoreList)
        return self._page(VectorStore, vector_stores.list(query), options)

    def delete(self, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreDeleted:
        """Delete the vector store. The files themselves remain."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreDeleted, vector_stores.delete(vector_store_id), options)

    def search(self, vector_store_id: str, **params: Unpack[VectorStoreSearch]) -> Page[VectorStoreSearchResponse]:
        """The passages of the vector store's files for a query, best first."""
        body, options = taken(params, VectorStoreSearch)
        return Page(self._fetch(VectorStoreSearchPage, vector_stores.search(vector_store_id, body), options))

    def watch(self, vector_store_id: str, **params: Unpack[PollOptions]) -> Stream[VectorStore]:
        """The vector store's states until no file is in progress. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object(self._session, _existing(vector_store_id), call)

    def poll(self, vector_store_id: str, **params: Unpack[PollOptions]) -> VectorStore:
        """The vector store when no file is in progress: the last state of `watch`."""
        return self.watch(vector_store_id, **params).run()

    def create_and_poll(self, **params: Unpack[VectorStoreCreateAndPoll]) -> VectorStore:
        """Create a vector store, and return it when its files are processed."""
        call = poll_params(params, VectorStoreCreateAndPoll)
        return poll_object(self._session, _created(call.body), call)


class AsyncVectorStores(AsyncResource):
    """`client.vector_stores` of the asynchronous client."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session)
        self.files = AsyncVectorStoreFiles(session)
        self.file_batches = AsyncFileBatches(session)

    async def create(self, **params: Unpack[VectorStoreCreate]) -> VectorStore:
        """Create a vector store. Its files are added in the background."""
        body, options = taken(params, VectorStoreCreate)
        return await self._fetch(VectorStore, vector_stores.create(body), options)

    async def retrieve(self, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStore:
        """The vector store."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStore, vector_stores.retrieve(vector_store_id), options)

    async def update(self, vector_store_id: str, **params: Unpack[VectorStoreUpdate]) -> VectorStore:
        """Change the given fields, and return the vector store."""
        body, options = taken(params, VectorStoreUpdate)
        return await self._fetch(VectorStore, vector_stores.update(vector_store_id, body), options)

    def list(self, **params: Unpack[VectorStoreList]) -> AsyncPaginator[VectorStore]:
        """All vector stores. Iterating fetches further pages."""
        query, options = taken(params, VectorStoreList)
        return self._pages(VectorStore, vector_stores.list(query), options)

    async def delete(self, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreDeleted:
        """Delete the vector store. The files themselves remain."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreDeleted, vector_stores.delete(vector_store_id), options)

    def search(
        self, vector_store_id: str, **params: Unpack[VectorStoreSearch]
    ) -> AsyncPaginator[VectorStoreSearchResponse]:
        """The passages of the vector store's files for a query, best first."""
        body, options = taken(params, VectorStoreSearch)

        async def fetch() -> AsyncPage[VectorStoreSearchResponse]:
            return AsyncPage(
                await self._fetch(VectorStoreSearchPage, vector_stores.search(vector_store_id, body), options)
            )

        return AsyncPaginator(fetch)

    def watch(self, vector_store_id: str, **params: Unpack[PollOptions]) -> AsyncStream[VectorStore]:
        """The vector store's states until no file is in progress. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object_async(self._session, _existing(vector_store_id), call)

    async def poll(self, vector_store_id: str, **params: Unpack[PollOptions]) -> VectorStore:
        """The vector store when no file is in progress: the last state of `watch`."""
        return await self.watch(vector_store_id, **params)

    async def create_and_poll(self, **params: Unpack[VectorStoreCreateAndPoll]) -> VectorStore:
        """Create a vector store, and return it when its files are processed."""
        call = poll_params(params, VectorStoreCreateAndPoll)
        return await poll_object_async(self._session, _created(call.body), call)


def _existing(vector_store_id: str) -> PollTarget[VectorStore]:
    return PollTarget(VectorStore, VECTOR_STORE, vector_stores.retrieve(vector_store_id))


def _created(body: Params) -> PollTarget[VectorStore]:
    request = vector_stores.create(body)
    return PollTarget(VectorStore, VECTOR_STORE, request, lambda store: vector_stores.retrieve(store.id))

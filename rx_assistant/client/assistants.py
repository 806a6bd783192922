"""Assistants: models with instructions and tools."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import assistants
from rx_assistant.client.pages import AsyncPaginator, Page
from rx_assistant.client.params import AssistantCreate, AssistantList, AssistantUpdate, RequestOptions, taken
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.types import Assistant, AssistantDeleted


class Assistants(Resource):
    """`client.assistants`."""

    def create(self, **params: Unpack[AssistantCreate]) -> Assistant:
        """Create an assistant."""
        body, options = taken(params, AssistantCreate)
        return self._fetch(Assistant, assistants.create(body), options)

    def retrieve(self, assistant_id: str, **params: Unpack[RequestOptions]) -> Assistant:
        """The assistant."""
        _, options = taken(params, RequestOptions)
        return self._fetch(Assistant, assistants.retrieve(assistant_id), options)

    def update(self, assistant_id: str, **params: Unpack[AssistantUpdate]) -> Assistant:
        """Change the given fields, and return the assistant."""
        body, options = taken(params, AssistantUpdate)
        return self._fetch(Assistant, assistants.update(assistant_id, body), options)

    def list(self, **params: Unpack[AssistantList]) -> Page[Assistant]:
        """All assistants. Iterating fetches further pages."""
        query, options = taken(params, AssistantList)
        return self._page(Assistant, assistants.list(query), options)

    def delete(self, assistant_id: str, **params: Unpack[RequestOptions]) -> AssistantDeleted:
        """Delete the assistant."""
        _, options = taken(params, RequestOptions)
        return self._fetch(AssistantDeleted, assistants.delete(assistant_id), options)


class AsyncAssistants(AsyncResource):
    """`client.assistants` of the asynchronous client."""

    async def create(self, **params: Unpack[AssistantCreate]) -> Assistant:
        """Create an assistant."""
        body, options = taken(params, AssistantCreate)
        return await self._fetch(Assistant, assistants.create(body), options)

    async def retrieve(self, assistant_id: str, **params: Unpack[RequestOptions]) -> Assistant:
        """The assistant."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(Assistant, assistants.retrieve(assistant_id), options)

    async def update(self, assistant_id: str, **params: Unpack[AssistantUpdate]) -> Assistant:
        """Change the given fields, and return the assistant."""
        body, options = taken(params, AssistantUpdate)
        return await self._fetch(Assistant, assistants.update(assistant_id, body), options)

    def list(self, **params: Unpack[AssistantList]) -> AsyncPaginator[Assistant]:
        """All assistants. Iterating fetches further pages."""
        query, options = taken(params, AssistantList)
        return self._pages(Assistant, assistants.list(query), options)

    async def delete(self, assistant_id: str, **params: Unpack[RequestOptions]) -> AssistantDeleted:
        """Delete the assistant."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(AssistantDeleted, assistants.delete(assistant_id), options)

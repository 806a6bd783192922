"""Messages of a thread."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import messages
from rx_assistant.client.pages import AsyncPaginator, Page
from rx_assistant.client.params import MessageCreate, MessageList, MessageUpdate, RequestOptions, taken
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.types import Message, MessageDeleted


class Messages(Resource):
    """`client.threads.messages`."""

    def create(self, thread_id: str, **params: Unpack[MessageCreate]) -> Message:
        """Add a message to the thread. The server answers with 400 while a run is active."""
        body, options = taken(params, MessageCreate)
        return self._fetch(Message, messages.create(thread_id, body), options)

    def retrieve(self, message_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Message:
        """The message."""
        _, options = taken(params, RequestOptions)
        return self._fetch(Message, messages.retrieve(message_id, thread_id), options)

    def update(self, message_id: str, thread_id: str, **params: Unpack[MessageUpdate]) -> Message:
        """Change the metadata, and return the message."""
        body, options = taken(params, MessageUpdate)
        return self._fetch(Message, messages.update(message_id, thread_id, body), options)

    def list(self, thread_id: str, **params: Unpack[MessageList]) -> Page[Message]:
        """The thread's messages, or the messages of one run. Iterating fetches further pages."""
        query, options = taken(params, MessageList)
        return self._page(Message, messages.list(thread_id, query), options)

    def delete(self, message_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> MessageDeleted:
        """Delete the message."""
        _, options = taken(params, RequestOptions)
        return self._fetch(MessageDeleted, messages.delete(message_id, thread_id), options)


class AsyncMessages(AsyncResource):
    """`client.threads.messages` of the asynchronous client."""

    async def create(self, thread_id: str, **params: Unpack[MessageCreate]) -> Message:
        """Add a message to the thread. The server answers with 400 while a run is active."""
        body, options = taken(params, MessageCreate)
        return await self._fetch(Message, messages.create(thread_id, body), options)

    async def retrieve(self, message_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> Message:
        """The message."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(Message, messages.retrieve(message_id, thread_id), options)

    async def update(self, message_id: str, thread_id: str, **params: Unpack[MessageUpdate]) -> Message:
        """Change the metadata, and return the message."""
        body, options = taken(params, MessageUpdate)
        return await self._fetch(Message, messages.update(message_id, thread_id, body), options)

    def list(self, thread_id: str, **params: Unpack[MessageList]) -> AsyncPaginator[Message]:
        """The thread's messages, or the messages of one run. Iterating fetches further pages."""
        query, options = taken(params, MessageList)
        return self._pages(Message, messages.list(thread_id, query), options)

    async def delete(self, message_id: str, thread_id: str, **params: Unpack[RequestOptions]) -> MessageDeleted:
        """Delete the message."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(MessageDeleted, messages.delete(message_id, thread_id), options)

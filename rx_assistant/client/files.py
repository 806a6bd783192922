"""Files: upload and download."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import files
from rx_assistant.client.content import FileBytes
from rx_assistant.client.pages import AsyncPaginator, Page
from rx_assistant.client.params import FileCreate, FileList, PollParams, RequestOptions, taken
from rx_assistant.client.polling import PollTarget, poll_object, poll_object_async
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.http.options import NO_OPTIONS
from rx_assistant.lifecycle import FILE
from rx_assistant.polling import PollSettings
from rx_assistant.types import FileDeleted, FileObject


class Files(Resource):
    """`client.files`."""

    def create(self, **params: Unpack[FileCreate]) -> FileObject:
        """Upload a file: bytes, a path, a file opened with `"rb"`, or `(name, content)`.

        A pipe is read into memory first.
        """
        fields, options = taken(params, FileCreate)
        return self._fetch(FileObject, files.create(fields.pop("file"), fields), options)

    def retrieve(self, file_id: str, **params: Unpack[RequestOptions]) -> FileObject:
        """The file's record. `content` returns its bytes."""
        _, options = taken(params, RequestOptions)
        return self._fetch(FileObject, files.retrieve(file_id), options)

    def list(self, **params: Unpack[FileList]) -> Page[FileObject]:
        """All files. Iterating fetches further pages."""
        query, options = taken(params, FileList)
        return self._page(FileObject, files.list(query), options)

    def delete(self, file_id: str, **params: Unpack[RequestOptions]) -> FileDeleted:
        """Delete the file."""
        _, options = taken(params, RequestOptions)
        return self._fetch(FileDeleted, files.delete(file_id), options)

    def content(self, file_id: str, **params: Unpack[RequestOptions]) -> FileBytes:
        """The file's bytes."""
        _, options = taken(params, RequestOptions)
        return FileBytes(self._session.send(files.content(file_id), options))

    def retrieve_content(self, file_id: str, **params: Unpack[RequestOptions]) -> str:
        """The file's content as text."""
        return self.content(file_id, **params).text

    def wait_for_processing(
        self, id: str, *, poll_interval: float = 5.0, max_wait_seconds: float = 1800.0
    ) -> FileObject:
        """The file when its status is `processed` or `error`. Polls every `poll_interval` seconds.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        return poll_object(self._session, _existing(id), _call(poll_interval, max_wait_seconds))


class AsyncFiles(AsyncResource):
    """`client.files` of the asynchronous client."""

    async def create(self, **params: Unpack[FileCreate]) -> FileObject:
        """Upload a file: bytes, a path, a file opened with `"rb"`, or `(name, content)`.

        A pipe is read into memory first.
        """
        fields, options = taken(params, FileCreate)
        return await self._fetch(FileObject, files.create(fields.pop("file"), fields), options)

    async def retrieve(self, file_id: str, **params: Unpack[RequestOptions]) -> FileObject:
        """The file's record. `content` returns its bytes."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(FileObject, files.retrieve(file_id), options)

    def list(self, **params: Unpack[FileList]) -> AsyncPaginator[FileObject]:
        """All files. Iterating fetches further pages."""
        query, options = taken(params, FileList)
        return self._pages(FileObject, files.list(query), options)

    async def delete(self, file_id: str, **params: Unpack[RequestOptions]) -> FileDeleted:
        """Delete the file."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(FileDeleted, files.delete(file_id), options)

    async def content(self, file_id: str, **params: Unpack[RequestOptions]) -> FileBytes:
        """The file's bytes."""
        _, options = taken(params, RequestOptions)
        return FileBytes(await self._session.send(files.content(file_id), options))

    async def retrieve_content(self, file_id: str, **params: Unpack[RequestOptions]) -> str:
        """The file's content as text."""
        return (await self.content(file_id, **params)).text

    async def wait_for_processing(
        self, id: str, *, poll_interval: float = 5.0, max_wait_seconds: float = 1800.0
    ) -> FileObject:
        """The file when its status is `processed` or `error`. Polls every `poll_interval` seconds.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        return await poll_object_async(self._session, _existing(id), _call(poll_interval, max_wait_seconds))


def _existing(file_id: str) -> PollTarget[FileObject]:
    return PollTarget(FileObject, FILE, files.retrieve(file_id))


def _call(interval: float, deadline: float) -> PollParams:
    return PollParams(body={}, options=NO_OPTIONS, settings=PollSettings(interval=interval, deadline=deadline))

"""Batches of files for a vector store: add them, upload them, and poll them until they are processed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import reactivex
from reactivex import Observable, abc, operators as ops
from typing_extensions import Unpack

from rx_assistant.api import file_batches
from rx_assistant.client.pages import AsyncPaginator, Page
from rx_assistant.client.params import (
    BatchCreateAndPoll,
    BatchUpload,
    BatchUploadAndPoll,
    FileBatchCreate,
    FileBatchListFiles,
    IngestionOptions,
    PollOptions,
    PollParams,
    RequestOptions,
    poll_params,
    taken,
)
from rx_assistant.client.polling import (
    PollTarget,
    checked,
    poll_object,
    poll_object_async,
    watch_object,
    watch_object_async,
)
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.client.split_batches import watch_new_batches, watch_new_batches_async
from rx_assistant.client.uploads import UploadSettings, watch_uploads, watch_uploads_async
from rx_assistant.hot import AsyncStream, Stream, deferred, wrap
from rx_assistant.lifecycle import FILE_BATCH
from rx_assistant.polling import UploadProgress
from rx_assistant.types import VectorStoreFile, VectorStoreFileBatch

MAX_CONCURRENCY = 5
"""The default number of files that are uploaded at once."""


class FileBatches(Resource):
    """`client.vector_stores.file_batches`."""

    def create(self, vector_store_id: str, **params: Unpack[FileBatchCreate]) -> VectorStoreFileBatch:
        """Add uploaded files by `file_ids`, or by `files`, each with its own settings. They are then in progress."""
        body, options = taken(params, FileBatchCreate)
        return self._fetch(VectorStoreFileBatch, file_batches.create(vector_store_id, body), options)

    def retrieve(self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFileBatch:
        """The batch with its progress."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFileBatch, file_batches.retrieve(batch_id, vector_store_id), options)

    def cancel(self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]) -> VectorStoreFileBatch:
        """Cancel the files that were not added yet."""
        _, options = taken(params, RequestOptions)
        return self._fetch(VectorStoreFileBatch, file_batches.cancel(batch_id, vector_store_id), options)

    def list_files(
        self, batch_id: str, vector_store_id: str, **params: Unpack[FileBatchListFiles]
    ) -> Page[VectorStoreFile]:
        """The batch's files. Iterating fetches further pages."""
        query, options = taken(params, FileBatchListFiles)
        return self._page(VectorStoreFile, file_batches.list_files(batch_id, vector_store_id, query), options)

    def watch(self, batch_id: str, vector_store_id: str, **params: Unpack[PollOptions]) -> Stream[VectorStoreFileBatch]:
        """The batch's states until its status is final. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object(self._session, _existing(batch_id, vector_store_id), call)

    def poll(self, batch_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]) -> VectorStoreFileBatch:
        """The batch when its status is final. With `on_failure="raise"`, IngestionError if it failed."""
        call = poll_params(params, IngestionOptions)
        return poll_object(self._session, _existing(batch_id, vector_store_id), call)

    def create_and_poll(self, vector_store_id: str, **params: Unpack[BatchCreateAndPoll]) -> VectorStoreFileBatch:
        """Add uploaded files, and return their batch when its status is final.

        More than 2 000 files become several batches, which are polled together and returned as one.
        """
        call = poll_params(params, BatchCreateAndPoll)
        batches = watch_new_batches(self._session, vector_store_id, call)
        return checked(batches.run(), FILE_BATCH, call.on_failure)

    def watch_upload(self, vector_store_id: str, **params: Unpack[BatchUpload]) -> Stream[UploadProgress]:
        """Upload files, add them to the vector store after `file_ids`, and emit the progress until all are processed.

        Cold: each subscription uploads the files again. `max_concurrency` files (5) are uploaded at once. The last item
        has the batch in its final state. The first error ends the stream, after all uploads have stopped. Nothing is
        deleted.
        """
        return self._uploads(_UploadJob(vector_store_id, poll_params(params, BatchUpload)))

    def upload_and_poll(self, vector_store_id: str, **params: Unpack[BatchUploadAndPoll]) -> VectorStoreFileBatch:
        """Upload files, add them to the vector store after `file_ids`, and return the batch when its status is final.

        `on_progress`, a plain function, is called on the waiting thread. `watch_upload` describes the rest.
        """
        call = poll_params(params, BatchUploadAndPoll)
        report = _reporting_to(call.body.pop("on_progress", None))
        progress = self._uploads(_UploadJob(vector_store_id, call))
        return checked(_batch_of(progress.pipe(report).run()), FILE_BATCH, call.on_failure)

    def _uploads(self, job: _UploadJob) -> Stream[UploadProgress]:
        uploads = watch_uploads(self._session, job.uploads)

        def add(call: PollParams) -> Observable[VectorStoreFileBatch]:
            return watch_new_batches(self._session, job.vector_store_id, call)

        stream: Stream[UploadProgress] = wrap(job.stages(uploads, add), like=uploads)
        return stream


class AsyncFileBatches(AsyncResource):
    """`client.vector_stores.file_batches` of the asynchronous client."""

    async def create(self, vector_store_id: str, **params: Unpack[FileBatchCreate]) -> VectorStoreFileBatch:
        """Add uploaded files by `file_ids`, or by `files`, each with its own settings. They are then in progress."""
        body, options = taken(params, FileBatchCreate)
        return await self._fetch(VectorStoreFileBatch, file_batches.create(vector_store_id, body), options)

    async def retrieve(
        self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> VectorStoreFileBatch:
        """The batch with its progress."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFileBatch, file_batches.retrieve(batch_id, vector_store_id), options)

    async def cancel(
        self, batch_id: str, vector_store_id: str, **params: Unpack[RequestOptions]
    ) -> VectorStoreFileBatch:
        """Cancel the files that were not added yet."""
        _, options = taken(params, RequestOptions)
        return await self._fetch(VectorStoreFileBatch, file_batches.cancel(batch_id, vector_store_id), options)

    def list_files(
        self, batch_id: str, vector_store_id: str, **params: Unpack[FileBatchListFiles]
    ) -> AsyncPaginator[VectorStoreFile]:
        """The batch's files. Iterating fetches further pages."""
        query, options = taken(params, FileBatchListFiles)
        return self._pages(VectorStoreFile, file_batches.list_files(batch_id, vector_store_id, query), options)

    def watch(
        self, batch_id: str, vector_store_id: str, **params: Unpack[PollOptions]
    ) -> AsyncStream[VectorStoreFileBatch]:
        """The batch's states until its status is final. Each subscription sends its own requests.

        Raises:
            PollTimeoutError: `max_wait_seconds` have passed.
        """
        call = poll_params(params, PollOptions)
        return watch_object_async(self._session, _existing(batch_id, vector_store_id), call)

    async def poll(
        self, batch_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]
    ) -> VectorStoreFileBatch:
        """The batch when its status is final. With `on_failure="raise"`, IngestionError if it failed."""
        call = poll_params(params, IngestionOptions)
        return await poll_object_async(self._session, _existing(batch_id, vector_store_id), call)

    async def create_and_poll(self, vector_store_id: str, **params: Unpack[BatchCreateAndPoll]) -> VectorStoreFileBatch:
        """Add uploaded files, and return their batch when its status is final.

        More than 2 000 files become several batches, which are polled together and returned as one.
        """
        call = poll_params(params, BatchCreateAndPoll)
        batches = watch_new_batches_async(self._session, vector_store_id, call)
        return checked(await batches, FILE_BATCH, call.on_failure)

    def watch_upload(self, vector_store_id: str, **params: Unpack[BatchUpload]) -> AsyncStream[UploadProgress]:
        """Upload files, add them to the vector store after `file_ids`, and emit the progress until all are processed.

        Cold: each subscription uploads the files again. `max_concurrency` files (5) are uploaded at once. The last item
        has the batch in its final state. The first error ends the stream, after all uploads have stopped. Nothing is
        deleted.
        """
        return self._uploads(_UploadJob(vector_store_id, poll_params(params, BatchUpload)))

    async def upload_and_poll(self, vector_store_id: str, **params: Unpack[BatchUploadAndPoll]) -> VectorStoreFileBatch:
        """Upload files, add them to the vector store after `file_ids`, and return the batch when its status is final.

        `on_progress`, a plain function, is called on the waiting thread. `watch_upload` describes the rest.
        """
        call = poll_params(params, BatchUploadAndPoll)
        report = _reporting_to(call.body.pop("on_progress", None))
        progress = self._uploads(_UploadJob(vector_store_id, call))
        return checked(_batch_of(await progress.pipe(report)), FILE_BATCH, call.on_failure)

    def _uploads(self, job: _UploadJob) -> AsyncStream[UploadProgress]:
        uploads = watch_uploads_async(self._session, job.uploads)

        def add(call: PollParams) -> Observable[VectorStoreFileBatch]:
            return watch_new_batches_async(self._session, job.vector_store_id, call)

        stream: AsyncStream[UploadProgress] = wrap(job.stages(uploads, add), like=uploads)
        return stream


class _UploadJob:
    """The files to upload and then to add to one vector store."""

    def __init__(self, vector_store_id: str, call: PollParams) -> None:
        file_batches.create(vector_store_id, {})  # an empty id is an error before anything is uploaded
        body = dict(call.body)
        self.vector_store_id = vector_store_id
        files, max_concurrency = [*body.pop("files")], body.pop("max_concurrency", MAX_CONCURRENCY)
        self._file_ids = [*(body.pop("file_ids", None) or ())]
        self.uploads = UploadSettings(files=files, options=call.options, max_concurrency=max_concurrency)
        self._call = replace(call, body=body)
        if not isinstance(max_concurrency, int) or max_concurrency < 1:
            raise ValueError(f"max_concurrency must be a whole number, at least 1, got {max_concurrency!r}")
        if not files and not self._file_ids:
            raise ValueError("files= and file_ids= must hold at least one file, got none")

    def stages(
        self,
        uploads: Observable[UploadProgress],
        add: Callable[[PollParams], Observable[VectorStoreFileBatch]],
    ) -> Observable[UploadProgress]:
        """The uploads, and then the states of the batch. Each subscription starts again."""

        def begin(_: abc.SchedulerBase) -> Observable[UploadProgress]:
            last: list[UploadProgress] = []

            def remember(progress: UploadProgress) -> None:
                last[:] = [progress]

            def add_uploaded(_: abc.SchedulerBase) -> Observable[UploadProgress]:
                [done] = last

                def with_batch(batch: VectorStoreFileBatch) -> UploadProgress:
                    return replace(done, batch=batch)

                body = {**self._call.body, "file_ids": [*self._file_ids, *done.file_ids]}
                return add(replace(self._call, body=body)).pipe(ops.map(with_batch))

            return uploads.pipe(ops.do_action(remember), ops.concat(reactivex.defer(add_uploaded)))

        return reactivex.defer(begin)


def _existing(batch_id: str, vector_store_id: str) -> PollTarget[VectorStoreFileBatch]:
    return PollTarget(VectorStoreFileBatch, FILE_BATCH, file_batches.retrieve(batch_id, vector_store_id))


def _batch_of(progress: UploadProgress) -> VectorStoreFileBatch:
    """The batch in the last progress."""
    batch = progress.batch
    assert batch is not None
    return batch


def _reporting_to(
    on_progress: Callable[[UploadProgress], object] | None,
) -> Callable[[Observable[UploadProgress]], Observable[UploadProgress]]:
    """The same progress. `on_progress` is called with each item."""
    kind = deferred(on_progress)
    if kind is not None:
        raise TypeError(f"on_progress must be a plain function, got {kind}: calling it would run none of its code")

    def report(progress: UploadProgress) -> UploadProgress:
        if on_progress is not None:
            on_progress(progress)
        return progress

    return ops.map(report)

"""Batches of files, uploaded, added and polled until they are taken in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import reactivex
from reactivex import Observable, abc, operators as ops
from typing_extensions import Unpack

from rx_assistant.api import file_batches
from rx_assistant.client._batches import watched_batches, watched_batches_async
from rx_assistant.client._params import taken
from rx_assistant.client._poll_params import (
    BatchCreateAndPoll,
    BatchUpload,
    BatchUploadAndPoll,
    IngestionOptions,
    PollOptions,
)
from rx_assistant.client._polling import Subject, Waiting, taken_waiting, watched, watched_async
from rx_assistant.client._resource import AsyncResource, Resource
from rx_assistant.client._uploading import uploading, uploading_async
from rx_assistant.hot import AsyncStream, Stream, deferred, wrap
from rx_assistant.http.options import CallOptions
from rx_assistant.lifecycle import FILE_BATCH
from rx_assistant.polling import UploadProgress
from rx_assistant.types import VectorStoreFileBatch

MAX_CONCURRENCY = 5


class BatchPolling(Resource):
    """What `client.vector_stores.file_batches` has for waiting until files are taken in."""

    def watch(self, batch_id: str, vector_store_id: str, **params: Unpack[PollOptions]) -> Stream[VectorStoreFileBatch]:
        """The batch's states until its status is final, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched(self._session, _batch(batch_id, vector_store_id, options), waiting)

    def poll(self, batch_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]) -> VectorStoreFileBatch:
        """The batch once its status is final; with `on_failure="raise"`, IngestionError if it failed."""
        given, waiting = taken_waiting(params)
        _, options = taken(given, IngestionOptions)
        subject = _batch(batch_id, vector_store_id, options)
        return waiting.judged(watched(self._session, subject, waiting).run(), FILE_BATCH)

    def create_and_poll(self, vector_store_id: str, **params: Unpack[BatchCreateAndPoll]) -> VectorStoreFileBatch:
        """Add uploaded files, and give their batch once its status is final.

        More than 2 000 files become several batches, which are polled together and given as one.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, BatchCreateAndPoll)
        return waiting.judged(watched_batches(self._session, vector_store_id, body, options, waiting).run(), FILE_BATCH)

    def watch_upload(self, vector_store_id: str, **params: Unpack[BatchUpload]) -> Stream[UploadProgress]:
        """Upload files, add them with `file_ids` before them, and tell how far that has come, until all is taken in.

        Cold: each subscription uploads anew. `max_concurrency` files (5) are uploaded at once. The last item has the
        batch in its final state. The first error ends it: no upload is left then, and nothing has been deleted.
        """
        given, waiting = taken_waiting(params)
        return self._uploads(_Job(vector_store_id, *taken(given, BatchUpload)), waiting)

    def upload_and_poll(self, vector_store_id: str, **params: Unpack[BatchUploadAndPoll]) -> VectorStoreFileBatch:
        """Upload files, add them with `file_ids` before them, and give the batch once its status is final.

        `on_progress`, a plain function, is called on the thread that waits. See `watch_upload` for the rest.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, BatchUploadAndPoll)
        telling = _telling(body.pop("on_progress", None))
        progress = self._uploads(_Job(vector_store_id, body, options), waiting)
        return waiting.judged(_batch_of(progress.pipe(telling).run()), FILE_BATCH)

    def _uploads(self, job: _Job, waiting: Waiting) -> Stream[UploadProgress]:
        uploads = uploading(self._session, job.files, job.options, job.max_concurrency)

        def adding(body: Mapping[str, Any]) -> Observable[VectorStoreFileBatch]:
            return watched_batches(self._session, job.vector_store_id, body, job.options, waiting)

        stream: Stream[UploadProgress] = wrap(job.stages(uploads, adding), like=uploads)
        return stream


class AsyncBatchPolling(AsyncResource):
    """The same for asyncio and trio."""

    def watch(
        self, batch_id: str, vector_store_id: str, **params: Unpack[PollOptions]
    ) -> AsyncStream[VectorStoreFileBatch]:
        """The batch's states until its status is final, each subscription polling for itself.

        Raises:
            PollTimeoutError: it took more than `max_wait_seconds`.
        """
        given, waiting = taken_waiting(params)
        _, options = taken(given, PollOptions)
        return watched_async(self._session, _batch(batch_id, vector_store_id, options), waiting)

    async def poll(
        self, batch_id: str, vector_store_id: str, **params: Unpack[IngestionOptions]
    ) -> VectorStoreFileBatch:
        """The batch once its status is final; with `on_failure="raise"`, IngestionError if it failed."""
        given, waiting = taken_waiting(params)
        _, options = taken(given, IngestionOptions)
        subject = _batch(batch_id, vector_store_id, options)
        return waiting.judged(await watched_async(self._session, subject, waiting), FILE_BATCH)

    async def create_and_poll(self, vector_store_id: str, **params: Unpack[BatchCreateAndPoll]) -> VectorStoreFileBatch:
        """Add uploaded files, and give their batch once its status is final.

        More than 2 000 files become several batches, which are polled together and given as one.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, BatchCreateAndPoll)
        batches = watched_batches_async(self._session, vector_store_id, body, options, waiting)
        return waiting.judged(await batches, FILE_BATCH)

    def watch_upload(self, vector_store_id: str, **params: Unpack[BatchUpload]) -> AsyncStream[UploadProgress]:
        """Upload files, add them with `file_ids` before them, and tell how far that has come, until all is taken in.

        Cold: each subscription uploads anew. `max_concurrency` files (5) are uploaded at once. The last item has the
        batch in its final state. The first error ends it: no upload is left then, and nothing has been deleted.
        """
        given, waiting = taken_waiting(params)
        return self._uploads(_Job(vector_store_id, *taken(given, BatchUpload)), waiting)

    async def upload_and_poll(self, vector_store_id: str, **params: Unpack[BatchUploadAndPoll]) -> VectorStoreFileBatch:
        """Upload files, add them with `file_ids` before them, and give the batch once its status is final.

        `on_progress`, a plain function, is called on the thread that waits. See `watch_upload` for the rest.
        """
        given, waiting = taken_waiting(params)
        body, options = taken(given, BatchUploadAndPoll)
        telling = _telling(body.pop("on_progress", None))
        progress = self._uploads(_Job(vector_store_id, body, options), waiting)
        return waiting.judged(_batch_of(await progress.pipe(telling)), FILE_BATCH)

    def _uploads(self, job: _Job, waiting: Waiting) -> AsyncStream[UploadProgress]:
        uploads = uploading_async(self._session, job.files, job.options, job.max_concurrency)

        def adding(body: Mapping[str, Any]) -> Observable[VectorStoreFileBatch]:
            return watched_batches_async(self._session, job.vector_store_id, body, job.options, waiting)

        stream: AsyncStream[UploadProgress] = wrap(job.stages(uploads, adding), like=uploads)
        return stream


class _Job:
    """What is to be uploaded and added, and the stages of it."""

    def __init__(self, vector_store_id: str, given: dict[str, Any], options: CallOptions) -> None:
        file_batches.create(vector_store_id, {})  # an empty id is an error before anything is uploaded
        self.vector_store_id = vector_store_id
        self.files = [*given.pop("files")]
        self.max_concurrency = given.pop("max_concurrency", MAX_CONCURRENCY)
        self.options = options
        self._file_ids = [*(given.pop("file_ids", None) or ())]
        self._settings = given
        if self.max_concurrency < 1:
            raise ValueError(f"max_concurrency must be at least 1, not {self.max_concurrency!r}")
        if not self.files and not self._file_ids:
            raise ValueError("there are no files to add: files= and file_ids= are both empty")

    def stages(
        self,
        uploads: Observable[UploadProgress],
        adding: Callable[[Mapping[str, Any]], Observable[VectorStoreFileBatch]],
    ) -> Observable[UploadProgress]:
        """The uploads, and then the batch that they become; anew for each subscription."""

        def begin(_: abc.SchedulerBase) -> Observable[UploadProgress]:
            last: list[UploadProgress] = []

            def remember(progress: UploadProgress) -> None:
                last[:] = [progress]

            def add(_: abc.SchedulerBase) -> Observable[UploadProgress]:
                [done] = last

                def with_batch(batch: VectorStoreFileBatch) -> UploadProgress:
                    return replace(done, batch=batch)

                file_ids = [*self._file_ids, *done.file_ids]
                return adding({**self._settings, "file_ids": file_ids}).pipe(ops.map(with_batch))

            return uploads.pipe(ops.do_action(remember), ops.concat(reactivex.defer(add)))

        return reactivex.defer(begin)


def _batch(batch_id: str, vector_store_id: str, options: CallOptions) -> Subject[VectorStoreFileBatch]:
    return Subject(VectorStoreFileBatch, FILE_BATCH, options, file_batches.retrieve(batch_id, vector_store_id))


def _batch_of(progress: UploadProgress) -> VectorStoreFileBatch:
    """The batch that all is about in the end."""
    batch = progress.batch
    assert batch is not None
    return batch


def _telling(
    on_progress: Callable[[UploadProgress], object] | None,
) -> Callable[[Observable[UploadProgress]], Observable[UploadProgress]]:
    """The same progress, of which `on_progress` is told."""
    kind = deferred(on_progress)
    if kind is not None:
        raise TypeError(f"on_progress is {kind}, and calling it runs none of its code: write a plain def")

    def tell(progress: UploadProgress) -> UploadProgress:
        if on_progress is not None:
            on_progress(progress)
        return progress

    return ops.map(tell)

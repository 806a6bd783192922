"""Batches of files that are started and then polled.

Too many files for one batch become several batches, polled together. Only the status shows whether a batch is finished.
Its counts may all be 0 before the server has looked at it, and one file of a cancelled batch may stay in progress for
ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rx_assistant.api import file_batches
from rx_assistant.api.request import Request
from rx_assistant.client.params import PollParams
from rx_assistant.client.polling import AsyncFetch, Countdown, Requests, SyncFetch
from rx_assistant.client.resource import parsed
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.connection import Abort
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.http.timeouts import Timeout
from rx_assistant.lifecycle import FILE_BATCH
from rx_assistant.polling import Plan, Polled, observe, observe_async, poll_after
from rx_assistant.types import FileCounts, VectorStoreFileBatch
from rx_assistant.types._inside import inside

MOST = 2000
"""The largest number of files in one batch."""

_COUNTS = ("in_progress", "completed", "failed", "cancelled", "total")


class SplitBatch(VectorStoreFileBatch):
    """Several batches that were polled as one. Counts are sums, `id` joins the ids, `parts` are the batches."""

    parts: tuple[VectorStoreFileBatch, ...] = ()


def watch_new_batches(session: Session, vector_store_id: str, call: PollParams) -> Stream[VectorStoreFileBatch]:
    """Start as many batches as the files need, and emit their joint states. Each subscription starts new batches."""
    requests, timeout = create_requests(vector_store_id, call.body), session.settings.timeout

    def open(reachable: bool) -> SyncFetch[VectorStoreFileBatch]:
        return SyncFetch(session, batch_requests(requests, call, timeout), abort=Abort() if reachable else None)

    return observe(Plan(open=open, until=_is_final, settings=call.settings, begins=True))


def watch_new_batches_async(
    session: AsyncSession, vector_store_id: str, call: PollParams
) -> AsyncStream[VectorStoreFileBatch]:
    """The same for asyncio and trio."""
    requests, timeout = create_requests(vector_store_id, call.body), session.settings.timeout

    def open(_: bool) -> AsyncFetch[VectorStoreFileBatch]:
        return AsyncFetch(session, batch_requests(requests, call, timeout))

    return observe_async(Plan(open=open, until=_is_final, settings=call.settings, begins=True))


def _is_final(batch: VectorStoreFileBatch) -> bool:
    return batch.status in FILE_BATCH.stops


def create_requests(vector_store_id: str, params: Mapping[str, Any]) -> list[Request]:
    """One request for every 2 000 files."""
    for name in ("file_ids", "files"):
        entries = [*(params.get(name) or ())]
        if len(entries) > MOST:
            slices = [entries[start : start + MOST] for start in range(0, len(entries), MOST)]
            return [file_batches.create(vector_store_id, {**params, name: some}) for some in slices]
    return [file_batches.create(vector_store_id, params)]


def batch_requests(
    requests: list[Request], call: PollParams, timeout: Timeout
) -> Callable[[], Requests[VectorStoreFileBatch]]:
    """The fetches of one subscription: the first creates all batches, the others ask for the unfinished batches."""
    countdown = Countdown(call.settings.deadline, timeout)
    asking = replace(call.options, extra_body={})
    batches: list[VectorStoreFileBatch] = []

    def fetch() -> Requests[VectorStoreFileBatch]:
        waits: list[float | None] = []
        for request in requests[len(batches) :]:
            reply = yield request, call.options
            batches.append(parsed(VectorStoreFileBatch, reply))
            waits.append(poll_after(reply.headers))
        if not waits:
            for number, batch in enumerate(batches):
                if not _is_final(batch):
                    retrieve = file_batches.retrieve(batch.id, batch.vector_store_id)
                    reply = yield from countdown.send(retrieve, asking)
                    batches[number] = parsed(VectorStoreFileBatch, reply)
                    waits.append(poll_after(reply.headers))
        return Polled(_joined(batches), max((wait for wait in waits if wait is not None), default=None))

    return fetch


def _joined(batches: list[VectorStoreFileBatch]) -> VectorStoreFileBatch:
    """The only batch, or all of them as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    counts = {name: sum(_count(batch, name) for batch in batches) for name in _COUNTS}
    return SplitBatch(
        id=",".join(batch.id for batch in batches),
        created_at=first.created_at,
        vector_store_id=first.vector_store_id,
        status=_status_of([batch.status for batch in batches]),
        file_counts=FileCounts(**counts),
        parts=tuple(batches),
    )


def _count(batch: VectorStoreFileBatch, name: str) -> Any:
    count = inside(batch.file_counts, name)
    return count if isinstance(count, int | float) else 0


def _status_of(statuses: list[Any]) -> Any:
    """The status of the first unfinished batch; if all are finished, the worst status."""
    for status in statuses:
        if status not in FILE_BATCH.stops:
            return status
    return next((bad for bad in ("cancelled", "failed") if bad in statuses), statuses[0])

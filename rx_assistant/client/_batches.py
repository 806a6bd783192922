"""Batches of files that are begun and then polled; what is too much for one batch becomes several, polled together.

The status alone says whether a batch is finished: its counts may all be 0 before the server has looked at it, and in a
cancelled batch one file may stay in progress for ever.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rx_assistant.api import file_batches
from rx_assistant.api.request import Request
from rx_assistant.client._polling import Countdown, Waiting
from rx_assistant.client._resource import parsed
from rx_assistant.errors import TotalTimeoutError
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.timeouts import Timeout
from rx_assistant.lifecycle import FILE_BATCH
from rx_assistant.polling import Plan, Polled, observe, observe_async, poll_after
from rx_assistant.types import FileCounts, VectorStoreFileBatch
from rx_assistant.types._inside import inside

MOST = 2000
"""How many files a batch takes."""

_COUNTS = ("in_progress", "completed", "failed", "cancelled", "total")


class SplitBatch(VectorStoreFileBatch):
    """Several batches that were polled as one: counts are sums, `id` names all of them, `parts` are the batches."""

    parts: tuple[VectorStoreFileBatch, ...] = ()


def watched_batches(
    session: Session, vector_store_id: str, params: Mapping[str, Any], options: CallOptions, waiting: Waiting
) -> Stream[VectorStoreFileBatch]:
    """Begin what it takes of batches, and give their common states; each subscription begins anew."""
    requests = _requests(vector_store_id, params)

    def open(reachable: bool) -> _Adding:
        return _Adding(session, _Batches(requests, options, waiting, session.settings.timeout), reachable)

    plan = Plan(open=open, until=_is_final, settings=waiting.settings, begins=True)
    return observe(plan)


def watched_batches_async(
    session: AsyncSession, vector_store_id: str, params: Mapping[str, Any], options: CallOptions, waiting: Waiting
) -> AsyncStream[VectorStoreFileBatch]:
    """The same for asyncio and trio."""
    requests = _requests(vector_store_id, params)

    def open(_: bool) -> _AddingAsync:
        return _AddingAsync(session, _Batches(requests, options, waiting, session.settings.timeout))

    plan = Plan(open=open, until=_is_final, settings=waiting.settings, begins=True)
    return observe_async(plan)


def _is_final(batch: VectorStoreFileBatch) -> bool:
    return batch.status in FILE_BATCH.stops


def _requests(vector_store_id: str, params: Mapping[str, Any]) -> list[Request]:
    """One request for every 2 000 files."""
    for name in ("file_ids", "files"):
        entries = [*(params.get(name) or ())]
        if len(entries) > MOST:
            slices = [entries[start : start + MOST] for start in range(0, len(entries), MOST)]
            return [file_batches.create(vector_store_id, {**params, name: some}) for some in slices]
    return [file_batches.create(vector_store_id, params)]


class _Batches:
    """The state of one subscription: which batches there are, and what to ask next."""

    def __init__(self, requests: list[Request], options: CallOptions, waiting: Waiting, default: Timeout) -> None:
        self._creating = requests
        self._options = options
        self._default = default
        self._countdown = Countdown(waiting.settings.deadline)
        self._batches: list[VectorStoreFileBatch] = []
        self._poll_after: list[float] = []

    def turn(self) -> Iterator[tuple[int, Request, CallOptions]]:
        """The requests of one turn, each with the number of its batch: all are created, or all that go on are asked."""
        self._poll_after = []
        if not self._batches:
            for number, request in enumerate(self._creating):
                yield number, request, self._options
            return
        for number, batch in enumerate(self._batches):
            if not _is_final(batch):
                request = file_batches.retrieve(batch.id, batch.vector_store_id)
                options = replace(self._options, extra_body={})
                yield number, request, self._countdown.limit(options, self._default)

    def take(self, number: int, reply: Reply) -> None:
        """The state of a batch."""
        self._batches[number : number + 1] = [parsed(VectorStoreFileBatch, reply)]
        asked = poll_after(reply.headers)
        if asked is not None:
            self._poll_after.append(asked)

    def late(self, error: TotalTimeoutError) -> None:
        """Raise TooLate if the deadline was the reason."""
        self._countdown.check(error)

    @property
    def polled(self) -> Polled[VectorStoreFileBatch]:
        """What the turn has found."""
        return Polled(_joined(self._batches), max(self._poll_after, default=None))


class _Adding:
    def __init__(self, session: Session, batches: _Batches, reachable: bool) -> None:
        self._batches = batches
        self._session = session
        self._abort = Abort() if reachable else None

    def __call__(self) -> Polled[VectorStoreFileBatch]:
        try:
            for number, request, options in self._batches.turn():
                self._batches.take(number, self._session.send(request, options, self._abort))
        except TotalTimeoutError as error:
            self._batches.late(error)
            raise
        return self._batches.polled

    def close(self) -> None:
        if self._abort is not None:
            self._abort.abort()


class _AddingAsync:
    def __init__(self, session: AsyncSession, batches: _Batches) -> None:
        self._batches = batches
        self._session = session

    async def __call__(self) -> Polled[VectorStoreFileBatch]:
        try:
            for number, request, options in self._batches.turn():
                self._batches.take(number, await self._session.send(request, options))
        except TotalTimeoutError as error:
            self._batches.late(error)
            raise
        return self._batches.polled

    def close(self) -> None:
        """Cancelling the task that fetches is enough."""


def _joined(batches: list[VectorStoreFileBatch]) -> VectorStoreFileBatch:
    """The one batch; or all of them as one."""
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
    """In progress as long as one is; else the worst of them."""
    for status in statuses:
        if status not in FILE_BATCH.stops:
            return status
    return next((bad for bad in ("cancelled", "failed") if bad in statuses), statuses[0])

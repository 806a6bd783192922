"""Many files, uploaded a few at a time, on threads or in tasks → one stream of their progress, in order.

Each worker takes the next file of the list, so the ids can be put in the order of the files. The first error stops all
workers: files fail at their next read, and requests are aborted. The error is emitted when all uploads have stopped.
Uploaded files are not deleted; the notes of the error name them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio
from reactivex import abc

from rx_assistant.api import files as requests
from rx_assistant.client.resource import parsed
from rx_assistant.hot import AsyncStream, Stream, StreamScheduler, Subscriber
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.polling import (
    OwnThreadScheduler,
    UploadCounter,
    UploadProgress,
    UploadStopped,
    loop_origin,
    thread_origin,
)
from rx_assistant.schedulers import EventLoop, Task, current_event_loop, loop_scheduler
from rx_assistant.types import FileObject, FileTypes

PURPOSE = {"purpose": "assistants"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """The files to upload, the options of each request, and how many requests run at once."""

    files: Sequence[FileTypes]
    options: CallOptions
    max_concurrency: int


def watch_uploads(session: Session, settings: UploadSettings) -> Stream[UploadProgress]:
    """The progress of the uploads. The last item has the ids of all files. Each subscription uploads anew."""

    def link(down: Subscriber[UploadProgress], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        scheduler = given if isinstance(given, StreamScheduler) else OwnThreadScheduler()
        uploads = _SyncUploads(session, settings, down, scheduler)
        down.hold(uploads)
        uploads.start()
        return uploads

    return Stream(link, thread_origin())


def watch_uploads_async(session: AsyncSession, settings: UploadSettings) -> AsyncStream[UploadProgress]:
    """The same for asyncio and trio."""

    def link(down: Subscriber[UploadProgress], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        loop = current_event_loop()
        scheduler = given if isinstance(given, StreamScheduler) else loop_scheduler(loop)
        uploads = _AsyncUploads(session, settings, down, scheduler, loop)
        down.hold(uploads)
        uploads.start()
        return uploads

    return AsyncStream(link, loop_origin())


class _Uploads(abc.DisposableBase):
    """One subscription: the remaining files, the ids of the uploaded files, and the emitted progress."""

    def __init__(
        self,
        settings: UploadSettings,
        down: Subscriber[UploadProgress],
        scheduler: abc.SchedulerBase,
    ) -> None:
        self._counter = UploadCounter(settings.files, self._changed)
        self._options = settings.options
        self._workers = min(settings.max_concurrency, len(settings.files))
        self._down = down
        self._scheduler = scheduler
        self._numbers = iter(range(len(settings.files)))
        self._ids: dict[int, str] = {}
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._reporting = False
        self._reported: UploadProgress | None = None

    @property
    def _progress(self) -> UploadProgress:
        return replace(self._counter.progress, file_ids=tuple(self._ids[number] for number in sorted(self._ids)))

    def _next(self) -> int | None:
        with self._lock:
            return None if self._error is not None else next(self._numbers, None)

    def _arrived(self, number: int, reply: Reply) -> None:
        file = parsed(FileObject, reply)
        with self._lock:
            self._ids[number] = file.id
        self._counter.finish()

    def _failed(self, error: Exception) -> bool:
        """Record an error and stop all uploads. True if it is the first error."""
        with self._lock:
            first, self._error = self._error is None, self._error or error
        self._counter.stop()
        return first

    def _changed(self) -> None:
        """Schedule one report. Changes until it runs need no other report."""
        with self._lock:
            if self._reporting:
                return
            self._reporting = True
        self._scheduler.schedule(self._report)

    def _announce(self) -> None:
        """Report the start: nothing has been uploaded yet."""
        progress = self._progress
        self._scheduler.schedule(lambda *_: self._emit(progress))

    def _report(self, *_: object) -> None:
        self._reporting = False
        self._emit(self._progress)

    def _emit(self, progress: UploadProgress) -> None:
        down = self._down
        if self._error is None and progress != self._reported:
            self._reported = progress
            try:
                down.next(progress)
            except Exception as error:
                down.fail(error)

    def _finish(self, *_: object) -> None:
        """No upload is left."""
        error = self._error
        if error is None:
            self._report()
            self._down.completed()
            return
        if self._ids:
            error.add_note(f"uploaded before, and not deleted: {', '.join(self._progress.file_ids)}")
        self._down.error(error)


class _SyncUploads(_Uploads):
    """Threads with one request at a time each. Any thread may end these requests."""

    def __init__(
        self,
        session: Session,
        settings: UploadSettings,
        down: Subscriber[UploadProgress],
        scheduler: abc.SchedulerBase,
    ) -> None:
        super().__init__(settings, down, scheduler)
        self._session = session
        self._aborts = [Abort() for _ in range(self._workers)]
        self._running = {*self._aborts}

    def start(self) -> None:
        """Upload."""
        self._announce()
        if not self._aborts:
            self._scheduler.schedule(self._finish)
        for abort in self._aborts:
            threading.Thread(target=self._work, args=(abort,), name="rx-assistant-upload", daemon=True).start()

    def dispose(self) -> None:
        """Stop all uploads, and return at once."""
        self._failed(UploadStopped())
        for abort in self._aborts:
            abort.abort()

    def _work(self, abort: Abort) -> None:
        try:
            while (number := self._next()) is not None:
                self._upload(number, abort)
        except Exception as error:
            if self._failed(error):
                self._leave([other for other in self._aborts if other is not abort and not other.abort()])
        finally:
            abort.abort()
            self._leave([abort])

    def _leave(self, aborts: list[Abort]) -> None:
        """Stop waiting for these requests: they are done, or only the server can end them."""
        with self._lock:
            waiting = bool(self._running)
            self._running.difference_update(aborts)
            last = waiting and not self._running
        if last:
            self._scheduler.schedule(self._finish)

    def _upload(self, number: int, abort: Abort) -> None:
        file = self._counter.open(number)
        try:
            reply = self._session.send(requests.create(file.form, PURPOSE), self._options, abort)
        finally:
            file.close()
        self._arrived(number, reply)


class _AsyncUploads(_Uploads):
    """Tasks of one parent task, which is outside the caller's cancel scopes."""

    def __init__(
        self,
        session: AsyncSession,
        settings: UploadSettings,
        down: Subscriber[UploadProgress],
        scheduler: abc.SchedulerBase,
        loop: EventLoop,
    ) -> None:
        super().__init__(settings, down, scheduler)
        self._session = session
        self._loop = loop
        self._task: Task | None = None

    def start(self) -> None:
        """Upload."""
        self._announce()
        self._task = self._loop.spawn(self._run)

    def dispose(self) -> None:
        """Stop all uploads, from any thread."""
        self._failed(UploadStopped())
        task, self._task = self._task, None
        if task is not None:
            on_loop: Callable[[], object] = task.cancel
            on_loop() if self._loop.is_here() else self._loop.call_soon(on_loop)

    async def _run(self) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(self._workers):
                group.start_soon(self._work, group.cancel_scope)
        self._task = None
        self._scheduler.schedule(self._finish)

    async def _work(self, all_uploads: anyio.CancelScope) -> None:
        try:
            while (number := self._next()) is not None:
                await self._upload(number)
        except Exception as error:
            self._failed(error)
            all_uploads.cancel()

    async def _upload(self, number: int) -> None:
        file = self._counter.open(number)
        try:
            reply = await self._session.send(requests.create(file.form, PURPOSE), self._options)
        finally:
            file.close()
        self._arrived(number, reply)

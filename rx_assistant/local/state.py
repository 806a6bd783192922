"""The state of one server: the store, the engine, the active runs, and background work."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from rx_assistant.errors import may_be_secret
from rx_assistant.http.redaction import redact
from rx_assistant.local import foreign, objects
from rx_assistant.local.code.interpreters import CodePolicy, GivenFile, Interpreters, is_image, named
from rx_assistant.local.directory import DataDirectory
from rx_assistant.local.embeddings import Embeddings
from rx_assistant.local.engine import CodeFile, CodeResult, Engine, RunCode, SearchResult
from rx_assistant.local.errors import ApiError, bad_request, disk_full, is_full, not_found
from rx_assistant.local.faults import Faults
from rx_assistant.local.files import Files
from rx_assistant.local.frame_log import FrameLog, Spool
from rx_assistant.local.idempotency import Replays
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.responses import Readers
from rx_assistant.local.runs.actions import EngineError, check_argument
from rx_assistant.local.runs.execution import Execution
from rx_assistant.local.starts import Starts
from rx_assistant.local.store import Store
from rx_assistant.local.upstreams import Upstream
from rx_assistant.local.vector_stores import VectorStores

_INGESTION_WAIT = 60.0
_ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")
_CHILDREN = (
    ("message", "thread"),
    ("run", "thread"),
    ("step", "run"),
    ("vector_store.file", "vector_store"),
    ("vector_store.file_batch", "vector_store"),
    ("batch_member", "vector_store.file_batch"),
)
_RECORDED_BODY = 64 * 2**10
_RECORDED_BYTES = 16 * 2**20

_log = logging.getLogger("rx_assistant.local")


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A received request. Keys are replaced: by `***` in headers, by `[hidden]` in the query.

    `body` has at most 64 KiB, and is empty for uploads.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def size(self) -> int:
        """About how many bytes the record needs."""
        headers = sum(len(name) + len(value) for name, value in self.headers.items())
        return 1000 + len(self.path) + len(self.query) + headers + len(self.body)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one server. Sizes are in bytes; times are in seconds, unless the name ends with `ms`."""

    api_key: str | None = None
    allow_hosts: frozenset[str] = frozenset()
    allow_origins: frozenset[str] = frozenset()
    run_ttl: float = 600.0
    poll_after_ms: int = 100
    max_body_bytes: int = 8 * 2**20
    max_file_bytes: int = 512 * 2**20
    write_timeout: float = 60.0
    recorded_requests: int = 10_000
    ingestion_delay: float = 0.0
    adopt: bool = False
    data: str | os.PathLike[str] | None = None
    upstream: Upstream | None = None
    embeddings: Embeddings | None = None
    code: CodePolicy | None = None

    @property
    def adopted_model(self) -> str:
        """The model of an assistant that was created without a model."""
        return (self.upstream and self.upstream.model) or "local"


class State:
    """The state behind the routes. It is used on one event loop only."""

    def __init__(self, settings: Settings, engine: Engine, faults: Faults) -> None:
        self.settings = settings
        self.engine = engine
        self.faults = faults
        self.at_close: list[Callable[[], Coroutine[None, None, None]]] = []
        with ExitStack() as opened:  # if one part cannot be opened, those before it are closed
            self.data = None if settings.data is None else DataDirectory(settings.data)
            if self.data is not None:
                opened.callback(self.data.close)
            self.store = Store() if self.data is None else Store(self.data.objects)
            opened.callback(self.store.close)
            self.files = Files(self.store, self.data)
            self.code = self._interpreters()
            self.stores = self._vector_stores()
            self.replays = Replays() if self.data is None else Replays(self.store, self._kept_log)
            opened.pop_all()
        self.requests: deque[RequestRecord] = deque()
        self._recorded_bytes = 0
        self.run_ttl = settings.run_ttl
        self.is_ready = False
        self.draining = False
        self.readers = Readers()
        self.starts = Starts()
        self._log_numbers: dict[str, int] = {}
        self._synced_changes = 0
        self._executions: dict[str, Execution] = {}
        self._active: dict[str, str] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def _vector_stores(self) -> VectorStores:
        embedder = None if self.settings.embeddings is None else self.settings.embeddings.embedder()
        if embedder is not None:
            self.at_close.append(embedder.aclose)
        return VectorStores(
            self.store,
            self.files,
            self.spawn,
            self.settings.ingestion_delay,
            index=None if self.data is None else self.data.index,
            embedder=embedder,
        )

    def _interpreters(self) -> Interpreters | None:
        if self.settings.code is None:
            return None
        hidden = [Path(tempfile.gettempdir()), *([] if self.data is None else [self.data.path])]
        return Interpreters(self.settings.code, hidden)

    async def start(self) -> None:
        """Continue with the state that the last server left in the data directory. Then requests are accepted."""
        if self.data is not None:
            self.files.tidy()
            for kind, parents in _CHILDREN:
                for parent in self.store.orphans(kind, parents):
                    self.spawn(self.store.sweep(kind, parent))
            self._go_on()
            await self.stores.go_on()
            await self.synced()
        self.is_ready = True

    def _go_on(self) -> None:
        """Restore runs and streams.

        Replies come first: a stream with an idempotency key keeps its file when its run ends.
        """
        for _, run, notes in self.store.with_status("run", *_ACTIVE):
            self._log_numbers[run["id"]] = self._newest_log(run["id"])
            restored = self._log_of(run["id"])
            execution = Execution(self, run, bool(notes.get("include_content")), restored)
            self._executions[run["id"]] = execution
            self._active[run["thread_id"]] = run["id"]
        self.replays.load()
        for execution in list(self._executions.values()):
            execution.go_on()
        assert self.data is not None
        wanted = {name for _, name in self.store.replies()}
        wanted |= {
            execution.frames.spool.path.name for execution in self._executions.values() if execution.frames.spool
        }
        for path in self.data.streams.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    async def synced(self) -> None:
        """Wait until all writes are on disk. ApiError 507 if the disk is full."""
        changes = self.store.changes
        if self.data is None or changes == self._synced_changes:
            return
        try:
            await self.data.synced()
        except OSError as error:
            if is_full(error):
                raise disk_full() from error
            raise
        self._synced_changes = changes

    def disk(self) -> JsonObject | None:
        """The data directory and the free bytes of its disk. None for a server in memory."""
        if self.data is None:
            return None
        return {"directory": str(self.data.path), "free_bytes": shutil.disk_usage(self.data.path).free}

    def save_soon(self) -> None:
        """Sync all writes soon, without waiting."""
        if self.data is not None:
            self.spawn(self.synced())

    def new_log(self, run_id: str) -> FrameLog:
        """A frame log for the run, with a file for its frames on a durable server."""
        self._log_numbers[run_id] = self._log_numbers.get(run_id, 0) + 1
        return self._log_of(run_id)

    def _log_of(self, run_id: str) -> FrameLog:
        if self.data is None:
            return FrameLog()
        return FrameLog(spool=Spool(self.data.streams / f"{run_id}.{self._log_numbers[run_id]}"))

    def _newest_log(self, run_id: str) -> int:
        assert self.data is not None
        numbers = [int(path.suffix[1:]) for path in self.data.streams.glob(f"{run_id}.*")]
        return max(numbers, default=1)

    def _kept_log(self, name: str) -> FrameLog | None:
        """The frame log with this name, for an idempotency key. None if its file was deleted."""
        assert self.data is not None
        execution = self._executions.get(name.rpartition(".")[0])
        if execution is not None and execution.frames.spool is not None and execution.frames.spool.path.name == name:
            execution.frames.spool.is_wanted = True
            return execution.frames
        spool = Spool(self.data.streams / name)
        if not spool.path.exists():
            return None
        spool.is_wanted = True
        frames = FrameLog(spool=spool)
        frames.end(done=False)
        return frames

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run work in the background. An exception in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = foreign.failure(task)
        if error is not None:
            _log.error("background work failed", exc_info=error)

    def record(self, request: RequestRecord) -> None:
        """Record a request without its keys, and only the beginning of a large body.

        Past 16 MiB, drop the oldest records.
        """
        if not self.settings.recorded_requests:
            return
        headers = {name: "***" if may_be_secret(name) else value for name, value in request.headers.items()}
        query = redact(f"?{request.query}")[1:]
        request = replace(request, query=query, headers=headers, body=request.body[:_RECORDED_BODY])
        self.requests.append(request)
        self._recorded_bytes += request.size
        while len(self.requests) > self.settings.recorded_requests or self._recorded_bytes > _RECORDED_BYTES:
            self._recorded_bytes -= self.requests.popleft().size

    async def close(self) -> None:
        """Break every stream, end every run, call the functions in `at_close`, and close store and files."""
        for execution in list(self._executions.values()):
            execution.abandon()
        self._executions.clear()
        try:
            await foreign.end(self._tasks)
            for close in self.at_close:
                await foreign.end_soon(asyncio.ensure_future(close()))
        finally:
            self.discard()

    def discard(self) -> None:
        """Close store and files. Active runs fail."""
        if self.code is not None:
            self.code.close()
        self.stores.close()
        self.store.close()
        self.files.close()
        if self.data is not None:
            self.data.close()

    # Runs

    def start_run(self, run: JsonObject, include_content: bool, created_thread: JsonObject | None = None) -> Execution:
        """Start a run on a thread without an active run. The event of `created_thread` is emitted first."""
        execution = Execution(self, run, include_content)
        self._executions[run["id"]] = execution
        self._active[run["thread_id"]] = run["id"]
        try:
            execution.start(created_thread)
        except BaseException:
            execution.abandon()
            self._forget(run)
            raise
        return execution

    @contextmanager
    def preparing(self, run: JsonObject) -> Iterator[None]:
        """Reserve the thread while the run is created: other runs and messages are refused.

        The run starts after the block.
        """
        thread_id = run["thread_id"]
        self._active[thread_id] = run["id"]
        try:
            yield
        except BaseException:
            if run["id"] not in self._executions and self._active.get(thread_id) == run["id"]:
                del self._active[thread_id]
            raise

    def execution(self, run_id: str) -> Execution | None:
        """The execution of an active run."""
        return self._executions.get(run_id)

    def active_run(self, thread_id: str) -> str | None:
        """The id of the thread's active run."""
        return self._active.get(thread_id)

    def refuse_while_active(self, thread_id: str, what: str) -> None:
        """Raise 400 while a run is active on the thread. `what` is the refused action, such as `add messages to`."""
        active = self.active_run(thread_id)
        if active is not None:
            raise bad_request(f"Can't {what} {thread_id} while a run {active} is active.")

    def flush(self, thread_id: str) -> None:
        """Store the open message or step of the thread's active run, so that GET requests see it."""
        execution = self._executions.get(self._active.get(thread_id, ""))
        if execution is not None:
            execution.flush()

    def forget_thread(self, thread_id: str) -> None:
        """End the active run of a thread that is being deleted."""
        execution = self._executions.get(self._active.get(thread_id, ""))
        if execution is not None:
            execution.drop()

    def ended(self, run: JsonObject) -> None:
        """Called when a run has reached a final status."""
        self._forget(run)
        if self.code is not None:
            self.code.end(run["id"])
        self.save_soon()

    def _forget(self, run: JsonObject) -> None:
        self._executions.pop(run["id"], None)
        self._active.pop(run["thread_id"], None)
        self._log_numbers.pop(run["id"], None)

    # What runs need

    async def give_way(self) -> None:
        """Wait for the starts of other runs, for a limited time."""
        await self.starts.give_way()

    async def gate(self, name: str) -> None:
        """Wait until `release(name)` is called."""
        await self._gate(name).wait()

    def release(self, name: str) -> None:
        """Open a gate for ever."""
        self._gate(name).set()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    async def ingested(self, run: JsonObject) -> None:
        """Wait until the vector stores of the run are ready. EngineError if one has expired."""
        store_ids = self._store_ids(run)
        if not store_ids:
            return
        for store_id in store_ids:
            if self.stores.find(store_id)["status"] == "expired":
                raise EngineError(f"Vector store {store_id} has expired.")
        try:
            async with asyncio.timeout(_INGESTION_WAIT):
                await self.stores.settled(store_ids)
        except TimeoutError:
            pass

    async def search(self, run: JsonObject, query: str, most: int) -> list[SearchResult]:
        """Passages from the vector stores of the run, within the limits of its file_search tool.

        Files that could not be read come first, each with the reason as its text.
        """
        check_argument(query, str, "The query of context.search")
        check_argument(most, int, "The number of results of context.search")
        options = objects.search_options(run)
        most = min(most, int(options.get("max_num_results", 20)))
        threshold = float(options["ranking_options"]["score_threshold"])
        store_ids = self._store_ids(run)
        found = await self.stores.search(store_ids, query, most, threshold)
        unread = [
            SearchResult(file["id"], file["filename"], 0.0, reason, readable=False)
            for file, reason in self.stores.unread(store_ids)
        ]
        return unread + [
            SearchResult(file["id"], file["filename"], passage.score, passage.text, member["attributes"])
            for file, member, passage in found
        ]

    async def add_file(self, name: str, content: bytes) -> str:
        """Store a file that the assistant made, and return its id."""
        check_argument(name, str, "The name of context.add_file")
        check_argument(content, bytes, "The content of context.add_file")
        return str((await self.files.add_bytes(content, name, "assistants_output"))["id"])

    async def read_file(self, file_id: str) -> bytes:
        """The content of a file; EngineError if there is no such file."""
        check_argument(file_id, str, "The id of context.read_file")
        try:
            self.files.find(file_id)
            return await asyncio.to_thread(self.files.path(file_id).read_bytes)
        except (ApiError, OSError):
            raise EngineError(f"File {file_id} does not exist.") from None

    def code_of(self, run: JsonObject) -> tuple[RunCode | None, tuple[str, ...]]:
        """The function that runs code, None if the server runs none; the names of the files that code can read."""
        code = self.code
        if code is None:
            return None, ()
        found = [self.store.get("file", id) for id in self._resources(run, "code_interpreter", "file_ids")]
        files = [GivenFile(file["id"], file["filename"], self.files.path(file["id"])) for file in found if file]

        async def run_code(text: str) -> CodeResult:
            check_argument(text, str, "The code of context.run_code")
            done = await code.run(run["id"], text, files)
            added = [
                (CodeFile(await self.add_file(PurePath(name).name, content), name), is_image(content))
                for name, content in done.files
            ]
            images = tuple(file for file, image in added if image)
            return CodeResult(done.logs, images, tuple(file for file, image in added if not image))

        return run_code, tuple(name for name, _ in named(files))

    def _store_ids(self, run: JsonObject) -> list[str]:
        """The vector stores of the run or its thread, and of its assistant. Deleted ones are left out."""
        found = self._resources(run, "file_search", "vector_store_ids")
        return [store_id for store_id in found if self.stores.exists(store_id)]

    def _resources(self, run: JsonObject, tool: str, what: str) -> list[str]:
        """The ids that a tool of the run or its thread, and of its assistant, may use."""
        assistant = self.store.get("assistant", run["assistant_id"]) or {}
        found: dict[str, None] = {}
        for resources in (run["tool_resources"], assistant.get("tool_resources") or {}):
            found.update(dict.fromkeys(resources.get(tool, {}).get(what, ())))
        return list(found)

    # Objects

    def find(
        self, kind: str, id: str, parent: str = "", *, noun: str | None = None, param: str | None = None
    ) -> JsonObject:
        """The object. Raises 404 if it does not exist."""
        value = self.store.get(kind, id, parent)
        if value is None:
            raise not_found(noun or kind, id, param)
        return value

    def require(self, kind: str, id: str, parent: str = "") -> None:
        """Raise 404 if the object does not exist."""
        if not self.store.has(kind, id, parent):
            raise not_found(kind, id, None)

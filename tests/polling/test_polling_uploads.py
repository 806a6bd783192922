"""Uploads: how many at once, in which order, their progress, and what is left when one fails."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import pytest
from guard import GUARD
from loopback import Loopback, Received, Wire
from polling_faces import FACES, body, on
from polling_store import BATCHES, Store, named, parts, upload

from rx_assistant import AssistantClient, AsyncAssistantClient, local
from rx_assistant.errors import BadRequestError, NotFoundError
from rx_assistant.polling import UploadProgress


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_batch_keeps_the_order_of_the_files_given(face: str) -> None:
    with Loopback(Store(late="00|03")) as server:
        upload(face, server, named(7), file_ids=["file-old-1", "file-old-2"])
    sent = [body(request) for request in server.requests if request.path == BATCHES]
    assert sent == [{"file_ids": ["file-old-1", "file-old-2", *(f"file-{number:02}" for number in range(7))]}]


@pytest.mark.parametrize("most", [1, 3])
def test_so_many_are_uploaded_at_once_and_no_more(face: str, most: int) -> None:
    store = Store(late="0[0-5]", together=most)
    with Loopback(store) as server:
        upload(face, server, named(8), max_concurrency=most)
    assert store.most == most
    assert len(store.contents) == 8


def test_five_at_once_is_the_default() -> None:
    store = Store(late="0", together=5)
    with Loopback(store) as server:
        upload("sync", server, named(12))
    assert store.most == 5


@pytest.mark.parametrize("given", [True, False], ids=["given-client", "own-client"])
def test_the_first_error_stops_all_uploads_and_leaves_none_running(face: str, given: bool) -> None:
    """Defect 22: in the SDK it comes out after all uploads, and orphans continue."""
    store = Store(hold="0[2-9]", refuse="01", together=4)
    with Loopback(store) as server:
        begin = upload if given else upload_with_own_client
        with pytest.raises(BadRequestError, match="01 is refused") as caught:
            begin(face, server, named(9), max_concurrency=4)
        if (
            not given or face != "sync"
        ):  # on a given client, a thread on a connection that was there waits for the reply
            server.wait_for(lambda: not server.open_connections)
            assert not [thread for thread in threading.enumerate() if thread.name == "rx-assistant-upload"]
    assert {request.path for request in server.requests} == {"/v1/files"}  # no batch, and nothing deleted
    assert len(server.requests) <= 5
    assert store.contents.keys() == {"00"}
    assert getattr(caught.value, "__notes__", []) == ["uploaded before, and not deleted: file-00"]


def upload_with_own_client(face: str, server: Loopback, files: Any, **options: Any) -> None:
    if face == "sync":
        with AssistantClient(base_url=server.url) as client:
            client.vector_stores.file_batches.upload_and_poll("vs_1", files=files, **options)
        return

    async def main() -> None:
        async with AsyncAssistantClient(base_url=server.url) as client:
            await client.vector_stores.file_batches.upload_and_poll("vs_1", files=files, **options)

    anyio.run(main, backend=face)


def test_paths_bytes_file_objects_and_pairs(face: str, tmp_path: Path) -> None:
    (tmp_path / "path.md").write_bytes(b"from a path")
    (tmp_path / "open.txt").write_bytes(b"from an open file")
    store = Store()
    with Loopback(store) as server, (tmp_path / "open.txt").open("rb") as opened:
        files = [
            tmp_path / "path.md",
            b"bare bytes",
            opened,
            ("pair.txt", b"from a pair"),
            ("buffer.bin", io.BytesIO(b"from a buffer")),
            ("typed", b"typed", "text/markdown"),
        ]
        upload(face, server, files, max_concurrency=1)
        assert not opened.closed
    assert store.contents == {
        "path.md": b"from a path",
        "upload": b"bare bytes",
        "open.txt": b"from an open file",
        "pair.txt": b"from a pair",
        "buffer.bin": b"from a buffer",
        "typed": b"typed",
    }
    assert store.types["typed"] == "text/markdown"


def test_one_file_is_uploaded_and_added(face: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The codeword is otter.")
    with local.serve(poll_after_ms=2) as server:

        def call(client: Any) -> Any:
            return one(client, tmp_path / "note.txt") if face == "sync" else one_async(client, tmp_path / "note.txt")

        added, taken_in = on(face, server.base_url, call)
    assert added.status in ("in_progress", "completed")
    assert taken_in.status == "completed"
    assert taken_in.attributes == {"topic": "animals"}


def one(client: Any, path: Path) -> Any:
    store = client.vector_stores.create()
    files = client.vector_stores.files
    return files.upload(vector_store_id=store.id, file=path), files.upload_and_poll(
        vector_store_id=store.id, file=path, attributes={"topic": "animals"}
    )


async def one_async(client: Any, path: Path) -> Any:
    store = await client.vector_stores.create()
    files = client.vector_stores.files
    return await files.upload(vector_store_id=store.id, file=path), await files.upload_and_poll(
        vector_store_id=store.id, file=path, attributes={"topic": "animals"}
    )


def test_a_large_file_is_streamed_from_disk(face: str, tmp_path: Path) -> None:
    """The store does not exist: so the local server, which lives in this process, does not read the file either."""
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(32 * 2**20)
    told: list[UploadProgress] = []
    options = {"files": [large], "on_progress": told.append}
    with local.serve() as server:
        tracemalloc.start()
        try:
            with pytest.raises(NotFoundError):
                on(face, server.base_url, lambda c: c.vector_stores.file_batches.upload_and_poll("vs_none", **options))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert told[-1].bytes_done == 32 * 2**20
    assert peak < 8 * 2**20


# -- progress ------------------------------------------------------------------------------------------------------


def is_growing(values: list[int]) -> bool:
    return all(earlier <= later for earlier, later in itertools.pairwise(values))


def test_progress_begins_with_nothing_and_ends_with_everything_and_the_batch(face: str) -> None:
    told: list[UploadProgress] = []
    store = Store()

    async def last_file_last(request: Received, wire: Wire) -> None:
        if request.path == "/v1/files" and parts(request)[0] == "05":
            async with asyncio.timeout(GUARD):
                while not any(0 < progress.bytes_done < 1_200_000 for progress in told):  # noqa: ASYNC110  # a list
                    await asyncio.sleep(0.001)
        await store(request, wire)

    with Loopback(last_file_last) as server:
        batch = upload(face, server, named(6, 200_000), on_progress=told.append, max_concurrency=2)
    assert told[0] == UploadProgress(0, 6, 0, 1_200_000)
    assert is_growing([progress.bytes_done for progress in told])
    assert is_growing([progress.files_done for progress in told])
    last = told[-1]
    assert (last.files_done, last.bytes_done, last.bytes_total) == (6, 1_200_000, 1_200_000)
    assert last.file_ids == tuple(f"file-{number:02}" for number in range(6))
    assert last.batch == batch
    assert [progress.batch for progress in told[:-1]] == [None] * (len(told) - 1)


def test_progress_is_told_on_the_thread_that_waits() -> None:
    threads: set[threading.Thread] = set()
    with Loopback(Store()) as server:
        upload("sync", server, named(3), on_progress=lambda _: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_progress_is_an_observable_too(face: str) -> None:
    def call(client: Any) -> Any:
        progress = client.vector_stores.file_batches.watch_upload("vs_1", files=named(3), file_ids=["file-old"])
        return progress.run() if face == "sync" else progress

    with Loopback(Store()) as server:
        last = on(face, server.url, call)
    assert (last.files_done, last.batch.id, last.batch.file_counts.completed) == (3, "vsfb_4", 4)


def test_a_second_try_neither_counts_twice_nor_goes_back(face: str) -> None:
    class Flaky(Store):
        failures = 2

        async def _upload(self, request: Received, wire: Wire) -> None:
            if self.failures:
                self.failures -= 1
                await wire.json({"error": {"message": "again"}}, 503, {"retry-after": "0"})
            else:
                await super()._upload(request, wire)

    told: list[UploadProgress] = []
    with Loopback(Flaky()) as server:
        upload(face, server, named(2, 100_000), on_progress=told.append)
    done = [progress.bytes_done for progress in told]
    assert is_growing(done)
    assert done[-1] == 200_000


def test_a_file_that_does_not_tell_its_size_leaves_the_total_open() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    told: list[UploadProgress] = []
    store = Store()
    with Loopback(store) as server, open(reader, "rb") as pipe:
        upload("sync", server, [("pipe", pipe), ("known", b"123")], on_progress=told.append)
    assert {progress.bytes_total for progress in told} == {None}
    assert told[-1].bytes_done == 17
    assert store.contents["pipe"] == b"through a pipe"


def test_what_on_progress_raises_comes_out_and_stops_the_uploads(face: str) -> None:
    class Boom(Exception):
        pass

    def on_progress(progress: UploadProgress) -> None:
        if progress.files_done:
            raise Boom

    with Loopback(Store(hold="0[1-9]", together=5)) as server:
        with pytest.raises(Boom):
            upload(face, server, named(5), on_progress=on_progress)
        assert {request.path for request in server.requests} == {"/v1/files"}
        if face != "sync":  # tasks are cancelled; on a given client, a thread ends with its connection
            server.wait_for(lambda: not server.open_connections)


def test_disposing_stops_all_uploads() -> None:
    with Loopback(Store(hold=".")) as server, AssistantClient(base_url=server.url) as client:
        told: list[object] = []
        progress = client.vector_stores.file_batches.watch_upload("vs_1", files=named(9))
        subscription = progress.subscribe(lambda _: None, told.append, lambda: told.append("end"))
        server.wait_for(lambda: len(server.requests) == 5)
        subscription.dispose()
        server.wait_for(lambda: not server.open_connections)
        assert len(server.requests) == 5
        assert told == []


@pytest.mark.anyio
async def test_disposing_stops_all_uploads_on_an_event_loop(anyio_backend: str) -> None:
    with Loopback(Store(hold=".")) as server:
        async with AsyncAssistantClient(base_url=server.url) as client:
            progress = client.vector_stores.file_batches.watch_upload("vs_1", files=named(9))
            subscription = progress.subscribe(lambda _: None)
            await anyio.to_thread.run_sync(server.wait_for, lambda: len(server.requests) == 5)
            subscription.dispose()
            await anyio.to_thread.run_sync(server.wait_for, lambda: not server.open_connections)
        assert len(server.requests) == 5


# -- what is refused before anything is sent -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "options", "error"),
    [
        ([], {}, ValueError),
        ([b"x"], {"max_concurrency": 0}, ValueError),
        (["a path as a text"], {}, TypeError),
        ([b"fine", Path("/nowhere/at/all")], {}, FileNotFoundError),
        ([b"x"], {"max_wait": 1}, TypeError),
    ],
    ids=["nothing", "no-concurrency", "text", "missing", "misspelt"],
)
def test_nothing_is_sent_for_an_impossible_request(face: str, files: Any, options: Any, error: type[Exception]) -> None:
    with Loopback(Store()) as server:
        with pytest.raises(error):
            upload(face, server, files, **options)
        assert server.requests == []


def test_an_async_on_progress_is_a_type_error() -> None:
    async def on_progress(_: UploadProgress) -> None:
        raise AssertionError

    with Loopback(Store()) as server, pytest.raises(TypeError, match="async function"):
        upload("sync", server, [b"x"], on_progress=on_progress)

"""Every polling method of the clients: what it sends, and what becomes of files and batches that failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cases import in_one_test
from loopback import Loopback
from polling_faces import FACES, Answers, on

from rx_assistant import AssistantClient, AsyncAssistantClient
from rx_assistant.errors import IngestionError
from rx_assistant.types import VectorStoreFileBatch


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


STORE = {"id": "vs_1", "object": "vector_store"}
FILE = {"id": "file-1", "object": "vector_store.file", "vector_store_id": "vs_1"}
BATCH = {"id": "vsfb_1", "object": "vector_store.file_batch", "vector_store_id": "vs_1"}

RUN_PATH = "/v1/threads/thread_1/runs/run_1"
STORE_PATH, FILE_PATH = "/v1/vector_stores/vs_1", "/v1/vector_stores/vs_1/files/file-1"
BATCH_PATH = "/v1/vector_stores/vs_1/file_batches/vsfb_1"
OUTPUTS = {"tool_outputs": [{"tool_call_id": "call_1", "output": "1"}]}

METHODS: dict[str, tuple[dict[str, Any], Callable[..., Any], list[str]]] = {
    "runs.poll": ({}, lambda c, **o: c.threads.runs.poll("run_1", "thread_1", **o), [f"GET {RUN_PATH}"] * 3),
    "runs.poll by name": (
        {},
        lambda c, **o: c.threads.runs.poll(run_id="run_1", thread_id="thread_1", **o),
        [f"GET {RUN_PATH}"] * 3,
    ),
    "runs.create_and_poll": (
        {},
        lambda c, **o: c.threads.runs.create_and_poll(thread_id="thread_1", assistant_id="asst_1", **o),
        ["POST /v1/threads/thread_1/runs", f"GET {RUN_PATH}", f"GET {RUN_PATH}"],
    ),
    "runs.submit_tool_outputs_and_poll": (
        {},
        lambda c, **o: c.threads.runs.submit_tool_outputs_and_poll(
            thread_id="thread_1", run_id="run_1", **OUTPUTS, **o
        ),
        [f"POST {RUN_PATH}/submit_tool_outputs", f"GET {RUN_PATH}", f"GET {RUN_PATH}"],
    ),
    "runs.submit_tool_ouptputs_and_poll": (
        {},
        lambda c, **o: c.threads.runs.submit_tool_ouptputs_and_poll(
            thread_id="thread_1", run_id="run_1", **OUTPUTS, **o
        ),
        [f"POST {RUN_PATH}/submit_tool_outputs", f"GET {RUN_PATH}", f"GET {RUN_PATH}"],
    ),
    "threads.create_and_run_poll": (
        {},
        lambda c, **o: c.threads.create_and_run_poll(assistant_id="asst_1", **o),
        ["POST /v1/threads/runs", f"GET {RUN_PATH}", f"GET {RUN_PATH}"],
    ),
    "vector_stores.poll": (STORE, lambda c, **o: c.vector_stores.poll("vs_1", **o), [f"GET {STORE_PATH}"] * 3),
    "vector_stores.create_and_poll": (
        STORE,
        lambda c, **o: c.vector_stores.create_and_poll(file_ids=["file-1"], **o),
        ["POST /v1/vector_stores", f"GET {STORE_PATH}", f"GET {STORE_PATH}"],
    ),
    "vector_stores.files.poll": (
        FILE,
        lambda c, **o: c.vector_stores.files.poll("file-1", vector_store_id="vs_1", **o),
        [f"GET {FILE_PATH}"] * 3,
    ),
    "vector_stores.files.create_and_poll": (
        FILE,
        lambda c, **o: c.vector_stores.files.create_and_poll("file-1", vector_store_id="vs_1", **o),
        [f"POST {STORE_PATH}/files", f"GET {FILE_PATH}", f"GET {FILE_PATH}"],
    ),
    "vector_stores.files.upload_and_poll": (
        FILE,
        lambda c, **o: c.vector_stores.files.upload_and_poll(vector_store_id="vs_1", file=b"x", **o),
        ["POST /v1/files", f"POST {STORE_PATH}/files", f"GET {FILE_PATH}", f"GET {FILE_PATH}"],
    ),
    "vector_stores.file_batches.poll": (
        BATCH,
        lambda c, **o: c.vector_stores.file_batches.poll("vsfb_1", vector_store_id="vs_1", **o),
        [f"GET {BATCH_PATH}"] * 3,
    ),
    "vector_stores.file_batches.create_and_poll": (
        BATCH,
        lambda c, **o: c.vector_stores.file_batches.create_and_poll("vs_1", file_ids=["file-1"], **o),
        [f"POST {STORE_PATH}/file_batches", f"GET {BATCH_PATH}", f"GET {BATCH_PATH}"],
    ),
    "vector_stores.file_batches.upload_and_poll": (
        BATCH,
        lambda c, **o: c.vector_stores.file_batches.upload_and_poll("vs_1", files=[b"x"], **o),
        ["POST /v1/files", f"POST {STORE_PATH}/file_batches", f"GET {BATCH_PATH}", f"GET {BATCH_PATH}"],
    ),
}


def replies_to(sent: list[str]) -> list[Any]:
    """In progress until the last; a file, uploaded, is no state of anything."""
    upload = [{"id": "file-1", "object": "file"}] if sent[0].endswith("/files") and sent[0].count("/") == 2 else []
    return [*upload, "in_progress", "in_progress", "completed"]


@in_one_test("name", METHODS)
def test_every_method_polls_what_it_began(face: str, name: str) -> None:
    """… and is there under `client.beta`, too."""
    fields, call, sent = METHODS[name]
    with Loopback(Answers(replies_to(sent), **fields)) as server:
        value = on(face, server.url, lambda c: call(c.beta if face == "asyncio" else c, poll_interval_ms=1))
    assert value.status == "completed"
    assert [f"{request.method} {request.path}" for request in server.requests] == sent


@in_one_test("name", [name for name in METHODS if "create" in name or "submit" in name or "upload" in name])
def test_a_reply_that_is_final_already_costs_no_further_request(face: str, name: str) -> None:
    fields, call, sent = METHODS[name]
    replies = [*replies_to(sent)[:-3], "completed"]
    with Loopback(Answers(replies, **fields)) as server:
        assert on(face, server.url, call).status == "completed"
    assert len(server.requests) == len(replies)


@pytest.mark.parametrize(
    "name",
    ["threads.runs", "vector_stores", "vector_stores.files", "vector_stores.file_batches"],
)
def test_poll_is_the_last_value_of_watch(face: str, name: str) -> None:
    fields = {"vector_stores": STORE, "vector_stores.files": FILE, "vector_stores.file_batches": BATCH}.get(name, {})
    ids = {"threads.runs": ("run_1", "thread_1"), "vector_stores": ("vs_1",)}.get(name, (fields.get("id"), "vs_1"))

    def resource(client: Any) -> Any:
        for part in name.split("."):
            client = getattr(client, part)
        return client

    def last_of_watch(client: Any) -> Any:
        watched = resource(client).watch(*ids, poll_interval_ms=1)
        return watched.run() if face == "sync" else watched

    with Loopback(Answers(["in_progress", "completed"], **fields)) as server:
        polled = on(face, server.url, lambda c: resource(c).poll(*ids, poll_interval_ms=1))
    with Loopback(Answers(["in_progress", "completed"], **fields)) as server:
        assert on(face, server.url, last_of_watch) == polled
    assert polled.status == "completed"


def test_the_misspelt_name_is_the_same_method() -> None:
    for client in (AssistantClient(base_url="http://localhost:1"), AsyncAssistantClient(base_url="http://localhost:1")):
        kind = type(client.beta.threads.runs)
        assert kind.submit_tool_ouptputs_and_poll is kind.submit_tool_outputs_and_poll


class TestFailures:
    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_a_file_that_failed_is_returned_with_its_error(self, face: str, status: str) -> None:
        reply = {"status": status, "last_error": {"code": "unsupported_file", "message": "no text in it"}}
        with Loopback(Answers([reply], **FILE)) as server:
            file = on(face, server.url, lambda c: c.vector_stores.files.poll("file-1", "vs_1"))
        assert file.status == status
        assert file.last_error.message == "no text in it"

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_or_raised_where_that_is_wanted(self, face: str, status: str) -> None:
        reply = {"status": status, "last_error": {"code": "unsupported_file", "message": "no text in it"}}
        told = f"'file-1' ended as '{status}': no text in it"
        with Loopback(Answers([reply], **FILE)) as server, pytest.raises(IngestionError, match=told) as caught:
            on(face, server.url, lambda c: c.vector_stores.files.poll("file-1", "vs_1", on_failure="raise"))
        assert caught.value.value.status == status

    @pytest.mark.parametrize("name", [name for name in METHODS if name.startswith("vector_stores.file")])
    def test_every_method_for_files_and_batches_knows_the_policy(self, face: str, name: str) -> None:
        fields, call, sent = METHODS[name]
        for policy in ("return", "raise"):
            with Loopback(Answers([*replies_to(sent)[:-1], "failed"], **fields)) as server:
                if policy == "return":
                    assert on(face, server.url, lambda c: call(c, poll_interval_ms=1)).status == "failed"
                else:
                    with pytest.raises(IngestionError):
                        on(face, server.url, lambda c: call(c, poll_interval_ms=1, on_failure="raise"))

    def test_success_is_never_raised(self) -> None:
        with Loopback(Answers(["completed"], **BATCH)) as server:
            batch = on("sync", server.url, lambda c: c.vector_stores.file_batches.poll("b", "vs", on_failure="raise"))
        assert isinstance(batch, VectorStoreFileBatch)


def counts(in_progress: int, completed: int = 0, cancelled: int = 0) -> dict[str, Any]:
    total = in_progress + completed + cancelled
    return {"in_progress": in_progress, "completed": completed, "failed": 0, "cancelled": cancelled, "total": total}


class TestBatches:
    """Defect 22: the status alone says whether a batch is finished."""

    def test_counts_of_0_while_in_progress_are_no_ending(self, face: str) -> None:
        states = [
            {"status": "in_progress", "file_counts": counts(0)},
            {"status": "in_progress", "file_counts": counts(2)},
            {"status": "completed", "file_counts": counts(0, 2)},
        ]
        with Loopback(Answers(states, **BATCH)) as server:
            call = {"poll_interval_ms": 1}
            batch = on(face, server.url, lambda c: c.vector_stores.file_batches.poll("vsfb_1", "vs_1", **call))
        assert batch.file_counts.completed == 2
        assert len(server.requests) == 3

    def test_a_cancelled_batch_with_a_file_in_progress_is_finished(self, face: str) -> None:
        states = [{"status": "cancelled", "file_counts": counts(1, 0, 3)}, 500]
        with Loopback(Answers(states, **BATCH)) as server:
            batch = on(face, server.url, lambda c: c.vector_stores.file_batches.poll("vsfb_1", "vs_1"))
        assert (batch.status, batch.file_counts.in_progress) == ("cancelled", 1)
        assert len(server.requests) == 1

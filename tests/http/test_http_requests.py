"""Each builder makes the request of its operation, and refuses what could never be meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
import yaml
from reference import SHARED

from rx_assistant.api import (
    assistants,
    file_batches,
    files,
    messages,
    run_steps,
    runs,
    threads,
    vector_store_files,
    vector_stores,
)
from rx_assistant.api.request import OMIT, Request, encode_query

P: dict[str, object] = {"limit": 3}
BUILT: dict[str, Callable[[], Request]] = {
    "listAssistants": lambda: assistants.list(P),
    "createAssistant": lambda: assistants.create({"model": "m"}),
    "getAssistant": lambda: assistants.retrieve("assistant_id"),
    "modifyAssistant": lambda: assistants.update("assistant_id", {"name": "n"}),
    "deleteAssistant": lambda: assistants.delete("assistant_id"),
    "listFiles": lambda: files.list(P),
    "createFile": lambda: files.create(b"x", {"purpose": "assistants"}),
    "deleteFile": lambda: files.delete("file_id"),
    "retrieveFile": lambda: files.retrieve("file_id"),
    "downloadFile": lambda: files.content("file_id"),
    "createThread": lambda: threads.create({}),
    "createThreadAndRun": lambda: threads.create_and_run({"assistant_id": "a"}),
    "getThread": lambda: threads.retrieve("thread_id"),
    "modifyThread": lambda: threads.update("thread_id", {}),
    "deleteThread": lambda: threads.delete("thread_id"),
    "listMessages": lambda: messages.list("thread_id", P),
    "createMessage": lambda: messages.create("thread_id", {"role": "user", "content": "hi"}),
    "getMessage": lambda: messages.retrieve("message_id", "thread_id"),
    "modifyMessage": lambda: messages.update("message_id", "thread_id", {}),
    "deleteMessage": lambda: messages.delete("message_id", "thread_id"),
    "listRuns": lambda: runs.list("thread_id", P),
    "createRun": lambda: runs.create("thread_id", {"assistant_id": "a"}),
    "getRun": lambda: runs.retrieve("run_id", "thread_id"),
    "modifyRun": lambda: runs.update("run_id", "thread_id", {}),
    "cancelRun": lambda: runs.cancel("run_id", "thread_id"),
    "listRunSteps": lambda: run_steps.list("run_id", "thread_id", P),
    "getRunStep": lambda: run_steps.retrieve("step_id", "thread_id", "run_id", {}),
    "submitToolOuputsToRun": lambda: runs.submit_tool_outputs("run_id", "thread_id", {"tool_outputs": []}),
    "listVectorStores": lambda: vector_stores.list(P),
    "createVectorStore": lambda: vector_stores.create({}),
    "getVectorStore": lambda: vector_stores.retrieve("vector_store_id"),
    "modifyVectorStore": lambda: vector_stores.update("vector_store_id", {}),
    "deleteVectorStore": lambda: vector_stores.delete("vector_store_id"),
    "createVectorStoreFileBatch": lambda: file_batches.create("vector_store_id", {"file_ids": []}),
    "getVectorStoreFileBatch": lambda: file_batches.retrieve("batch_id", "vector_store_id"),
    "cancelVectorStoreFileBatch": lambda: file_batches.cancel("batch_id", "vector_store_id"),
    "listFilesInVectorStoreBatch": lambda: file_batches.list_files("batch_id", "vector_store_id", P),
    "listVectorStoreFiles": lambda: vector_store_files.list("vector_store_id", P),
    "createVectorStoreFile": lambda: vector_store_files.create("vector_store_id", {"file_id": "f"}),
    "getVectorStoreFile": lambda: vector_store_files.retrieve("file_id", "vector_store_id"),
    "deleteVectorStoreFile": lambda: vector_store_files.delete("file_id", "vector_store_id"),
    "updateVectorStoreFileAttributes": lambda: vector_store_files.update("file_id", "vector_store_id", {}),
    "retrieveVectorStoreFileContent": lambda: vector_store_files.content("file_id", "vector_store_id"),
    "searchVectorStore": lambda: vector_stores.search("vector_store_id", {"query": "q"}),
}


@cache
def operations() -> dict[str, tuple[str, str]]:
    document = SHARED / "wire" / "openapi-assistants.yaml"
    if not document.exists():
        return {}
    paths = yaml.load(document.read_text(), Loader=yaml.CSafeLoader)["paths"]
    methods = ("get", "post", "delete")
    return {
        operation["operationId"]: (method.upper(), path)
        for path, item in paths.items()
        for method, operation in item.items()
        if method in methods
    }


def test_every_operation_has_one_builder() -> None:
    if not (published := operations()):
        pytest.skip("the OpenAPI document is not beside this checkout")
    assert sorted(BUILT) == sorted(published)
    assert len(published) == 44


@pytest.mark.parametrize("name", BUILT)
def test_each_builder_gives_method_and_path_of_its_operation(name: str) -> None:
    if not (published := operations()):
        pytest.skip("the OpenAPI document is not beside this checkout")
    request = BUILT[name]()
    method, path = published[name]
    assert (request.method, request.path) == (method, re.sub(r"[{}]", "", path))


@pytest.mark.parametrize("wrong", ["", ".", "..", None, 7])
def test_an_id_that_would_address_something_else_is_refused_at_the_call(wrong: object) -> None:
    with pytest.raises(ValueError, match="thread_id"):
        threads.retrieve(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="run_id"):
        runs.cancel(wrong, "thread_1")  # type: ignore[arg-type]


def test_ids_stay_one_path_segment_whatever_they_hold() -> None:
    assert threads.retrieve("a/../b?c#d é%").path == "/threads/a%2F..%2Fb%3Fc%23d%20%C3%A9%25"


def test_include_goes_into_the_query_and_the_rest_into_the_body() -> None:
    request = runs.create("t", {"assistant_id": "a", "include": ["x", "y"], "metadata": None})
    assert request.query == (("include[]", "x"), ("include[]", "y"))
    assert request.body == {"assistant_id": "a", "metadata": None}


def test_a_streamed_request_says_so_in_body_and_accept() -> None:
    request = runs.create("t", {"assistant_id": "a"}).streamed()
    assert request.stream
    assert request.accept == "text/event-stream"
    assert request.body == {"assistant_id": "a", "stream": True}


def test_omitted_parameters_are_left_out_and_null_ones_sent() -> None:
    class NotGiven:
        """As the official SDK calls its own."""

    request = assistants.create({"model": "m", "name": OMIT, "description": None, "instructions": NotGiven()})
    assert request.body == {"model": "m", "description": None}


def test_query_values_are_texts() -> None:
    query = {"limit": 3, "flag": True, "none": None, "many": ["a", 1], "text": "a b", "gone": OMIT}
    assert encode_query(query) == (
        ("limit", "3"),
        ("flag", "true"),
        ("many[]", "a"),
        ("many[]", "1"),
        ("text", "a b"),
    )


def test_only_files_go_without_the_beta_header() -> None:
    without = {name for name, build in BUILT.items() if not build().headers}
    assert without == {"listFiles", "createFile", "deleteFile", "retrieveFile", "downloadFile"}


def test_requests_are_values() -> None:
    assert runs.create("t", {"assistant_id": "a"}) == runs.create("t", {"assistant_id": "a"})
    with pytest.raises(AttributeError):
        runs.retrieve("r", "t").path = "/"  # type: ignore[misc]


ASKING = {
    "status": "requires_action",
    "required_action": {"submit_tool_outputs": {"tool_calls": [{"id": "call_1"}, {"id": "call_2"}]}},
}


@pytest.mark.parametrize(
    ("run", "asks"),
    [
        (ASKING, True),
        ({"status": "requires_action"}, True),
        ({"status": "in_progress"}, False),
        ({**ASKING, "required_action": {"submit_tool_outputs": {"tool_calls": [{"id": "call_9"}]}}}, False),
        ("nonsense", False),
    ],
    ids=["asks", "asks without saying for what", "went on", "asks for other calls", "no run"],
)
def test_a_lost_submit_is_wanted_only_while_the_run_asks_for_those_calls(run: object, asks: bool) -> None:
    outputs = ({"tool_call_id": call, "output": "1"} for call in ("call_1", "call_2"))
    request = runs.submit_tool_outputs("r", "t", {"tool_outputs": outputs})
    assert request.confirm is not None
    assert request.confirm.still_asks(run) is asks
    assert request.body == {"tool_outputs": [{"tool_call_id": f"call_{n}", "output": "1"} for n in (1, 2)]}

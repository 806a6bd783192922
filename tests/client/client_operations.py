"""Each operation of the API as a call on a client, of either colour, with ids and parameters as a request has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Ids = Mapping[str, str]
Call = Callable[[Any, Ids, dict[str, Any]], Any]

CALLS: dict[str, Call] = {
    "listAssistants": lambda c, ids, p: c.assistants.list(**p),
    "createAssistant": lambda c, ids, p: c.assistants.create(**p),
    "getAssistant": lambda c, ids, p: c.assistants.retrieve(ids["assistant_id"], **p),
    "modifyAssistant": lambda c, ids, p: c.assistants.update(ids["assistant_id"], **p),
    "deleteAssistant": lambda c, ids, p: c.assistants.delete(ids["assistant_id"], **p),
    "listFiles": lambda c, ids, p: c.files.list(**p),
    "createFile": lambda c, ids, p: c.files.create(**p),
    "deleteFile": lambda c, ids, p: c.files.delete(ids["file_id"], **p),
    "retrieveFile": lambda c, ids, p: c.files.retrieve(ids["file_id"], **p),
    "downloadFile": lambda c, ids, p: c.files.content(ids["file_id"], **p),
    "createThread": lambda c, ids, p: c.threads.create(**p),
    "createThreadAndRun": lambda c, ids, p: c.threads.create_and_run(**p),
    "getThread": lambda c, ids, p: c.threads.retrieve(ids["thread_id"], **p),
    "modifyThread": lambda c, ids, p: c.threads.update(ids["thread_id"], **p),
    "deleteThread": lambda c, ids, p: c.threads.delete(ids["thread_id"], **p),
    "listMessages": lambda c, ids, p: c.threads.messages.list(ids["thread_id"], **p),
    "createMessage": lambda c, ids, p: c.threads.messages.create(ids["thread_id"], **p),
    "getMessage": lambda c, ids, p: c.threads.messages.retrieve(ids["message_id"], thread_id=ids["thread_id"], **p),
    "modifyMessage": lambda c, ids, p: c.threads.messages.update(ids["message_id"], thread_id=ids["thread_id"], **p),
    "deleteMessage": lambda c, ids, p: c.threads.messages.delete(ids["message_id"], thread_id=ids["thread_id"], **p),
    "listRuns": lambda c, ids, p: c.threads.runs.list(ids["thread_id"], **p),
    "createRun": lambda c, ids, p: c.threads.runs.create(ids["thread_id"], **p),
    "getRun": lambda c, ids, p: c.threads.runs.retrieve(ids["run_id"], thread_id=ids["thread_id"], **p),
    "modifyRun": lambda c, ids, p: c.threads.runs.update(ids["run_id"], thread_id=ids["thread_id"], **p),
    "cancelRun": lambda c, ids, p: c.threads.runs.cancel(ids["run_id"], thread_id=ids["thread_id"], **p),
    "listRunSteps": lambda c, ids, p: c.threads.runs.steps.list(ids["run_id"], thread_id=ids["thread_id"], **p),
    "getRunStep": lambda c, ids, p: c.threads.runs.steps.retrieve(
        ids["step_id"], thread_id=ids["thread_id"], run_id=ids["run_id"], **p
    ),
    "submitToolOuputsToRun": lambda c, ids, p: c.threads.runs.submit_tool_outputs(
        ids["run_id"], thread_id=ids["thread_id"], **p
    ),
    "listVectorStores": lambda c, ids, p: c.vector_stores.list(**p),
    "createVectorStore": lambda c, ids, p: c.vector_stores.create(**p),
    "getVectorStore": lambda c, ids, p: c.vector_stores.retrieve(ids["vector_store_id"], **p),
    "modifyVectorStore": lambda c, ids, p: c.vector_stores.update(ids["vector_store_id"], **p),
    "deleteVectorStore": lambda c, ids, p: c.vector_stores.delete(ids["vector_store_id"], **p),
    "searchVectorStore": lambda c, ids, p: c.vector_stores.search(ids["vector_store_id"], **p),
    "createVectorStoreFileBatch": lambda c, ids, p: c.vector_stores.file_batches.create(ids["vector_store_id"], **p),
    "getVectorStoreFileBatch": lambda c, ids, p: c.vector_stores.file_batches.retrieve(
        ids["batch_id"], vector_store_id=ids["vector_store_id"], **p
    ),
    "cancelVectorStoreFileBatch": lambda c, ids, p: c.vector_stores.file_batches.cancel(
        ids["batch_id"], vector_store_id=ids["vector_store_id"], **p
    ),
    "listFilesInVectorStoreBatch": lambda c, ids, p: c.vector_stores.file_batches.list_files(
        ids["batch_id"], vector_store_id=ids["vector_store_id"], **p
    ),
    "listVectorStoreFiles": lambda c, ids, p: c.vector_stores.files.list(ids["vector_store_id"], **p),
    "createVectorStoreFile": lambda c, ids, p: c.vector_stores.files.create(ids["vector_store_id"], **p),
    "getVectorStoreFile": lambda c, ids, p: c.vector_stores.files.retrieve(
        ids["file_id"], vector_store_id=ids["vector_store_id"], **p
    ),
    "deleteVectorStoreFile": lambda c, ids, p: c.vector_stores.files.delete(
        ids["file_id"], vector_store_id=ids["vector_store_id"], **p
    ),
    "updateVectorStoreFileAttributes": lambda c, ids, p: c.vector_stores.files.update(
        ids["file_id"], vector_store_id=ids["vector_store_id"], **p
    ),
    "retrieveVectorStoreFileContent": lambda c, ids, p: c.vector_stores.files.content(
        ids["file_id"], vector_store_id=ids["vector_store_id"], **p
    ),
}


@cache
def document(path: Path) -> dict[str, Any]:
    """The published OpenAPI document."""
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)  # type: ignore[no-any-return]


@cache
def operations(path: Path) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path template and description of each published operation, by its id."""
    if not path.exists():
        return {}
    return {
        operation["operationId"]: (method.upper(), template, operation)
        for template, item in document(path)["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "delete")
    }


def operation_of(path: Path, method: str, target: str) -> tuple[str, dict[str, str]] | None:
    """Which operation a request is, and the ids in its path; the most literal template wins."""
    found: list[tuple[int, str, dict[str, str]]] = []
    for name, (wanted, template, _) in operations(path).items():
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
        match = re.fullmatch(pattern, target)
        if wanted == method and match:
            found.append((len(match.groupdict()), name, match.groupdict()))
    return min(found)[1:] if found else None

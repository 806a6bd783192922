"""The models against recorded traffic: every field of every body and event is modelled, and nothing is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError
from reference import SHARED

from rx_assistant import types as t

Finding = tuple[str, str]
"""A place, as in `Run.file_ids`, and what is wrong with it."""

STREAM_MODELS: dict[str, type[t.WireModel]] = {
    "thread": t.Thread,
    "thread.run": t.Run,
    "thread.run.step": t.RunStep,
    "thread.run.step.delta": t.RunStepDeltaEvent,
    "thread.message": t.Message,
    "thread.message.delta": t.MessageDeltaEvent,
}

ROUTES: list[tuple[str, str, Any, type[t.WireModel]]] = [
    # method, path, type of the request's body, model of the reply's
    ("GET", "/assistants", None, t.ListPage[t.Assistant]),
    ("POST", "/assistants", t.AssistantCreateParams, t.Assistant),
    ("GET", "/assistants/ID", None, t.Assistant),
    ("POST", "/assistants/ID", t.AssistantUpdateParams, t.Assistant),
    ("DELETE", "/assistants/ID", None, t.AssistantDeleted),
    ("POST", "/threads", t.ThreadCreateParams, t.Thread),
    ("GET", "/threads/ID", None, t.Thread),
    ("POST", "/threads/ID", t.ThreadUpdateParams, t.Thread),
    ("DELETE", "/threads/ID", None, t.ThreadDeleted),
    ("POST", "/threads/runs", t.ThreadCreateAndRunParams, t.Run),
    ("GET", "/threads/ID/messages", None, t.ListPage[t.Message]),
    ("POST", "/threads/ID/messages", t.MessageCreateParams, t.Message),
    ("GET", "/threads/ID/messages/ID", None, t.Message),
    ("POST", "/threads/ID/messages/ID", t.MessageUpdateParams, t.Message),
    ("DELETE", "/threads/ID/messages/ID", None, t.MessageDeleted),
    ("GET", "/threads/ID/runs", None, t.ListPage[t.Run]),
    ("POST", "/threads/ID/runs", t.RunCreateParams, t.Run),
    ("GET", "/threads/ID/runs/ID", None, t.Run),
    ("POST", "/threads/ID/runs/ID", t.RunUpdateParams, t.Run),
    ("POST", "/threads/ID/runs/ID/cancel", None, t.Run),
    ("POST", "/threads/ID/runs/ID/submit_tool_outputs", t.RunSubmitToolOutputsParams, t.Run),
    ("GET", "/threads/ID/runs/ID/steps", None, t.ListPage[t.RunStep]),
    ("GET", "/threads/ID/runs/ID/steps/ID", None, t.RunStep),
    ("GET", "/vector_stores", None, t.ListPage[t.VectorStore]),
    ("POST", "/vector_stores", t.VectorStoreCreateParams, t.VectorStore),
    ("GET", "/vector_stores/ID", None, t.VectorStore),
    ("POST", "/vector_stores/ID", t.VectorStoreUpdateParams, t.VectorStore),
    ("DELETE", "/vector_stores/ID", None, t.VectorStoreDeleted),
    ("GET", "/vector_stores/ID/files", None, t.ListPage[t.VectorStoreFile]),
    ("POST", "/vector_stores/ID/files", t.VectorStoreFileCreateParams, t.VectorStoreFile),
    ("GET", "/vector_stores/ID/files/ID", None, t.VectorStoreFile),
    ("DELETE", "/vector_stores/ID/files/ID", None, t.VectorStoreFileDeleted),
    ("POST", "/vector_stores/ID/file_batches", t.FileBatchCreateParams, t.VectorStoreFileBatch),
    ("GET", "/vector_stores/ID/file_batches/ID", None, t.VectorStoreFileBatch),
    ("GET", "/vector_stores/ID/file_batches/ID/files", None, t.ListPage[t.VectorStoreFile]),
    ("POST", "/vector_stores/ID/file_batches/ID/cancel", None, t.VectorStoreFileBatch),
    ("GET", "/files", None, t.ListPage[t.FileObject]),
    ("POST", "/files", None, t.FileObject),
    ("GET", "/files/ID", None, t.FileObject),
    ("DELETE", "/files/ID", None, t.FileDeleted),
]

OTHER_PATHS = {
    "/assistants/ID/files": "of v1, gone since 2024",
    "/assistants/ID/files/ID": "of v1",
    "/threads/ID/messages/ID/files": "of v1",
    "/threads/ID/messages/ID/files/ID": "of v1",
    "/files/ID/content": "answers with the file itself, which is no JSON of the protocol's",
}

KNOWN_FINDINGS: dict[Finding, str] = {
    ("Assistant.file_ids", "not a field"): "of v1; v2 has tool_resources instead",
    ("Message.file_ids", "not a field"): "of v1; v2 has attachments instead",
    ("MessageCreateParams.file_ids", "not a key"): "likewise",
    ("Run.file_ids", "not a field"): "of v1; v2 has tool_resources instead",
    ("ThreadUpdateParams.metadata", "Input should be a valid string"): "a boolean, which v2 refuses",
    ("MessageUpdateParams.metadata", "Input should be a valid string"): "likewise",
    ("RunUpdateParams.metadata", "Input should be a valid string"): "likewise",
}


def findings(value: Any, source: Any, path: str) -> Iterator[Finding]:
    """What of `source` is not in a field of `value`, the model that was read from it, at any depth."""
    if isinstance(value, t.WireModel):
        name = type(value).__name__.partition("[")[0]
        if isinstance(value, t.UnknownMember):
            yield path, f"unknown type {value.type!r}"  # type: ignore[attr-defined]
            return
        for extra in value.model_extra or {}:
            yield f"{name}.{extra}", "not a field"
        aliases = {key: field.alias or key for key, field in type(value).model_fields.items()}
        if {aliases.get(key, key) for key in value.model_fields_set} != set(source):
            yield name, "model_fields_set is not the keys on the wire"
        for key, alias in aliases.items():
            if key in value.model_fields_set:
                yield from findings(getattr(value, key), source[alias], f"{name}.{alias}")
    elif isinstance(value, list):
        for item, item_source in zip(value, source, strict=True):
            yield from findings(item, item_source, f"{path}[]")


def reading(model: type[t.WireModel], body: Any) -> Iterator[Finding]:
    """Everything that reading `body` as `model` would lose or fail to name."""
    value = model.model_validate_json(json.dumps(body))
    if value.model_dump(exclude_unset=True, by_alias=True) != body:
        yield model.__name__, "the dump is not the input"
    if json.loads(value.model_dump_json(exclude_unset=True, by_alias=True)) != body:
        yield model.__name__, "the JSON dump is not the input"
    yield from findings(value, body, model.__name__)


def asking(params: Any, body: Any) -> Iterator[Finding]:
    """The keys of a request that its TypedDict has not, or has otherwise."""
    if get_args(params):
        quiet, streaming = get_args(params)
        params = streaming if body.get("stream") else quiet
    name, adapter = params.__name__, TypeAdapter(params)
    try:
        dump = adapter.dump_python(adapter.validate_python(body), mode="json")
    except ValidationError as error:
        yield from {(f"{name}.{part['loc'][0]}", part["msg"]) for part in error.errors()}
        return
    for key, value in body.items():
        if key not in dump:
            yield f"{name}.{key}", "not a key"
        elif dump[key] != value:
            yield f"{name}.{key}", "not all of it"


def stream_events() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((SHARED / "wire" / "recordings").glob("*.sse")):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("data: {"):
                yield path.name, json.loads(line.removeprefix("data: "))


def exchanges() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for path in sorted((SHARED / "wire" / "json").glob("*.json")):
        for exchange in json.loads(path.read_text("utf-8"))["exchanges"]:
            yield path.name, exchange["request"], exchange["response"]


def route(path: str) -> str:
    """`/v1/threads/thread_abc/runs` → `/threads/ID/runs`."""
    segments = path.removeprefix("/v1/").split("/")
    ids = re.compile(r"(asst|thread|msg|run|step|vs|vsfb|file)[-_](?!batches)\w+$|^Sanitized$|^\d+$")
    return "/" + "/".join("ID" if ids.match(segment) else segment for segment in segments)


def json_findings() -> Iterator[Finding]:
    routes = {(method, path): (params, model) for method, path, params, model in ROUTES}
    for name, request, response in exchanges():
        path = route(request["path"])
        if path in OTHER_PATHS:
            continue
        assert (request["method"], path) in routes, (name, request["method"], request["path"])
        params, model = routes[request["method"], path]
        if params is not None and isinstance(request["body"], dict) and response["status"] == 200:
            yield from asking(params, request["body"])
        body = response["body"]
        if "$sse" in body:  # the name of a recorded stream
            continue
        yield from reading(model if response["status"] == 200 else t.ErrorBody, body)


def stream_findings() -> Iterator[Finding]:
    for _, data in stream_events():
        yield from reading(STREAM_MODELS.get(data.get("object", ""), t.ErrorBody), data)


@pytest.fixture(scope="module")
def found() -> set[Finding]:
    if not SHARED.is_dir():
        pytest.skip("the recordings are not beside this checkout")
    return {*stream_findings(), *json_findings()}


def test_everything_recorded_is_modelled_and_kept(found: set[Finding]) -> None:
    assert found - set(KNOWN_FINDINGS) == set()


def test_every_written_exception_is_still_needed(found: set[Finding]) -> None:
    assert set(KNOWN_FINDINGS) - found == set()


def test_every_path_left_out_is_still_recorded() -> None:
    if not SHARED.is_dir():
        pytest.skip("the recordings are not beside this checkout")
    assert {route(request["path"]) for _, request, _ in exchanges()} >= set(OTHER_PATHS)

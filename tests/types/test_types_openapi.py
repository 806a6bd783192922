"""The models and request types against the published OpenAPI document, property by property."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from types_catalogue import alternatives, is_model, words
from typing_extensions import is_typeddict

from rx_assistant import types as t

PAGES = {"get": True}

OPERATIONS: dict[str, tuple[Any, Any, Any]] = {
    # operation: (query, body, reply)
    "listAssistants": (t.AssistantListParams, None, t.ListPage[t.Assistant]),
    "createAssistant": (None, t.AssistantCreateParams, t.Assistant),
    "getAssistant": (None, None, t.Assistant),
    "modifyAssistant": (None, t.AssistantUpdateParams, t.Assistant),
    "deleteAssistant": (None, None, t.AssistantDeleted),
    "listFiles": (t.FileListParams, None, t.ListPage[t.FileObject]),
    "createFile": (None, t.FileCreateParams, t.FileObject),
    "deleteFile": (None, None, t.FileDeleted),
    "retrieveFile": (None, None, t.FileObject),
    "downloadFile": (None, None, t.FileContent),
    "createThread": (None, t.ThreadCreateParams, t.Thread),
    "createThreadAndRun": (None, t.ThreadCreateAndRunParams, t.Run),
    "getThread": (None, None, t.Thread),
    "modifyThread": (None, t.ThreadUpdateParams, t.Thread),
    "deleteThread": (None, None, t.ThreadDeleted),
    "listMessages": (t.MessageListParams, None, t.ListPage[t.Message]),
    "createMessage": (None, t.MessageCreateParams, t.Message),
    "getMessage": (None, None, t.Message),
    "modifyMessage": (None, t.MessageUpdateParams, t.Message),
    "deleteMessage": (None, None, t.MessageDeleted),
    "listRuns": (t.RunListParams, None, t.ListPage[t.Run]),
    "createRun": (t.RunCreateParams, t.RunCreateParams, t.Run),
    "getRun": (None, None, t.Run),
    "modifyRun": (None, t.RunUpdateParams, t.Run),
    "cancelRun": (None, None, t.Run),
    "listRunSteps": (t.StepListParams, None, t.ListPage[t.RunStep]),
    "getRunStep": (t.StepRetrieveParams, None, t.RunStep),
    "submitToolOuputsToRun": (None, t.RunSubmitToolOutputsParams, t.Run),
    "listVectorStores": (t.VectorStoreListParams, None, t.ListPage[t.VectorStore]),
    "createVectorStore": (None, t.VectorStoreCreateParams, t.VectorStore),
    "getVectorStore": (None, None, t.VectorStore),
    "modifyVectorStore": (None, t.VectorStoreUpdateParams, t.VectorStore),
    "deleteVectorStore": (None, None, t.VectorStoreDeleted),
    "createVectorStoreFileBatch": (None, t.FileBatchCreateParams, t.VectorStoreFileBatch),
    "getVectorStoreFileBatch": (None, None, t.VectorStoreFileBatch),
    "cancelVectorStoreFileBatch": (None, None, t.VectorStoreFileBatch),
    "listFilesInVectorStoreBatch": (t.FileBatchListFilesParams, None, t.ListPage[t.VectorStoreFile]),
    "listVectorStoreFiles": (t.VectorStoreFileListParams, None, t.ListPage[t.VectorStoreFile]),
    "createVectorStoreFile": (None, t.VectorStoreFileCreateParams, t.VectorStoreFile),
    "getVectorStoreFile": (None, None, t.VectorStoreFile),
    "deleteVectorStoreFile": (None, None, t.VectorStoreFileDeleted),
    "updateVectorStoreFileAttributes": (None, t.VectorStoreFileUpdateParams, t.VectorStoreFile),
    "retrieveVectorStoreFileContent": (None, None, t.VectorStoreFileContentPage),
    "searchVectorStore": (None, t.VectorStoreSearchParams, t.VectorStoreSearchPage),
}

EVENT_DATA: dict[str, Any] = {
    "ThreadObject": t.Thread,
    "RunObject": t.Run,
    "RunStepObject": t.RunStep,
    "RunStepDeltaObject": t.RunStepDeltaEvent,
    "MessageObject": t.Message,
    "MessageDeltaObject": t.MessageDeltaEvent,
    "Error": t.ErrorObject,
    "ErrorResponse": t.ErrorBody,
}

NOT_OURS = {
    "AssistantStreamEvent": "frames are events.py's, their data is above",
    "ThreadStreamEvent": "likewise",
    "RunStreamEvent": "likewise",
    "RunStepStreamEvent": "likewise",
    "MessageStreamEvent": "likewise",
    "ErrorEvent": "likewise",
    "DoneEvent": "likewise",
}

DIFFERENT = {
    "createFile.file": "a string in the document, the content itself in a call",
    "createThreadAndRun.model": "any string, as new models come every month",
    "createRun.model": "likewise",
    "createAssistant.model": "likewise",
    "modifyAssistant.model": "likewise",
    "createRun.stream": "a type for each of its values, since they decide what comes back",
    "createThreadAndRun.stream": "likewise",
    "submitToolOuputsToRun.stream": "likewise",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[3] / "shared" / "wire" / "openapi-assistants.yaml"
    if not path.is_file():
        pytest.skip("the OpenAPI document is not beside this checkout")
    loaded: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    return loaded


class Comparison:
    """Walks schemas and annotations side by side, and yields what a schema has and the annotation has not."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.schemas: dict[str, Any] = document["components"]["schemas"]
        self.visited: set[str] = set()
        self.in_progress: set[tuple[str, str]] = set()

    def missing(self, schema: dict[str, Any], annotation: Any, path: str) -> Iterator[str]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            self.visited.add(name)
            if (name, str(annotation)) in self.in_progress:  # a recursive schema
                return
            self.in_progress.add((name, str(annotation)))
            yield from self.missing(self.schemas[name], annotation, path)
            self.in_progress.discard((name, str(annotation)))
            return
        for word in ("anyOf", "oneOf", "allOf"):
            for one in schema.get(word, ()):
                yield from self.missing(one, annotation, path)
        if "properties" in schema:
            yield from self._missing_object(schema, annotation, path)
        elif "enum" in schema:
            yield from self._missing_words(schema["enum"], annotation, path)
        else:
            kinds = schema.get("type", [])
            for kind in [kinds] if isinstance(kinds, str) else kinds:
                yield from self._missing_kind(kind, schema, annotation, path)

    def _missing_words(self, listed: list[str], annotation: Any, path: str) -> Iterator[str]:
        for word in listed:
            if word not in words(annotation):
                yield f"{path}: the word {word!r}"

    def _missing_kind(self, kind: str, schema: dict[str, Any], annotation: Any, path: str) -> Iterator[str]:
        options = list(alternatives(annotation))
        origins = {get_origin(option) or option for option in options}
        if kind == "array":
            arrays = [option for option in options if get_args(option) and _is_array(get_origin(option))]
            if not arrays:
                yield f"{path}: an array"
            for array in arrays:
                yield from self.missing(schema["items"], get_args(array)[0], f"{path}[]")
        elif kind == "object":
            if not any(o in (dict, object) or is_model(o) or is_typeddict(o) for o in origins):
                yield f"{path}: an object"
        elif kind != "null" and not (origins | {type(word) for word in words(annotation)}) & _PYTHON_OF[kind]:
            yield f"{path}: a {kind}"

    def _missing_object(self, schema: dict[str, Any], annotation: Any, path: str) -> Iterator[str]:
        candidates = [o for o in alternatives(annotation) if is_typeddict(o) or is_model(o)]
        wanted = set(schema["properties"].get("type", {}).get("enum", ()))
        fitting = [o for o in candidates if "type" not in _fields(o) or wanted <= words(_fields(o)["type"])]
        if not fitting:
            yield f"{path}: an object of type {wanted or 'any'}"
            return
        for name, value in schema["properties"].items():
            homes = [o for o in fitting if name in _fields(o)]
            if not homes:
                yield f"{path}.{name}"
            for home in homes:
                yield from self.missing(value, _fields(home)[name], f"{path}.{name}")
                if is_typeddict(home) and (name in home.__required_keys__) != (name in schema.get("required", ())):
                    yield f"{path}.{name}: required in one of the two only"


_PYTHON_OF: dict[str, set[Any]] = {
    "string": {str},
    "integer": {int},
    "number": {float},
    "boolean": {bool},
}


def _is_array(origin: Any) -> bool:
    return isinstance(origin, type) and hasattr(origin, "__iter__") and origin is not dict


def _fields(kind: Any) -> dict[str, Any]:
    if is_typeddict(kind):
        return get_type_hints(kind)
    return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _gaps(document: dict[str, Any]) -> tuple[list[str], set[str]]:
    walk = Comparison(document)
    gaps: list[str] = []
    for operation in _operations(document):
        name = operation["operationId"]
        query, body, reply = OPERATIONS[name]
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                properties = {parameter["name"].removesuffix("[]"): parameter["schema"]}
                gaps += walk.missing({"properties": properties}, query, name)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            gaps += walk.missing(content["schema"], body, name)
        for content in operation["responses"]["200"]["content"].values():
            gaps += walk.missing(content["schema"], reply, f"{name} reply")
    for schema, model in EVENT_DATA.items():
        gaps += walk.missing({"$ref": f"/{schema}"}, model, schema)
    return gaps, walk.visited


def test_every_operation_of_the_document_has_its_types(document: dict[str, Any]) -> None:
    assert {operation["operationId"] for operation in _operations(document)} == set(OPERATIONS)


def test_every_property_and_word_of_the_document_is_modelled(document: dict[str, Any]) -> None:
    gaps, _ = _gaps(document)
    assert [gap for gap in gaps if gap.partition(":")[0] not in DIFFERENT] == []


def test_every_written_difference_is_one(document: dict[str, Any]) -> None:
    gaps, _ = _gaps(document)
    assert {gap.partition(":")[0] for gap in gaps} >= set(DIFFERENT)


def test_no_schema_of_the_document_is_left_out(document: dict[str, Any]) -> None:
    _, visited = _gaps(document)
    assert set(document["components"]["schemas"]) - visited == set(NOT_OURS)


def test_a_property_without_a_model_is_found(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ThreadObject"]["properties"]["mood"] = {"type": "string"}
    try:
        gaps, _ = _gaps(document)
    finally:
        del document["components"]["schemas"]["ThreadObject"]["properties"]["mood"]
    assert "getThread reply.mood" in gaps

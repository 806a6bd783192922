"""Replies and events against the published OpenAPI document, except for what the recordings prove it gets wrong.

A `Deviation` mends one spot of the document. `test_local_conformance.py` shows for each that recordings of the real
service do not fit the document without it.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jsonschema
import yaml
from reference import SHARED

from rx_assistant.sse import SSEDecoder

DOCUMENT = SHARED / "wire" / "openapi-assistants.yaml"
Schemas = dict
NOT_IN_THE_DOCUMENT = re.compile(r"/threads|/models(/.+)?")


@dataclass(frozen=True)
class Deviation:
    """What the document says wrongly, and the change to its schemas that mends it."""

    says: str
    mend: Callable[[Schemas], None]


def _optional(name: str, *fields: str) -> Callable[[Schemas], None]:
    def mend(schemas: Schemas) -> None:
        schemas[name]["required"] = [field for field in schemas[name]["required"] if field not in fields]

    return mend


def _nullable(name: str, *fields: str) -> Callable[[Schemas], None]:
    def mend(schemas: Schemas) -> None:
        for field in fields:
            properties = schemas[name]["properties"]
            properties[field] = {"anyOf": [properties[field], {"type": "null"}]}

    return mend


def _batch_name(schemas: Schemas) -> None:
    schemas["VectorStoreFileBatchObject"]["properties"]["object"]["enum"] = ["vector_store.file_batch"]


def _empty_lists(schemas: Schemas) -> None:
    for name in schemas:
        if name.startswith("List"):
            _nullable(name, "first_id", "last_id")(schemas)


def _nested_error(schemas: Schemas) -> None:
    flat = schemas["ErrorEvent"]["properties"]["data"]
    schemas["ErrorEvent"]["properties"]["data"] = {"anyOf": [flat, {"$ref": "#/components/schemas/ErrorResponse"}]}


DEVIATIONS = (
    Deviation("an empty list has null for first_id and last_id", _empty_lists),
    Deviation("a file says null where it never expires", _nullable("OpenAIFile", "expires_at")),
    Deviation("a file says null where its status has no details", _nullable("OpenAIFile", "status_details")),
    Deviation("a run says null where there are no instructions", _nullable("RunObject", "instructions")),
    Deviation("a step has expires_at in place of expired_at", _optional("RunStepObject", "expired_at")),
    Deviation("a step has no metadata", _optional("RunStepObject", "metadata")),
    Deviation("a message by a user has no status", _optional("MessageObject", "status")),
    Deviation("nor incomplete_details", _optional("MessageObject", "incomplete_details")),
    Deviation("nor incomplete_at", _optional("MessageObject", "incomplete_at")),
    Deviation("nor completed_at", _optional("MessageObject", "completed_at")),
    Deviation("a vector store may have null for its name", _nullable("VectorStoreObject", "name")),
    Deviation("a vector store says null where it never expires", _nullable("VectorStoreObject", "expires_after")),
    Deviation("a file batch is called vector_store.file_batch", _batch_name),
    Deviation("an error event carries its error nested", _nested_error),
)


@functools.cache
def document() -> dict:
    """The unchanged document."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is seven times as fast
    return yaml.load(DOCUMENT.read_text(encoding="utf-8"), loader)  # both are safe


class Conformance:
    """The document with some deviations mended, ready to judge."""

    def __init__(self, deviations: tuple[Deviation, ...] = DEVIATIONS) -> None:
        self._root = {"components": copy.deepcopy(document()["components"])}
        for deviation in deviations:
            deviation.mend(self._root["components"]["schemas"])
        self._replies = dict(self._reply_schemas())
        self._events = dict(self._event_schemas(self._schemas["AssistantStreamEvent"]))
        self._validators: dict[str, jsonschema.Draft202012Validator] = {}

    @property
    def _schemas(self) -> Schemas:
        return self._root["components"]["schemas"]

    def _reply_schemas(self) -> Iterator[tuple[tuple[str, str], dict]]:
        for path, methods in document()["paths"].items():
            for method, operation in methods.items():
                content = operation["responses"]["200"]["content"] if method != "parameters" else {}
                if "application/json" in content:
                    yield (method.upper(), path), content["application/json"]["schema"]

    def _event_schemas(self, schema: dict) -> Iterator[tuple[str, dict]]:
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        for inner in schema.get("oneOf", ()):
            yield from self._event_schemas(inner)
        if "properties" in schema:
            yield schema["properties"]["event"]["enum"][0], schema["properties"]["data"]

    def faults(self, schema: dict, value: object) -> list[str]:
        """Why the value does not fit, in words."""
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = jsonschema.Draft202012Validator({**self._root, **schema})
        return [
            f"{error.json_path}: {error.message[:300]}"
            for found in self._validators[key].iter_errors(value)
            for error in _leaves(found)
        ]

    def reply_faults(self, method: str, path: str, status: int, value: object) -> list[str]:
        """What is wrong with a JSON reply; `path` as it was asked for, below /v1."""
        if status >= 400:
            return self.faults({"$ref": "#/components/schemas/ErrorResponse"}, value)
        try:
            template = template_of(method, path)
        except LookupError:
            return [] if NOT_IN_THE_DOCUMENT.fullmatch(path) else [f"{path} is not in the document"]
        return self.faults(self._replies[method, template], value)

    def event_faults(self, name: str, data: bytes) -> list[str]:
        """What is wrong with one event of a stream."""
        if name not in self._events:
            return [f"event {name!r} is not in the document"]
        if name == "done":
            return [] if data == b"[DONE]" else [f"done carries {data!r}"]
        return self.faults(self._events[name], json.loads(data))

    def stream_faults(self, body: bytes) -> list[str]:
        """What is wrong with a whole stream's events."""
        events = SSEDecoder().feed(body)
        return [
            f"{event.event}: {fault}"
            for event in events
            for fault in self.event_faults(event.event, event.data.encode())
        ]


def _leaves(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    if not error.context:
        yield error
        return
    best = jsonschema.exceptions.best_match([error])
    yield best


@functools.cache
def templates() -> list[tuple[str, str, re.Pattern[str]]]:
    """Method, path and pattern of every operation, those without variables first."""
    rows = [
        (method.upper(), path, re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)))
        for path, methods in document()["paths"].items()
        for method in methods
        if method != "parameters"
    ]
    return sorted(rows, key=lambda row: row[1].count("{"))


def template_of(method: str, path: str) -> str:
    """The document's path that a request's path stands for."""
    for known, template, pattern in templates():
        if known == method and pattern.fullmatch(path):
            return template
    raise LookupError(f"{method} {path} is no operation of the document")


def recorded_replies() -> Iterator[tuple[str, str, int, dict]]:
    """Method, path, status and body of every JSON exchange with version 2 of the API."""
    for file in sorted((SHARED / "wire" / "json").glob("*.json")):
        for exchange in json.loads(file.read_text(encoding="utf-8"))["exchanges"]:
            request, response = exchange["request"], exchange["response"]
            path = request["path"].removeprefix("/v1")
            beta = {name.lower(): value for name, value in request["headers"].items()}.get("openai-beta", "")
            if "v1" in str(beta) or not isinstance(response["body"], dict) or "$raw" in response["body"]:
                continue
            try:
                template_of(request["method"], path)
            except LookupError:
                continue
            yield request["method"], path, response["status"], response["body"]


def recorded_events() -> Iterator[tuple[str, bytes]]:
    """Name and data of the recorded events, a last one without its blank line included."""
    for file in sorted((SHARED / "wire" / "recordings").glob("*.sse")):
        for event in SSEDecoder().feed(file.read_bytes() + b"\n\n"):
            yield event.event, event.data.encode()

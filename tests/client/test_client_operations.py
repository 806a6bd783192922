"""Every published operation is reachable from both faces, and sends what the document says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any

import anyio
import httpx
import pytest
from cases import in_one_test
from client_operations import CALLS, document, operations
from loopback import Loopback, Received, Wire, client_tls
from reference import SHARED

from rx_assistant.client import AssistantClient, AsyncAssistantClient

DOCUMENT = SHARED / "wire" / "openapi-assistants.yaml"

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="the OpenAPI document is not beside this checkout")

Face = Callable[[str, Callable[[Any], Any]], Any]


def sync_face(url: str, call: Callable[[Any], Any]) -> Any:
    with httpx.Client(verify=client_tls()) as http:
        return call(AssistantClient(base_url=url, max_retries=0, http_client=http))


def async_face(backend: str) -> Face:
    def run(url: str, call: Callable[[Any], Any]) -> Any:
        async def main() -> Any:
            async with httpx.AsyncClient(verify=client_tls()) as http:
                return await call(AsyncAssistantClient(base_url=url, max_retries=0, http_client=http))

        return anyio.run(main, backend=backend)

    return run


FACES: dict[str, Face] = {"sync": sync_face, "asyncio": async_face("asyncio"), "trio": async_face("trio")}


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Face:
    return FACES[request.param]


def example(schema: dict[str, Any]) -> Any:
    """A small value that fits a schema of the document."""
    while "$ref" in schema:
        schema = document(DOCUMENT)["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema and "properties" not in schema:
            return example(schema[alternatives][0])
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            value = example(part)
            merged |= value if isinstance(value, dict) else {}
        return merged
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example(member) for name, member in schema.get("properties", {}).items()}
        case "array":
            return [example(schema["items"])]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
    return "text"


def parameters(operation: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Query parameters and body of an operation, every one of them given, and the body's media type."""
    query = {
        parameter["name"].removesuffix("[]"): ["one", "two"] if parameter["name"].endswith("[]") else "value"
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }
    content = operation.get("requestBody", {}).get("content", {})
    media = next(iter(content), None)
    body = example(content[media]["schema"]) if media else {}
    body.pop("stream", None)
    return query, body, media


@in_one_test("name", CALLS)
def test_it_sends_method_path_query_and_body_of_the_document(name: str, face: Face) -> None:
    method, template, operation = operations(DOCUMENT)[name]
    ids = {
        parameter["name"]: f"{parameter['name']}_1"
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path"
    }
    query, body, media = parameters(operation)
    given = query | body

    async def answer(request: Received, wire: Wire) -> None:
        await wire.json({"id": "x", "object": "list", "data": []})

    with Loopback(answer) as server:
        if media == "multipart/form-data":
            given["file"] = ("name.txt", b"content")
        face(server.url, lambda client: CALLS[name](client, ids, given))
    [request] = server.requests
    assert request.method == method
    assert request.path == "/v1" + template.format(**ids)
    expected = [
        (f"{key}[]" if isinstance(value, list) else key, item)
        for key, value in query.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    assert request.query == expected
    if media == "application/json":
        assert request.json == body
        assert set(body) >= {"metadata"} or name not in {"createRun", "createThread"}
    elif media:
        assert b"content" in request.body
        assert all(f'name="{key}'.encode() in request.body for key in body)
    else:
        assert request.body == b""


def test_every_operation_of_the_document_has_a_call() -> None:
    assert sorted(CALLS) == sorted(operations(DOCUMENT))


def members(client: object) -> dict[str, Any]:
    """Every public method below a client, by its dotted path."""
    found: dict[str, Any] = {}
    lazy = [name for name, value in inspect.getmembers(type(client)) if isinstance(value, cached_property)]
    for name in {*vars(client), *lazy}:
        if name.startswith("_"):
            continue
        value = getattr(client, name)
        for method, function in inspect.getmembers(type(value), inspect.isfunction):
            if not method.startswith("_"):
                found[f"{name}.{method}"] = function
        found |= {f"{name}.{path}": function for path, function in members(value).items()}
    return found


def test_both_faces_have_the_same_methods_with_the_same_parameters() -> None:
    sync = members(AssistantClient(base_url="http://x"))
    later = members(AsyncAssistantClient(base_url="http://x"))
    assert sync.keys() == later.keys()
    assert len(sync) >= 44
    for path, function in sync.items():
        mine, other = inspect.signature(function), inspect.signature(later[path])
        assert list(mine.parameters) == list(other.parameters), path
        assert function.__doc__ == later[path].__doc__, path


def test_client_beta_is_the_same_client() -> None:
    client = AssistantClient(base_url="http://x")
    assert client.beta.threads.runs is client.threads.runs
    assert client.beta.vector_stores.files is client.vector_stores.files
    assert client.beta.assistants is client.assistants

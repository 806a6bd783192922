"""Requests that are wrong in every way the document knows: the service's error body, the right status, never a 500.

The matrix is generated from the document: for each operation, each body field at any depth with a value of a wrong
type, without a required value, past each limit; each query parameter likewise; each id unknown.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from cases import in_one_test
from reference import SHARED

import rx_assistant.local
from local.conformance import document, templates
from rx_assistant.local import bodies
from rx_assistant.local.application import OPERATIONS
from rx_assistant.local.errors import ApiError
from rx_assistant.local.schema import Record

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data is not beside this checkout")

Path = tuple[str | int, ...]
JSON = {"content-type": "application/json"}


def resolved(schema: dict) -> dict:
    """The schema that a reference stands for."""
    while "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def alternatives(schema: dict) -> list[dict]:
    """The shapes that the schema allows, unions unfolded."""
    schema = resolved(schema)
    kinds = schema.get("type", "string")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    inner = schema.get("anyOf") or schema.get("oneOf")
    if inner and "properties" not in schema and kinds != "array":
        return [shape for item in inner for shape in alternatives(item)]
    return [{**schema, "type": kinds}]


def richness(shape: dict) -> int:
    """Shapes with more inside make better examples."""
    return {"object": 2, "array": 1, "null": -1}.get(shape["type"], 0) * 100 + len(shape.get("properties", ()))


def example(schema: dict, depth: int = 0) -> object:
    """A value that fits, as full as can be: every property, an item of each kind per array."""
    return filled(max(alternatives(schema), key=richness), depth)


def filled(shape: dict, depth: int) -> object:
    match shape["type"]:
        case "object":
            properties = shape.get("properties", {})
            if depth > 6:
                properties = {name: properties[name] for name in shape.get("required", ())}
            value = {name: example(inner, depth + 1) for name, inner in properties.items()}
            value.pop("vector_stores", None)
            return value
        case "array":
            items = [filled(item, depth + 1) for item in alternatives(shape["items"]) if depth < 6]
            return items[: shape.get("maxItems", 10)]
        case "integer" | "number":
            return shape.get("minimum", 1)
        case "boolean":
            return True
    return shape["enum"][0] if "enum" in shape else "text"


KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def misfits(schema: dict, value: object, path: Path = (), needed: bool = True) -> Iterator[tuple[str, Path, object]]:
    """What can be wrong at and below this place: what, where, and the value that is put there.

    Where a value is not needed, null means that it was not given, which is not wrong.
    """
    shapes = alternatives(schema)
    kinds = {shape["type"] for shape in shapes}
    kinds |= {"integer"} if "number" in kinds else set()
    yield "wrong type", path, next(item for item in (7, "text", [], {}, True, 0.5) if KINDS[type(item)] not in kinds)
    if "null" not in kinds and needed:
        yield "null", path, None
    shape = next(shape for shape in shapes if fits(shape, value))
    if all("enum" in item for item in shapes if item["type"] == "string") and "string" in kinds:
        yield "unknown word", path, "neither of them"
    if "maxLength" in shape:
        yield "too long", path, "x" * (shape["maxLength"] + 1)
    if "minimum" in shape:
        yield "too small", path, shape["minimum"] - 1
    if "maximum" in shape:
        yield "too large", path, shape["maximum"] + 1
    if isinstance(value, list):
        yield from misfits_of_items(shape, value, path)
    if isinstance(value, dict):
        yield from misfits_of_fields(shape, value, path)


def misfits_of_items(shape: dict, value: list, path: Path) -> Iterator[tuple[str, Path, object]]:
    if 0 < shape.get("maxItems", 0) <= 2000 and value:
        yield "too many", path, value[:1] * (shape["maxItems"] + 1)
    if shape.get("minItems"):
        yield "too few", path, []
    for index, item in enumerate(value):
        yield from misfits(shape["items"], item, (*path, index))


def misfits_of_fields(shape: dict, value: dict, path: Path) -> Iterator[tuple[str, Path, object]]:
    for name in shape.get("required", ()):
        yield "missing", (*path, name), KeyError
    for name, inner in shape.get("properties", {}).items():
        if name in value:
            needed = name in shape.get("required", ())
            yield from misfits(inner, value[name], (*path, name), needed)
    if shape.get("additionalProperties") is False:
        yield "unknown field", (*path, "surplus"), 1


def fits(shape: dict, value: object) -> bool:
    """Whether the value is of the shape, as far as type and `type` tell."""
    kind = KINDS[type(value)]
    if shape["type"] != kind and not (shape["type"] == "number" and kind == "integer"):
        return False
    if not isinstance(value, dict) or "type" not in value:
        return kind != "string" or value in shape.get("enum", [value])
    return value["type"] in resolved(shape.get("properties", {}).get("type", {})).get("enum", [value["type"]])


def spoilt(body: object, path: Path, value: object) -> object:
    """The body with one place changed, or taken out."""
    if not path:
        return value
    body = copy.deepcopy(body)
    inner = body
    for part in path[:-1]:
        inner = inner[part]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return body


def spelled(path: Path) -> str:
    """The path as errors name it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


SHAPES = {(row.method, row.path): row.body for row in OPERATIONS if row.body is not None}


def bodies_of_the_document() -> Iterator[tuple[str, str, dict]]:
    """Method, path and schema of every operation with a JSON body."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}) if method != "parameters" else {}
            if "application/json" in content:
                yield method.upper(), path, content["application/json"]["schema"]


def body_cases() -> Iterator[tuple[str, str, str, str, object]]:
    """Method, path, what is wrong, where, and the body."""
    for method, path, schema in bodies_of_the_document():
        whole = example(schema)
        for what, where, value in misfits(schema, whole):
            yield method, path, what, spelled(where), spoilt(whole, where, value)


@in_one_test(("method", "path"), [row[:2] for row in templates()] if SHARED.is_dir() else [])
def test_full_examples_of_the_document_are_accepted(method, path):
    content = document()["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        assert (method, path) not in SHAPES
        return
    whole = example(content["application/json"]["schema"])
    if "files" in whole and "file_ids" in whole:
        del whole["files"]
    SHAPES[method, path].check(whole, "")


def refusal(shape: Record, body: object) -> ApiError | None:
    """The error that the shape refuses the body with."""
    try:
        shape.check(body, "")
    except ApiError as error:
        return error
    return None


def test_every_spoilt_body_is_refused_where_it_is_spoilt():
    cases = list(body_cases())
    for method, path, what, where, body in cases:
        error = refusal(SHAPES[method, path], body)
        assert error is not None, f"{method} {path}: {what} at {where!r} was accepted"
        assert (error.status, error.type) == (400, "invalid_request_error")
        assert error.code, (method, path, what, where)
        tag = f"{where.rpartition('.')[0]}.type".lstrip(".")
        assert error.param in (where or None, tag), (method, path, what, where, error.message)
    assert len(cases) > 800


def optional_fields(schema: dict, value: object, path: Path = ()) -> Iterator[Path]:
    """Where in an example of the document there is a field that is neither required nor nullable."""
    shape = next(shape for shape in alternatives(schema) if fits(shape, value))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from optional_fields(shape["items"], item, (*path, index))
    if isinstance(value, dict):
        for name, inner in shape.get("properties", {}).items():
            if name in value:
                kinds = {alternative["type"] for alternative in alternatives(inner)}
                if name not in shape.get("required", ()) and "null" not in kinds:
                    yield (*path, name)
                yield from optional_fields(inner, value[name], (*path, name))


def test_null_is_not_given_for_every_field_that_is_not_required():
    count = 0
    for method, path, schema in bodies_of_the_document():
        whole = example(schema)
        if "files" in whole and "file_ids" in whole:
            del whole["files"]
        for where in optional_fields(schema, whole):
            shape = SHAPES[method, path]
            body, without = spoilt(whole, where, None), spoilt(whole, where, KeyError)
            if refusal(shape, without) is not None:  # the document forgets to say that it is required
                assert refusal(shape, body) is not None
                continue
            assert refusal(shape, body) is None, (path, where)
            count += body == without
    assert count > 60


def test_null_inside_what_the_client_has_made_up_is_kept(open_server):
    parameters = {"type": "object", "properties": {"a": {"enum": ["b", None], "default": None}}}
    tool = {"type": "function", "function": {"name": "f", "description": None, "parameters": parameters}}
    assistant = open_server.post("/assistants", json={"model": "any", "tools": [tool]}).json()
    assert assistant["tools"][0]["function"] == {"name": "f", "parameters": parameters, "strict": False}


def test_a_client_that_sends_null_for_everything_gets_the_defaults(open_server):
    assistant = open_server.post("/assistants", json={"model": "any", "tools": None, "tool_resources": None}).json()
    file = open_server.post("/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"}).json()["id"]
    resources = {
        "code_interpreter": {"file_ids": None},
        "file_search": {"vector_store_ids": None, "vector_stores": None},
    }
    message = {"role": "user", "content": [{"type": "text", "text": "hi"}], "attachments": None, "metadata": None}
    thread = open_server.post("/threads", json={"messages": [message], "tool_resources": resources}).json()
    for path, body in (
        ("/threads", {"messages": None, "tool_resources": None, "metadata": None}),
        ("/threads/runs", {"assistant_id": assistant["id"], "thread": None, "parallel_tool_calls": None}),
        (
            f"/threads/{thread['id']}/runs",
            {"assistant_id": assistant["id"], "tools": None, "additional_messages": None, "tool_choice": None},
        ),
        ("/vector_stores", {"file_ids": None, "chunking_strategy": None}),
        ("/vector_stores", {"file_ids": [file], "chunking_strategy": {"type": "auto"}, "name": None}),
    ):
        response = open_server.post(path, json=body)
        assert response.status_code == 200, response.text
    run = open_server.get(f"/threads/{thread['id']}/runs").json()["data"][0]
    assert (run["parallel_tool_calls"], run["tools"], run["tool_choice"]) == (True, [], "auto")
    store = response.json()["id"]
    body = {"query": "a", "filters": None, "max_num_results": None, "ranking_options": None, "rewrite_query": None}
    assert open_server.post(f"/vector_stores/{store}/search", json=body).status_code == 200
    body = {"file_id": file, "chunking_strategy": None, "attributes": None}
    assert open_server.post(f"/vector_stores/{store}/files", json=body).status_code == 200
    body = {"files": [body], "file_ids": None, "chunking_strategy": None}
    assert open_server.post(f"/vector_stores/{store}/file_batches", json=body).status_code == 200


@pytest.fixture(scope="module")
def open_server() -> Iterator[httpx.Client]:
    with rx_assistant.local.serve() as server, httpx.Client(base_url=server.base_url) as http:
        yield http


def expect(response: httpx.Response, status: int, **fields: object) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert {name: error[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("path", "cases"),
    [(path, list(rows)) for path, rows in itertools.groupby(body_cases(), key=lambda row: row[1])]
    if SHARED.is_dir()
    else [],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_case_of_each_kind_and_operation_over_the_wire(open_server, path, cases):
    ids = {
        "assistant_id": open_server.post("/assistants", json={"model": "any"}).json()["id"],
        "thread_id": open_server.post("/threads").json()["id"],
        "vector_store_id": open_server.post("/vector_stores").json()["id"],
    }
    kinds = {(method, what): body for method, _, what, _, body in cases}
    for (method, _), body in kinds.items():
        url = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "none"), path)
        response = open_server.request(method, url, content=json.dumps(body), headers=JSON)
        expect(response, 400, type="invalid_request_error")


@in_one_test("row", OPERATIONS, ids=lambda row: f"{row.method} {row.path}")
def test_unknown_ids_are_not_found(open_server, row):
    body = None
    if row.body is not None:
        content = document()["paths"][row.path][row.method.lower()]["requestBody"]["content"]
        body = example(content["application/json"]["schema"])
        body.pop("files", None)
    if "{" not in row.path:
        if row.path in ("/threads/runs", "/vector_stores") and row.method == "POST":
            expect(open_server.post(row.path, json=body), 404)
        return
    url = re.sub(r"\{\w+\}", "nothing_here", row.path)
    expect(open_server.request(row.method, url, json=body), 404, type="invalid_request_error", code=None)


@pytest.mark.parametrize("row", [row for row in OPERATIONS if "limit" in row.query], ids=lambda row: row.path)
def test_list_parameters_are_checked(open_server, row):
    url = re.sub(r"\{\w+\}", "nothing_here", row.path)
    most = 10_000 if row.path == "/files" else 100
    for query, code in (
        ({"limit": "0"}, "integer_below_min_value"),
        ({"limit": str(most + 1)}, "integer_above_max_value"),
        ({"limit": "many"}, "invalid_type"),
        ({"order": "upwards"}, "invalid_value"),
    ):
        expect(open_server.request(row.method, url, params=query), 400, param=next(iter(query)), code=code)


def test_a_cursor_that_is_in_no_list_is_refused(open_server):
    for name in ("after", "before"):
        response = open_server.get("/assistants", params={name: "asst_nothing"})
        expect(response, 400, param=name, code="invalid_value")


@pytest.mark.parametrize(
    "content",
    [b"{", b"[" * 100_000, b'{"metadata": NaN}', b'{"metadata": 1e999}', b"\xff\xfe", b"1" * 10_000, b'"\\ud800"'],
    ids=["cut", "deep", "NaN", "infinite", "no utf-8", "a huge number", "a surrogate"],
)
def test_what_is_no_json_object_is_refused(open_server, content):
    response = open_server.post("/threads", content=content, headers=JSON)
    expect(response, 400, type="invalid_request_error")
    assert response.json()["error"]["code"] in ("invalid_json", "invalid_type")


def test_half_a_surrogate_pair_comes_back_as_a_replacement_character(open_server):
    thread = open_server.post("/threads", content=rb'{"metadata": {"a": "\ud800"}}', headers=JSON)
    assert thread.json()["metadata"] == {"a": "\ufffd"}
    again = open_server.get(f"/threads/{thread.json()['id']}")
    assert again.content == thread.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/threads", 405), ("PUT", "/assistants", 405), ("GET", "/threads/", 404)],
)
def test_what_is_no_operation_is_refused_with_an_error_body(open_server, method, path, status):
    expect(open_server.request(method, path), status, type="invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/threads", "GET, HEAD, POST"),
        ("PUT", "/threads/runs", "DELETE, GET, HEAD, POST"),
        ("PATCH", "/assistants/asst_1", "DELETE, GET, HEAD, POST"),
        ("POST", "/../healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(open_server, method, path, allowed):
    reply = open_server.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
    assert "allow" not in open_server.request(method, "/nothing").headers


def test_metadata_has_limits(open_server):
    for metadata, code in (
        ({str(number): "x" for number in range(17)}, "object_above_max_properties"),
        ({"k" * 65: "x"}, "property_name_above_max_length"),
        ({"k": "x" * 513}, "string_above_max_length"),
        ({"k": True}, "invalid_type"),
    ):
        expect(open_server.post("/threads", json={"metadata": metadata}), 400, code=code)
    response = open_server.post("/threads", json={"metadata": {"modified": True}})
    assert response.json()["error"]["message"] == (
        "Invalid type for 'metadata.modified': expected a string, but got a boolean instead."
    )


def test_references_to_nothing_are_not_found(open_server):
    thread = open_server.post("/threads").json()["id"]
    messages = f"/threads/{thread}/messages"
    attachment = {"file_id": "file-none", "tools": [{"type": "file_search"}]}
    image = {"type": "image_file", "image_file": {"file_id": "file-none"}}
    search = {"file_search": {"vector_store_ids": ["vs_none"]}}
    code = {"code_interpreter": {"file_ids": ["file-none"]}}
    for path, body in (
        (messages, {"role": "user", "content": "x", "attachments": [attachment]}),
        (messages, {"role": "user", "content": [image]}),
        ("/assistants", {"model": "any", "tool_resources": search}),
        ("/threads", {"tool_resources": code}),
        ("/threads", {"messages": [{"role": "user", "content": [image]}]}),
        (f"/threads/{thread}/runs", {"assistant_id": "asst_none"}),
        ("/vector_stores", {"file_ids": ["file-none"]}),
    ):
        response = open_server.post(path, json=body)
        expect(response, 404)
        assert response.json()["error"]["param"]


def test_filters_are_checked_to_any_depth(open_server):
    nested: dict = {"type": "eq", "key": "a", "value": 1}
    for _ in range(60):
        nested = {"type": "and", "filters": [nested]}
    with pytest.raises(ApiError):
        bodies.SEARCH.check({"query": "x", "filters": nested}, "")
    for broken in ({"type": "xor", "filters": []}, {"type": "and"}, {"type": "eq", "key": "a", "value": {}}):
        with pytest.raises(ApiError):
            bodies.SEARCH.check({"query": "x", "filters": {"type": "or", "filters": [broken]}}, "")


def test_chunks_must_not_overlap_by_more_than_half(open_server):
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}
    file = open_server.post("/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"}).json()["id"]
    body = {"file_ids": [file], "chunking_strategy": strategy}
    expect(open_server.post("/vector_stores", json=body), 400, code="invalid_value")

"""How long others wait while the local server answers one request: each operation with its worst legal inputs."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks._measure import Row
from benchmarks.local_server import local_server

TARGET = 0.250
TRIES = 2  # the machine may be busy, too: the better try counts
TEXT = "x" * 7_500_000
ESCAPED = "\\u0416" * 1_200_000
VALUES: dict[str, object] = {str(number): {} for number in range(24_000)}
SELF = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcdefghij"}, "required": list("abcdefghij")}
MANY = {"type": "array", "items": {"type": "string"}, "minItems": 10_000_000}
LONG = "a" * 250_000


class Api:
    """Requests over one connection."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=600)

    def __call__(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """The reply's JSON; errors of the server are errors here."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"content-type": kind}
        self._connection.request(method, f"/v1{path}", data, headers)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status < 500, content[:300]
        return json.loads(content) if content[:1] == b"{" else content

    def upload(self, content: bytes, name: str = "a.txt") -> str:
        """The id of a new file."""
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        purpose = b'\r\n--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--x--\r\n'
        made = self("POST", "/files", head + content + purpose, "multipart/form-data; boundary=x")
        return str(made["id"])

    def settled(self, path: str) -> Any:
        """The object once nothing is in progress."""
        while (value := self("GET", path))["status"] in ("queued", "in_progress"):
            time.sleep(0.05)
        return value


def longest_wait(url: str, work: Any) -> tuple[float, float]:
    """Seconds that the work takes, and that a request beside it waits at most."""
    probe, done = Api(url), threading.Event()
    took = 0.0

    def run() -> None:
        nonlocal took
        began = time.perf_counter()
        try:
            work()
        finally:
            took = time.perf_counter() - began
            done.set()

    thread = threading.Thread(target=run)
    probe("GET", "/assistants?limit=1&after=")
    thread.start()
    longest = 0.0
    while not done.is_set():
        began = time.perf_counter()
        probe("GET", "/threads/none")
        longest = max(longest, time.perf_counter() - began)
        time.sleep(0.001)
    thread.join()
    return took, longest


def function(**fields: object) -> list[object]:
    """Tools with one function."""
    return [{"type": "function", "function": {"name": "get_it", **fields}}]


def message(parts: int = 30) -> dict[str, object]:
    """A message as large as a body may be."""
    return {"role": "user", "content": [{"type": "text", "text": LONG}] * parts}


def words(count: int) -> str:
    """So many different words."""
    return " ".join(f"w{number}" for number in range(count))


Case = tuple[str, str, str, Any]
"""Method, path, what is so bad about it, and the body or a function that does the work."""


def cases(api: Api) -> Iterator[Case]:
    """Each operation with its worst inputs, in an order in which they can be made."""
    yield from assistants(api)
    yield from threads(api)
    yield from runs(api)
    yield from files(api)
    yield from stores(api)


def assistants(api: Api) -> Iterator[Case]:
    worst = {
        "48 000 values": {"model": "a", "tools": function(parameters=VALUES)},
        "7 MB of text": {"model": "a", "tools": function(description=TEXT)},
        "7 MB of escapes": b'{"model": "a", "tools": [{"type": "function", "function": {"name": "f", "description": "'
        + ESCAPED.encode()
        + b'"}}]}',
        "2.5 million values": b'{"model": "a", "tools": [' + b"{}," * 2_500_000 + b"{}]}",
        "800 levels": b'{"model": "a", "tools": ' + b"[" * 800 + b"]" * 800 + b"}",
    }
    for what, body in worst.items():
        yield "POST", "/assistants", what, body
    ids = [api("POST", "/assistants", worst["48 000 values"])["id"] for _ in range(100)]
    path = f"/assistants/{api('POST', '/assistants', worst['7 MB of escapes'])['id']}"
    yield "GET", path, "7 MB", None
    yield "POST", path, "7 MB", {"tools": function(description=TEXT)}
    yield "GET", "/assistants?limit=100", "100 of 48 000 values", None
    yield "DELETE", f"/assistants/{ids[0]}", "48 000 values", None


def threads(api: Api) -> Iterator[Case]:
    yield "POST", "/threads", "30 messages", {"messages": [message(1)] * 30}
    yield "POST", "/threads", "10 000 messages", {"messages": [{"role": "user", "content": "x"}] * 10_000}
    thread = api("POST", "/threads", {"messages": [message(1)] * 30})["id"]
    path = f"/threads/{thread}"
    yield "GET", path, "7 MB", None
    yield "POST", path, "metadata", {"metadata": {str(n): "x" * 512 for n in range(16)}}
    yield "POST", f"{path}/messages", "7 MB", message()
    for _ in range(20):
        api("POST", f"{path}/messages", message(30))
    one = f"{path}/messages/{api('POST', f'{path}/messages', message())['id']}"
    yield "GET", one, "7 MB", None
    yield "POST", one, "7 MB", {"metadata": {"a": "b"}}
    yield "GET", f"{path}/messages?limit=100", "150 MB", None
    yield "GET", f"{path}/messages?limit=100&run_id=none", "150 MB", None
    yield "DELETE", one, "7 MB", None
    yield "DELETE", path, "150 MB", None


def runs(api: Api) -> Iterator[Case]:
    plain = api("POST", "/assistants", {"model": "a"})["id"]
    for what, tools in (
        ("self-referring schema", function(parameters=SELF)),
        ("minItems 10 000 000", function(parameters={"type": "object", "properties": {"a": MANY}, "required": ["a"]})),
        ("48 000 values", function(parameters=VALUES)),
        ("128 long descriptions", function(description="x" * 50_000) * 128),
    ):
        assistant = api("POST", "/assistants", {"model": "a", "tools": tools})["id"]
        begin = {"assistant_id": assistant, "tool_choice": "required", "thread": {"messages": [message(1)]}}
        yield "POST", "/threads/runs", what, lambda begin=begin: run_to_its_end(api, begin)
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string", "format": "email"}}}
    for what, given in (("email of a long word", schema), ("7 MB of messages", "auto")):
        messages = [message(20)] if given == schema else [message(1)] * 30
        begin = {"assistant_id": plain, "response_format": given, "thread": {"messages": messages}}
        yield "POST", "/threads/runs", what, lambda begin=begin: run_to_its_end(api, begin)
    thread = api("POST", "/threads", {"messages": [message(1)] * 30})["id"]
    for _ in range(20):
        api("POST", f"/threads/{thread}/messages", message())
    yield "POST", f"/threads/{thread}/runs", "150 MB", lambda: run_to_its_end(api, {"assistant_id": plain}, thread)
    many = {"assistant_id": plain, "additional_messages": [{"role": "user", "content": "x"}] * 9_000}
    yield "POST", f"/threads/{thread}/runs", "9 000 messages", lambda: run_to_its_end(api, many, thread)
    yield from one_run(api)


def run_to_its_end(api: Api, body: dict[str, Any], thread: str | None = None) -> None:
    """Starts a run and polls it until it rests."""
    run = api("POST", f"/threads/{thread}/runs" if thread else "/threads/runs", body)
    api.settled(f"/threads/{run['thread_id']}/runs/{run['id']}")


def one_run(api: Api) -> Iterator[Case]:
    tools = function(description="get it", parameters=VALUES)
    assistant = api("POST", "/assistants", {"model": "a", "tools": tools})["id"]
    begin = {"assistant_id": assistant, "tool_choice": "required", "thread": {"messages": [message(1)]}}
    waiting = [api("POST", "/threads/runs", begin) for _ in range(2)]
    paths = [f"/threads/{run['thread_id']}/runs/{run['id']}" for run in waiting]
    calls = api.settled(paths[0])["required_action"]["submit_tool_outputs"]["tool_calls"]
    api.settled(paths[1])
    yield "GET", paths[0], "48 000 values", None
    yield "GET", paths[0].rpartition("/")[0] + "?limit=100", "48 000 values", None
    outputs = {"tool_outputs": [{"tool_call_id": calls[0]["id"], "output": TEXT}]}

    def submit() -> None:
        api("POST", f"{paths[0]}/submit_tool_outputs", outputs)
        api.settled(paths[0])

    yield "POST", f"{paths[0]}/submit_tool_outputs", "7 MB", submit
    steps = api("GET", f"{paths[0]}/steps?limit=100")["data"]
    yield "GET", f"{paths[0]}/steps?limit=100", "7 MB", None
    yield "GET", f"{paths[0]}/steps/{steps[-1]['id']}", "7 MB", None
    yield "POST", paths[0], "48 000 values", {"metadata": {"a": "b"}}
    yield "POST", f"{paths[1]}/cancel", "48 000 values", None


def files(api: Api) -> Iterator[Case]:
    yield "POST", "/files", "64 MB", lambda: api.upload(b"x" * 64_000_000)
    path = f"/files/{api.upload(b'x' * 64_000_000)}"
    yield "GET", path, "64 MB", None
    yield "GET", f"{path}/content", "64 MB", None
    for _ in range(5_000):
        api.upload(b"x", "n" * 200)
    yield "GET", "/files?limit=10000", "5 000 files", None
    yield "GET", "/files?limit=10000&purpose=none", "5 000 files", None
    yield "DELETE", path, "64 MB", None


def stores(api: Api) -> Iterator[Case]:
    some = [api.upload(b"whale") for _ in range(2_000)]
    attributes = {str(number): "x" * 512 for number in range(16)}
    yield "POST", "/vector_stores", "500 files", {"file_ids": some[:500]}
    nested = {"tool_resources": {"file_search": {"vector_stores": [{"file_ids": some}]}}}
    yield "POST", "/threads", "a store of 2 000 files", nested
    store = api("POST", "/vector_stores", {"name": "a"})["id"]
    path = f"/vector_stores/{store}"
    batch = {"files": [{"file_id": file, "attributes": attributes if n < 500 else {}} for n, file in enumerate(some)]}
    yield "POST", f"{path}/file_batches", "2 000 files", batch
    made = f"{path}/file_batches/{api('POST', f'{path}/file_batches', batch)['id']}"
    yield "POST", f"{made}/cancel", "2 000 files", None
    yield "GET", made, "2 000 files", None
    yield "GET", f"{made}/files?limit=100&filter=completed", "2 000 files", None
    for _ in range(99):
        api("POST", "/vector_stores", {"file_ids": some[:20]})
    yield "GET", "/vector_stores?limit=100", "100 stores", None
    yield "GET", path, "2 000 files", None
    yield "POST", path, "2 000 files", {"name": "b", "metadata": {"a": "b"}}
    yield from searching(api, path)


def searching(api: Api, path: str) -> Iterator[Case]:
    big = api.upload(" ".join(f"w{number % 50_000} and more." for number in range(400_000)).encode())
    html = api.upload(b"<!--" * 1_000_000, "a.html")
    tree = api.upload(b"[" + b"{}," * 1_300_000 + b"{}]", "a.json")
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    for what, file, sizes in (("8 MB of text", big, chunking), ("comments", html, None), ("values", tree, None)):
        body = {"file_id": file, **({} if sizes is None else {"chunking_strategy": sizes})}

        def ingest(body: dict[str, Any] = body, file: str = file) -> None:
            api("POST", f"{path}/files", body)
            api.settled(f"{path}/files/{file}")

        yield "POST", f"{path}/files", what, ingest
    one = f"{path}/files/{big}"
    search = f"{path}/search"
    yield "POST", search, "20 000 words", {"query": words(20_000)}
    yield "POST", search, "a word of 7 MB", {"query": TEXT}
    yield "POST", search, "64 queries", {"query": [words(15_000)] * 64, "rewrite_query": True}
    comparison = {"type": "eq", "key": "1", "value": "x"}
    yield "POST", search, "500 comparisons", {"query": "w7", "filters": {"type": "or", "filters": [comparison] * 499}}
    yield "GET", one, "8 MB", None
    yield "POST", one, "attributes", {"attributes": {str(number): "x" * 512 for number in range(16)}}
    yield "GET", f"{one}/content", "8 MB", None
    yield "GET", f"{path}/files?limit=100&filter=failed", "2 000 files", None
    asking = api("POST", "/assistants", {"model": "a", "tools": [{"type": "file_search"}]})["id"]
    resources = {"file_search": {"vector_store_ids": [path.rpartition("/")[2]]}}
    question = {"role": "user", "content": words(20_000)}
    begin = {"assistant_id": asking, "thread": {"messages": [question], "tool_resources": resources}}
    yield "POST", "/threads/runs", "file search, 129 kB of question", lambda: run_to_its_end(api, begin)
    yield "DELETE", one, "8 MB", None
    yield "POST", f"{path}/files", "8 MB again", {"file_id": big}
    yield "DELETE", path, "2 000 files", None


def rows() -> list[Row]:
    """One row per operation and input, the worst waits first."""
    found: list[tuple[float, float, str, str]] = []
    with local_server() as (url, _):
        api = Api(url)
        for method, path, what, body in cases(api):
            tries = []
            for _ in range(TRIES if method != "DELETE" else 1):
                work = body if callable(body) else lambda m=method, p=path, b=body: api(m, p, b)
                tries.append(longest_wait(url, work))
            took, wait = min(tries, key=lambda each: each[1])
            plain = re.sub(r"/(\w+?)_\w{20,}|/(file)-\w{20,}", r"/{\1\2}", path.partition("?")[0])
            found.append((wait, took, f"{method} {plain}", what))
    operations = {operation for _, _, operation, _ in found}
    worst = sorted(found, reverse=True)
    return [
        Row(f"{operation}: {what}", f"{took:.2f} s", "", f"{wait * 1000:.0f} ms", "≤ 250 ms", wait <= TARGET)
        for wait, took, operation, what in worst
    ] + [Row("operations", str(len(operations)))]

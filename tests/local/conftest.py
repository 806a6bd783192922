"""The local server for tests, each of whose replies is held against the published document."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import openai
import pytest
from reference import SHARED
from starlette.applications import Starlette

import rx_assistant.local
from local.conformance import Conformance
from local.upstreams import ask, model  # noqa: F401 - fixtures
from rx_assistant.errors import ProtocolError
from rx_assistant.lifecycle import Grammar
from rx_assistant.local import application, server as server_module, serving
from rx_assistant.local.state import State
from rx_assistant.sse import SSEDecoder


def pytest_configure(config: pytest.Config) -> None:
    """The marker of the fixture `judged`."""
    config.addinivalue_line("markers", "unjudged: replies are not held against the published document")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The SDK marks the Assistants API as deprecated; that is no news here."""
    for item in items:
        if "/local/" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore:(deprecated|The Assistants API):DeprecationWarning"))


@pytest.fixture(scope="session")
def conformance() -> Conformance | None:
    """The document, None where it is not at hand."""
    return Conformance() if SHARED.is_dir() else None


class Judge:
    """An ASGI middleware that reads along and gathers what does not fit."""

    def __init__(self, app, conformance: Conformance, verdicts: list[str]) -> None:
        self._app = app
        self._conformance = conformance
        self._verdicts = verdicts

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        heard: list[dict] = []

        async def listen(message: dict) -> None:
            heard.append(message)
            await send(message)

        try:
            await self._app(scope, receive, listen)
        finally:
            self._judge(scope["method"], scope["path"].removeprefix("/v1"), heard)

    def _judge(self, method: str, path: str, heard: list[dict]) -> None:
        if not heard:
            return
        status, headers = heard[0]["status"], dict(heard[0]["headers"])
        body = b"".join(message.get("body", b"") for message in heard[1:])
        kind = headers[b"content-type"]
        if b"x-request-id" not in headers:
            self._verdicts.append(f"{method} {path}: no request id")
        if status >= 500 and status != 503:
            self._verdicts.append(f"{method} {path}: {status} {body[:300]!r}")
        if kind == b"application/json":
            faults = self._conformance.reply_faults(method, path, status, json.loads(body))
        elif kind.startswith(b"text/event-stream"):
            whole = not heard[-1].get("more_body", True)
            faults = self._conformance.stream_faults(body) + order_faults(body, whole)
        else:
            faults = []
        self._verdicts += [f"{method} {path} {status}: {fault}" for fault in faults]


def order_faults(body: bytes, whole: bool) -> list[str]:
    """Where a stream's events leave the order of the protocol; a stream that was cut may end anywhere."""
    grammar = Grammar("strict")
    try:
        for name, data in parsed(body):
            value = data if isinstance(data, dict) else {}
            grammar.feed(name, id=value.get("id"), status=value.get("status"), run_id=value.get("run_id"))
        if whole:
            grammar.finish()
    except ProtocolError as error:
        return [str(error)]
    return []


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, conformance: Conformance | None):
    """Every reply of every server that a test starts; the test fails if one does not fit the document.

    `@pytest.mark.unjudged`: replies that are wrong on purpose, or too many.
    """
    verdicts: list[str] = []
    if conformance is None or request.node.get_closest_marker("unjudged"):
        yield verdicts
        return

    def build(state: State) -> Starlette:
        app = application.build(state)
        app.add_middleware(Judge, conformance=conformance, verdicts=verdicts)
        return app

    monkeypatch.setattr(server_module, "build", build)
    monkeypatch.setattr(serving, "build", build)
    yield verdicts
    assert not verdicts, "\n".join(verdicts)


@pytest.fixture
def server() -> Iterator[rx_assistant.local.Server]:
    """A server with the built-in assistant."""
    with rx_assistant.local.serve() as server:
        yield server


@pytest.fixture
def sdk(server: rx_assistant.local.Server) -> Iterator[openai.OpenAI]:
    """The official SDK, pointed at the server."""
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        yield client


def pauses() -> Iterator[None]:
    """Sleep between two looks at what a server does: it needs the same processor."""
    seconds = 0.002
    while True:
        time.sleep(seconds)
        yield
        seconds = min(1.2 * seconds, 0.1)


class Api:
    """Plain HTTP against a server: JSON in, JSON out, streams as lists of events."""

    def __init__(self, server: rx_assistant.local.Server) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.base_url, timeout=20)

    def __call__(self, method: str, path: str, body: object = None, expect: int = 200, **options) -> dict:
        """The reply's JSON, whose status must be `expect`."""
        if body is not None:
            options["json"] = body
        response = self.http.request(method, path, **options)
        assert response.status_code == expect, response.text
        return response.json()

    def refused(self, method: str, path: str, body: object = None, expect: int = 400, **options) -> dict:
        """The error that the server answers with."""
        return self(method, path, body, expect, **options)["error"]

    def stream(self, path: str, body: dict, **options) -> list[tuple[str, dict | str]]:
        """Name and data of the events of a stream that is read to its end."""
        with self.http.stream("POST", path, json={**body, "stream": True}, **options) as response:
            assert response.status_code == 200, response.read()
            return parsed(response.read())

    def assistant(self, **fields) -> str:
        """The id of a new assistant."""
        return self("POST", "/assistants", {"model": "any", **fields})["id"]

    def thread(self, *texts: str, **fields) -> str:
        """The id of a new thread with these messages by a user."""
        messages = [{"role": "user", "content": text} for text in texts]
        return self("POST", "/threads", {"messages": messages, **fields})["id"]

    def start(self, assistant: str, thread: str, **fields) -> dict:
        """A new run, not streamed."""
        return self("POST", f"/threads/{thread}/runs", {"assistant_id": assistant, **fields})

    def wait(self, run: dict, *statuses: str) -> dict:
        """The run as soon as it has one of these statuses, or any in which it rests."""
        wanted = statuses or ("requires_action", "completed", "failed", "cancelled", "expired", "incomplete")
        pause = pauses()
        while run["status"] not in wanted:
            next(pause)
            run = self("GET", f"/threads/{run['thread_id']}/runs/{run['id']}")
        return run

    def answer(self, run: dict, **fields) -> dict:
        """The run after each of its calls was answered with `ok`."""
        calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "ok"} for call in calls]
        path = f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
        return self("POST", path, {"tool_outputs": outputs, **fields})

    def steps(self, run: dict, **query) -> list[dict]:
        """The run's steps, oldest first."""
        path = f"/threads/{run['thread_id']}/runs/{run['id']}/steps"
        return self("GET", path, params={"order": "asc", **query})["data"]

    def messages(self, thread: str, **query) -> list[dict]:
        """The thread's messages, oldest first."""
        return self("GET", f"/threads/{thread}/messages", params={"order": "asc", **query})["data"]

    def upload(self, name: str, content: str | bytes, purpose: str = "assistants", **fields) -> dict:
        """A new file."""
        return self("POST", "/files", files={"file": (name, content)}, data={"purpose": purpose, **fields})

    def store(self, *files: tuple[str, str | bytes], **fields) -> dict:
        """A new vector store, once it has taken in these files."""
        ids = [self.upload(name, content)["id"] for name, content in files]
        store = self("POST", "/vector_stores", {"file_ids": ids, **fields})
        pause = pauses()
        while store["status"] == "in_progress":
            next(pause)
            store = self("GET", f"/vector_stores/{store['id']}")
        return store


def parsed(body: bytes) -> list[tuple[str, dict | str]]:
    """Name and data of each event of a stream."""
    events = SSEDecoder().feed(body)
    return [(event.event, event.data if event.data == "[DONE]" else json.loads(event.data)) for event in events]


@pytest.fixture
def connect() -> Iterator[Callable[..., Api]]:
    """Starts a server with the given options and gives its `Api`; all are stopped at the end."""
    with ExitStack() as stack:

        def start(**options) -> Api:
            api = Api(stack.enter_context(rx_assistant.local.serve(**options)))
            stack.enter_context(api.http)
            return api

        yield start


@pytest.fixture
def play(connect) -> Callable[..., Api]:
    """Starts a server that plays one entry with the given turns."""
    return lambda *turns, **options: connect(script={"chunk": "whole", "runs": [{"turns": list(turns)}]}, **options)


@pytest.fixture
def api(connect) -> Api:
    """The `Api` of a server with the built-in assistant."""
    return connect()

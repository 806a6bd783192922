"""The local server for tests, each of whose replies is held against the published document."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from conftest import SHARED
from starlette.applications import Starlette

import rx_assistant.local
from local.conformance import Conformance
from rx_assistant.local import application, server as server_module, serving
from rx_assistant.local.state import State


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
            faults = self._conformance.stream_faults(body)
        else:
            faults = []
        self._verdicts += [f"{method} {path} {status}: {fault}" for fault in faults]


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

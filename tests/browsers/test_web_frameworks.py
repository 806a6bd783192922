"""Responses of real frameworks over real sockets: Starlette, FastAPI, Flask, and Django in both worlds."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest
from browsers.test_web_bodies import RECORDING, Fed, events
from browsers.web_servers import asgi, blocks_with_ids, until, wsgi
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import rx_assistant
from rx_assistant import AssistantClient, AsyncAssistantClient
from rx_assistant.local import RunContext, serve
from rx_assistant.local.engine import Action, Text
from rx_assistant.web import AsyncEventStream, EventStream, EventStreamResponse

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


def starlette_app() -> Any:
    stream = rx_assistant.replay_async(RECORDING)

    async def view(request: Request) -> Response:
        return EventStreamResponse(stream, protocol=request.query_params.get("protocol", "assistants"))

    return Starlette(routes=[Route("/", view)])


def starlette_app_with_middleware() -> Any:
    async def passing(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response

    app = starlette_app()
    return Starlette(routes=app.routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=passing)])


def fastapi_app() -> Any:
    stream, app = rx_assistant.replay(RECORDING), FastAPI()

    @app.get("/", response_class=EventStreamResponse)
    async def view(protocol: str = "assistants") -> Response:
        return EventStreamResponse(stream, protocol)

    return app


def flask_app() -> Any:
    from flask import Flask, request

    stream, app = rx_assistant.replay(RECORDING), Flask(__name__)

    @app.get("/")
    def view() -> Any:
        return EventStream(stream, protocol=request.args.get("protocol", "assistants"))

    return app


def django_app(*, is_async: bool) -> Any:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, StreamingHttpResponse
    from django.urls import path

    if not settings.configured:
        settings.configure(ROOT_URLCONF=(), ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="secret", MIDDLEWARE=())
        django.setup()
    stream = rx_assistant.replay(RECORDING)

    def answer(request: HttpRequest, kind: Any) -> StreamingHttpResponse:
        after = request.headers.get("Last-Event-ID") or request.GET.get("starting_after")
        body = kind(stream, after=after, protocol=request.GET.get("protocol", "assistants"))
        return StreamingHttpResponse(body, status=body.status, headers=body.headers)

    async def async_view(request: HttpRequest) -> StreamingHttpResponse:
        return answer(request, AsyncEventStream)

    def view(request: HttpRequest) -> StreamingHttpResponse:
        return answer(request, EventStream)

    settings.ROOT_URLCONF = (path("", async_view if is_async else view),)
    return get_asgi_application() if is_async else get_wsgi_application()


@contextmanager
def django_server(*, is_async: bool) -> Generator[str]:
    from django.urls import clear_url_caches

    app = django_app(is_async=is_async)
    clear_url_caches()
    with (asgi if is_async else wsgi)(app) as address:
        yield address


SERVERS: dict[str, Any] = {
    "starlette": lambda: asgi(starlette_app()),
    "starlette with middleware": lambda: asgi(starlette_app_with_middleware()),
    "fastapi": lambda: asgi(fastapi_app()),
    "flask": lambda: wsgi(flask_app()),
    "django": lambda: django_server(is_async=False),
    "asynchronous django": lambda: django_server(is_async=True),
}


@pytest.mark.parametrize("framework", SERVERS)
def test_every_framework_streams_and_resumes(framework: str) -> None:
    with SERVERS[framework]() as address, httpx.Client(base_url=address) as browser:
        whole = browser.get("/")
        assert {name: whole.headers[name] for name in HEADERS} == HEADERS
        assert rx_assistant.replay(whole.content).get_final_run() == rx_assistant.replay(RECORDING).get_final_run()
        blocks = blocks_with_ids(whole.content)
        middle = blocks[len(blocks) // 2][0]
        rest = browser.get("/", headers={"Last-Event-ID": middle})
        assert blocks_with_ids(rest.content) == blocks[len(blocks) // 2 + 1 :]
        assert browser.get("/", params={"starting_after": middle}).content == rest.content
        assert browser.get("/", headers={"Last-Event-ID": blocks[-1][0]}).status_code == 204
        assert browser.get("/", headers={"Last-Event-ID": "x"}).status_code == 400
        assert browser.get("/", params={"protocol": "ui_message"}).headers["x-vercel-ai-ui-message-stream"] == "v1"


@contextmanager
def watched(stream: Any, **options: Any) -> Generator[tuple[str, threading.Event]]:
    """A server of one stream, and the event of a response that has ended."""
    ended = threading.Event()

    class Watched(EventStreamResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                ended.set()

    async def view(_request: Request) -> Response:
        return Watched(stream, **options)

    with asgi(Starlette(routes=[Route("/", view)])) as address:
        yield address, ended


def test_a_browser_that_leaves_during_silence_is_noticed_at_once() -> None:
    source = Fed()
    stream = rx_assistant.from_events(source)
    with watched(stream, heartbeat=1000) as (address, ended):
        with httpx.stream("GET", address) as response:
            source.items.put(events()[0])
            chunks = response.iter_bytes()
            assert any(b"id: 1" in chunk for chunk in chunks)
            assert stream.log.holders == 1
        assert ended.wait(60)
        assert until(lambda: stream.log.holders == 0)
    stream.close()


class Endless:
    """An engine that writes until it is stopped."""

    async def run(self, context: RunContext) -> AsyncIterator[Action]:
        while True:
            yield Text("word ")
            await anyio.sleep(0.01)


def test_the_run_is_cancelled_when_the_last_browser_has_left() -> None:
    with serve(engine=Endless()) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="m")
        thread = client.threads.create(messages=[{"role": "user", "content": "go on"}])
        runs = AsyncAssistantClient(base_url=server.base_url).threads.runs
        stream = runs.stream(thread_id=thread.id, assistant_id=assistant.id, on_idle="cancel", idle_grace=0)
        with watched(stream) as (address, ended):
            with httpx.stream("GET", address) as first, httpx.stream("GET", address) as second:
                bodies = [response.iter_bytes() for response in (first, second)]  # dropping one closes its response
                assert all(any(b"word" in chunk for chunk in chunks) for chunks in bodies)
            assert ended.wait(60)
            run = next(iter(client.threads.runs.list(thread.id)))
            assert client.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=50).status == "cancelled"
        assert sum(request.path.endswith("/runs") and request.method == "POST" for request in server.requests) == 1


def test_a_browser_that_takes_nothing_is_dropped_and_the_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    event = max(events(), key=lambda each: len(each.raw))
    stream = rx_assistant.from_events([event] * 20_000)
    with (
        caplog.at_level(logging.WARNING, "rx_assistant"),
        watched(stream, send_timeout=0.2) as (address, ended),
        socket.create_connection(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))) as browser,
    ):
        browser.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert ended.wait(60)
        assert until(lambda: stream.log.holders == 0)
    assert "took nothing for 0.2 seconds and was dropped" in caplog.text


def test_head_has_the_headers_only() -> None:
    async def view(_request: Request) -> Response:
        return EventStreamResponse(rx_assistant.replay(RECORDING), headers={"X-Own": "1", "Cache-Control": "no-store"})

    with asgi(Starlette(routes=[Route("/", view)])) as address:
        answer = httpx.head(address)
        assert (answer.headers["x-own"], answer.headers["cache-control"], answer.content) == ("1", "no-store", b"")


def test_options_are_checked_at_once() -> None:
    stream = rx_assistant.replay(RECORDING)
    for options in ({"protocol": "ag-ui"}, {"send_timeout": 0}):
        with pytest.raises(ValueError, match="must be"):
            EventStreamResponse(stream, **options)
    for options in ({"heartbeat": 0}, {"retry": -1}, {"protocol": "x"}):
        with pytest.raises(ValueError, match="must be"):
            EventStream(stream, **options)

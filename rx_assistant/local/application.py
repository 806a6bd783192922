"""The ASGI application: the table of operations under each prefix that clients use, and /healthz."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from rx_assistant.local import passthrough, paths, v1
from rx_assistant.local.admission import Admission
from rx_assistant.local.dispatch import endpoint, error_reply
from rx_assistant.local.errors import ApiError
from rx_assistant.local.exchange import Operation
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.responses import json_reply, sign
from rx_assistant.local.routes import (
    assistants,
    file_batches,
    files,
    messages,
    models,
    runs,
    steps,
    threads,
    vector_store_files,
    vector_stores,
)
from rx_assistant.local.routing import Routes
from rx_assistant.local.state import Settings, State

OPERATIONS: tuple[Operation, ...] = (
    *assistants.OPERATIONS,
    *runs.OPERATIONS,
    *threads.OPERATIONS,
    *messages.OPERATIONS,
    *steps.OPERATIONS,
    *files.OPERATIONS,
    *vector_stores.OPERATIONS,
    *vector_store_files.OPERATIONS,
    *file_batches.OPERATIONS,
)
"""The operations of OpenAI's Assistants API."""
MORE_OPERATIONS: tuple[Operation, ...] = (*threads.FOUNDRY_OPERATIONS, *models.OPERATIONS)
"""Other paths that clients request. With an upstream, `/models` is passed through to it."""


def build(state: State) -> Starlette:
    """The application for one state. It closes the state at its end."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if state.settings.upstream is not None:
            await asyncio.to_thread(state.settings.upstream.check)
        await state.start()
        yield
        await state.close()

    async def health(_: Request) -> Response:
        status = "stopping" if state.draining else "ok" if state.is_ready else "starting"
        known = {"data": state.disk(), "bends": getattr(state.engine, "bends", None)}
        told: JsonObject = {"status": status, **{name: value for name, value in known.items() if value is not None}}
        return json_reply(told, 200 if status == "ok" else 503)

    operations, others = Routes(), Routes()
    upstream = state.settings.upstream
    for methods, path, passing in () if upstream is None else passthrough.routes(state, upstream):
        operations.add(methods, path, passing)
    for row in (*OPERATIONS, *MORE_OPERATIONS):
        operations.add([row.method], row.path, endpoint(state, row))
    others.add(["GET"], "/healthz", health)
    return _Application(operations, others, state.settings, lifespan)


class _Application(Starlette):
    """Answers requests from the operations below a prefix, and from `others`, without starlette's layers and routes."""

    def __init__(self, operations: Routes, others: Routes, settings: Settings, lifespan: Lifespan[Starlette]) -> None:
        super().__init__(lifespan=lifespan)
        self._operations = operations
        self._others = others
        self._settings = settings

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = Admission(self._route, self._settings)
        for cls, args, kwargs in reversed(self.user_middleware):
            app = cls(app, *args, **kwargs)
        return app

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the lifespan, and websockets, which are refused
            await self.router(scope, receive, send)
            return
        prefix, path = paths.split(scope)
        root = scope.get("root_path", "")
        scope.setdefault("app_root_path", root)
        scope["root_path"] = root + prefix
        found = (self._operations if prefix else self._others).find(scope["method"], path)
        request = Request(scope, receive, send)
        if found is None or found.endpoint is None:
            response = _refusal(request, None if found is None else found.allowed, _hint(prefix, path))
        else:
            scope["path_params"] = found.parameters
            response = await found.endpoint(request)
        await response(scope, receive, send)


def _refusal(request: Request, allowed: tuple[str, ...] | None, hint: str) -> Response:
    """For requests that match no operation: 404, or 405 with the methods that the path allows."""
    what, headers = "Invalid URL", None
    if allowed is not None:
        what, headers = "Invalid method for URL", {"allow": ", ".join(allowed)}
    message = f"{what} ({request.method} {request.url.path}){hint}"
    response = error_reply(ApiError(404 if allowed is None else 405, message, headers=headers))
    sign(response, new_id("req_"), time.perf_counter())
    return response


def _hint(prefix: str, path: str) -> str:
    if not prefix:
        return ". Paths begin with /v1 here: let the client's base URL end with it."
    return f". {v1.GONE}" if v1.is_path(path) else ""

"""The ASGI application: the table of operations under each prefix that clients use, and /healthz."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

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
from rx_assistant.local.state import State

# "/threads/runs" must come before "/threads/{thread_id}".
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

    upstream = state.settings.upstream
    passed_on = [] if upstream is None else passthrough.routes(state, upstream)
    own = [Route(row.path, endpoint(state, row), methods=[row.method]) for row in (*OPERATIONS, *MORE_OPERATIONS)]
    operations = Router([*passed_on, *own], redirect_slashes=False)
    app = Starlette(
        routes=[*(Mount(prefix, operations) for prefix in paths.PREFIXES), Route("/healthz", health)],
        middleware=[Middleware(Admission, settings=state.settings)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    """404 and 405 for requests that match no operation."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    what = "Invalid URL" if status == 404 else "Invalid method for URL"
    path = request.url.path
    response = error_reply(ApiError(status, f"{what} ({request.method} {path}){_hint(request)}"))
    sign(response, new_id("req_"), time.perf_counter())
    return response


def _hint(request: Request) -> str:
    if not paths.has_prefix(request):
        return ". Paths begin with /v1 here: let the client's base URL end with it."
    return f". {v1.GONE}" if v1.is_path(paths.asked(request)) else ""

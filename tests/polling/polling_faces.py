"""The same call on all faces of the client, and a server that answers from a list."""

from __future__ import annotations

import inspect
import json
import ssl
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import anyio
import httpx
from loopback import GUARD, Loopback, Received, Wire

from rx_assistant import AssistantClient, AsyncAssistantClient

FACES = ("sync", "asyncio", "trio")

Call = Callable[[Any], Any]


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it takes longer than a test."""
    return httpx.create_ssl_context()


def on(face: str, url: str, call: Call, **settings: Any) -> Any:
    """What `call(client)` gives, awaited where the face wants that."""
    if face == "sync":
        with httpx.Client(verify=_tls()) as http:
            return call(AssistantClient(base_url=url, http_client=http, **settings))

    async def main() -> Any:
        async with httpx.AsyncClient(verify=_tls()) as http:
            client = AsyncAssistantClient(base_url=url, http_client=http, **settings)
            with anyio.fail_after(2 * GUARD):
                result = call(client)
                return await result if inspect.isawaitable(result) else result

    return anyio.run(main, backend=face)


class Answers:
    """A handler for Loopback: each reply is a status word, (status word, headers), an HTTP status, or a function."""

    def __init__(self, replies: Iterable[Any], **fields: Any) -> None:
        self._replies = list(replies)
        self._fields = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", **fields}

    async def __call__(self, request: Received, wire: Wire) -> None:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        headers: dict[str, str] = {}
        if isinstance(reply, tuple):
            reply, headers = reply
        if callable(reply):
            await reply(request, wire)
        elif isinstance(reply, int):
            await wire.json({"error": {"message": "no", "type": "x", "code": None}}, reply, {"retry-after": "0"})
        elif isinstance(reply, dict):
            await wire.json({**self._fields, **reply}, headers=headers)
        else:
            await wire.json({**self._fields, "status": reply}, headers=headers)


async def silent(request: Received, wire: Wire) -> None:
    """Never answers."""
    await wire.peer_gone()


def methods(server: Loopback) -> list[str]:
    """The requests that came, shortly."""
    return [request.method for request in server.requests]


def body(request: Received) -> Any:
    """The JSON that came."""
    return json.loads(request.body) if request.body else None

"""A run that needs tools, on each face: the local server, scripts for it, and a proxy that loses replies."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import httpx
from faces import got, with_client
from loopback import Received, Wire

from rx_assistant import ToolSet, local

FACES = ["sync", "asyncio", "trio"]


def call(function: str, call_id: str = "", **arguments: Any) -> dict[str, Any]:
    """A function call, for a script."""
    return {"function": function, "arguments": arguments, "id": call_id or f"call_{function}"}


def script(*rounds: Iterable[dict[str, Any]], answer: str = "It is {outputs}.", **more: Any) -> dict[str, Any]:
    """A scenario: some rounds of calls, then an answer."""
    turns: list[Any] = [[{"calls": list(each), **more}] for each in rounds]
    return {"chunk": "character", "runs": [{"turns": [*turns, [{"text": answer}]]}]}


def serve(scenario: dict[str, Any], **options: Any) -> local.Server:
    return local.serve(script=scenario, poll_after_ms=10, **options)


run_story = partial(with_client, max_retries=0)


async def begun(client: Any, tools: Any = (), text: str = "Hello") -> tuple[str, str]:
    """An assistant that knows the tools, and a thread with a question; their ids."""
    definitions = ToolSet.of(tools).definitions()
    assistant = await got(client.assistants.create(model="local", tools=definitions))
    thread = await got(client.threads.create(messages=[{"role": "user", "content": text}]))
    return assistant.id, thread.id


def submissions(server: local.Server) -> list[list[tuple[str, str]]]:
    """The tool outputs of each submission that the server got, as pairs of id and output."""
    return [
        [(output["tool_call_id"], output["output"]) for output in json.loads(request.body)["tool_outputs"]]
        for request in server.requests
        if request.path.endswith("/submit_tool_outputs")
    ]


def kinds_of(events: Iterable[Any]) -> Counter[str]:
    return Counter(type(event).__name__ for event in events)


def ours() -> list[threading.Thread]:
    """The threads of tool loops and streams."""
    names = ("rx-assistant-tools", "rx-assistant-stream", "rx-assistant-cancel")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


class Losing:
    """A proxy for `Loopback`. It passes everything on, but loses some replies to submissions.

    `whole`: so many replies are lost although the server has sent them. `after`: the first reply breaks off after so
    many bytes.
    """

    def __init__(self, base_url: str, *, whole: int = 0, after: int | None = None) -> None:
        self.base_url = base_url.removesuffix("/v1")
        self.whole = whole
        self.after = after
        self.seen: list[str] = []

    async def __call__(self, request: Received, wire: Wire) -> None:
        self.seen.append(f"{request.method} {request.path}")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        async with httpx.AsyncClient(timeout=20) as client:
            reply = await client.request(
                request.method, self.base_url + request.target, content=request.body, headers=headers
            )
        if request.path.endswith("/submit_tool_outputs"):
            if self.whole:
                self.whole -= 1
                wire.reset()
                return
            if self.after is not None:
                cut, self.after = self.after, None
                await wire.events()
                await wire.chunk(reply.content[:cut])
                wire.reset()
                return
        await wire.reply(reply.status_code, reply.content, {"content-type": reply.headers["content-type"]})

"""A server that starts a run, writes two words, and then waits until the client is gone."""

from __future__ import annotations

import json

from loopback import Received, Wire

RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "in_progress"}


def frame(name: str, data: object) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n".encode()


def delta(text: str) -> bytes:
    part = {"index": 0, "type": "text", "text": {"value": text}}
    return frame(
        "thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [part]}}
    )


async def hang(request: Received, wire: Wire) -> None:
    """Two words, and then silence; a cancel is answered."""
    if request.path.endswith("/cancel"):
        await wire.json({**RUN, "status": "cancelling"}, headers={"connection": "close"})
        wire.hang_up()
        return
    await wire.events()
    await wire.chunk(frame("thread.run.in_progress", RUN) + delta("two ") + delta("words"))
    await wire.peer_gone()


async def finish(request: Received, wire: Wire) -> None:
    """Two words, and a good end."""
    await wire.events()
    await wire.chunk(frame("thread.run.in_progress", RUN) + delta("two ") + delta("words"))
    await wire.chunk(frame("thread.run.completed", {**RUN, "status": "completed"}) + frame("done", "[DONE]"))
    await wire.end()


async def refuse(request: Received, wire: Wire) -> None:
    """An error of the API's."""
    await wire.json({"error": {"message": "No thread found", "type": "invalid_request_error"}}, 404)

"""A web page on which any number of browsers follow the same conversation, served by any number of processes.

    pip install 'rx_assistant[local,redis]'
    python examples/web.py            then open http://127.0.0.1:8080 in several windows

With REDIS_URL two processes serve the page, through Redis; else one. One process holds the conversation (`room.py`).
All processes follow it, and send the actions of people as commands. Each event has a number: a browser that comes late
gets all events, one that was offline continues after its last event.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from anyio import to_thread
from concierge import Conversation, conversation
from room import hold
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from rx_assistant import AssistantClient
from rx_assistant.relay import Command, MemoryRelay, RedisRelay, Relay
from rx_assistant.web import EventStreamResponse

PAGE, MARKDOWN = (Path(__file__).with_name(name) for name in ("web.html", "markdown.js"))


def from_the_page(request: Request) -> bool:
    """Whether this page sent the request: a browser names a page's origin, and asks before it sends JSON to another."""
    own = {None, f"{request.url.scheme}://{request.headers['host']}"}
    kind = request.headers.get("content-type", "").partition(";")[0]
    return request.headers.get("origin") in own and kind in ("application/json", "application/octet-stream")


def application(talk: Conversation, shared: Relay | None = None) -> Starlette:
    """The page, its events, and the actions of people. Without a shared relay this process is the only one."""
    relay, leaving = shared or MemoryRelay(), threading.Event()
    holder = threading.Thread(target=hold, args=(talk, relay, leaving))

    def begun() -> None:
        """Return once a process holds the conversation: an earlier command would be lost."""
        while relay.state(talk.thread_id) is None:
            leaving.wait(0.05)

    def leave() -> None:
        leaving.set()
        holder.join()
        relay.close()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        holder.start()
        on_signals(leave)
        await to_thread.run_sync(begun)
        yield
        await to_thread.run_sync(leave)

    async def page(_request: Request) -> Response:
        return HTMLResponse(PAGE.read_text("utf-8").replace("{{room}}", talk.thread_id))

    async def markdown(_request: Request) -> Response:
        return FileResponse(MARKDOWN)

    async def events(request: Request) -> Response:
        if request.query_params.get("room") != talk.thread_id:
            return Response("this conversation is over", 410)
        return EventStreamResponse(
            lambda after: relay.follow_async(talk.thread_id, after, replay="none", patience=60), heartbeat=5
        )

    async def act(request: Request) -> Response:
        if not from_the_page(request):
            return Response("only the page itself may do this", 403)
        command = Command(request.path_params["action"], await request.json())
        await to_thread.run_sync(relay.send, talk.thread_id, command)
        return Response(status_code=202)

    async def attach(request: Request) -> Response:
        if not from_the_page(request):
            return Response("only the page itself may do this", 403)
        name, content = request.query_params["name"], await request.body()
        with AssistantClient(base_url=talk.base_url) as client:
            file = await to_thread.run_sync(lambda: client.files.create(file=(name, content), purpose="assistants"))
        return JSONResponse({"id": file.id, "name": name})

    routes = [
        Route("/", page),
        Route("/markdown.js", markdown),
        Route("/events", events),
        Route("/attach", attach, methods=["POST"]),
        Route("/{action}", act, methods=["POST"]),
    ]
    known = Middleware(
        TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]
    )  # this machine, by no other name
    return Starlette(routes=routes, lifespan=lifespan, middleware=[known])


def on_signals(leave: Callable[[], None]) -> None:
    """Call `leave` at SIGINT and SIGTERM. Otherwise uvicorn waits for all streams, and then logs each as an error."""
    if threading.current_thread() is not threading.main_thread():
        return  # a test: there are no signals
    for number in (signal.SIGINT, signal.SIGTERM):
        its_own = signal.getsignal(number)

        def both(number: int, frame: FrameType | None, its_own: Any = its_own) -> None:
            threading.Thread(target=leave).start()
            its_own(number, frame)

        signal.signal(number, both)


def worker() -> Starlette:
    """The application of one process."""
    url = os.environ.get("REDIS_URL")
    talk = Conversation(**json.loads(os.environ["CONCIERGE_TALK"]))
    return application(talk, RedisRelay(url, lease=3) if url else None)


def main() -> None:
    workers, port = 2 if "REDIS_URL" in os.environ else 1, int(os.environ.get("PORT", "8080"))
    with conversation() as talk:
        os.environ["CONCIERGE_TALK"] = json.dumps(asdict(talk))
        print(f"{workers} process(es) serve http://127.0.0.1:{port} to as many browsers as you like. Ctrl-C ends it.")
        options: dict[str, Any] = {"port": port, "log_level": "warning", "timeout_graceful_shutdown": 1}
        uvicorn.run("web:worker", factory=True, workers=workers, **options)


if __name__ == "__main__":
    main()

"""A web page on which any number of browsers follow the same conversation, served by any number of processes.

    pip install 'rx_assistant[local,redis]'
    python examples/web.py            then open http://127.0.0.1:8080 in several windows

With REDIS_URL two processes serve the page, through Redis; else one. One process holds the conversation and publishes
questions, the events of the runs, and calls that wait for approval. All processes follow them, and send the actions of
people as commands. If the process that holds the conversation dies, another one takes it over. Each event has a number:
a browser that comes late gets all events, one that was offline continues after its last event."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvicorn
from anyio import to_thread
from concierge import Conversation, conversation, tools
from reactivex import Observable
from reactivex.subject import Subject
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from rx_assistant import AssistantClient, AssistantStream, PendingCall, operators as ax
from rx_assistant.errors import RelayError
from rx_assistant.events import StreamEvent, UnknownEvent
from rx_assistant.relay import Command, MemoryRelay, RedisRelay, Relay
from rx_assistant.web import EventStreamResponse

PAGE = Path(__file__).with_name("web.html")


class Host:
    """The conversation, in the process that holds it. It implements `Answering` for `ax.answers`."""

    def __init__(self, talk: Conversation) -> None:
        self.client = AssistantClient(base_url=talk.base_url)
        self.conversation = self.client.conversation(
            talk.assistant_id, talk.thread_id, tools=tools, approve=self.ask_people
        )
        self.events: Subject[StreamEvent] = Subject()
        self.mutex = threading.Lock()
        self.decisions: dict[str, Subject[bool]] = {}
        self.questions: Subject[str] = Subject()
        self.questions.pipe(ax.answers(self, on_failure=self.fail)).pipe(ax.coalesce()).subscribe(self.show)

    def show(self, event: StreamEvent) -> None:
        """Show an event to all browsers."""
        with self.mutex:
            self.events.on_next(event)

    def notice(self, kind: str, data: object) -> None:
        """Show all browsers something that is not an event of a run."""
        self.show(UnknownEvent(f"room.{kind}", json.dumps(data).encode()))

    def answer(self, question: str, /) -> AssistantStream:
        """Ask a question, as the page has sent it."""
        asked = json.loads(question)
        self.notice("question", asked)
        if not asked["files"]:
            return self.conversation.answer(asked["text"])
        return self.conversation.ask(asked["text"], attachments=[file["id"] for file in asked["files"]])

    def settle(self) -> Observable[None]:
        return self.conversation.settle()

    def fail(self, error: Exception) -> None:
        self.notice("problem", str(error))

    def ask_people(self, call: PendingCall) -> Observable[bool]:
        """Ask all browsers whether a call may run. The first answer counts."""
        decision = self.decisions[call.call_id] = Subject[bool]()
        self.notice("approval", {"id": call.call_id, "name": call.name, "arguments": call.arguments})
        return decision

    def act(self, command: Command) -> None:
        """Carry out a command of a browser."""
        data: Any = command.data
        if command.type == "ask":
            self.questions.on_next(json.dumps(data))
        elif command.type == "stop":
            self.conversation.cancel()
        elif command.type == "decide" and (decision := self.decisions.pop(data["id"], None)):
            self.notice("decided", data)
            decision.on_next(data["approved"])
            decision.on_completed()


def hold(talk: Conversation, relay: Relay, leaving: threading.Event) -> None:
    """Hold the conversation whenever no other process does."""
    while not leaving.wait(0.2):
        state = relay.state(talk.thread_id)
        if state is not None and state.is_alive and state.status == "open":
            continue
        host = Host(talk)
        publication = relay.publish(host.events, talk.thread_id, on_command=host.act)
        try:
            while not leaving.is_set() and not publication.wait(0.2):
                pass
        except RelayError:
            pass  # another process was faster
        finally:
            host.conversation.close()
            host.client.close()
            publication.dispose()


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

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        holder.start()
        await to_thread.run_sync(begun)
        yield
        leaving.set()
        await to_thread.run_sync(holder.join)
        await to_thread.run_sync(relay.close)

    async def page(_request: Request) -> Response:
        return HTMLResponse(PAGE.read_text("utf-8").replace("{{room}}", talk.thread_id))

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
        Route("/events", events),
        Route("/attach", attach, methods=["POST"]),
        Route("/{action}", act, methods=["POST"]),
    ]
    known = Middleware(
        TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]
    )  # this machine, by no other name
    return Starlette(routes=routes, lifespan=lifespan, middleware=[known])


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

"""A web page on which any number of browsers follow the same runs: each run is one stream, and each browser a reader.

    pip install 'rx_assistant[local]'
    python examples/web.py            then open http://127.0.0.1:8080 in several windows

A browser that comes late, or reconnects, gets everything from the beginning: the streams remember it. What it gets are
the events of the Assistants API themselves, joined to thirty a second.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import uvicorn
from concierge import Conversation, conversation, tools
from reactivex import Observable
from reactivex.subject import Subject
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from rx_assistant import AsyncAssistantClient, AsyncAssistantStream, RxAssistantError, ServerSentEvent, operators as ax
from rx_assistant.events import frame
from rx_assistant.sse import encode

PAGE = Path(__file__).with_name("web.html")


class Room:
    """One conversation that everybody sees. It answers as `ax.answers` wants it, and shows each answer on the way."""

    def __init__(self, talk: Conversation) -> None:
        self.client = AsyncAssistantClient(base_url=talk.base_url)
        self.conversation = self.client.conversation(talk.assistant_id, talk.thread_id, tools=tools)
        self.turns: list[ServerSentEvent | AsyncAssistantStream] = []  # questions, streams, problems: what browsers see
        self.more = anyio.Event()
        self.questions: Subject[str] = Subject()
        self.questions.pipe(ax.answers(self, on_failure=self.fail)).subscribe()

    def add(self, turn: ServerSentEvent | AsyncAssistantStream) -> None:
        """Let everybody see one thing more."""
        self.turns.append(turn)
        self.more.set()
        self.more = anyio.Event()

    def answer(self, question: str, /) -> AsyncAssistantStream:
        """Let everybody see a question and its answer."""
        self.add(notice("question", question))
        stream = self.conversation.answer(question)
        self.add(stream)
        return stream

    def settle(self) -> Observable[None]:
        return self.conversation.settle()

    def fail(self, error: Exception) -> None:
        self.add(notice("problem", str(error)))

    async def watch(self) -> AsyncIterator[bytes]:
        """All that one browser is to see, from the beginning, for as long as it looks."""
        for seen in range(10**9):
            while len(self.turns) <= seen:
                await self.more.wait()
            turn = self.turns[seen]
            if isinstance(turn, ServerSentEvent):
                yield encode(turn)
                continue
            try:
                async for event in turn.pipe(ax.coalesce()):
                    yield frame(event)
            except RxAssistantError:
                pass  # `fail` adds a notice with the error


def notice(kind: str, text: str) -> ServerSentEvent:
    return ServerSentEvent(event=kind, data=json.dumps(text))


def from_the_page(request: Request) -> bool:
    """Whether no page of another site sent this: such a page cannot send JSON unasked, and browsers name its origin."""
    own = {None, f"{request.url.scheme}://{request.headers['host']}"}
    kind = request.headers.get("content-type", "").partition(";")[0]
    return request.headers.get("origin") in own and kind == "application/json"


def application(talk: Conversation) -> Starlette:
    """The page, its events, and what its two buttons do."""
    room = Room(talk)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with room.client, room.conversation:
            yield

    async def page(_request: Request) -> Response:
        return FileResponse(PAGE)

    async def events(_request: Request) -> Response:
        return StreamingResponse(room.watch(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def ask(request: Request) -> Response:
        if not from_the_page(request):
            return Response("only the page itself may ask", 403)
        room.questions.on_next(str(await request.json()))
        return Response(status_code=202)

    async def stop(request: Request) -> Response:
        if not from_the_page(request):
            return Response("only the page itself may stop a run", 403)
        await room.conversation.cancel()
        return Response(status_code=202)

    routes = [
        Route("/", page),
        Route("/events", events),
        Route("/ask", ask, methods=["POST"]),
        Route("/stop", stop, methods=["POST"]),
    ]
    known = Middleware(
        TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]
    )  # no other name for this machine
    return Starlette(routes=routes, lifespan=lifespan, middleware=[known])


def main() -> None:
    with conversation() as talk:
        print("Open http://127.0.0.1:8080 in as many browsers as you like. Ctrl-C ends it.")
        uvicorn.run(application(talk), port=8080, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()

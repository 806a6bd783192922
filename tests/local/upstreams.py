"""Model servers whose every answer a test decides, on a real socket, and bodies in their two protocols."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from loopback import Loopback, Received, Wire

from rx_assistant.local.engines import protocols

Answer = bytes | tuple[int, Any] | Callable[[Received, Wire], Awaitable[None]]
"""The body of a stream; a status with a body of JSON, text or bytes; or a handler."""


def chunks(*deltas: dict[str, Any], finish: str | None = "stop", usage: tuple[int, int] | None = None) -> bytes:
    """A Chat Completions stream of these deltas."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    values: list[dict[str, Any]] = [{"id": "c", "model": "m", "choices": [choice]} for choice in choices]
    if finish is not None:
        values.append({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage is not None:
        told = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
        values.append({"id": "c", "model": "m", "choices": [], "usage": told})
    return b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in values) + b"data: [DONE]\n\n"


def says(*texts: str, **options: Any) -> bytes:
    """A stream of these texts."""
    return chunks(*({"content": text} for text in texts), **options)


def calls(*named: tuple[str, str, str], **delta: Any) -> bytes:
    """A stream of these calls, each as (id, name, arguments)."""
    told = [
        {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (id, name, arguments) in enumerate(named)
    ]
    return chunks(delta, {"tool_calls": told}, finish="tool_calls")


def refuses(message: str, status: int = 400, **fields: Any) -> tuple[int, Any]:
    """An error reply."""
    return status, {"error": {"message": message, **fields}}


FUNCTION = {"type": "function", "function": {"name": "weather", "description": "of a place", "parameters": {}}}
OTHER = {"type": "function", "function": {"name": "time", "parameters": {}}}


def rest(api, text: str = "hi", assistant: dict[str, Any] | None = None, **fields) -> dict[str, Any]:
    """A new run on a new thread, once it rests."""
    return api.wait(api.start(api.assistant(**(assistant or {})), api.thread(text), **fields))


def answer_of(api, run: dict[str, Any]) -> str:
    """The text of the run's last message."""
    return api.messages(run["thread_id"])[-1]["content"][0]["text"]["value"]


def text_sent(body: dict[str, Any]) -> str:
    """The text of the first message: the system message, where there is one."""
    return body["messages"][0]["content"]


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


class Model:
    """A model server that gives these answers, one for each request; the last of them again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.server = Loopback(self._answer)

    @property
    def url(self) -> str:
        """What an engine takes as its base URL."""
        return self.server.url

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the requests so far."""
        return [request.json for request in self.server.requests]

    async def _answer(self, request: Received, wire: Wire) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, bytes):
            await wire.events()
            await wire.chunk(answer)
            await wire.end()
        elif isinstance(answer, tuple):
            status, body = answer
            await wire.reply(status, body if isinstance(body, bytes) else json.dumps(body).encode())
        else:
            await answer(request, wire)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Model]]:
    """Starts a model server with the given answers; all are stopped at the end.

    What was refused in other tests is forgotten: another server may have listened at the same address.
    """
    monkeypatch.setattr(protocols, "_MEMORIES", {})
    with ExitStack() as stack:

        def start(*answers: Answer) -> Model:
            found = Model(*answers)
            stack.enter_context(found.server)
            return found

        yield start


@pytest.fixture
def ask(model: Callable[..., Model], connect: Callable[..., Any]) -> Callable[..., Any]:
    """Starts a model server with the given answers, and an Assistants server that asks it; gives both."""
    from rx_assistant.local.engines.upstream import UpstreamEngine

    def start(*answers: Answer, **options: Any) -> tuple[Any, Model]:
        found = model(*answers)
        return connect(engine=UpstreamEngine(found.url, **options)), found

    return start

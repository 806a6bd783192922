"""Answers runs through any OpenAI-compatible model server: Chat Completions or Responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Literal, TypeAlias

from rx_assistant.dialects.chat import ChatReader
from rx_assistant.dialects.chat_request import Form, chat_body
from rx_assistant.dialects.frames import ChatFrames
from rx_assistant.dialects.history import HistoryMessage, Question, TextPart
from rx_assistant.dialects.parts import Text as TextSaid
from rx_assistant.http.clients import OwnAsyncClients
from rx_assistant.local.engine import Action, Failure, RunContext, Text
from rx_assistant.local.ids import new_id

Protocol: TypeAlias = Literal["chat", "responses"]
ThinkingPolicy: TypeAlias = Literal["reasoning", "text"]
FileSearchPolicy: TypeAlias = Literal["context", "tool"]


class UpstreamEngine:
    """Answers each run through the model server at `base_url`, which usually ends in `/v1`.

    `model` is the model that answers, whatever the application asks for; `model_map` gives one for each name of the
    application. Without either the application's name is passed on. `api_key` is sent to the origin of `base_url` only.
    `upstream_timeout` (seconds) is how long the server may be silent.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        protocol: Protocol = "chat",
        model_map: Mapping[str, str] = {},
        thinking: ThinkingPolicy = "reasoning",
        file_search: FileSearchPolicy = "context",
        upstream_timeout: float = 600.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._model = model
        self._key = api_key
        self._map = dict(model_map)
        self._thinking: ThinkingPolicy = thinking
        self._clients = OwnAsyncClients()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def model_for(self, name: str) -> str:
        """The upstream's model for the application's name."""
        return self._map.get(name) or self._model or name

    async def run(self, context: RunContext) -> AsyncGenerator[Action, None]:
        """One turn."""
        history = [HistoryMessage(message.role, (TextPart(message.text),)) for message in context.messages]
        question = Question(model=self.model_for(context.model), history=history, system=context.instructions)
        reader, frames = ChatReader(new_id, thinking=self._thinking), ChatFrames()
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        request = self._clients.current().build_request(
            "POST", f"{self.base_url}/chat/completions", json=chat_body(question, Form()), headers=headers
        )
        response = await self._clients.current().send(request, stream=True)
        try:
            async for chunk in response.aiter_bytes():
                for name, payload in frames.push(chunk):
                    for part in reader.read(payload, name):
                        if isinstance(part, TextSaid):
                            yield Text(part.value)
        finally:
            await response.aclose()
        _, ending = reader.end()
        if ending.status == "failed":
            yield Failure(ending.message)

    async def aclose(self) -> None:
        """Closes the connections to the upstream."""
        await self._clients.aclose()

